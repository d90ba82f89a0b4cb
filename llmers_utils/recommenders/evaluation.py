"""Evaluation by one protocol for every family of models.

Ranking is over the whole catalogue, without the items the user is known to have seen before the
part in question (where a data set has ``repeats``, these stay: they may come again). A target's
rank is one plus the number of other items that score at least as high: ties count against the
model, so one whose scores collapse gets no credit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from llmers_utils.recommenders import metrics
from llmers_utils.recommenders.scoring import Scorer, inference
from llmers_utils.recommenders.sequences import EARLIER, Histories
from llmers_utils.recommenders.slices import slice_masks
from llmers_utils.recommenders.training import Batch

if TYPE_CHECKING:
    from llmers_utils.data import Split
    from llmers_utils.recommenders.ctr_data import CTRData

CHUNK_BYTES = 2 * 2**20
"""Scores held at a time: what stays in the cache is read fastest, and memory is bounded."""
FEWEST_ROWS = 32


@dataclass(frozen=True)
class Evaluation:
    """Results of one model on one part.

    ``users`` (U,) are the evaluated users in ascending order; each array of ``per_user`` (U,)
    belongs to them, and for ranking each metric is its mean. ``slices`` holds the same metrics on
    parts of the ``n`` targets (or samples), ``slice_sizes`` how many of them; empty slices are
    left out.
    """

    protocol: str
    users: np.ndarray
    metrics: dict[str, float]
    per_user: dict[str, np.ndarray]
    n: int
    slices: dict[str, dict[str, float]] = field(default_factory=dict)
    slice_sizes: dict[str, int] = field(default_factory=dict)


def evaluate_ranking(
    scorer: Scorer,
    split: Split,
    part: str = "test",
    ks: tuple[int, ...] = (5, 10, 20),
    *,
    sampled_negatives: int | None = None,
    seed: int = 0,
    slices: bool = True,
) -> Evaluation:
    """Rank the targets of ``part``: HR, Recall, NDCG and MRR at each k, averaged over users.

    Args:
        scorer: users (B,) -> scores (B, n_items).
        sampled_negatives: rank against this many random unseen items instead of the catalogue.
            For comparison with papers only: such metrics need not keep the order of models
            (Krichene and Rendle, KDD 2020).
        seed: of the sampled negatives.

    Raises:
        ValueError: NaN scores, scores of a wrong shape, or fewer unseen items than negatives.
    """
    targets = getattr(split, part).sort("user", maintain_order=True)
    users, items = (targets[column].to_numpy().astype(np.int64) for column in ("user", "item"))
    seen = Histories.before(split, part)
    protocol = f"{split.protocol}, {part}, full ranking"
    pool = None
    if sampled_negatives is not None:
        protocol = f"{split.protocol}, {part}, 1+{sampled_negatives} sampled"
        touched = Histories.of(split, *EARLIER[part], part)
        pool = _Negatives(touched, sampled_negatives, seed)
    ranks = np.concatenate(
        [
            _ranks(scorer, seen, users[s], items[s], pool, split.dataset.repeats)
            for s in _chunks(users, seen.pad)
        ]
        or [np.zeros(0)]
    )
    everyone = np.ones(len(users), dtype=bool)
    per_user = _per_user(ranks, users, everyone, ks)
    masks = slice_masks(split, users, items) if slices else {}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    return Evaluation(
        protocol=protocol,
        users=np.unique(users),
        metrics=_means(per_user),
        per_user=per_user,
        n=len(users),
        slices={name: _means(_per_user(ranks, users, mask, ks)) for name, mask in masks.items()},
        slice_sizes={name: int(mask.sum()) for name, mask in masks.items()},
    )


def ranking_validator(model: object, split: Split, metric: str = "NDCG@10") -> Callable[[], float]:
    """Return what ``fit(validate=...)`` wants: the model's current metric on the valid part."""
    k = int(metric.split("@")[1])

    def validate() -> float:
        scorer = model.scorer(split, "valid")
        return evaluate_ranking(scorer, split, "valid", (k,), slices=False).metrics[metric]

    return validate


def predict(model: nn.Module, samples: Batch, batch_size: int = 1024) -> np.ndarray:
    """Return the click probabilities of samples, (M,), from a CTR model's logits."""
    device = next(model.parameters()).device
    with inference(model):
        logits = [
            model({name: v[start : start + batch_size].to(device) for name, v in samples.items()})
            for start in range(0, len(samples["label"]), batch_size)
        ]
    return torch.cat(logits).sigmoid().double().cpu().numpy()


