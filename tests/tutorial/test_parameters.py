from __future__ import annotations

import pytest

from llmers_utils.tutorial.notebooks import read_notebook
from llmers_utils.tutorial.parameters import (
    declared_parameters,
    load_profile,
    resolve,
    visible_parameters,
)

from .support import PARAMETERS, SECTION, code, runnable, write

KAR, LANE = f"{SECTION}/03_kar", f"{SECTION}/01_lane"


def notebook(root, name="03_kar", parameters=PARAMETERS):
    return read_notebook(runnable(root, name, "1", parameters=parameters))


def test_declared_and_visible_agree(tmp_path):
    one = notebook(tmp_path)
    declared = declared_parameters(one)
    assert {n: (p.type, p.default) for n, p in declared.items()} == {
        "seeds": ("list", [0]),
        "epochs": ("int", 3),
        "rate": ("float", 0.5),
        "model": ("str", "a"),
        "fast": ("bool", True),
    }
    assert {n: kind for n, (kind, _) in visible_parameters(one).items()} == {
        n: p.type for n, p in declared.items()
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("epochs = 3", "must be a line"),
        ("epochs: int", "with a value"),
        ("epochs: int | None = None", "must be a line"),
        ("epochs: tuple = (1,)", "type must be one of"),
        ("epochs: int = 2 * 3", "cell 1"),
        ("epochs: int = 'x'", "must be of type int"),
        ("epochs: int = True", "must be of type int"),
        ("import os", "must be a line"),
        ("epochs: int =", "cell 1"),
    ],
)
def test_anything_but_typed_literals_is_refused(tmp_path, source, message):
    with pytest.raises(ValueError, match=message):
        declared_parameters(notebook(tmp_path, parameters=source))


def test_exactly_one_parameters_cell(tmp_path):
    path = write(tmp_path / "01_x.ipynb", [code("1")])
    with pytest.raises(ValueError, match="0 cells are tagged parameters"):
        declared_parameters(read_notebook(path))


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("epochs=5", 5),
        ("rate=2", 2.0),
        ("rate=1e-3", 0.001),
        ("model=5", "5"),
        ("model=a=b", "a=b"),
        ("fast=false", False),
        ("seeds=0,1,2", [0, 1, 2]),
        ("seeds=[3]", [3]),
    ],
)
def test_assignments_are_typed_by_the_notebook(tmp_path, assignment, value):
    found = resolve([notebook(tmp_path)], assignments=[assignment])
    (given,) = found[KAR].values()
    assert given == value
    assert type(given) is type(value)


@pytest.mark.parametrize(
    "assignment",
    ["epochs=2.5", "epochs=true", "epochs=", "rate=fast", "fast=1", "seeds=[1", "rate=["],
)
def test_wrong_types_are_refused(tmp_path, assignment):
    with pytest.raises(ValueError, match=f"{KAR}: .*must be of type"):
        resolve([notebook(tmp_path)], assignments=[assignment])


def test_values_go_where_they_are_declared(tmp_path):
    both = [notebook(tmp_path), notebook(tmp_path, "01_lane", "seeds: list = [0]\nheads: int = 2")]
    found = resolve(
        both,
        profile={"epochs": 9, "device": "cuda", "notebooks": {"lane": {"heads": 4}}},
        assignments=["heads=8"],
        seeds=[1, 2],
    )
    assert found == {KAR: {"epochs": 9, "seeds": [1, 2]}, LANE: {"heads": 8, "seeds": [1, 2]}}


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"heads": 4}, "'heads' is no shared parameter"),
        ({"epochs": "many"}, "must be of type int"),
        ({"notebooks": {"kar": {"heads": 4}}}, "unknown parameter 'heads'"),
    ],
)
def test_wrong_profiles(tmp_path, profile, message):
    with pytest.raises(ValueError, match=message):
        resolve([notebook(tmp_path)], profile=profile)


def test_folders_are_made_absolute(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    one = notebook(tmp_path, parameters='dataset: str = "ml-100k"')
    assert resolve([one], assignments=["dataset=./mine"])[KAR]["dataset"] == str(tmp_path / "mine")
    assert resolve([one], assignments=["dataset=ml-1m"])[KAR]["dataset"] == "ml-1m"


def test_profile_files(tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "full.yaml").write_text("epochs: 4\n")
    (tmp_path / "profiles" / "odd.yaml").write_text("- 1\n")
    assert load_profile("full", tmp_path) == {"epochs": 4}
    with pytest.raises(ValueError, match="there are full, odd"):
        load_profile("fulll", tmp_path)
    with pytest.raises(ValueError, match=r"odd\.yaml: must be a mapping"):
        load_profile("odd", tmp_path)
