from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

from llmers_utils.data import SPLITS, Split
from llmers_utils.recommenders import build_ctr_data


@pytest.mark.parametrize("protocol", sorted(SPLITS))
def test_samples_are_the_rows_of_each_part(split: Split, protocol: str) -> None:
    split = SPLITS[protocol](split.dataset)
    data = build_ctr_data(split)
    for part in ("train", "valid", "test"):
        samples, rows = getattr(data, part), getattr(split, part)
        ours = set(zip(samples["user"].tolist(), samples["item"].tolist(), strict=True))
        assert ours == set(zip(rows["user"], rows["item"], strict=True))
        assert len(samples["label"]) == len(rows)


def test_history_is_what_came_strictly_before(ctr_split: Split) -> None:
    data = build_ctr_data(ctr_split, max_history=6)
    interactions = ctr_split.dataset.interactions
    for part in ("train", "valid", "test"):
        samples = getattr(data, part)
        for row in range(0, len(samples["label"]), 17):
            user, item = samples["user"][row].item(), samples["item"][row].item()
            own = interactions.filter(user=user)
            place = own["item"].to_list().index(item)
            before = own[max(0, place - 6) : place]
            pads = 6 - len(before)
            assert samples["history"][row].tolist() == [30] * pads + before["item"].to_list()
            expected = [0.0] * pads + ((before["rating"] - 3) / 2).to_list()
            assert samples["history_rating"][row].tolist() == expected
            assert samples["label"][row].item() == (own["rating"][place] >= 4)


def test_simultaneous_ratings_are_not_in_each_other_s_history(ctr_split: Split) -> None:
    def together(part: pl.DataFrame) -> pl.DataFrame:
        return part.with_columns(timestamp=pl.col("timestamp") // 4000)

    parts = {name: together(getattr(ctr_split, name)) for name in ("prompt", "train")}
    samples = build_ctr_data(dataclasses.replace(ctr_split, **parts)).train
    known = pl.concat(list(parts.values()))
    for row in range(0, len(samples["label"]), 13):
        user, item = samples["user"][row].item(), samples["item"][row].item()
        own = known.filter(user=user).sort("timestamp", maintain_order=True)
        moment = own.filter(item=item)["timestamp"][0]
        before = own.filter(pl.col("timestamp") < moment)["item"].to_list()
        history = samples["history"][row]
        assert history[history != 30].tolist() == before


@pytest.mark.parametrize("protocol", sorted(SPLITS))
def test_future_changes_no_training_sample(
    split: Split, protocol: str, poisoned: Callable[[Split], Split]
) -> None:
    split = SPLITS[protocol](split.dataset)
    clean, dirty = build_ctr_data(split), build_ctr_data(poisoned(split))
    assert all(torch.equal(clean.train[name], dirty.train[name]) for name in clean.train)


def test_another_idea_of_positive(ctr_split: Split) -> None:
    data = build_ctr_data(ctr_split, positive=lambda rating: rating <= 1)
    ratings = ctr_split.train.sort("user", "timestamp")["rating"].to_numpy()
    assert data.train["label"].tolist() == (ratings <= 1).tolist()


def test_spec(ctr_split: Split) -> None:
    spec = build_ctr_data(ctr_split).spec
    assert spec.user_field_names == ("age", "gender")
    assert spec.user_fields.shape == (40, 2)
    for field, cardinality in enumerate(spec.user_cardinalities):
        assert int(spec.user_fields[:, field].max()) < cardinality
    assert spec.item_genres.shape == (30, 2)  # Comedy, Drama
    assert spec.item_genres[0].tolist() == [1, 1]
    assert spec.item_genres[1].tolist() == [0, 1]


def test_ages_fall_into_buckets_and_null_is_its_own(ctr_split: Split) -> None:
    dataset = ctr_split.dataset
    users = dataset.users.with_columns(
        age=pl.Series([None, 17, 18, 56, 99] + [30] * 35), gender=pl.Series([None] + ["F"] * 39)
    )
    split = dataclasses.replace(ctr_split, dataset=dataclasses.replace(dataset, users=users))
    ids = build_ctr_data(split).spec.user_fields
    assert ids[:6, 0].tolist() == [0, 1, 2, 7, 7, 3]
    assert ids[:3, 1].tolist() == [0, 1, 1]


def test_dataset_without_profiles_or_genres(ctr_split: Split) -> None:
    from llmers_utils.recommenders import DeepFM

    dataset = dataclasses.replace(
        ctr_split.dataset,
        users=ctr_split.dataset.users.select("user", "raw_user"),
        items=ctr_split.dataset.items.with_columns(
            genres=pl.lit([], dtype=pl.List(pl.String)),
        ),
    )
    data = build_ctr_data(dataclasses.replace(ctr_split, dataset=dataset))
    assert data.spec.user_fields.shape == (40, 0)
    assert DeepFM(data.spec)(data.test).isfinite().all()


def test_batches_are_a_permutation(ctr_split: Split) -> None:
    source = build_ctr_data(ctr_split).batches("train")
    batches = list(source.epoch(np.random.default_rng(0), 50))
    assert [len(b["label"]) for b in batches[:-1]] == [50] * (len(batches) - 1)
    drawn = torch.cat([b["user"] * 100 + b["item"] for b in batches])
    rows = source.samples["user"] * 100 + source.samples["item"]
    assert drawn.tolist() != rows.tolist()
    assert sorted(drawn.tolist()) == sorted(rows.tolist())
    assert len(source) == len(rows)
