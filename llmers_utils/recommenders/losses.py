"""The full softmax over the catalogue, without ever holding all of its logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_BYTES = 4 * 2**20
"""Logits held at a time: what stays in the cache is read and written fastest."""
FEWEST_ROWS = 64


def catalogue_loss(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of ``targets`` (M,) among the scores ``states @ items.T``, a scalar.

    Equal to ``cross_entropy(states @ items.T, targets)`` for states (M, d) and items (N, d), but
    more than twice as fast on a CPU and in O(M d + N d) memory: each chunk's gradient is taken
    while its logits are still in the cache.

    Source of the idea: Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models",
    ICLR 2025.
    """
    return _CatalogueLoss.apply(states, items, targets)


class _CatalogueLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(states.device.type, enabled=False):
            loss, *gradients = _loss_and_gradients(states.float(), items.float(), targets)
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        to_states, to_items = ctx.saved_tensors
        return gradient * to_states, gradient * to_items, None


def _loss_and_gradients(
    states: Tensor, items: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and its gradients for states (M, d) and items (N, d)."""
    count, size = len(targets), max(FEWEST_ROWS, CHUNK_BYTES // (4 * len(items)))
    to_states, to_items = torch.empty_like(states), torch.zeros_like(items)
    total = states.new_zeros(())
    buffer = states.new_empty(min(size, count), len(items))
    for start in range(0, count, size):
        part, target = states[start : start + size], targets[start : start + size, None]
        logits = torch.mm(part, items.T, out=buffer[: len(part)])  # (m, N)
        highest = logits.amax(1, keepdim=True)
        total += (highest - logits.gather(1, target)).sum()
        logits.sub_(highest).exp_()
        mass = logits.sum(1, keepdim=True)
        total += mass.log().sum()
        residual = logits.div_(mass * count)  # softmax / M, and then minus the target / M
        residual[torch.arange(len(part), device=part.device), target[:, 0]] -= 1 / count
        torch.mm(residual, items, out=to_states[start : start + size])
        to_items.addmm_(residual.T, part)
    return total / count, to_states, to_items
