"""From a model to scores: the one interface the evaluation knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

Scorer = Callable[[np.ndarray], Tensor]
"""Users (B,) -> scores (B, n_items): higher is better, every item of the catalogue."""


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; each module's mode of before comes back afterwards."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def dot_scorer(
    model: nn.Module, items: Callable[[], Tensor], users: Callable[[np.ndarray], Tensor]
) -> Scorer:
    """Score by inner products of user vectors (B, d) and item vectors (n_items, d).

    The item vectors are taken now and kept: after more training, ask for a new scorer.
    """
    with inference(model):
        transposed = items().T.contiguous()  # (d, n_items)

    def score(ids: np.ndarray) -> Tensor:
        with inference(model):
            return users(ids) @ transposed

    return score
