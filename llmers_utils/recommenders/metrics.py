"""Metrics on plain arrays. They know nothing of models, users' histories or files."""

from __future__ import annotations

import numpy as np


def ranking_metrics(
    ranks: np.ndarray, groups: np.ndarray, ks: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """HR, Recall, NDCG and MRR at each k of every group 0..G-1, (G,) each.

    ``ranks`` (M,) are the 1-based ranks of the targets, ``groups`` (M,) whose they are; every
    group has at least one. With T targets, H of them among the first k:
    HR = [H > 0], Recall = H / T, MRR = 1 / (best rank) if it is at most k,
    NDCG = sum over the H of 1 / log2(rank + 1), over the sum for ranks 1 to min(T, k).
    """
    targets = np.bincount(groups)
    best = np.full(len(targets), np.inf)
    np.minimum.at(best, groups, ranks)
    ideal = np.cumsum(1 / np.log2(np.arange(max(ks)) + 2))  # DCG of targets at ranks 1, 2, ...
    values = {}
    for k in ks:
        hits = np.bincount(groups, weights=ranks <= k)
        gains = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0.0)
        values[f"HR@{k}"] = (hits > 0).astype(float)
        values[f"Recall@{k}"] = hits / targets
        values[f"NDCG@{k}"] = np.bincount(groups, weights=gains) / ideal[np.minimum(targets, k) - 1]
        values[f"MRR@{k}"] = np.where(best <= k, 1 / best, 0.0)
    return values


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the negative log-likelihood of each label, (M,)."""
    tiny = np.finfo(np.float64).eps
    p = np.clip(probabilities.astype(np.float64), tiny, 1 - tiny)
    return -np.where(labels > 0, np.log(p), np.log1p(-p))


def grouped_auc(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """AUC within each group 0..G-1, (G,); NaN where a group has one class only.

    AUC is the Mann-Whitney statistic: the share of (positive, negative) pairs in the right order,
    ties counting one half.
    """
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    order = np.lexsort((scores, groups))
    g, s, positive = groups[order], scores[order], labels[order] > 0
    # Mid-ranks: rows of one group with one score share the mean of their positions.
    new = np.ones(len(g), dtype=bool)
    new[1:] = (g[1:] != g[:-1]) | (s[1:] != s[:-1])
    run = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    sizes = np.diff(np.append(first, len(g)))
    start_of_group = np.searchsorted(g, np.arange(n_groups))
    mid_rank = (first + (sizes + 1) / 2)[run] - start_of_group[g]
    positives = np.bincount(g, weights=positive, minlength=n_groups)
    negatives = np.bincount(g, minlength=n_groups) - positives
    rank_sum = np.bincount(g, weights=mid_rank * positive, minlength=n_groups)
    pairs = positives * negatives
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs > 0, (rank_sum - positives * (positives + 1) / 2) / pairs, np.nan)


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; NaN with one class only."""
    return float(grouped_auc(labels, scores, np.zeros(len(labels), dtype=np.int64))[0])


def ctr_metrics(labels: np.ndarray, p: np.ndarray, users: np.ndarray) -> dict[str, float]:
    """AUC, GAUC and LogLoss of probabilities ``p`` (M,).

    GAUC weights each user's AUC by their impressions and leaves out users without one (Zhu et
    al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017).
    """
    _, group, impressions = np.unique(users, return_inverse=True, return_counts=True)
    per_user = grouped_auc(labels, p, group)
    defined = ~np.isnan(per_user)
    return {
        "AUC": auc(labels, p),
        "GAUC": float(np.average(per_user[defined], weights=impressions[defined]))
        if defined.any()
        else float("nan"),
        "LogLoss": float(log_loss(labels, p).mean()),
    }
