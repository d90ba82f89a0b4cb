"""One file of scores, and every evaluator has to find the same NDCG@10 in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from ranx import Qrels, Run, evaluate
from sklearn.metrics import ndcg_score

from llmers_utils.data import load_dataset
from tests.benchmarks.exchange import write_exchange
from tests.benchmarks.models import OURS, python_of, run_side
from tests.benchmarks.protocol import Job, ndcg

SIDES = (OURS, "recbole", "torch_rechub", "cornac")


def measure(tolerance: float = 1e-6) -> dict[str, float]:
    """NDCG@10 by each evaluator. AssertionError where two differ by more than the tolerance."""
    with tempfile.TemporaryDirectory() as folder:
        files = write_exchange(load_dataset("ml-100k"), Path(folder))
        data = dict(np.load(files["ranking"]))
        scores = informed_scores(data)
        found = {"ranx": _by_ranx(scores, data), "scikit-learn": _by_sklearn(scores, data)}
        found["the protocol"] = ndcg(data, scores, "test")
        path = Path(folder) / "scores.npy"
        np.save(path, scores)
        job = Job("parity", "ml-100k", str(files["ranking"]), scores=str(path))
        for side in SIDES:
            if python_of(side).exists():
                found[side] = run_side(side, job)["NDCG@10"]
    for name, value in found.items():
        print(f"NDCG@10 by {name}: {value:.9f}")
    assert np.ptp(list(found.values())) <= tolerance, found
    return found


def informed_scores(data: dict[str, np.ndarray]) -> np.ndarray:
    """Noise (U, N) in which the targets stand out a little; what a user had before is -inf."""
    rng = np.random.default_rng(0)
    scores = rng.permuted(np.linspace(0, 1, data["n_users"] * data["n_items"], dtype=np.float64))
    scores = scores.reshape(data["n_users"], data["n_items"]).astype(np.float32)
    test = data["part"] == 2
    scores[data["user"][test], data["item"][test]] += rng.random(test.sum()).astype(np.float32) / 20
    scores[data["user"][~test], data["item"][~test]] = -np.inf
    return scores


def _targets(data: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    test = data["part"] == 2
    return data["user"][test], data["item"][test]


def _by_sklearn(scores: np.ndarray, data: dict[str, np.ndarray]) -> float:
    truth = np.zeros(scores.shape)
    truth[_targets(data)] = 1
    return float(ndcg_score(truth, np.where(np.isfinite(scores), scores, -1), k=10))


def _by_ranx(scores: np.ndarray, data: dict[str, np.ndarray]) -> float:
    users, items = _targets(data)
    best = np.argsort(-scores, axis=1)[:, :20]
    truth = {str(u): {str(i): 1} for u, i in zip(users, items, strict=True)}
    run = {str(u): {str(i): float(scores[u, i]) for i in best[u]} for u in users}
    return float(evaluate(Qrels(truth), Run(run), "ndcg@10", make_comparable=True))
