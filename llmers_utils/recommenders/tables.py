"""Item tables: where a recommender's item vectors come from.

A table is a module whose ``forward()`` gives one row per item. Every backbone takes one, so an
enhancement that changes what an item *is* (text, adapters, sums) needs no change in the backbone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ItemTable(nn.Module):
    """Base of all tables: ``forward() -> (n_items, dim)``; row i belongs to the dense item id i."""

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__()
        self.n_items = n_items
        self.dim = dim

    def forward(self) -> Tensor:
        """Return the item vectors, (n_items, dim)."""
        raise NotImplementedError


class IdTable(ItemTable):
    """One free vector per item, drawn from N(0, std²) or started at ``init`` (n_items, dim)."""

    def __init__(
        self, n_items: int, dim: int, *, init: Tensor | None = None, std: float = 0.05
    ) -> None:
        super().__init__(n_items, dim)
        if init is None:
            init = torch.randn(n_items, dim) * std
        elif init.shape != (n_items, dim):
            raise ValueError(f"init has shape {tuple(init.shape)}, expected {(n_items, dim)}")
        self.weight = nn.Parameter(init.detach().clone().float())

    def forward(self) -> Tensor:
        """Return the parameter itself, (n_items, dim)."""
        return self.weight


class TextTable(ItemTable):
    """Frozen features (n_items, D) seen through a trained adapter: linear, or one hidden layer.

    The features are no part of ``state_dict``: they come from the encoder's cache, so a saved
    model stays small.
    """

    features: Tensor

    def __init__(self, features: Tensor, dim: int, *, hidden: int | None = None) -> None:
        features = torch.as_tensor(features, dtype=torch.float32)
        super().__init__(features.shape[0], dim)
        self.register_buffer("features", features, persistent=False)
        width = features.shape[1]
        self.adapter = (
            nn.Linear(width, dim)
            if hidden is None
            else nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, dim))
        )

    def forward(self) -> Tensor:
        """Return the adapted features, (n_items, dim)."""
        return self.adapter(self.features)


class SumTable(ItemTable):
    """The sum of tables of one shape, e.g. ids plus text."""

    def __init__(self, *tables: ItemTable) -> None:
        shapes = {(table.n_items, table.dim) for table in tables}
        if len(shapes) != 1:
            raise ValueError(f"tables to sum need one shape, got {sorted(shapes)}")
        super().__init__(*shapes.pop())
        self.tables = nn.ModuleList(tables)

    def forward(self) -> Tensor:
        """Return the sum of all tables, (n_items, dim)."""
        return torch.stack([table() for table in self.tables]).sum(0)
