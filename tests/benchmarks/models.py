"""Backbones against the libraries that have them, each side in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

from llmers_utils.data import load_dataset
from llmers_utils.paths import ROOT, cache_dir, shared_dir
from tests.benchmarks.exchange import write_exchange
from tests.benchmarks.protocol import Job
from tests.benchmarks.results import RISING, Row, row

HERE = Path(__file__).parent
OURS = "ours"
PEERS = {
    "SASRec": ("recbole", "torch_rechub"),
    "GRU4Rec": ("recbole",),
    "BERT4Rec": ("recbole",),
    "LightGCN": ("recbole",),
    "MF-BPR": ("recbole", "cornac", "implicit"),
    "DeepFM": ("recbole", "torch_rechub"),
    "DCNv2": ("recbole", "torch_rechub"),
}
SEQUENTIAL = ("SASRec", "GRU4Rec", "BERT4Rec")
NO_DECAY = "its Adam has no decoupled weight decay; ours 0.1"
NOTES = {
    ("SASRec", "torch_rechub"): "its loss is BPR with one sampled negative; ours cross-entropy",
    ("BERT4Rec", "recbole"): "a target is a masked position",
    ("LightGCN", "recbole"): "it evaluates 1,024 users at a time; left alone, two",
    ("MF-BPR", "recbole"): "it evaluates 1,024 users at a time; left alone, two",
    ("MF-BPR", "implicit"): "SGD pair by pair, compiled; with an item bias",
    ("MF-BPR", "cornac"): "SGD pair by pair, compiled; with an item bias",
    **dict.fromkeys(product(("DeepFM", "DCNv2"), ("recbole", "torch_rechub")), NO_DECAY),
}
# Training seconds after which a side stops where quality is measured; training may go on rising.
PATIENCE = dict.fromkeys(SEQUENTIAL, 180.0) | {"LightGCN": 40.0}
QUALITY = Job("", "ml-100k", "", epochs=60, seconds=20.0)
# Batches an epoch where only speed is measured: few for those that take a second each.
STEPS = dict.fromkeys(SEQUENTIAL, 8) | {"LightGCN": 30}
SPEED = Job("", "ml-100k", "", epochs=3)


def python_of(side: str) -> Path:
    """The interpreter of a side's environment."""
    return Path(sys.executable) if side == OURS else cache_dir() / "peers" / side / "bin" / "python"


