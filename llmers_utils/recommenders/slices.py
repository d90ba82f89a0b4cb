"""The slices every evaluation reports: who and what a mean may hide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llmers_utils.data import Split

HEAD_SHARE = 0.2
"""The head is the most popular fifth of the catalogue by training count; the rest is tail."""


def training_counts(split: Split) -> np.ndarray:
    """Training interactions per item, (n_items,)."""
    return np.bincount(split.train["item"].to_numpy(), minlength=split.dataset.n_items)


def tail_items(split: Split) -> np.ndarray:
    """Mark the items outside the head, (n_items,) bool; equal counts go by item id."""
    counts = training_counts(split)
    head = np.argsort(-counts, kind="stable")[: round(HEAD_SHARE * len(counts))]
    tail = np.ones(len(counts), dtype=bool)
    tail[head] = False
    return tail


def slice_masks(split: Split, users: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
    """Say which of the rows (users (M,), items (M,)) belong to each slice, (M,) bool each.

    ``tail items``: the target is outside the head. ``cold items``: it has no training interaction.
    ``short histories``: the user is in the lowest third of the evaluated users by training
    interactions (ties included).
    """
    lengths = np.bincount(split.train["user"].to_numpy(), minlength=split.dataset.n_users)
    short = np.quantile(lengths[np.unique(users)], 1 / 3, method="lower") if len(users) else 0
    return {
        "tail items": tail_items(split)[items],
        "cold items": training_counts(split)[items] == 0,
        "short histories": lengths[users] <= short,
    }
