"""Impressions: metrics against values by hand, what is drawn, and what a history holds."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import ndcg_score, roc_auc_score

from llmers_utils.data import prefix
from llmers_utils.data.mind import load_mind
from llmers_utils.recommenders.impression_data import (
    ImpressionData,
    from_mind,
    from_ratings,
    load_impressions,
    rarest_genres,
)
from llmers_utils.recommenders.impressions import (
    ImpressionBatches,
    Impressions,
    evaluate_impressions,
    impression_metrics,
)

TWO = {
    "labels": np.array([0, 1, 0, 1, 0, 0]),
    "scores": np.array([0.9, 0.8, 0.1, 0.2, 0.7, 0.2]),
    "groups": np.array([0, 0, 0, 1, 1, 1]),
}


def test_two_impressions_by_hand():
    found = impression_metrics(**TWO)
    # First: the clicked one is second of three. Second: it ties with another for the last place.
    np.testing.assert_allclose(found["AUC"], [1 / 2, 1 / 4])
    np.testing.assert_allclose(found["MRR"], [1 / 2, 1 / 3])
    np.testing.assert_allclose(found["NDCG@5"], [1 / math.log2(3), 1 / math.log2(4)])
    np.testing.assert_allclose(found["NDCG@10"], found["NDCG@5"])


def test_several_clicks_as_scikit_learn_counts_them():
    rng = np.random.default_rng(0)
    labels = rng.random((40, 15)) < 0.3
    labels[:, 0], labels[:, 1] = True, False
    scores = rng.normal(size=labels.shape)
    groups = np.repeat(np.arange(40), 15)
    found = impression_metrics(labels.ravel(), scores.ravel(), groups)
    for row in range(40):
        assert found["AUC"][row] == pytest.approx(roc_auc_score(labels[row], scores[row]))
        for k in (5, 10):
            expected = ndcg_score(labels[row][None], scores[row][None], k=k)
            assert found[f"NDCG@{k}"][row] == pytest.approx(expected)
        ranks = 1 + np.argsort(np.argsort(-scores[row]))
        assert found["MRR"][row] == pytest.approx((1 / ranks[labels[row]]).mean())


def test_rows_in_any_order_and_collapsed_scores():
    order = np.random.default_rng(1).permutation(6)
    shuffled = impression_metrics(**{name: values[order] for name, values in TWO.items()})
    for name, values in impression_metrics(**TWO).items():
        np.testing.assert_allclose(shuffled[name], values)
    flat = impression_metrics(TWO["labels"], np.zeros(6), TWO["groups"])
    np.testing.assert_allclose(flat["AUC"], 0.5)
    np.testing.assert_allclose(flat["MRR"], 1 / 3)


def test_impossible_metrics_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        impression_metrics(TWO["labels"], TWO["scores"] * np.nan, TWO["groups"])
    with pytest.raises(ValueError, match="group 1 has not both"):
        impression_metrics(np.array([0, 1, 0, 0, 0, 0]), TWO["scores"], TWO["groups"])


@pytest.fixture
def ragged() -> Impressions:
    return Impressions(
        users=np.array([3, 1, 3]),
        histories=np.array([[-1, 5], [-1, -1], [4, 5]]),
        candidates=np.arange(10),
        labels=np.array([0, 1, 1, 0, 0, 0, 0, 1, 0, 1], dtype=bool),
        offsets=np.array([0, 3, 8, 10]),
    )


def test_an_impression_needs_both_kinds():
    with pytest.raises(ValueError, match="clicked and another"):
        Impressions(
            np.array([0]), np.zeros((1, 1), int), np.array([0]), np.array([True]), np.array([0, 1])
        )


def test_batches_put_one_click_first_and_others_behind(ragged):
    ragged = ragged.first(2)
    batches = ImpressionBatches(ragged, negatives=3)
    assert len(batches) == 2
    rng, clicked = np.random.default_rng(0), set()
    for _ in range(20):
        for batch in batches.epoch(rng, 2):
            assert batch["candidates"].shape == (2, 4)
            for user, history, row in zip(*(v.tolist() for v in batch.values()), strict=True):
                if user == 3:
                    assert history == [-1, 5]
                    assert row[0] in (1, 2)
                    assert row[1:] == [0, 0, 0]  # the only other candidate
                    clicked.add(row[0])
                else:
                    assert row[0] == 7
                    assert len(set(row[1:])) == 3
                    assert set(row[1:]) <= {3, 4, 5, 6}
    assert clicked == {1, 2}
    one, other = (next(batches.epoch(np.random.default_rng(7), 2))["candidates"] for _ in range(2))
    assert torch.equal(one, other)


@pytest.fixture(scope="module")
def liked(dataset) -> ImpressionData:
    return from_ratings(prefix(dataset), history=3, shown=5, limits=(60, 20, 30))


def test_impressions_from_ratings(dataset, liked):
    for part in ("train", "valid", "test"):
        impressions = getattr(liked, part)
        rows = getattr(prefix(dataset), part)
        good = set(rows.filter(pl.col("rating") >= 4).select("user", "item").iter_rows())
        rated = set(dataset.interactions.select("user", "item").iter_rows())
        candidates, labels = impressions.padded(np.arange(len(impressions)))
        assert (labels.sum(1) == 1).all()
        assert labels.argmax(1).std() > 0  # not always at one place
        for user, shown, clicked in zip(impressions.users, candidates, labels, strict=True):
            assert (user, shown[clicked][0]) in good
            assert not {(user, item) for item in shown[~clicked]} & rated
            assert len(set(shown)) == 6


def test_a_history_is_the_latest_likes_before(dataset, liked):
    rows = dataset.interactions.filter(pl.col("rating") >= 4)
    past = {user: group["item"].to_list() for (user,), group in rows.group_by("user")}
    for user, history, clicked in zip(
        liked.test.users,
        liked.test.histories,
        liked.test.candidates[liked.test.labels],
        strict=True,
    ):
        before = past[user][: past[user].index(clicked)][-3:]
        assert history.tolist() == [-1] * (3 - len(before)) + before


def test_candidates_are_drawn_once(dataset, liked):
    again = from_ratings(prefix(dataset), history=3, shown=5, limits=(60, 20, 30))
    np.testing.assert_array_equal(liked.test.candidates, again.test.candidates)
    other = from_ratings(prefix(dataset), history=3, shown=5, limits=(60, 20, 30), seed=1)
    assert other.hash != liked.hash
    with pytest.raises(ValueError, match="only 18 unrated"):
        from_ratings(prefix(dataset), history=3, shown=19, limits=(60, 20, 30))


def test_the_rarest_genre_says_most():
    genres = [["Drama"], ["Drama", "War"], ["Comedy", "Drama"], ["Comedy"], []]
    assert rarest_genres(genres) == ["Drama", "War", "Comedy", "Comedy", "unknown"]


def test_evaluation_averages_impressions_and_users(liked):
    scores = np.random.default_rng(0).normal(size=len(liked.test.labels))
    found = evaluate_impressions(scores, liked)
    each = impression_metrics(liked.test.labels, scores, liked.test.groups)
    assert found.n == len(liked.test)
    assert found.metrics["MRR"] == pytest.approx(each["MRR"].mean())
    first = found.users[0]
    assert found.per_user["AUC"][0] == pytest.approx(each["AUC"][liked.test.users == first].mean())
    assert evaluate_impressions(liked.test.labels * 1.0, liked).metrics["AUC"] == 1
    assert set(found.slices) <= {"tail items", "cold items", "short histories"}
    assert all(0 < size < found.n for size in found.slice_sizes.values())


def write_mind(folder, count: int):
    news = "".join(f"N{i}\tc\ts{i % 3}\tTitle {i}\t\turl\t[]\t[]\n" for i in range(9))
    lines = [
        f"{i}\tU{i % 4}\t11/12/2019 2:{i % 60:02d}:00 PM\tN1 N2 N3 N4\tN5-1 N6-0 N7-0\n"
        for i in range(count)
    ]
    (folder / "news.tsv").write_text(news, encoding="utf-8")
    (folder / "behaviors.tsv").write_text("".join(lines), encoding="utf-8")


def test_minds_own_impressions_are_cut_by_time(tmp_path):
    write_mind(tmp_path, 50)
    data = load_impressions(str(tmp_path), history=2, limits=(25, 100, 100))
    assert (len(data.train), len(data.valid), len(data.test)) == (25, 5, 5)
    assert data.kind == "news"
    assert data.categories[4] == "s1"
    assert data.test.histories.tolist() == [[3, 4]] * 5  # the latest two of N1..N4
    assert data.test.candidates.tolist() == [5, 6, 7] * 5
    assert data.test.labels.tolist() == [True, False, False] * 5


def test_too_few_impressions_are_refused(tmp_path):
    write_mind(tmp_path, 3)
    with pytest.raises(ValueError, match="3 impressions cannot be cut"):
        from_mind(load_mind(tmp_path), history=2, limits=(9, 9, 9))
