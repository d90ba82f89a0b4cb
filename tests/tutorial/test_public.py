from __future__ import annotations

import subprocess
import sys

import pytest

from llmers_utils import tutorial


@pytest.mark.parametrize("name", tutorial.__all__)
def test_every_public_name_exists_and_is_documented(name):
    assert getattr(tutorial, name).__doc__


def test_unknown_names_are_errors():
    with pytest.raises(AttributeError, match="no attribute 'setpu'"):
        _ = tutorial.setpu


def test_importing_the_package_is_light():
    heavy = "{'torch', 'nbformat', 'matplotlib', 'papermill', 'pydantic', 'polars'}"
    script = f"import sys, llmers_utils.tutorial\nassert not {heavy} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
