"""pyproject, the lock and environment.yml name the same packages and the same Python."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from llmers_utils.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = {
    canonicalize_name(Requirement(line).name): Requirement(line)
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
}
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
DIRECT = [
    Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
]


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_lock_satisfies_pyproject(requirement):
    locked = LOCK[canonicalize_name(requirement.name)]
    (pin,) = locked.specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version), f"{requirement} but locked {locked}"


def test_lock_is_exact_and_pins_the_agreed_torch():
    loose = [str(r) for r in LOCK.values() if not re.fullmatch(r"==[^,*]+", str(r.specifier))]
    assert loose == []
    assert str(LOCK["torch"].specifier) == "==2.13.0"


def test_environment_installs_the_lock():
    (pip,) = [entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", "-e ."]
    conda_python = next(d for d in ENVIRONMENT["dependencies"] if str(d).startswith("python="))
    assert PROJECT["requires-python"] == ">=" + conda_python.removeprefix("python=")


@pytest.mark.parametrize("name", ["torch", "transformers", "polars", "nbval", "papermill"])
def test_installed_versions_are_the_locked_ones(name):
    (pin,) = LOCK[name].specifier
    assert version(name).split("+")[0] == pin.version
