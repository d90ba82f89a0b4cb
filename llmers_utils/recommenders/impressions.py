"""Impressions: what somebody was shown at once, and what of it they clicked.

The metrics are MIND's: per impression over its own candidates and no others, then averaged.
Source: Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from llmers_utils.recommenders.evaluation import Evaluation
from llmers_utils.recommenders.metrics import grouped_auc, ranking_metrics
from llmers_utils.recommenders.scoring import inference

if TYPE_CHECKING:
    from llmers_utils.recommenders.impression_data import ImpressionData
    from llmers_utils.recommenders.news import NewsRecommender

KS = (5, 10)


@dataclass(frozen=True)
class Impressions:
    """A number I of impressions.

    Attributes:
        users: (I,).
        histories: (I, L) what was clicked before, the latest last, padded with -1 on the left.
        candidates: (M,) of all impressions, one after the other.
        labels: (M,) bool, clicked.
        offsets: (I + 1,): impression i's candidates are ``candidates[offsets[i]:offsets[i + 1]]``.
    """

    users: np.ndarray
    histories: np.ndarray
    candidates: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        clicked = np.add.reduceat(self.labels, self.offsets[:-1], dtype=int) if len(self) else []
        if ((clicked == 0) | (clicked == self.sizes)).any():
            raise ValueError("every impression needs a clicked and another candidate")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def sizes(self) -> np.ndarray:
        """Candidates of each impression, (I,)."""
        return np.diff(self.offsets)

    @property
    def groups(self) -> np.ndarray:
        """The impression of each candidate, (M,)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Candidates (B, C) and labels (B, C) of some impressions; -1 and False are padding."""
        sizes = self.sizes[rows]
        inside = np.arange(sizes.max()) < sizes[:, None]
        places = np.where(inside, self.offsets[rows][:, None] + np.arange(sizes.max()), 0)
        labels = self.labels[places] & inside
        return np.where(inside, self.candidates[places], -1), labels

    def first(self, count: int) -> Impressions:
        """The first ``count`` impressions, or all."""
        count = min(count, len(self))
        end = self.offsets[count]
        return Impressions(
            self.users[:count],
            self.histories[:count],
            self.candidates[:end],
            self.labels[:end],
            self.offsets[: count + 1],
        )


class ImpressionBatches:
    """Training examples: each impression with one clicked and ``negatives`` other candidates.

    A batch has ``users`` (B,), ``histories`` (B, L) and ``candidates`` (B, 1 + negatives), the
    clicked one first. Which one stands for an impression is drawn anew each epoch; where there
    are too few others, some come twice.
    """

    def __init__(self, impressions: Impressions, negatives: int = 4) -> None:
        self.impressions = impressions
        self.negatives = negatives

    def __len__(self) -> int:
        """Count the impressions."""
        return len(self.impressions)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Yield all impressions in a random order."""
        order = rng.permutation(len(self))
        for rows in np.split(order, np.arange(batch_size, len(order), batch_size)):
            candidates, labels = self.impressions.padded(rows)
            drawn = [_draw(rng, labels, 1), _draw(rng, ~labels & (candidates >= 0), self.negatives)]
            chosen = np.take_along_axis(candidates, np.concatenate(drawn, axis=1), axis=1)
            yield {
                "users": torch.from_numpy(self.impressions.users[rows]),
                "histories": torch.from_numpy(self.impressions.histories[rows]),
                "candidates": torch.from_numpy(chosen),
            }


def _draw(rng: np.random.Generator, allowed: np.ndarray, count: int) -> np.ndarray:
    """Columns (B, count) of allowed entries of each row, distinct where there are enough."""
    keys = rng.random(allowed.shape)
    keys[~allowed] = 2
    order = np.argsort(keys, axis=1)
    places = np.arange(count) % allowed.sum(1)[:, None]
    return np.take_along_axis(order, places, axis=1)


def impression_metrics(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray
) -> dict[str, np.ndarray]:
    """AUC, MRR, NDCG@5 and NDCG@10 of each group 0..G-1, (G,) each.

    Rows (M,) are candidates, ``groups`` their impression. MRR is the mean of 1 / rank over the
    clicked ones. Ties count one half in AUC; elsewhere a candidate's rank is the number of
    candidates that score at least as high, so a model whose scores collapse gets no credit.

    Raises:
        ValueError: NaN scores, or a group without both kinds of candidates.
    """
    if np.isnan(scores).any():
        raise ValueError("NaN scores")
    auc = grouped_auc(labels, scores, groups)
    if np.isnan(auc).any():
        raise ValueError(f"group {np.isnan(auc).argmax()} has not both kinds of candidates")
    clicked = labels > 0
    ranks, owners = _ranks(scores, groups)[clicked], groups[clicked]
    reciprocal = np.bincount(owners, weights=1 / ranks) / np.bincount(owners)
    gains = ranking_metrics(ranks, owners, KS)
    return {"AUC": auc, "MRR": reciprocal} | {f"NDCG@{k}": gains[f"NDCG@{k}"] for k in KS}


