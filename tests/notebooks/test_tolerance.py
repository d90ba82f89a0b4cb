"""The hook that compares notebooks must let noise pass and catch a number that really moved."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest

from tests.tolerance import agree


@pytest.mark.parametrize(
    ("reference", "fresh", "verdict"),
    [
        ("NDCG@10 0.0812", "NDCG@10 0.0815", True),
        ("NDCG@10 0.0812", "NDCG@10 0.0912", False),
        ("users 943", "users 944", False),
        ("gain  0.001", "gain -0.000", True),
        ("gain 0.0012", "loss 0.0012", False),
        ("a 0.1 b 0.2", "a 0.1", False),
        ({"NDCG@10": 0.1, "seconds": 1.0}, {"NDCG@10": 0.1, "seconds": 9.0}, True),
        ({"NDCG@10": 0.1}, {"NDCG@5": 0.1}, False),
        ({"users": 943}, {"users": 944}, False),
        ({"p_value": 0.2}, {"p_value": 0.7}, True),
        ([0.1, 0.2], [0.1, 0.2004], True),
        ([0.1, 0.2], [0.1], False),
        (1, 1.0, False),
    ],
)
def test_agreement(reference, fresh, verdict):
    assert agree(reference, fresh, 1e-3) is verdict


CASES = {
    "same": ("print('AUC 0.7312')", "AUC 0.7312\n", [], 0),
    "noise": ("print('AUC 0.7312')", "AUC 0.7317\n", [], 0),
    "moved": ("print('AUC 0.7312')", "AUC 0.7412\n", [], 1),
    "metric cell": ("print('AUC 0.7312')", "AUC 0.7412\n", ["metric"], 0),
    "metric cell moved": ("print('AUC 0.7312')", "AUC 0.7912\n", ["metric"], 1),
    "word changed": ("print('better')", "worse\n", [], 1),
    "html and stderr aside": ("import sys; print('a', file=sys.stderr); print('b')", "b\n", [], 0),
}


@pytest.mark.parametrize("case", CASES)
def test_nbval_with_the_hook(case, tmp_path):
    source, stored, tags, failures = CASES[case]
    cell = nbformat.v4.new_code_cell(source, execution_count=1, metadata={"tags": tags})
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=stored)]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path = tmp_path / "case.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", str(path)]
    command += ["-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (run.returncode != 0) == bool(failures), run.stdout[-3000:]
