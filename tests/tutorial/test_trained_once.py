from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from llmers_utils.data import leave_last_out, prefix
from llmers_utils.recommenders import (
    DeepFM,
    GRU4Rec,
    IdTable,
    LightGCN,
    SASRec,
    TextTable,
    TrainingPlan,
    build_ctr_data,
)
from llmers_utils.tutorial import train_ctr, train_ranker
from llmers_utils.tutorial.trained_once import FOLDER, plan_trained_once
from tests.recommenders.conftest import make_dataset

PLAN = TrainingPlan(3, 32, 1e-2, schedule="onecycle")
SPLIT = leave_last_out(make_dataset())


def sasrec(**settings: float) -> SASRec:
    torch.manual_seed(0)
    return SASRec(IdTable(30, 8), max_length=6, **settings)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "trained"))
    return tmp_path / "trained"


def checkpoint(model: nn.Module, plan: TrainingPlan = PLAN, seed: int = 0, **data: object) -> Path:
    return plan_trained_once(plan, model, data, seed).checkpoint


class InANotebook(SASRec):
    """Code that the package's hash knows nothing of."""


def with_hook() -> SASRec:
    model = sasrec()
    model.encoder.register_forward_hook(lambda *_: None)
    return model


def enriched_by_a_function() -> SASRec:
    model = sasrec()
    model.enrich = lambda states, sequences, users: states
    return model


def with_frozen_items() -> SASRec:
    model = sasrec()
    model.table.weight.requires_grad_(False)
    return model


def test_outside_a_batch_everything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    assert plan_trained_once(PLAN, sasrec(), {}, 0) is PLAN


@pytest.mark.parametrize(
    "other",
    [
        lambda: checkpoint(sasrec(heads=4)),  # the weights are the same
        lambda: checkpoint(sasrec(dropout=0.1)),
        lambda: checkpoint(SASRec(IdTable(30, 8), max_length=6)),  # other first weights
        lambda: checkpoint(with_frozen_items()),
        lambda: checkpoint(sasrec(), replace(PLAN, epochs=4)),
        lambda: checkpoint(sasrec(), seed=1),
        lambda: checkpoint(sasrec(), split="b"),
        lambda: checkpoint(sasrec(), split=torch.zeros(2)),
        lambda: checkpoint(GRU4Rec(IdTable(30, 8), max_length=6)),
    ],
)
def test_another_content_is_another_training(folder: Path, other: Callable[[], Path]) -> None:
    first = checkpoint(sasrec(), split="a")
    assert first == checkpoint(sasrec(), split="a")
    assert first.parent == folder
    assert other() != first


def test_buffers_that_no_state_dict_holds_are_content(folder: Path) -> None:
    def text(value: float) -> Path:
        torch.manual_seed(0)
        return checkpoint(SASRec(TextTable(torch.full((30, 4), value), 8), 6))

    def graph(seed: int) -> Path:
        torch.manual_seed(0)
        return checkpoint(LightGCN(leave_last_out(make_dataset(seed=seed)), 8))

    assert text(1.0) == text(1.0) != text(2.0)
    assert graph(0) == graph(0) != graph(1)


@pytest.mark.parametrize(
    "model", [lambda: InANotebook(IdTable(30, 8), 6), with_hook, enriched_by_a_function]
)
def test_code_of_its_own_is_never_shared(folder: Path, model: Callable[[], nn.Module]) -> None:
    assert plan_trained_once(PLAN, model(), {}, 0) is PLAN


def test_a_checkpoint_of_its_own_is_kept(folder: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, checkpoint=tmp_path / "mine.pt")
    assert plan_trained_once(plan, sasrec(), {}, 0) is plan


def test_the_second_ranker_is_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[SASRec] = []

    def build() -> SASRec:
        models.append(SASRec(IdTable(30, 8), max_length=6))
        return models[-1]

    first, second = (train_ranker(build, SPLIT, PLAN, seed=1) for _ in range(2))
    monkeypatch.delenv(FOLDER)
    alone = train_ranker(build, SPLIT, PLAN, seed=1)
    assert len(list(folder.iterdir())) == 1
    assert first.seconds == second.seconds  # what the one training took
    assert first.evaluation.metrics == second.evaluation.metrics == alone.evaluation.metrics
    for name, weight in models[2].state_dict().items():
        assert torch.equal(models[0].state_dict()[name], weight), name
        assert torch.equal(models[1].state_dict()[name], weight), name


def test_click_models_are_told_apart_by_their_samples(folder: Path) -> None:
    split = prefix(make_dataset(), max_prefix=4)
    kinds = (build_ctr_data(split), build_ctr_data(split, positive=lambda rating: rating >= 5))
    for data in (*kinds, kinds[0]):
        train_ctr(lambda d=data: DeepFM(d.spec, dim=4), data, PLAN, seed=0)
    assert len(list(folder.iterdir())) == 2
