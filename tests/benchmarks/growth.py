"""How time and memory grow as users, items and interactions do, each tenfold twice.

``python -m tests.benchmarks.growth AXIS SIZE`` measures one point in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import torch

from llmers_utils.paths import ROOT
from llmers_utils.recommenders import (
    Histories,
    IdTable,
    LightGCN,
    SASRec,
    SequenceBatches,
    evaluate_ranking,
)
from tests.benchmarks.protocol import peak_memory
from tests.benchmarks.results import GROWTH, Row, slope

USERS, ITEMS, STEPS, BATCH = 604, 3_706, 5, 20
# MovieLens-1M: the logarithms of a user's interactions and of an item's have these mean and sd.
ACTIVITY, POPULARITY, FEWEST, MOST = (4.6, 1.0), (4.9, 1.4), 20, 2_000
AXES = {
    "users": [USERS, 10 * USERS, 100 * USERS],
    "items": [10_000, 100_000, 1_000_000],
}
MOST_TRAINED = 100_000  # items: one batch against a million takes ten seconds
# Powers at which each step may grow. All of LightGCN's edges take part in every step.
THEORY = {
    "users": {"data": 1, "SASRec epoch": 1, "LightGCN epoch": 2, "evaluation": 1, "memory": 1},
    "items": {"data": 1, "SASRec epoch": 1, "evaluation": 1, "memory": 1},
}


def simulate(n_users: int, n_items: int, longest: int = MOST) -> SimpleNamespace:
    """Interactions drawn from MovieLens-1M's marginals, in the shape of ``leave_last_out``."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(*ACTIVITY, n_users).clip(FEWEST, longest).astype(np.int64)
    weights = rng.lognormal(*POPULARITY, n_items)
    item = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(lengths.sum()))
    pairs = {"user": np.repeat(np.arange(n_users), lengths), "item": item.clip(max=n_items - 1)}
    rows = pl.DataFrame(pairs).unique(maintain_order=True).with_row_index("timestamp")
    from_end = rows.select(pl.len().over("user") - pl.int_range(pl.len()).over("user")).to_series()
    parts = {"train": from_end > 2, "valid": from_end == 2, "test": from_end == 1}
    return SimpleNamespace(
        protocol="leave_last_out",
        prompt_is_apart=False,
        dataset=SimpleNamespace(n_users=n_users, n_items=n_items, repeats=False),
        **{part: rows.filter(chosen) for part, chosen in parts.items()},
    )


def point(axis: str, size: int) -> dict[str, float]:
    """Seconds of each step and MB of memory for one size."""
    torch.set_num_threads(1)
    users, items, longest = (size, ITEMS, MOST) if axis == "users" else (1_000, size, 50)
    split, found = simulate(users, items, longest), {}
    before = _memory_now()
    found["data"], batches = _timed(lambda: SequenceBatches(Histories.of(split, "train"), 50))
    model = SASRec(IdTable(items, 64))
    if items <= MOST_TRAINED:
        found["SASRec epoch"] = _epoch(model, batches, BATCH)
    if axis == "users":
        graph = LightGCN(split, 64)
        found["LightGCN epoch"] = _epoch(graph, graph.batches(split), 2048)
    model.eval()
    found["evaluation"], _ = _timed(
        lambda: evaluate_ranking(model.scorer(split), split, ks=(10,), slices=False)
    )
    return found | {"memory": peak_memory() - before}


def _memory_now() -> float:
    """MB in use; on Linux the peak starts anew from here."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def _timed(work: Callable) -> tuple[float, object]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _epoch(model: torch.nn.Module, batches: SequenceBatches, size: int) -> float:
    """All batches of an epoch, and for each the time of a step, known from a few of them."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    cutting, _ = _timed(lambda: sum(1 for _ in batches.epoch(np.random.default_rng(0), size)))
    seconds = []
    for batch in islice(batches.epoch(np.random.default_rng(0), size), STEPS):
        started = time.perf_counter()
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return cutting + float(np.median(seconds)) * -(-len(batches) // size)


def measure(repetitions: int, scale: float = 1.0) -> list[Row]:
    """A row for each axis and step: values relative to the smallest size, slope and theory."""
    rows = []
    for axis, sizes in AXES.items():
        points = []
        for size in sizes if scale == 1 else sizes[:2]:
            command = [sys.executable, "-m", "tests.benchmarks.growth", axis, str(size)]
            answer = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
            points.append((size, json.loads(answer)))
            print(f"growth of {axis} to {size:,}: {points[-1][1]}", flush=True)
        for step, theory in THEORY[axis].items():
            there = [(size, found[step]) for size, found in points if step in found]
            at, values = zip(*there, strict=True)
            rows.append(
                {
                    "what": GROWTH,
                    "model": "",
                    "data": axis,
                    "peer": step,
                    "sizes": list(at),
                    "values": [round(value / values[0], 3) for value in values],
                    "slope": round(slope(at, values), 2),
                    "theory": theory,
                }
            )
    return rows


if __name__ == "__main__":
    print(json.dumps(point(sys.argv[1], int(sys.argv[2]))))
