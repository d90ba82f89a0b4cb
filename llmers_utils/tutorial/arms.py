"""Train one arm and judge it on the test part: what every notebook does once a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llmers_utils.tutorial.comparison import Trained
from llmers_utils.tutorial.trained_once import plan_trained_once

if TYPE_CHECKING:
    from torch import nn

    from llmers_utils.data import Split
    from llmers_utils.recommenders import CTRData, TrainingPlan


def train_ranker(
    build: Callable[[], nn.Module],
    split: Split,
    plan: TrainingPlan,
    *,
    seed: int,
    metric: str = "NDCG@10",
    ks: tuple[int, ...] = (5, 10, 20),
    embedding_bytes: int = 0,
) -> Trained:
    """Train a ranking model, keep its best epoch by `metric` on valid, evaluate it on test.

    `build` makes the model after the generators are seeded, so that arms which share parts draw
    the same first weights for them. The evaluation runs inside `serving()`.
    """
    from llmers_utils.language import serving
    from llmers_utils.recommenders import evaluate_ranking, fit, ranking_validator

    model = _seeded(build, seed)
    validate = ranking_validator(model, split, metric)
    plan = plan_trained_once(plan, model, {"split": split.hash, "metric": metric}, seed)
    history = fit(model, model.batches(split), plan, seed=seed, validate=validate)
    with serving():
        evaluation = evaluate_ranking(model.scorer(split, "test"), split, "test", ks)
    return Trained(evaluation, _count(model), history.seconds, embedding_bytes)


def train_ctr(
    build: Callable[[], nn.Module],
    data: CTRData,
    plan: TrainingPlan,
    *,
    seed: int,
    metric: str = "AUC",
    embedding_bytes: int = 0,
) -> Trained:
    """Train a click model, keep its best epoch by `metric` on valid, evaluate it on test.

    The same contract as `train_ranker`.
    """
    from llmers_utils.language import serving
    from llmers_utils.recommenders import ctr_validator, evaluate_ctr, fit

    model = _seeded(build, seed)
    validate = ctr_validator(model, data, metric)
    samples = {f"{p} {name}": v for p in ("train", "valid") for name, v in getattr(data, p).items()}
    plan = plan_trained_once(plan, model, samples | {"metric": metric}, seed)
    history = fit(model, data.batches("train"), plan, seed=seed, validate=validate)
    with serving():
        evaluation = evaluate_ctr(model, data, "test")
    return Trained(evaluation, _count(model), history.seconds, embedding_bytes)


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    import torch

    torch.manual_seed(seed)
    return build()


def _count(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
