"""Collaborative filtering with learned vectors: MF-BPR and LightGCN.

Both rank by inner products of user and item vectors and learn from pairs (seen, unseen).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from llmers_utils.recommenders.scoring import Scorer, dot_scorer, inference
from llmers_utils.recommenders.sequences import Histories
from llmers_utils.recommenders.tables import IdTable, ItemTable
from llmers_utils.recommenders.training import Batch

if TYPE_CHECKING:
    from llmers_utils.data import Split


class PairBatches:
    """Each training interaction once an epoch, each with a fresh item the user has not seen.

    A batch has ``users``, ``positives`` and ``negatives``, all (B,).
    """

    def __init__(self, histories: Histories) -> None:
        self.n_items = histories.pad
        if histories.lengths.max(initial=0) >= self.n_items:
            raise ValueError("a user has seen every item: there is no negative to draw")
        self.users, self.items = histories.flat(np.arange(len(histories.lengths)))
        self.seen = np.sort(self.users * self.n_items + self.items)

    def __len__(self) -> int:
        """Count the interactions."""
        return len(self.users)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Batch]:
        """Yield all interactions in a random order."""
        order = rng.permutation(len(self))
        triples = np.stack([self.users, self.items, self._negatives(rng)])[:, order]
        for users, positives, negatives in (
            part.unbind() for part in torch.from_numpy(triples).split(batch_size, dim=1)
        ):
            yield {"users": users, "positives": positives, "negatives": negatives}

    def _negatives(self, rng: np.random.Generator) -> np.ndarray:
        drawn = rng.integers(self.n_items, size=len(self))
        wrong = np.arange(len(self))
        while len(wrong):
            drawn[wrong] = rng.integers(self.n_items, size=len(wrong))
            keys = self.users[wrong] * self.n_items + drawn[wrong]
            place = np.searchsorted(self.seen, keys).clip(max=len(self.seen) - 1)
            wrong = wrong[self.seen[place] == keys]
        return drawn


class CollaborativeRecommender(nn.Module):
    """User and item vectors under the BPR loss. A subclass gives ``vectors``.

    Source of the loss: Rendle et al., "BPR: Bayesian Personalized Ranking", UAI 2009.
    """

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return all user vectors (U, d) and item vectors (N, d)."""
        raise NotImplementedError

    def user_vectors(self) -> Tensor:
        """Return all user vectors, (U, d)."""
        return self.vectors()[0]

    def item_vectors(self) -> Tensor:
        """Return all item vectors, (N, d)."""
        return self.vectors()[1]

    def loss(self, batch: Batch) -> Tensor:
        """-log σ(score of the seen item - score of the unseen item)."""
        users, items = self.vectors()
        user = users.index_select(0, batch["users"])  # (B, d); twice as fast as users[...]
        seen, unseen = (items.index_select(0, batch[name]) for name in ("positives", "negatives"))
        return -F.logsigmoid((user * (seen - unseen)).sum(1)).mean()

    def batches(self, split: Split) -> PairBatches:
        """Return the pairs of the training part."""
        return PairBatches(Histories.of(split, "train"))

    def scorer(self, split: Split, part: str = "test") -> Scorer:
        """Score the catalogue for users; the vectors are taken now."""
        with inference(self):
            users, items = self.vectors()
        return dot_scorer(self, lambda: items, lambda ids: users[torch.as_tensor(ids)])


class MFBPR(CollaborativeRecommender):
    """Matrix factorisation: a free vector per user against any item table."""

    def __init__(
        self, n_users: int, n_items: int, dim: int = 64, item_table: ItemTable | None = None
    ) -> None:
        super().__init__()
        self.users = IdTable(n_users, dim)
        self.items = item_table if item_table is not None else IdTable(n_items, dim)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Return the two tables."""
        return self.users(), self.items()


class LightGCN(CollaborativeRecommender):
    """Vectors smoothed over the graph of training interactions.

    Source: He et al., "LightGCN", SIGIR 2020.
    """

    def __init__(
        self,
        split: Split,
        dim: int = 64,
        layers: int = 2,
        item_table: ItemTable | None = None,
    ) -> None:
        super().__init__()
        self.layers = layers
        n_users, n_items = split.dataset.n_users, split.dataset.n_items
        self.users = IdTable(n_users, dim)
        self.items = item_table if item_table is not None else IdTable(n_items, dim)
        self.graph = NormalisedGraph(split)

    def propagate(self, e0: Tensor) -> Tensor:
        """Mean of E0, AE0, ..., A^L E0 for any E0 (U + N, d): the graph knows no table."""
        layers = [e0]
        for _ in range(self.layers):
            layers.append(self.graph(layers[-1]))
        return torch.stack(layers).mean(0)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Propagate the stacked tables and cut them apart again."""
        users, items = self.users(), self.items()
        final = self.propagate(torch.cat([users, items]))
        return final[: len(users)], final[len(users) :]


class NormalisedGraph(nn.Module):
    """A = D^-1/2 (edges) D^-1/2 of the user-item graph of the training part, (U + N, U + N)."""

    TILE = 4096  # columns: what they are multiplied by, 1 MB of 64 numbers each, stays in the cache

    def __init__(self, split: Split) -> None:
        super().__init__()
        user = torch.tensor(split.train["user"].to_numpy(), dtype=torch.long)
        item = torch.tensor(split.train["item"].to_numpy(), dtype=torch.long)
        size, item = split.dataset.n_users + split.dataset.n_items, item + split.dataset.n_users
        row, column = torch.cat([user, item]), torch.cat([item, user])  # (2E,) each
        degree = torch.bincount(row, minlength=size).float()
        weight = (degree[row] * degree[column]).rsqrt()
        for start in range(0, size, self.TILE):
            inside = (column >= start) & (column < start + self.TILE)
            places = torch.stack([row[inside], column[inside] - start])
            shape = (size, min(self.TILE, size - start))
            tile = torch.sparse_coo_tensor(places, weight[inside], shape, check_invariants=True)
            self.register_buffer(f"columns_{start}", _csr(tile), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply A by x (U + N, d)."""
        return _SymmetricProduct.apply(x, *self.buffers())


def _csr(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return matrix.coalesce().to_sparse_csr()  # multiplies 15 times as fast as COO


class _SymmetricProduct(torch.autograd.Function):
    """A @ x for a constant symmetric sparse A: the gradient needs no transposed copy of A."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, *tiles: Tensor) -> Tensor:
        ctx.tiles = tiles
        return _product(tiles, x)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _product(ctx.tiles, gradient), *[None] * len(ctx.tiles)


def _product(tiles: Sequence[Tensor], x: Tensor) -> Tensor:
    """Sum of the products of the tiles' columns and their rows of x."""
    total = torch.zeros_like(x)
    for tile, rows in zip(tiles, x.split([tile.shape[1] for tile in tiles]), strict=True):
        total.addmm_(tile, rows)
    return total
