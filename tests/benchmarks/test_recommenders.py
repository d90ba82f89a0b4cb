"""Speed, memory and quality of the backbones. They print; what they print is judged by people."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from llmers_utils.data import Dataset, leave_last_out, load_dataset, prefix
from llmers_utils.recommenders import (
    EASE,
    MFBPR,
    BERT4Rec,
    DeepFM,
    GRU4Rec,
    IdTable,
    ItemKNN,
    LightGCN,
    Popularity,
    SASRec,
    TrainingPlan,
    build_ctr_data,
    ctr,
    ctr_validator,
    evaluate_ctr,
    evaluate_ranking,
    fit,
)

pytestmark = pytest.mark.benchmark

SEEDS = (0, 1, 2)
SEQUENTIAL = TrainingPlan(10, 64, 1e-2, 1e-2, "onecycle")
PAIRWISE = TrainingPlan(30, 2048, 2e-2, 0.1, "onecycle")
CTR = TrainingPlan(10, 1024, 3e-3, 0.1, patience=2)


@pytest.fixture(scope="module")
def ml_100k() -> Dataset:
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # its first use imports for seconds
    return load_dataset("ml-100k")


def tables(n_items: int) -> IdTable:
    return IdTable(n_items, 64)


RANKERS: dict[str, tuple[TrainingPlan | None, Callable]] = {
    "Popularity": (None, lambda split: Popularity()),
    "ItemKNN": (None, lambda split: ItemKNN(k=50)),
    "EASE": (None, lambda split: EASE()),
    "MFBPR": (PAIRWISE, lambda split: MFBPR(split.dataset.n_users, split.dataset.n_items, 64)),
    "LightGCN": (PAIRWISE, lambda split: LightGCN(split, 64)),
    "SASRec": (SEQUENTIAL, lambda split: SASRec(tables(split.dataset.n_items))),
    "GRU4Rec": (SEQUENTIAL, lambda split: GRU4Rec(tables(split.dataset.n_items))),
    "BERT4Rec": (
        TrainingPlan(20, 64, 1e-2, 1e-2, "onecycle"),
        lambda split: BERT4Rec(tables(split.dataset.n_items)),
    ),
}


@pytest.mark.parametrize("name", RANKERS)
def test_ranking_quality_and_training_speed(name: str, ml_100k: Dataset) -> None:
    split = leave_last_out(ml_100k)
    plan, make = RANKERS[name]
    results, seconds = [], []
    for seed in SEEDS if plan else (0,):
        torch.manual_seed(seed)
        model, started = make(split), time.perf_counter()
        if plan:
            fit(model, model.batches(split), plan, seed=seed)
        else:
            model.fit(split)
        seconds.append(time.perf_counter() - started)
        results.append(evaluate_ranking(model.scorer(split), split).metrics["NDCG@10"])
    targets = len(split.train) * (plan.epochs if plan else 1)
    print(
        f"\n{name}: NDCG@10 {np.mean(results):.4f} (sd {np.std(results):.4f}), "
        f"{np.mean(seconds):.1f} s, {targets / np.mean(seconds):,.0f} targets/s"
    )


@pytest.mark.parametrize("name", ["DeepFM", "DCNv2", "DIN", "AutoInt"])
def test_ctr_quality_and_training_speed(name: str, ml_100k: Dataset) -> None:
    data = build_ctr_data(prefix(ml_100k))
    results, rates = [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = getattr(ctr, name)(data.spec)
        history = fit(model, data.batches(), CTR, seed=seed, validate=ctr_validator(model, data))
        rates.append(len(history.losses) * len(data.batches()) / history.seconds)
        results.append(evaluate_ctr(model, data).metrics)
    means = {metric: float(np.mean([r[metric] for r in results])) for metric in results[0]}
    print(f"\n{name}: {means}, {np.mean(rates):,.0f} rows/s with validation")


@pytest.mark.parametrize("batch_size", [1024, 4096])
def test_deepfm_training_alone(batch_size: int, ml_100k: Dataset) -> None:
    data = build_ctr_data(prefix(ml_100k))
    model = DeepFM(data.spec)
    fit(model, data.batches(), TrainingPlan(1, batch_size, 1e-3), seed=0)
    started = time.perf_counter()
    fit(model, data.batches(), TrainingPlan(3, batch_size, 1e-3), seed=0)
    rate = 3 * len(data.batches()) / (time.perf_counter() - started)
    print(f"\nDeepFM in batches of {batch_size}: {rate:,.0f} rows/s")


def random_split(n_users: int, n_items: int, length: int) -> SimpleNamespace:
    """A split of random interactions in the shape of leave-last-out."""
    rng = np.random.default_rng(0)
    step = np.tile(np.arange(length), n_users)
    # One random start and stride per user: distinct items without a loop.
    start, stride = rng.integers(n_items, size=(2, n_users))
    items = (np.repeat(start, length) + step * np.repeat(stride % 997 + 1, length)) % n_items
    rows = pl.DataFrame(
        {"user": np.repeat(np.arange(n_users), length), "item": items, "timestamp": step}
    )
    parts = {
        "train": rows.filter(pl.col("timestamp") < length - 2),
        "valid": rows.filter(timestamp=length - 2),
        "test": rows.filter(timestamp=length - 1),
    }
    dataset = SimpleNamespace(n_users=n_users, n_items=n_items)
    return SimpleNamespace(
        protocol="leave_last_out", prompt_is_apart=False, dataset=dataset, **parts
    )


@pytest.mark.parametrize(
    ("n_users", "n_items", "length"), [(6_040, 3_706, 165), (10_000, 1_000_000, 50)]
)
def test_full_ranking_time_and_memory(n_users: int, n_items: int, length: int) -> None:
    split = random_split(n_users, n_items, length)
    users, items = torch.randn(n_users, 64), torch.randn(64, n_items)
    started = time.perf_counter()
    evaluate_ranking(lambda ids: users[ids] @ items, split)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{n_users:,} x {n_items:,}: {seconds:.2f} s, peak of the process {peak:.2f} GiB")
