"""torch-rechub's side: its models, its data loaders and its trainers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch_rechub.basic.metric as metric
import tqdm
from protocol import PARTS, Job, first, serve
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.models.matching import SASRec
from torch_rechub.models.ranking import DCNv2, DeepFM
from torch_rechub.trainers import CTRTrainer, MatchTrainer
from torch_rechub.utils.data import DataGenerator, MatchDataGenerator

LENGTH, DIM = 50, 64
metric.round = lambda value, digits: value  # it would round to four digits
tqdm.tqdm = partial(tqdm.tqdm, disable=True)


class Positions(SASRec):
    """Its trainer wants the scores of pairs as columns, its model gives them by position."""

    def forward(self, x: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Score every position as a pair of its own; of padding too, as the model does."""
        found = super().forward(x)
        return found if self.mode else tuple(scores.flatten() for scores in found)


class Sequential:
    """SASRec, which it trains with one sampled negative a position."""

    def __init__(self, job: Job, data: dict[str, np.ndarray]) -> None:
        torch.manual_seed(job.seed)
        self.job, self.data, n_items = job, data, int(data["n_items"])
        windows = self._windows(np.random.default_rng(job.seed))
        shared = [{}, {"shared_with": "seq"}, {"shared_with": "seq"}]
        features = [
            SequenceFeature(name, n_items + 1, DIM, pooling="concat", padding_idx=0, **share)
            for name, share in zip(("seq", "pos", "neg"), shared, strict=True)
        ]
        self.model = Positions(features, LENGTH, dropout_rate=0.3, num_blocks=1, num_heads=2)
        self.trainer = MatchTrainer(
            self.model, mode=1, optimizer_params={"lr": 3e-3, "weight_decay": 0.0}
        )
        labels = np.zeros(len(windows["seq"]), dtype=np.int64)
        generator = MatchDataGenerator(windows, labels)
        self.loader, *_ = generator.generate_dataloader({"seq": labels}, {"seq": labels}, 64, 0)

    def _windows(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """At most LENGTH targets each; together they cover each target once. Padding is right."""
        item, rows = self.data["item"] + 1, []
        for user in range(int(self.data["n_users"])):
            own = item[(self.data["user"] == user) & (self.data["part"] == PARTS["train"])]
            free = np.setdiff1d(np.arange(1, self.data["n_items"] + 1), own)
            for end in range(len(own), 1, -LENGTH):
                part = own[max(0, end - LENGTH - 1) : end]
                rows.append((part[:-1], part[1:], rng.choice(free, len(part) - 1)))
        names = zip(("seq", "pos", "neg"), zip(*rows, strict=True), strict=True)
        return {name: _padded(values) for name, values in names}

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Run the trainer's own epochs."""
        for _ in range(self.job.epochs):
            targets = 0

            def count(batch: tuple) -> None:
                nonlocal targets
                targets += int((batch[0]["pos"] > 0).sum())

            self.trainer.train_one_epoch(first(self.loader, self.job.steps, count))
            epoch_done(targets)

    @torch.no_grad()
    def scores(self, part: str) -> np.ndarray:
        """Score every user from the last items before ``part``."""
        known = self.data["part"] < PARTS[part]
        user, item = self.data["user"][known], self.data["item"][known] + 1
        ends = np.cumsum(np.bincount(user, minlength=int(self.data["n_users"])))
        starts = np.concatenate([[0], ends[:-1]])
        rows = [
            item[max(start, end - LENGTH) : end] for start, end in zip(starts, ends, strict=True)
        ]
        self.model.eval()
        self.model.mode = "user"
        users = self.model({"seq": torch.from_numpy(_padded(rows))})
        self.model.mode = None
        return (users @ self.model.item_emb.embed_dict["seq"].weight[1:].T).numpy()

    def evaluate(self) -> float:
        """Pass the ten best to its metrics, as its examples do; for parity the given scores."""
        if self.job.scores is None:
            return self._judge(self.scores("valid"), "valid")
        return self._judge(np.load(self.job.scores), "test")

    def _judge(self, scores: np.ndarray, part: str) -> float:
        known, wanted = (compare(self.data["part"], PARTS[part]) for compare in (np.less, np.equal))
        scores[self.data["user"][known], self.data["item"][known]] = -np.inf
        best = np.argsort(-scores, axis=1)[:, :10]
        users, items = self.data["user"][wanted], self.data["item"][wanted]
        truth = {user: [item] for user, item in zip(users.tolist(), items.tolist(), strict=True)}
        found = {user: best[user].tolist() for user in truth}
        return float(metric.topk_metrics(truth, found, [10])["NDCG"][0].split(": ")[1])


class ClickThrough:
    """DeepFM and DCNv2."""

    def __init__(self, job: Job, data: dict[str, np.ndarray]) -> None:
        torch.manual_seed(job.seed)
        self.job = job
        names = [name.removeprefix("train_") for name in data if name.startswith("train_")]
        names.remove("label")
        features = []
        for name in names:
            size = 1 + max(int(data[f"{part}_{name}"].max()) for part in PARTS)
            pooled = {"pooling": "mean", "padding_idx": 0}
            kind = partial(SequenceFeature, **pooled) if name in SEQUENCES else SparseFeature
            features.append(kind(name, vocab_size=size, embed_dim=16))
        mlp = {"dims": [128, 64], "dropout": 0.3}
        if job.model == "DeepFM":
            self.model = DeepFM(features, features, mlp)
        else:
            self.model = DCNv2(features, 2, mlp, use_low_rank_mixture=False)
        self.trainer = CTRTrainer(self.model, optimizer_params={"lr": 3e-3, "weight_decay": 0.0})
        columns = {p: {name: data[f"{p}_{name}"] for name in names} for p in PARTS}
        labels = {part: data[f"{part}_label"].astype(np.float32) for part in PARTS}
        loaders = DataGenerator(columns["train"], labels["train"]).generate_dataloader(
            columns["valid"], labels["valid"], columns["test"], labels["test"], batch_size=1024
        )
        self.loaders = dict(zip(PARTS, loaders, strict=True))

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Run the trainer's own epochs."""
        for _ in range(self.job.epochs):
            rows = 0

            def count(batch: tuple) -> None:
                nonlocal rows
                rows += len(batch[1])

            self.trainer.train_one_epoch(first(self.loaders["train"], self.job.steps, count))
            epoch_done(rows)

    def scores(self, part: str) -> np.ndarray:
        """Predict every row."""
        self.model.eval()
        with torch.no_grad():
            return torch.cat([self.model(x) for x, _ in self.loaders[part]]).numpy()

    def evaluate(self) -> float:
        """Compute its own AUC of the valid part."""
        return self.trainer.evaluate(self.model, self.loaders["valid"])


SEQUENCES = ("genres", "liked", "disliked")


def _padded(rows: list[np.ndarray]) -> np.ndarray:
    found = np.zeros((len(rows), LENGTH), dtype=np.int64)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found


if __name__ == "__main__":
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        serve(lambda job, data: (ClickThrough if job.is_ctr else Sequential)(job, data))
