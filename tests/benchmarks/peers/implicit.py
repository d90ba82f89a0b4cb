"""implicit's side: BPR in Cython."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

from collections.abc import Callable

import numpy as np
from implicit.bpr import BayesianPersonalizedRanking
from implicit.evaluation import ranking_metrics_at_k
from protocol import PARTS, Job, serve
from scipy.sparse import csr_matrix


class Implicit:
    """Matrix factorisation with the BPR loss, an SGD step a pair."""

    def __init__(self, job: Job, data: dict[str, np.ndarray]) -> None:
        shape = (int(data["n_users"]), int(data["n_items"]))
        self.parts = {}
        for part, number in PARTS.items():
            users, items = (data[name][data["part"] == number] for name in ("user", "item"))
            ones = np.ones(len(users), dtype=np.float32)
            self.parts[part] = csr_matrix((ones, (users, items)), shape=shape)
        self.model = BayesianPersonalizedRanking(
            factors=64,
            learning_rate=0.05,
            regularization=0.01,
            iterations=job.epochs,
            num_threads=1,
            random_state=job.seed,
        )

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Fit, with its own callback after each iteration."""
        rows = self.parts["train"]
        self.model.fit(rows, show_progress=False, callback=lambda *_: epoch_done(rows.nnz))

    def scores(self, part: str) -> np.ndarray:
        """Score every user."""
        return self.model.user_factors @ self.model.item_factors.T

    def evaluate(self) -> float:
        """Rank by its own evaluator."""
        known, wanted = self.parts["train"], self.parts["valid"]
        return ranking_metrics_at_k(self.model, known, wanted, K=10, show_progress=False)["ndcg"]


if __name__ == "__main__":
    serve(Implicit)
