from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # ranx would compile for minutes

from llmers_utils.data import Dataset, Split, leave_last_out, prefix


def make_dataset(n_users: int = 40, n_items: int = 30, length: int = 12, seed: int = 0) -> Dataset:
    """Users who walk through the items in order from a random start: the next item is learnable."""
    rng = np.random.default_rng(seed)
    rows = [
        (user, (start + step) % n_items, float(rng.integers(1, 6)), 1000 * step + 500 * user)
        for user, start in enumerate(rng.integers(n_items, size=n_users))
        for step in range(length)
    ]
    schema = {
        "user": pl.Int32,
        "item": pl.Int32,
        "rating": pl.Float32,
        "timestamp": pl.Int64,
    }
    items = pl.DataFrame(
        {
            "item": pl.Series(range(n_items), dtype=pl.Int32),
            "raw_item": [str(i) for i in range(n_items)],
            "title": [f"Film {i}" for i in range(n_items)],
            "release": [str(1990 + i % 9) for i in range(n_items)],
            "year": pl.Series([1990 + i % 9 for i in range(n_items)], dtype=pl.Int32),
            "genres": [["Drama"] if i % 2 else ["Comedy", "Drama"] for i in range(n_items)],
        }
    )
    users = pl.DataFrame(
        {
            "user": pl.Series(range(n_users), dtype=pl.Int32),
            "raw_user": [str(u) for u in range(n_users)],
            "age": [10 + u for u in range(n_users)],
            "gender": ["F" if u % 2 else "M" for u in range(n_users)],
        }
    )
    return Dataset(
        name="toy",
        interactions=pl.DataFrame(rows, schema=schema, orient="row").sort("user", "timestamp"),
        items=items,
        users=users,
        triples=None,
        rating_range=(1.0, 5.0),
        fingerprint=f"toy {seed}",
    )


def poison_future(split: Split) -> Split:
    """The same split with other items and ratings in valid and test."""
    n = split.dataset.n_items

    def poison(part: pl.DataFrame) -> pl.DataFrame:
        return part.with_columns(
            item=((pl.col("item") + 7) % n).cast(pl.Int32), rating=6 - pl.col("rating")
        )

    return dataclasses.replace(split, valid=poison(split.valid), test=poison(split.test))


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return make_dataset()


@pytest.fixture(scope="session")
def split(dataset: Dataset) -> Split:
    return leave_last_out(dataset)


@pytest.fixture(scope="session")
def ctr_split(dataset: Dataset) -> Split:
    return prefix(dataset, max_prefix=4)


@pytest.fixture(scope="session")
def poisoned() -> Callable[[Split], Split]:
    return poison_future


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
