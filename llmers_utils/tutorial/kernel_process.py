"""The process that executes one notebook: ``python -m llmers_utils.tutorial.kernel_process``.

It reads a job from standard input, executes it with papermill and writes what happened to a file.
The end of its input says that whoever started it is gone: it then ends itself and its kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from llmers_utils.tutorial.notebooks import import_nbformat, read_notebook, write_atomically

KILLED = "kernel died (killed, perhaps for want of memory)"


def main() -> None:
    """Read a job from standard input, execute it, write its status file."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    import_nbformat()  # before papermill does
    error = _error_of(lambda: _execute_with_papermill(job), job)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 2**20
    write_atomically(Path(job["status"]), json.dumps({"error": error, "peak_mb": round(peak)}))


def _execute_with_papermill(job: dict[str, Any]) -> None:
    import papermill

    papermill.execute_notebook(
        job["input"],
        job["output"],
        parameters=job["parameters"],
        cwd=str(Path(job["input"]).parent),
        progress_bar=False,
        execution_timeout=job["cell_limit"],
    )
    for _, cell in read_notebook(job["output"]).code_cells():
        if cell.source.strip() and cell.execution_count is None:
            raise RuntimeError("the kernel ended before the last cell")


def _error_of(execute: Callable[[], None], job: dict[str, Any]) -> str:
    """One line that says what went wrong, or an empty text."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    try:
        execute()
        return ""
    except PapermillExecutionError as error:
        return f"In [{error.exec_count}]: {error.ename}: {_first_line(error.evalue)}"
    except CellTimeoutError:
        problem = f"stopped after {job['cell_limit']} s, the limit for one cell"
    except DeadKernelError:
        problem = KILLED
    except Exception as error:  # the table of the run must show whatever it was
        problem = f"{type(error).__name__}: {_first_line(str(error))}"
    return f"{running_cell(Path(job['output']))}: {problem}"


def _first_line(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return plain.splitlines()[0] if plain else ""


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    for child in psutil.Process().children(recursive=True):
        kill_tree(child.pid)
    os._exit(3)


def running_cell(partial: Path) -> str:
    """The cell that was running when `partial` was written, as a reader knows it."""
    try:
        cells = [cell for _, cell in read_notebook(partial).code_cells()]
    except (FileNotFoundError, ValueError):
        return "before the first cell"
    # Counts come from the kernel, which may be gone; papermill notes itself what it started.
    started = [
        i for i, c in enumerate(cells, 1) if c.metadata.get("papermill", {}).get("start_time")
    ]
    return f"In [{max(started, default=1)}]"


def kill_tree(pid: int) -> None:
    """Kill a process and all that came from it; kernels live in sessions of their own."""
    try:
        root = psutil.Process(pid)
        tree = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


if __name__ == "__main__":
    main()
