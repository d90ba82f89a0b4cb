"""Dropout that does not spend its time on drawing random numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """``nn.Dropout`` with a mask cut from random bytes: eight values a draw instead of one.

    On a CPU the draws of the ordinary one cost a fifth of a training step of SASRec. The rate ``p``
    is rounded to a multiple of 1/256.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p={p}: must be at least 0 and less than 1")
        self.dropped = round(256 * p)  # of 256 byte values

    def forward(self, x: Tensor) -> Tensor:
        """Zero a share of the values and scale up the rest, in training only."""
        if not self.training or self.dropped == 0:
            return x
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
        draws.random_(-(2**63), None)  # all 64 bits
        keep = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= self.dropped
        return x * keep.to(x.dtype).mul_(256 / (256 - self.dropped))

    def extra_repr(self) -> str:
        """Show the rate in effect."""
        return f"p={self.dropped / 256:.3f}"
