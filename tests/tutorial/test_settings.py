from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch

from llmers_utils.tutorial.settings import SHARED, Settings, seed_everything, setup

GOOD = {
    "dataset": "ml-100k",
    "seeds": [3, 1],
    "epochs": 2,
    "backbone": "SASRec",
    "encoder": "all-MiniLM-L6-v2",
    "llm": "recorded",
    "student": "recorded",
    "control": "real",
    "device": "cpu",
    "results": "committed",
}
CHOICES = {"backbone": ["SASRec", "GRU4Rec"]}


@pytest.fixture(autouse=True)
def untouched():
    """setup() changes global state; give it back."""
    import matplotlib as mpl

    threads, style = torch.get_num_threads(), dict(mpl.rcParams)
    with warnings.catch_warnings():
        yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    mpl.rcParams.update(style)


def test_good_parameters_come_back_frozen(capsys):
    settings = setup(**GOOD, choices=CHOICES)
    assert dict(settings) == GOOD
    assert settings.epochs == 2
    assert settings.seed == 3
    with pytest.raises(AttributeError, match="frozen"):
        settings.epochs = 3
    with pytest.raises(AttributeError, match="no parameter 'epoch'"):
        _ = settings.epoch
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "seeds 3,1 | epochs 2" in printed


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("dataset", "ml-100", "did you mean ml-100k"),
        ("dataset", "no/such/folder", "existing folder"),
        ("dataset", 3, "existing folder"),
        ("seeds", [], "list of different whole numbers"),
        ("seeds", [1, 1], "list of different whole numbers"),
        ("seeds", [-1], "list of different whole numbers"),
        ("seeds", [True], "list of different whole numbers"),
        ("seeds", 0, "list of different whole numbers"),
        ("epochs", 0, "whole number >= 1"),
        ("epochs", 1.5, "whole number >= 1"),
        ("epochs", True, "whole number >= 1"),
        ("backbone", "SASrec", r"one of SASRec, GRU4Rec \(did you mean SASRec"),
        ("encoder", "", "must be a name"),
        ("llm", "gpt", "recorded:<model>, openai:<model>"),
        ("llm", "openai:", "openai:<model>"),
        ("llm", "openai", "openai:<model>"),
        ("student", "distil", "hf:tiny is"),
        ("student", "hf: ", "hf:<model or folder>"),
        ("control", "reel", "did you mean real"),
        ("device", "gpu", "must be one of cpu, cuda, mps"),
    ],
)
def test_impossible_shared_values(name, value, message):
    with pytest.raises(ValueError, match=f"{name}=.*{message}"):
        setup(**(GOOD | {name: value}), choices=CHOICES)


def test_device_must_be_available(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda' is not available"):
        setup(device="cuda")


def test_a_folder_is_a_dataset(tmp_path):
    assert setup(dataset=str(tmp_path)).dataset == str(tmp_path)


@pytest.mark.parametrize("llm", ["recorded:model", "openai:m", "hf:tiny", "hf:some/folder"])
def test_forms_of_language_models(llm):
    assert setup(llm=llm).llm == llm


@pytest.mark.parametrize("student", ["recorded", "hf:tiny", "hf:some/folder"])
def test_forms_of_students(student):
    assert setup(student=student).student == student


@pytest.mark.parametrize(
    ("value", "message"),
    [(0, "from 1 to 8"), (9, "from 1 to 8"), (2.0, "whole number from"), (True, "whole number")],
)
def test_own_ranges(value, message):
    with pytest.raises(ValueError, match=f"experts=.*{message}"):
        setup(experts=value, ranges={"experts": (1, 8)})


def test_own_choices_hold_for_elements_of_lists():
    assert setup(parts=["a"], choices={"parts": ["a", "b"]}).parts == ["a"]
    with pytest.raises(ValueError, match=r"parts=.*must be one of a, b"):
        setup(parts=["a", "c"], choices={"parts": ["a", "b"]})
    with pytest.raises(ValueError, match="fast=1 must be one of True, False"):
        setup(fast=1, choices={"fast": [True, False]})
    assert setup(rate=1, ranges={"rate": (0.0, 1.0)}).rate == 1


def test_unknown_names_and_several_problems_at_once():
    with pytest.raises(
        ValueError, match="unknown parameter 'epoch': did you mean 'epochs'"
    ) as error:
        setup(epoch=3, device="gpu")
    assert "device='gpu'" in str(error.value)
    with pytest.raises(ValueError, match=r"backbone.*choices"):
        setup(backbone="SASRec")
    with pytest.raises(ValueError, match="'experts' has choices or a range but no value"):
        setup(ranges={"experts": (1, 8)})


def test_nothing_happens_before_all_is_valid():
    random.seed(5)
    state = random.getstate()
    with pytest.raises(ValueError, match="epochs"):
        setup(seeds=[1], epochs=0)
    assert random.getstate() == state


def test_setup_fixes_chance_and_threads(monkeypatch):
    def draws():
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    setup(seeds=[7])
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    first = draws()
    seed_everything(7)
    assert draws() == first
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    setup(seeds=[7])
    assert torch.get_num_threads() == 2


def test_shared_names_are_those_of_the_template():
    assert list(SHARED) == list(GOOD)
    assert Settings({}).seed == 0
