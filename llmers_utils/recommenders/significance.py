"""Is a difference more than luck? Paired tests per user, correction for many, spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCK = 200
"""Bootstrap samples drawn at a time, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over ``n`` users, its 95 % bootstrap interval and the paired t-test's p."""

    mean: float
    low: float
    high: float
    p_value: float
    n: int


def paired_difference(
    a: np.ndarray, b: np.ndarray, *, n_boot: int = 2000, seed: int = 0
) -> Difference:
    """Compare two arms on the same users: a and b (U,) in the same order.

    A user who is NaN in both (no AUC, say) is left out.

    Raises:
        ValueError: other shapes, a user who is NaN in one only, or fewer than two users left.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"need two arrays (U,) of one length, got {a.shape} and {b.shape}")
    if (np.isnan(a) != np.isnan(b)).any():
        raise ValueError("some users are NaN in one arm only: the arms saw different data")
    d = (a - b)[~np.isnan(a)]
    if len(d) < 2:
        raise ValueError(f"need at least two users, got {len(d)}")
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [
            d[rng.integers(len(d), size=(min(BLOCK, n_boot - done), len(d)))].mean(1)
            for done in range(0, n_boot, BLOCK)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Difference(float(d.mean()), float(low), float(high), _paired_t(d), len(d))


def _paired_t(d: np.ndarray) -> float:
    """Two-sided p of mean(d) = 0; a constant difference is certain, no difference is p = 1."""
    from scipy.stats import ttest_1samp

    if np.ptp(d) == 0:
        return 1.0 if d[0] == 0 else 0.0
    return float(ttest_1samp(d, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjust the p-values of one family, in the given order.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if np.isnan(p).any() or (p < 0).any() or (p > 1).any():
        raise ValueError(f"p-values must lie in [0, 1]: {p.tolist()}")
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation over seeds; the latter is 0 for one seed."""
    x = np.asarray(values, dtype=np.float64)
    return float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else 0.0