def _ranks(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How many of the own group score at least as high, (M,)."""
    order = np.lexsort((-scores, groups))
    g, s = groups[order], scores[order]
    last = np.append((g[1:] != g[:-1]) | (s[1:] != s[:-1]), True)  # last of a run of ties
    ends = np.flatnonzero(last)[np.cumsum(last) - last]
    ranks = np.empty(len(s), dtype=int)
    ranks[order] = ends + 1 - np.searchsorted(g, np.arange(g[-1] + 1))[g]
    return ranks


def score_impressions(
    model: NewsRecommender, impressions: Impressions, batch_size: int = 256
) -> np.ndarray:
    """Scores (M,) of all candidates. Every text is read once."""
    device = next(model.parameters()).device
    found = []
    read_before = impressions.histories[impressions.histories >= 0]
    news = np.unique(np.concatenate([read_before, impressions.candidates]))
    place = np.full(model.n_news + 1, -1)  # the last one is for padding
    place[news] = np.arange(len(news))
    with inference(model):
        read = model.read_sorted(torch.from_numpy(news).to(device))
        for start in range(0, len(impressions), batch_size):
            rows = np.arange(start, min(start + batch_size, len(impressions)))
            candidates, _ = impressions.padded(rows)
            users, histories, shown = (
                torch.from_numpy(values).to(device)
                for values in (
                    impressions.users[rows],
                    place[impressions.histories[rows]],
                    place[candidates],
                )
            )
            scores = model.scores(read, users, histories, shown.clamp(min=0))
            found.append(scores[shown >= 0].double().cpu().numpy())
    return np.concatenate(found)


def evaluate_impressions(
    model: NewsRecommender | np.ndarray, data: ImpressionData, part: str = "test"
) -> Evaluation:
    """The metrics, averaged over impressions; per user, over the impressions of that user.

    Args:
        model: a model, or its scores (M,).

    Slices: ``tail items`` and ``cold items`` are impressions whose (first) clicked candidate is
    not in the fifth of the items that were clicked most in training, or was never clicked there;
    ``short histories`` those of the third with the shortest histories, ties included. A slice that
    would be empty, or hold everything, is left out.
    """
    impressions: Impressions = getattr(data, part)
    is_scores = isinstance(model, np.ndarray)
    scores = model if is_scores else score_impressions(model, impressions)
    found = impression_metrics(impressions.labels, scores, impressions.groups)
    users, owner = np.unique(impressions.users, return_inverse=True)
    counts = np.bincount(owner)
    slices = _slices(data, impressions).items()
    masks = {name: mask for name, mask in slices if mask.any() and not mask.all()}
    return Evaluation(
        protocol=f"{data.protocol}, {part}, impressions",
        users=users,
        metrics={name: float(values.mean()) for name, values in found.items()},
        per_user={n: np.bincount(owner, weights=v) / counts for n, v in found.items()},
        n=len(impressions),
        slices={s: {n: float(v[m].mean()) for n, v in found.items()} for s, m in masks.items()},
        slice_sizes={name: int(m.sum()) for name, m in masks.items()},
    )


def impression_validator(
    model: NewsRecommender, data: ImpressionData, metric: str = "AUC"
) -> Callable[[], float]:
    """Return what ``fit(validate=...)`` wants: the model's current metric on the valid part."""
    return lambda: evaluate_impressions(model, data, "valid").metrics[metric]


def _slices(data: ImpressionData, impressions: Impressions) -> dict[str, np.ndarray]:
    clicks = np.bincount(data.train.candidates[data.train.labels], minlength=len(data.titles))
    head = np.argsort(-clicks, kind="stable")[: round(0.2 * len(clicks))]
    # The first clicked candidate of each impression.
    _, first = np.unique(impressions.groups[impressions.labels], return_index=True)
    target = impressions.candidates[impressions.labels][first]
    lengths = (impressions.histories >= 0).sum(1)
    return {
        "tail items": ~np.isin(target, head),
        "cold items": clicks[target] == 0,
        "short histories": lengths <= np.quantile(lengths, 1 / 3, method="lower"),
    }