def evaluate_ctr(
    model: nn.Module | np.ndarray, data: CTRData, part: str = "test", *, slices: bool = True
) -> Evaluation:
    """AUC, GAUC and LogLoss over all samples of ``part``; per user AUC and LogLoss.

    GAUC is the mean of the users' AUCs weighted by their samples; a user with one class only has
    none (NaN in ``per_user``).

    Args:
        model: a CTR model, or its probabilities (M,) for the part's samples in order.

    Raises:
        ValueError: probabilities of a wrong length, outside [0, 1] or NaN.
    """
    samples = getattr(data, part)
    user, item, label = (samples[name].numpy() for name in ("user", "item", "label"))
    p = predict(model, samples) if isinstance(model, nn.Module) else np.asarray(model)
    if p.shape != label.shape:
        raise ValueError(f"{p.shape} probabilities for {label.shape} samples")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1], without NaN")
    users, group, counts = np.unique(user, return_inverse=True, return_counts=True)
    per_user = {
        "AUC": metrics.grouped_auc(label, p, group),
        "LogLoss": np.bincount(group, weights=metrics.log_loss(label, p)) / counts,
    }
    masks = slice_masks(data.split, user, item) if slices else {}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    return Evaluation(
        protocol=f"{data.split.protocol}, {part}, click-through",
        users=users,
        metrics=metrics.ctr_metrics(label, p, user),
        per_user=per_user,
        n=len(label),
        slices={name: metrics.ctr_metrics(label[m], p[m], user[m]) for name, m in masks.items()},
        slice_sizes={name: int(mask.sum()) for name, mask in masks.items()},
    )


def ctr_validator(model: nn.Module, data: CTRData, metric: str = "AUC") -> Callable[[], float]:
    """Return what ``fit(validate=...)`` wants: the model's current metric on the valid part."""
    return lambda: evaluate_ctr(model, data, "valid", slices=False).metrics[metric]


def _chunks(users: np.ndarray, n_items: int) -> Iterator[slice]:
    """Cut the targets, sorted by user, into slices whose scores fit into ``CHUNK_BYTES``."""
    rows = max(FEWEST_ROWS, CHUNK_BYTES // (4 * n_items))
    for start in range(0, len(users), rows):
        yield slice(start, start + rows)


def _ranks(
    scorer: Scorer,
    seen: Histories,
    users: np.ndarray,
    items: np.ndarray,
    pool: _Negatives | None,
    repeats: bool,
) -> np.ndarray:
    """Rank each target among the items its user has not seen, (M,), 1 is best."""
    unique, row = np.unique(users, return_inverse=True)
    scores = scorer(unique)  # (B, n_items)
    if scores.shape != (len(unique), seen.pad):
        raise ValueError(
            f"scorer gave {tuple(scores.shape)} for {len(unique)} users and {seen.pad} items"
        )
    if scores.amin().isnan():  # which it is as soon as one of them is
        raise ValueError("scorer gave NaN scores")
    if len(unique) < len(users):  # users with several targets
        scores = scores[torch.from_numpy(row).to(scores.device)]
    own = scores[torch.arange(len(users)), torch.from_numpy(items)][:, None]  # (M, 1)
    if pool is not None:
        negatives = torch.from_numpy(pool.draw(users)).to(scores.device)
        return 1 + (scores.gather(1, negatives) >= own).sum(1).cpu().numpy()
    at_least = (scores >= own).sum(1, dtype=torch.int32).cpu().numpy()  # the target among them
    if repeats:
        return at_least
    rows, known = seen.flat(users)
    there = torch.from_numpy(rows * seen.pad + known).to(scores.device)
    masked = (scores.take(there) >= own[rows, 0]).cpu().numpy() & (known != items[rows])
    return at_least - np.bincount(rows, weights=masked, minlength=len(users))


class _Negatives:
    """Draws distinct items a user has never touched; the same ones for every model."""

    def __init__(self, touched: Histories, size: int, seed: int) -> None:
        self.touched, self.size, self.rng = touched, size, np.random.default_rng(seed)
        fewest = touched.pad - int(touched.lengths.max(initial=0))
        if fewest < size:
            raise ValueError(f"sampled_negatives={size}: some user has only {fewest} unseen items")

    def draw(self, users: np.ndarray) -> np.ndarray:
        """Return (M, size) item ids."""
        keys = self.rng.random((len(users), self.touched.pad), dtype=np.float32)
        keys[self.touched.flat(users)] = 2
        return np.argpartition(keys, self.size - 1, axis=1)[:, : self.size]


def _per_user(
    ranks: np.ndarray, users: np.ndarray, chosen: np.ndarray, ks: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """Metrics of the chosen targets, for each user who has one in ascending order."""
    _, groups = np.unique(users[chosen], return_inverse=True)
    return metrics.ranking_metrics(ranks[chosen], groups, ks)


def _means(per_user: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        name: float(values.mean()) if len(values) else float("nan")
        for name, values in per_user.items()
    }
