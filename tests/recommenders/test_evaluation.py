from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from ranx import Qrels, Run, evaluate

from llmers_utils.data import Split, global_time
from llmers_utils.recommenders import (
    DeepFM,
    Histories,
    build_ctr_data,
    evaluate_ctr,
    evaluate_ranking,
    evaluation,
    predict,
)


def table_scorer(scores: torch.Tensor):
    return lambda users: scores[torch.from_numpy(users)]


def random_scores(split: Split, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(split.dataset.n_users, split.dataset.n_items, generator=generator)


def ranx_metrics(split: Split, part: str, scores: torch.Tensor, ks: tuple[int, ...]) -> dict:
    """Each user is a query over the unseen items, with all their targets relevant."""
    seen = Histories.before(split, part)
    targets = getattr(split, part).group_by("user").agg("item").sort("user")
    qrels, run = {}, {}
    for user, items in targets.iter_rows():
        masked = set(seen.flat(np.array([user]))[1].tolist()) - set(items)
        qrels[str(user)] = dict.fromkeys(map(str, items), 1)
        run[str(user)] = {
            str(i): float(s) for i, s in enumerate(scores[user].tolist()) if i not in masked
        }
    names = {f"{ours}@{k}": f"{theirs}@{k}" for k in ks for ours, theirs in THEIRS.items()}
    found = evaluate(Qrels(qrels), Run(run), list(names.values()), make_comparable=True)
    return {ours: float(found[theirs]) for ours, theirs in names.items()}


THEIRS = {"HR": "hit_rate", "Recall": "recall", "NDCG": "ndcg", "MRR": "mrr"}


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("protocol", ["leave_last_out", "global_time"])
def test_ranking_equals_ranx(split: Split, part: str, protocol: str) -> None:
    if protocol == "global_time":  # several targets per user
        split = global_time(split.dataset, (0.5, 0.2, 0.3))
    scores = random_scores(split)
    ours = evaluate_ranking(table_scorer(scores), split, part, (1, 5, 10))
    theirs = ranx_metrics(split, part, scores, (1, 5, 10))
    assert ours.metrics.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours.metrics[name] == pytest.approx(value, abs=1e-6), name
    assert ours.n == len(getattr(split, part))


def test_chunks_change_nothing(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = table_scorer(random_scores(split))
    whole = evaluate_ranking(scorer, split, sampled_negatives=10)
    monkeypatch.setattr(evaluation, "CHUNK_BYTES", 4 * split.dataset.n_items * 7)
    monkeypatch.setattr(evaluation, "FEWEST_ROWS", 1)
    for negatives in (None, 10):
        cut = evaluate_ranking(scorer, split, sampled_negatives=negatives)
        if negatives:
            assert cut.metrics == whole.metrics


def test_collapsed_model_gets_no_credit(split: Split) -> None:
    scores = torch.zeros(split.dataset.n_users, split.dataset.n_items)
    result = evaluate_ranking(table_scorer(scores), split, ks=(5, 10))
    assert set(result.metrics.values()) == {0.0}


def test_seen_items_are_masked_and_scores_left_alone(split: Split) -> None:
    scores = torch.zeros(split.dataset.n_users, split.dataset.n_items)
    seen = Histories.before(split, "test")
    users, items = seen.flat(np.arange(split.dataset.n_users))
    scores[users, items] = 9
    for row in split.test.iter_rows(named=True):
        scores[row["user"], row["item"]] = 1
    before = scores.clone()
    assert evaluate_ranking(table_scorer(scores), split).metrics["MRR@5"] == 1
    assert torch.equal(scores, before)


def test_nan_scores_raise(split: Split) -> None:
    scores = random_scores(split)
    scores[3, 3] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        evaluate_ranking(table_scorer(scores), split)


def test_wrong_shape_raises(split: Split) -> None:
    with pytest.raises(ValueError, match="31"):
        evaluate_ranking(lambda users: torch.zeros(len(users), 31), split)


def test_sampled_variant_is_labelled_seeded_and_easier(split: Split) -> None:
    scorer = table_scorer(random_scores(split))
    full = evaluate_ranking(scorer, split)
    a = evaluate_ranking(scorer, split, sampled_negatives=8)
    b = evaluate_ranking(scorer, split, sampled_negatives=8)
    other = evaluate_ranking(scorer, split, sampled_negatives=8, seed=1)
    assert "1+8 sampled" in a.protocol
    assert "full ranking" in full.protocol
    assert a.metrics == b.metrics != other.metrics
    assert a.metrics["NDCG@5"] > full.metrics["NDCG@5"]


def test_all_unseen_items_as_negatives_is_the_full_ranking(split: Split) -> None:
    unseen = split.dataset.n_items - 12  # every user has 12 interactions
    scorer = table_scorer(random_scores(split))
    sampled = evaluate_ranking(scorer, split, sampled_negatives=unseen)
    assert sampled.metrics == evaluate_ranking(scorer, split).metrics
    with pytest.raises(ValueError, match=f"only {unseen} unseen"):
        evaluate_ranking(scorer, split, sampled_negatives=unseen + 1)


def test_metrics_are_means_of_per_user(split: Split) -> None:
    result = evaluate_ranking(table_scorer(random_scores(split)), split)
    assert result.users.tolist() == list(range(split.dataset.n_users))
    for name, value in result.metrics.items():
        assert result.per_user[name].mean() == value


def test_slices_recompute(split: Split) -> None:
    result = evaluate_ranking(table_scorer(random_scores(split)), split)
    counts = np.bincount(split.train["item"].to_numpy(), minlength=split.dataset.n_items)
    head = set(sorted(range(len(counts)), key=lambda i: (-counts[i], i))[:6])  # 20 % of 30
    tail = [item not in head for item in split.test["item"]]
    assert result.slice_sizes["tail items"] == sum(tail)
    expected = result.per_user["HR@10"][np.array(tail)].mean()
    assert result.slices["tail items"]["HR@10"] == pytest.approx(expected)
    assert "cold items" not in result.slices
    assert evaluate_ranking(table_scorer(random_scores(split)), split, slices=False).slices == {}


def test_ctr_evaluation_of_a_model_is_that_of_its_probabilities(ctr_split: Split) -> None:
    data = build_ctr_data(ctr_split)
    model = DeepFM(data.spec)
    a = evaluate_ctr(model, data)
    b = evaluate_ctr(predict(model, data.test, batch_size=7), data)
    assert a.metrics == pytest.approx(b.metrics)
    assert a.metrics.keys() == {"AUC", "GAUC", "LogLoss"}
    assert a.per_user["AUC"].shape == a.users.shape
    assert a.slices["tail items"].keys() == a.metrics.keys()


@pytest.mark.parametrize("bad", [np.full(3, 0.5), None, float("nan"), 1.5])
def test_ctr_evaluation_refuses_what_is_no_probability(ctr_split: Split, bad: object) -> None:
    data = build_ctr_data(ctr_split)
    p = bad if isinstance(bad, np.ndarray) else np.full(len(data.test["label"]), bad, dtype=float)
    with pytest.raises(ValueError, match="probabilities"):
        evaluate_ctr(p, data)


def test_where_items_repeat_the_seen_ones_stay_candidates(split: Split) -> None:
    scores = random_scores(split)
    repeating = replace(split, dataset=replace(split.dataset, repeats=True))
    result = evaluate_ranking(table_scorer(scores), repeating, "test", (5,))
    targets = split.test.sort("user")
    own = scores[targets["user"].to_list(), targets["item"].to_list()][:, None]
    ranks = (scores[targets["user"].to_list()] >= own).sum(1)
    assert result.metrics["HR@5"] == pytest.approx((ranks <= 5).float().mean().item())
    masked = evaluate_ranking(table_scorer(scores), split, "test", (5,))
    assert masked.metrics["HR@5"] > result.metrics["HR@5"]
