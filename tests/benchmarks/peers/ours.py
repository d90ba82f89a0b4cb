"""Our own side, measured as the others are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from protocol import Job, first, serve

from llmers_utils.data import leave_last_out, load_dataset, prefix
from llmers_utils.recommenders import (
    MFBPR,
    BERT4Rec,
    DCNv2,
    DeepFM,
    GRU4Rec,
    IdTable,
    LightGCN,
    SASRec,
    backbone_plan,
    build_ctr_data,
    ctr_validator,
    evaluate_ranking,
    fit,
    inference,
    predict,
    ranking_validator,
)

SEQUENTIAL = {"SASRec": SASRec, "GRU4Rec": GRU4Rec, "BERT4Rec": BERT4Rec}
COLLABORATIVE = {"LightGCN": LightGCN, "MF-BPR": MFBPR}
CTR = {"DeepFM": DeepFM, "DCNv2": DCNv2}
# Longer than in the notebooks, as the peers train, too: the best epoch counts.
EPOCHS = {
    "SASRec": 15,
    "GRU4Rec": 15,
    "BERT4Rec": 25,
    "LightGCN": 30,
    "MF-BPR": 30,
    "DeepFM": 6,
    "DCNv2": 6,
}


class Ours:
    """One model on one data set."""

    def __init__(self, job: Job, data: dict[str, np.ndarray]) -> None:
        self.job = job
        torch.manual_seed(job.seed)
        torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # its first use imports for seconds
        dataset = load_dataset(job.dataset)
        if job.is_ctr:
            self.data = build_ctr_data(prefix(dataset))
            self.model = CTR[job.model](self.data.spec)
            self.batches = self.data.batches()
            self.validate = ctr_validator(self.model, self.data)
            return
        self.split = split = leave_last_out(dataset)
        if job.model == "parity":
            return
        if job.model in SEQUENTIAL:
            self.model = SEQUENTIAL[job.model](IdTable(dataset.n_items, 64))
        elif job.model == "LightGCN":
            self.model = LightGCN(split, 64)
        else:
            self.model = MFBPR(dataset.n_users, dataset.n_items, 64)
        self.batches = self.model.batches(split)
        self.validate = ranking_validator(self.model, split)

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Run ``fit``; its validation is where an epoch is done."""
        source = _Bounded(self.batches, self.job.steps, self._targets)

        def validate() -> float:
            epoch_done(source.taken())
            return 0.0

        name = self.job.model
        plan = backbone_plan((SEQUENTIAL | COLLABORATIVE | CTR)[name], epochs=EPOCHS[name])
        fit(self.model, source, plan, seed=self.job.seed, validate=validate)

    def _targets(self, batch: dict[str, torch.Tensor]) -> int:
        if "targets" not in batch:
            return len(next(iter(batch.values())))
        real = int((batch["targets"] != self.model.pad).sum())
        if self.job.model == "BERT4Rec":  # a share of them is hidden, the last one always
            last = len(batch["targets"])
            return round(last + self.model.mask_share * (real - last))
        return real

    def scores(self, part: str) -> np.ndarray:
        """Score every user, or every row."""
        if self.job.is_ctr:
            return predict(self.model, getattr(self.data, part))
        with inference(self.model):
            users = np.arange(self.split.dataset.n_users)
            return self.model.scorer(self.split, part)(users).numpy()

    def evaluate(self) -> float:
        """Evaluate the valid part, or for parity the scores that are given."""
        if self.job.scores:
            given = torch.from_numpy(np.load(self.job.scores))
            return evaluate_ranking(lambda users: given[users], self.split).metrics["NDCG@10"]
        return self.validate()


class _Bounded:
    """A source of batches that counts targets and ends an epoch early."""

    def __init__(self, source: object, steps: int | None, targets: Callable) -> None:
        self.source, self.steps, self.targets, self.count = source, steps, targets, 0

    def __len__(self) -> int:
        return len(self.source)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> object:
        """Yield at most ``steps`` batches."""
        return first(self.source.epoch(rng, batch_size), self.steps, self._add)

    def _add(self, batch: dict[str, torch.Tensor]) -> None:
        self.count += self.targets(batch)

    def taken(self) -> int:
        """Count the targets since the last call."""
        taken, self.count = self.count, 0
        return taken


if __name__ == "__main__":
    serve(Ours)
