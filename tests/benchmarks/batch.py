"""The whole tutorial: ``llmers run --jobs 2`` against papermill, one notebook after the other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from llmers_utils.tutorial.batch import run_folder
from llmers_utils.tutorial.notebooks import Notebook, all_notebooks, read_notebook
from tests.benchmarks.results import Row, row

RUN = "benchmark"


def measure(repetitions: int = 1, share: float = 1.0) -> Iterator[Row]:
    """One comparison of the first ``share`` of the notebooks; twice the work once is enough.

    The texts must have been encoded before, or whoever comes first pays for both.
    """
    paths = all_notebooks()
    paths = paths[: max(2, round(share * len(paths)))]
    shutil.rmtree(run_folder(RUN), ignore_errors=True)
    ours = _seconds("llmers_utils.cli", "run", "--jobs", "2", "--run", RUN, *map(str, paths))
    early = {notebook.slug: before_own_cells(notebook) for notebook in map(_executed, paths)}
    with tempfile.TemporaryDirectory() as folder:
        theirs = 0.0
        for path in paths:
            output = str(Path(folder) / path.name)
            options = ("--no-progress-bar", "--cwd", str(path.parent))
            theirs += _seconds("papermill", str(path), output, *options)
    slowest = max(early, key=early.get)
    note = f"at most {early[slowest]:.0%} of a notebook before its own first cell ({slowest})"
    yield row("batch", "serial papermill", [ours], [theirs], data="tutorial", unit="s", note=note)


def before_own_cells(notebook: Notebook) -> float:
    """Share of an executed notebook's time that is gone when its setup cell is done.

    Starting the kernel, importing and validating: what is not spent in the cells after it.
    """
    sidecar = json.loads(notebook.path.with_suffix(".json").read_text(encoding="utf-8"))
    cells = [cell for _, cell in notebook.code_cells()]
    setup = next(i for i, c in enumerate(cells) if "setup" in c.metadata.get("tags", []))
    own = sum(cell.metadata["papermill"]["duration"] or 0 for cell in cells[setup + 1 :])
    return 1 - own / sidecar["seconds"]


def _executed(path: Path) -> Notebook:
    return read_notebook(run_folder(RUN) / path.parent.name / path.name)


def _seconds(module: str, *arguments: str) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", module, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started
