"""Cornac's side: BPR in Cython, and its evaluation user by user."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from cornac.data import Dataset
from cornac.eval_methods.base_method import ranking_eval
from cornac.metrics import NDCG
from cornac.models import BPR, Recommender
from protocol import PARTS, Job, serve


class Given(Recommender):
    """Scores that are given: for parity."""

    def __init__(self, scores: np.ndarray) -> None:
        super().__init__("given")
        self.given = scores

    def score(self, user_idx: int, item_idx: int | None = None) -> np.ndarray:
        """Look up the scores of a user."""
        return self.given[user_idx]


class Cornac:
    """Matrix factorisation with the BPR loss, an SGD step a pair."""

    def __init__(self, job: Job, data: dict[str, np.ndarray]) -> None:
        self.job = job
        users, items = (OrderedDict((i, i) for i in range(data[n])) for n in ("n_users", "n_items"))
        self.parts = {}
        for part, number in PARTS.items():
            chosen = data["part"] == number
            columns = (data[name][chosen].tolist() for name in ("user", "item"))
            rows = [(user, item, 1.0) for user, item in zip(*columns, strict=True)]
            self.parts[part] = Dataset.build(rows, global_uid_map=users, global_iid_map=items)
        self.model = None

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Fit an epoch at a time, each from where the last one ended."""
        known = None
        for epoch in range(self.job.epochs):
            self.model = BPR(
                k=64,
                max_iter=1,
                learning_rate=0.05,
                lambda_reg=0.01,
                num_threads=1,
                seed=self.job.seed * 1000 + epoch,
                init_params=known,
            ).fit(self.parts["train"])
            model = self.model
            known = {"U": model.u_factors, "V": model.i_factors, "Bi": model.i_biases}
            epoch_done(self.parts["train"].num_ratings)

    def scores(self, part: str) -> np.ndarray:
        """Score every user."""
        return self.model.u_factors @ self.model.i_factors.T + self.model.i_biases

    def evaluate(self) -> float:
        """Rank by its own evaluator; for parity the scores that are given."""
        known, valid, test = self.parts.values()
        if self.job.scores is None:
            return ranking_eval(self.model, [NDCG(10)], known, valid)[0][0]
        model = Given(np.load(self.job.scores)).fit(known)
        return ranking_eval(model, [NDCG(10)], known, test, val_set=valid)[0][0]


if __name__ == "__main__":
    serve(Cornac)
