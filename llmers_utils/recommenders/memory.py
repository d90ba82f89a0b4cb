"""Recommenders without gradients: popularity, item neighbours, and a linear autoencoder.

They learn from the training part; a user is scored from all that is known before the part asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from llmers_utils.recommenders.scoring import Scorer
from llmers_utils.recommenders.sequences import Histories

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from llmers_utils.data import Split


def interaction_matrix(histories: Histories) -> csr_matrix:
    """Users by items, 1 where the user has the item, (U, N) float32."""
    from scipy.sparse import csr_matrix

    shape = (len(histories.lengths), histories.pad)
    ones = np.ones(len(histories.items), dtype=np.float32)
    return csr_matrix((ones, histories.items, histories.offsets), shape=shape)


class ItemToItem:
    """Score = the user's known items times a matrix ``weights`` (N, N) of item to item."""

    weights: np.ndarray

    def fit(self, split: Split) -> Self:
        """Learn from the training part."""
        self.weights = self.learn(interaction_matrix(Histories.of(split, "train")))
        return self

    def learn(self, x: csr_matrix) -> np.ndarray:
        """Make the weights (N, N) from interactions (U, N)."""
        raise NotImplementedError

    def scorer(self, split: Split, part: str = "test") -> Scorer:
        """Score the catalogue for users."""
        known = interaction_matrix(Histories.before(split, part))
        return lambda users: torch.from_numpy(known[users] @ self.weights)


class ItemKNN(ItemToItem):
    """Cosine of co-occurrence, shrunk towards zero, among the ``k`` nearest items.

    Source: Deshpande and Karypis, "Item-based Top-N Recommendation Algorithms", TOIS 2004.
    """

    def __init__(self, k: int = 100, shrink: float = 10.0) -> None:
        self.k = k
        self.shrink = shrink

    def learn(self, x: csr_matrix) -> np.ndarray:
        """cos(i, j) = c_ij / (√c_i √c_j + shrink); all but the k largest of a column are zero."""
        together = (x.T @ x).toarray()  # (N, N)
        norms = np.sqrt(together.diagonal())
        similarity = together / (np.outer(norms, norms) + self.shrink).clip(min=1e-9)
        np.fill_diagonal(similarity, 0)
        if self.k < len(similarity):
            smallest = np.partition(similarity, -self.k, axis=0)[-self.k]  # (N,) per column
            similarity[similarity < smallest] = 0
        return similarity


class EASE(ItemToItem):
    """The ridge regression of each item on all others, in closed form.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
    """

    def __init__(self, l2: float = 300.0) -> None:
        self.l2 = l2

    def learn(self, x: csr_matrix) -> np.ndarray:
        """B = I - P / diag(P) with P = (XᵀX + λI)⁻¹."""
        gram = (x.T @ x).toarray().astype(np.float64)  # (N, N)
        gram[np.diag_indices_from(gram)] += self.l2
        inverse = np.linalg.inv(gram)
        weights = -inverse / inverse.diagonal()
        np.fill_diagonal(weights, 0)
        return weights.astype(np.float32)


class Popularity:
    """The number of training interactions, the same for every user."""

    counts: Tensor

    def fit(self, split: Split) -> Self:
        """Count the training part."""
        items = split.train["item"].to_numpy()
        counts = np.bincount(items, minlength=split.dataset.n_items)
        self.counts = torch.from_numpy(counts.astype(np.float32))
        return self

    def scorer(self, split: Split, part: str = "test") -> Scorer:
        """Score the catalogue for users."""
        return lambda users: self.counts.expand(len(users), -1)
