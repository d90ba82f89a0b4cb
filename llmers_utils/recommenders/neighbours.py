"""A graph between items: each item and those whose vectors point the same way."""

from __future__ import annotations

import numpy as np


def cosine_neighbours(vectors: np.ndarray, k: int, *, chunk: int = 1024) -> np.ndarray:
    """The k items nearest to each by cosine, without itself: (N, k) int64, nearest first.

    A vector of zeros has no direction: it is a neighbour only where there are too few others, and
    its own neighbours mean nothing.

    Args:
        vectors: (N, D), one row an item.
        k: from 0 to N - 1.
        chunk: rows of similarities held at a time; it bounds memory to ``chunk`` · N floats.

    Raises:
        ValueError: vectors that are no matrix or not finite, k or chunk out of range.
    """
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise ValueError(f"vectors {vectors.shape}: must be a matrix (N, D) of finite numbers")
    n = len(vectors)
    if not 0 <= k < max(n, 1) or chunk < 1:
        raise ValueError(f"k={k}, chunk={chunk}: k must be from 0 to {n - 1}, chunk at least 1")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, where=lengths > 0, out=np.zeros_like(vectors, dtype=float))
    empty = lengths[:, 0] == 0
    neighbours = np.empty((n, k), dtype=np.int64)
    for start in range(0, n if k else 0, chunk):
        rows = np.arange(start, min(start + chunk, n))
        similarity = unit[rows] @ unit.T
        similarity[:, empty] = -2  # below every cosine
        similarity[rows - start, rows] = -3
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        nearest.sort(axis=1)  # equal ones in the order of their ids
        order = np.argsort(-np.take_along_axis(similarity, nearest, 1), axis=1, kind="stable")
        neighbours[rows] = np.take_along_axis(nearest, order, 1)
    return neighbours
