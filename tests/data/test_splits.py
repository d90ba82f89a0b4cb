"""Protocols against plain Python, and what a prompt can reach."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llmers_utils.data import (
    SPLITS,
    Dataset,
    Split,
    cold_items,
    display_titles,
    global_time,
    leave_last_out,
    prefix,
)

from .support import pairs, toy_dataset

Sequences = dict[str, list[tuple[str, float, int]]]


@pytest.fixture
def toy(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    sequences: Sequences = {}
    for user, length in enumerate([1, 2, 3, 8, 50, 30, 4], start=1):
        items = rng.choice(60, size=length, replace=False)
        times = rng.integers(0, 40, size=length)  # with many ties
        sequences[str(user)] = [
            (str(item), 4.0, int(time)) for item, time in zip(items, times, strict=True)
        ]
    return toy_dataset(tmp_path / "toy", sequences)


def _by_user(dataset: Dataset) -> dict[int, list[tuple[int, int]]]:
    sequences: dict[int, list[tuple[int, int]]] = {}
    for user, item in pairs(dataset.interactions):
        sequences.setdefault(user, []).append((user, item))
    return sequences


@pytest.mark.parametrize("protocol", SPLITS)
def test_parts_are_disjoint_ordered_and_complete(protocol: str, toy: Dataset) -> None:
    split = SPLITS[protocol](toy)
    assert split.protocol == protocol
    parts = [split.train, split.valid, split.test]
    if protocol == "prefix":
        parts.append(split.prompt)
    together = pl.concat(parts).sort("user", "timestamp", "item")
    assert together.equals(toy.interactions)
    for part in parts:
        assert part.schema == toy.interactions.schema
        assert part.equals(part.sort("user", "timestamp", "item"))
    if protocol != "prefix":
        assert split.prompt.equals(split.train)


def test_leave_last_out(toy: Dataset) -> None:
    split = leave_last_out(toy)
    train, valid, test = [], [], []
    for sequence in _by_user(toy).values():
        held = 2 if len(sequence) >= 3 else 0
        train += sequence[: len(sequence) - held]
        valid += sequence[-2:-1] if held else []
        test += sequence[-1:] if held else []
    assert (pairs(split.train), pairs(split.valid), pairs(split.test)) == (train, valid, test)


def test_ties_go_by_the_raw_item_as_a_number(tmp_path: Path) -> None:
    sequence = [("10", 5.0, 7), ("9", 5.0, 7), ("100", 5.0, 7), ("2", 5.0, 7)]
    dataset = toy_dataset(tmp_path, {"1": sequence})
    split = leave_last_out(dataset)
    raw = dataset.items["raw_item"]
    assert raw[split.test["item"].to_list()].to_list() == ["100"]
    assert raw[split.valid["item"].to_list()].to_list() == ["10"]


def test_global_time(toy: Dataset) -> None:
    split = global_time(toy)
    rows = sorted(toy.interactions.rows(), key=lambda row: (row[3], row[0]))  # stable
    ordered = [(user, item) for user, item, _, _ in rows]
    ends = round(0.8 * len(ordered)), round(0.9 * len(ordered))
    assert pairs(split.train) == [p for p in pairs(toy.interactions) if p in ordered[: ends[0]]]
    assert set(pairs(split.valid)) == set(ordered[ends[0] : ends[1]])
    assert set(pairs(split.test)) == set(ordered[ends[1] :])
    assert split.train["timestamp"].max() <= split.valid["timestamp"].min()
    assert split.valid["timestamp"].max() <= split.test["timestamp"].min()


def test_prefix(toy: Dataset) -> None:
    split = prefix(toy, max_prefix=20)
    shown = [
        pair
        for sequence in _by_user(toy).values()
        for pair in sequence[: min(len(sequence) // 2, 20)]
    ]
    assert pairs(split.prompt) == shown
    samples = toy.interactions.height - len(shown)
    sizes = (split.train.height, split.valid.height, split.test.height)
    assert sizes == (round(0.8 * samples), round(0.9 * samples) - round(0.8 * samples),
                     samples - round(0.9 * samples))  # fmt: skip
    assert split.train["timestamp"].max() <= split.test["timestamp"].min()


def test_cold_items(toy: Dataset) -> None:
    split = cold_items(toy, share=0.2, seed=3)
    assert len(split.cold_items) == round(0.2 * toy.n_items)
    assert np.all(np.diff(split.cold_items) > 0)
    in_train, in_valid, in_test = (
        set(part["item"].to_list()) for part in (split.train, split.valid, split.test)
    )
    assert in_train.isdisjoint(split.cold_items.tolist())
    assert in_valid | in_test == set(split.cold_items.tolist())
    assert in_valid.isdisjoint(in_test)
    assert len(in_valid) == len(split.cold_items) // 2
    assert in_train | in_valid | in_test == set(range(toy.n_items))


def test_cold_items_follow_the_seed(toy: Dataset) -> None:
    same, other = cold_items(toy, seed=0), cold_items(toy, seed=1)
    assert np.array_equal(same.cold_items, cold_items(toy).cold_items)
    assert not np.array_equal(same.cold_items, other.cold_items)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: global_time(data, shares=(0.8, 0.1, 0.2)), "sum 1"),
        (lambda data: global_time(data, shares=(1.2, -0.1, -0.1)), ">= 0"),
        (lambda data: prefix(data, max_prefix=-1), "max_prefix=-1"),
        (lambda data: cold_items(data, share=0.0), "share=0.0"),
        (lambda data: cold_items(data, share=1.0), "share=1.0"),
        (lambda data: cold_items(data, share=0.01), "at least two items"),
    ],
)
def test_impossible_arguments_are_named(
    toy: Dataset, make: Callable[[Dataset], Split], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(toy)


def test_hash_follows_protocol_parameters_and_data(toy: Dataset, tmp_path: Path) -> None:
    splits = [
        leave_last_out(toy),
        global_time(toy),
        global_time(toy, shares=(0.7, 0.1, 0.2)),
        prefix(toy),
        prefix(toy, max_prefix=2),
        cold_items(toy),
        cold_items(toy, seed=1),
        leave_last_out(toy_dataset(tmp_path / "other", {"1": [("1", 3.0, 1)]})),
    ]
    hashes = [split.hash for split in splits]
    assert len(set(hashes)) == len(hashes)
    assert all(len(value) == 16 for value in hashes)
    assert leave_last_out(toy).hash == hashes[0]


def test_training_view_shows_the_prompt_rows_of_one_user(toy: Dataset) -> None:
    for make in SPLITS.values():
        split = make(toy)
        for user in range(toy.n_users):
            view = split.training_view(user)
            expected = split.prompt.filter(user=user)
            assert view.select(expected.columns).equals(expected)
            held = set(pairs(pl.concat([split.valid, split.test])))
            assert held.isdisjoint(pairs(view))
            titles = toy.items["title"][expected["item"]].to_list()
            assert view["title"].to_list() == titles


def test_training_view_of_no_user_is_an_error(toy: Dataset) -> None:
    split = leave_last_out(toy)
    for user in (-1, toy.n_users):
        with pytest.raises(KeyError, match="allowed are 0 to 6"):
            split.training_view(user)


def test_movielens_100k_is_cut_as_it_always_was(ml_100k: Dataset) -> None:
    """Stored results depend on these hashes; a change makes every one of them stale."""
    hashes = {name: make(ml_100k).hash for name, make in SPLITS.items()}
    assert hashes == {
        "leave_last_out": "9512e7b10f7d7a7c",
        "global_time": "a837b3829da63ca6",
        "prefix": "cea5b13a33380937",
        "cold_items": "d3a2151b37532d94",
    }


@pytest.mark.parametrize(
    ("make", "shown", "digest"),
    [
        (leave_last_out, 40, "03f925a92e0c4b15e41157bb74a50ccd1c21ef9c8fa804b49410b15db3e6e84f"),
        (prefix, 20, "f0a71fd3994d12f5f0de7c8516a01c891bdda931b9be0c1ebd55d92897841751"),
    ],
)
def test_training_view_gives_the_histories_of_the_recorded_answers(
    ml_100k: Dataset, make: Callable[[Dataset], Split], shown: int, digest: str
) -> None:
    """The digests are those of what the language model was shown for all 943 users."""
    split, titles = make(ml_100k), display_titles(ml_100k)
    histories = []
    for user in range(ml_100k.n_users):
        rows = split.training_view(user).tail(shown).select("item", "rating").rows()
        histories.append("; ".join(f"{titles[item]} {rating:g}" for item, rating in rows))
    assert hashlib.sha256("\n".join(histories).encode()).hexdigest() == digest


def test_prefix_without_times_cuts_each_user(toy: Dataset) -> None:
    ordered = dataclasses.replace(toy, order_only=True)
    split = prefix(ordered, max_prefix=5)
    assert split.protocol == "prefix_by_order"
    assert split.prompt_is_apart
    assert split.prompt.equals(prefix(toy, max_prefix=5).prompt)
    place = {pair: number for number, pair in enumerate(pairs(toy.interactions))}
    for user in range(toy.n_users):
        parts = [split.train, split.valid, split.test]
        mine = [place[p] for part in parts for p in pairs(part) if p[0] == user]
        assert mine == sorted(mine)  # train, then valid, then test
    shares = [part.height for part in (split.train, split.valid, split.test)]
    assert np.allclose(np.array(shares) / sum(shares), [0.8, 0.1, 0.1], atol=0.02)
    with pytest.raises(ValueError, match="global_time needs times"):
        global_time(ordered)