def run_side(side: str, job: Job) -> dict:
    """Run one job in the side's own environment, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder) / "job.json", Path(folder) / "result.json"
        question.write_text(json.dumps(asdict(job)))
        paths = {"PYTHONPATH": f"{HERE}:{ROOT}", "LLMERS_CACHE": str(cache_dir().resolve())}
        script = HERE / "peers" / f"{side}.py"
        # -P: a script named like the library it runs must not be imported in its place.
        subprocess.run(
            [python_of(side), "-P", "-W", "ignore", script, question, answer],
            cwd=folder,
            env=os.environ | paths | {"OMP_NUM_THREADS": "1"},
            check=True,
            timeout=1800,
        )
        return json.loads(answer.read_text())


def measure(repetitions: int, scale: float = 1.0) -> Iterator[Row]:
    """All models on MovieLens-100K, and on MovieLens-1M (for speed alone) where it is present."""
    for dataset in ("ml-100k", "ml-1m") if scale == 1 else ("ml-100k",):
        if dataset == "ml-1m" and not ((shared_dir() or Path()) / dataset).is_dir():
            print(f"{dataset}: skipped, LLMERS_SHARED has no such folder")
            continue
        with tempfile.TemporaryDirectory() as folder:
            files = write_exchange(load_dataset(dataset), Path(folder))
            for model in PEERS:
                job = Job(model, dataset, "")
                if job.is_ctr and dataset == "ml-1m":
                    continue  # the size of the data does not change what a row costs
                data = str(files["ctr" if job.is_ctr else "ranking"])
                plans = _plans(model, dataset, repetitions, scale)
                jobs = [replace(plan, model=model, dataset=dataset, data=data) for plan in plans]
                yield from _compare(jobs)


def _plans(model: str, dataset: str, repetitions: int, scale: float) -> list[Job]:
    """One job a repetition. Sequential peers take minutes, so their quality is measured once."""
    quality = replace(QUALITY, seconds=PATIENCE.get(model, QUALITY.seconds))
    speed = replace(SPEED, steps=STEPS.get(model, sys.maxsize))
    if scale < 1:
        plans = [replace(speed, epochs=2, steps=2)]
    elif dataset == "ml-1m":
        plans = [speed] * max(1, repetitions - 1)
    elif model in SEQUENTIAL:
        plans = [quality, *[speed] * (repetitions - 1)]
    else:
        plans = [quality] * repetitions
    return [replace(plan, seed=seed) for seed, plan in enumerate(plans)]


def _compare(jobs: Sequence[Job]) -> Iterator[Row]:
    """Run ours and each peer in turn, repetition by repetition, and compare."""
    model, dataset = jobs[0].model, jobs[0].dataset
    peers = [peer for peer in PEERS[model] if python_of(peer).exists()]
    for peer in set(PEERS[model]) - set(peers):
        print(f"{peer}: skipped, it is not built; `make bench` does")
    found: dict[str, list[dict]] = {side: [] for side in (OURS, *peers)}
    for job in jobs:
        for side, results in found.items():
            results.append(run_side(side, job))
            last = results[-1]["epochs"][-1]
            print(
                f"{dataset} {model} {side}: {len(results[-1]['epochs'])} epochs, {last}", flush=True
            )
    for peer in peers:
        yield from compare(model, dataset, peer, found[OURS], found[peer])


def compare(
    model: str, dataset: str, peer: str, ours: Sequence[dict], theirs: Sequence[dict]
) -> list[Row]:
    """Rows from the results of both sides, one a repetition."""
    judged = [pair for pair in zip(ours, theirs, strict=True) if pair[0]["epochs"][0][2]]
    rising = any(best(result) is result["epochs"][-1] for _, result in judged)
    notes = [NOTES.get((model, peer)), RISING if rising else None]
    where = {"model": model, "data": dataset, "note": "; ".join(filter(None, notes))}

    def one(what: str, unit: str, values: list[list[float]], higher: bool = False) -> Row:
        return row(what, peer, *values, unit=unit, higher_is_better=higher, **where)

    sides = (ours, theirs)
    evaluation = [[min(r["evaluation"]) for r in side] for side in sides]
    rows = [
        one("training", "targets/s", [[rate(r) for r in side] for side in sides], higher=True),
        one("evaluation", "s", evaluation),
        one("memory", "MB", [[r["memory"] for r in side] for side in sides]),
    ]
    if not judged:
        return rows
    bests = [[best(result) for result in pair] for pair in judged]

    def times(level: Callable[[list[list[float]], int], float]) -> list[list[float]]:
        return [
            [
                time_to(pair[side], level(values, side))
                for pair, values in zip(judged, bests, strict=True)
            ]
            for side in (0, 1)
        ]

    return [
        *rows,
        one("to 95 % of its best", "s", times(lambda values, side: 0.95 * values[side][2])),
        one("to 99 % of its best", "s", times(lambda values, side: 0.99 * values[side][2])),
        # The best quality that both sides reach, less one per cent.
        one("to equal quality", "s", times(lambda values, _: 0.99 * min(v[2] for v in values))),
        one(
            "quality",
            "AUC" if Job(model, "", "").is_ctr else "NDCG@10",
            [[values[side][3] for values in bests] for side in (0, 1)],
            higher=True,
        ),
    ]


def rate(result: dict) -> float:
    """Targets a second, the first epoch left out where there are others."""
    (first_seconds, first_targets, *_), (seconds, targets, *_) = (
        result["epochs"][0],
        result["epochs"][-1],
    )
    if len(result["epochs"]) == 1:
        return targets / seconds
    return (targets - first_targets) / (seconds - first_seconds)


def best(result: dict) -> list[float]:
    """The epoch with the best validation value: [seconds, targets, valid, test]."""
    return max(result["epochs"], key=lambda epoch: epoch[2])


def time_to(result: dict, level: float) -> float:
    """Training seconds until the validation value is at least ``level``."""
    return next(epoch[0] for epoch in result["epochs"] if epoch[2] >= level)
