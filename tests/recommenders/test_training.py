from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from llmers_utils.data import Split
from llmers_utils.recommenders import IdTable, SASRec, TrainingPlan, fit
from llmers_utils.recommenders.training import constant, one_cycle

PLAN = TrainingPlan(epochs=4, batch_size=16, lr=1e-2, weight_decay=1e-2, schedule="onecycle")


def make(split: Split) -> SASRec:
    torch.manual_seed(0)
    return SASRec(IdTable(split.dataset.n_items, 8), max_length=10)


def weights(model: nn.Module) -> list[list[float]]:
    return [p.detach().flatten().tolist() for p in model.parameters()]


class Slope(nn.Module):
    """A model whose one weight walks down by lr each step (AdamW's first step size)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def loss(self, batch: dict) -> torch.Tensor:
        return self.weight * batch["x"].mean()


class OneBatch:
    def __len__(self) -> int:
        return 1

    def epoch(self, rng: np.random.Generator, batch_size: int):
        yield {"x": torch.ones(1)}


def test_best_state_is_restored_and_patience_stops() -> None:
    model, values = Slope(), iter([0.1, 0.5, 0.4, 0.3, 0.9])
    seen = []

    def validate() -> float:
        seen.append(model.weight.item())
        return next(values)

    plan = TrainingPlan(epochs=5, batch_size=1, lr=0.1, patience=2)
    history = fit(model, OneBatch(), plan, seed=0, validate=validate)
    assert history.validations == [0.1, 0.5, 0.4, 0.3]
    assert history.best_epoch == 1
    assert model.weight.item() == seen[1]
    assert not model.training


def test_without_validation_the_last_state_stays() -> None:
    model = Slope()
    history = fit(model, OneBatch(), TrainingPlan(epochs=3, batch_size=1, lr=0.1), seed=0)
    assert model.weight.item() == pytest.approx(-0.3, rel=1e-4)
    assert history.best_epoch == -1
    assert len(history.losses) == 3


def test_same_seed_same_weights_and_another_seed_others(split: Split) -> None:
    runs = []
    for seed in (0, 0, 1):
        model = make(split)
        fit(model, model.batches(split), PLAN, seed=seed)
        runs.append(weights(model))
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_run_equals_an_uninterrupted_one(split: Split, tmp_path: Path, stop: int) -> None:
    def validations():
        return iter([0.1, 0.4, 0.2, 0.3])

    whole, values = make(split), validations()
    expected = fit(whole, whole.batches(split), PLAN, seed=3, validate=lambda: next(values))

    plan = dataclasses.replace(PLAN, checkpoint=tmp_path / "folder" / "run.pt")
    model, values, calls = make(split), validations(), 0

    def killed() -> float:
        nonlocal calls
        calls += 1
        if calls > stop:
            raise KeyboardInterrupt
        return next(values)

    with pytest.raises(KeyboardInterrupt):
        fit(model, model.batches(split), plan, seed=3, validate=killed)
    torch.manual_seed(123)  # another process starts from another state
    resumed = SASRec(IdTable(split.dataset.n_items, 8), max_length=10)
    history = fit(resumed, resumed.batches(split), plan, seed=3, validate=lambda: next(values))
    assert weights(resumed) == weights(whole)
    assert history.losses == expected.losses
    assert history.best_epoch == expected.best_epoch == 1


def test_finished_run_is_loaded_and_not_trained_again(split: Split, tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, checkpoint=tmp_path / "run.pt")
    first, second = make(split), make(split)
    fit(first, first.batches(split), plan, seed=0)
    fit(second, None, plan, seed=0)
    assert weights(first) == weights(second)


def test_checkpoint_of_another_run_is_refused(split: Split, tmp_path: Path) -> None:
    plan = dataclasses.replace(PLAN, checkpoint=tmp_path / "run.pt")
    model = make(split)
    fit(model, model.batches(split), plan, seed=0)
    with pytest.raises(ValueError, match=r"run\.pt: belongs to"):
        fit(model, model.batches(split), plan, seed=1)
    with pytest.raises(ValueError, match=r"run\.pt: belongs to"):
        fit(model, model.batches(split), dataclasses.replace(plan, lr=1.0), seed=0)


def test_diverging_loss_raises() -> None:
    model = Slope()
    model.loss = lambda batch: model.weight * float("inf")
    with pytest.raises(FloatingPointError, match="epoch 0"):
        fit(model, OneBatch(), TrainingPlan(epochs=1, batch_size=1, lr=0.1), seed=0)


def test_frozen_parameters_stay(split: Split) -> None:
    model = make(split)
    model.table.weight.requires_grad_(False)
    before = model.table.weight.clone()
    fit(model, model.batches(split), PLAN, seed=0)
    assert torch.equal(model.table.weight, before)


def test_amp_trains(split: Split) -> None:
    model = make(split)
    history = fit(model, model.batches(split), dataclasses.replace(PLAN, amp=True), seed=0)
    assert history.losses[-1] < history.losses[0]
    assert model.table.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "cosine"}, r"'cosine': must be one of \['constant', 'onecycle'\]"),
        ({"epochs": 0}, "must be > 0"),
        ({"lr": -1.0}, "must be > 0"),
    ],
)
def test_impossible_plans_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PLAN, **change)


def test_patience_needs_validation() -> None:
    with pytest.raises(ValueError, match="patience needs validate"):
        fit(Slope(), OneBatch(), dataclasses.replace(PLAN, patience=1), seed=0)


def test_schedules() -> None:
    steps = np.linspace(0, 1, 101)
    values = np.array([one_cycle(step) for step in steps])
    assert values.argmax() == 30
    assert values.max() == 1
    assert values[0] == pytest.approx(0.04)
    assert values[-1] == pytest.approx(0)
    assert {constant(step) for step in steps} == {1.0}


def test_no_bar_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    plan = TrainingPlan(epochs=1, batch_size=1, lr=0.1)
    fit(Slope(), OneBatch(), plan, seed=0)
    assert capsys.readouterr() == ("", "")
    fit(Slope(), OneBatch(), plan, seed=0, progress=True)
    assert "epoch" in capsys.readouterr().err
