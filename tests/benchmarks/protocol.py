"""What every side of a benchmark shares: the job, the data, the clock and the metric.

Each side is one script in ``peers/``, run in a process and an environment of its own with
``SCRIPT JOB.json RESULT.json``. So this module needs NumPy and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

PARTS = {"train": 0, "valid": 1, "test": 2}
EVALUATIONS = 10


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        model: "SASRec", "DeepFM", ... or "parity" (judge the scores of ``scores``).
        dataset: its name; ``data``: the exchange file, see ``exchange.py``.
        epochs: at most so many; ``seconds``: of training, after which no epoch begins.
        steps: batches an epoch at most, for throughput alone; None: all of them, and then the
            quality is measured after each epoch, off the clock.
        seed: of weights and batches.
        scores: an ``.npy`` file of scores (U, N) of the test part, for parity.
    """

    model: str
    dataset: str
    data: str
    epochs: int = 1
    seconds: float = 60.0
    steps: int | None = None
    seed: int = 0
    scores: str | None = None

    @property
    def is_ctr(self) -> bool:
        """Whether rows are judged (AUC) and not rankings (NDCG@10)."""
        return self.model in ("DeepFM", "DCNv2")


class Side(Protocol):
    """What a script has to offer."""

    def train(self, epoch_done: Callable[[int], None]) -> None:
        """Train; after each epoch call ``epoch_done`` with its targets (or rows)."""

    def scores(self, part: str) -> np.ndarray:
        """Scores (U, N) as of now, or of a CTR model the probabilities (M,) of the part's rows."""

    def evaluate(self) -> Any:
        """Evaluate the valid part by the library's own means."""


class Enough(Exception):
    """Raised into a training loop whose time is up."""


def serve(make: Callable[[Job, dict[str, np.ndarray]], Side]) -> None:
    """Run the job that the command line names and write its result."""
    question, answer = map(Path, sys.argv[1:])
    job = Job(**json.loads(question.read_text()))
    data = dict(np.load(job.data))
    started = time.perf_counter()
    side = make(job, data)
    result = {"load": time.perf_counter() - started}
    if job.model == "parity":
        result |= {"NDCG@10": float(side.evaluate())}
    else:
        result |= measure(job, data, side)
    answer.write_text(json.dumps(result))


def measure(job: Job, data: dict[str, np.ndarray], side: Side) -> dict[str, Any]:
    """Train under the clock, judge off it; then evaluate as the library does.

    Returns ``epochs``, a row for each epoch of [seconds so far, targets so far, valid, test], the
    ``evaluation`` seconds of each try, and the peak ``memory`` of the process in MB.
    """
    rows: list[list[float | None]] = []
    spent, targets, started = 0.0, 0, time.perf_counter()

    def epoch_done(count: int) -> None:
        nonlocal spent, targets, started
        spent, targets = spent + time.perf_counter() - started, targets + count
        values = [None, None]
        if job.steps is None:
            values = [quality(job, data, side.scores(part), part) for part in ("valid", "test")]
        rows.append([spent, targets, *values])
        if len(rows) >= job.epochs or spent >= job.seconds:
            raise Enough
        started = time.perf_counter()

    with contextlib.suppress(Enough):
        side.train(epoch_done)
    evaluation = []
    for _ in range(EVALUATIONS):
        started = time.perf_counter()
        side.evaluate()
        evaluation.append(time.perf_counter() - started)
    return {"epochs": rows, "evaluation": evaluation, "memory": peak_memory()}


def quality(job: Job, data: dict[str, np.ndarray], scores: np.ndarray, part: str) -> float:
    """The one metric by which every side is judged."""
    if job.is_ctr:
        return auc(data[f"{part}_label"], scores)
    return ndcg(data, scores, part)


def ndcg(data: dict[str, np.ndarray], scores: np.ndarray, part: str, k: int = 10) -> float:
    """NDCG@k of one target a user among all items that the user has not had before ``part``."""
    number = PARTS[part]
    user, item = (data[name][data["part"] == number] for name in ("user", "item"))
    known = data["part"] < number
    own = scores[user, item][:, None]
    masked = np.array(scores, dtype=np.float64)
    masked[data["user"][known], data["item"][known]] = -np.inf
    ranks = 1 + (masked[user] >= own).sum(1) - (masked[user, item] >= own[:, 0])
    return float(np.where(ranks <= k, 1 / np.log2(ranks + 1), 0).mean())


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, ties counting one half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    positives = float((labels > 0).sum())
    wins = ranks[labels > 0].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(labels) - positives)))


def first(batches: Iterable, steps: int | None, count: Callable[[Any], None]) -> Iterator:
    """Yield the first ``steps`` batches (None: all) and tell ``count`` of each."""
    for number, batch in enumerate(batches, start=1):
        count(batch)
        yield batch
        if number == steps:
            return


def peak_memory() -> float:
    """Peak of the process so far in MB; a child's ``ru_maxrss`` may show its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
