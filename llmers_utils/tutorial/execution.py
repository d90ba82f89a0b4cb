"""Execute one notebook: locked against other runs, within a time limit, complete or not at all."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from llmers_utils.tutorial import kernel_process, trained_once
from llmers_utils.tutorial.notebooks import as_text, read_notebook, write_atomically

# One thread for each notebook: as many notebooks as cores run side by side, sums in one order.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


@dataclass(frozen=True)
class Owner:
    """The process that a run belongs to; work for one that is gone is given up."""

    host: str
    pid: int
    started: float

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    def is_gone(self) -> bool:
        """Whether it ended; False where it lives on another machine and cannot be seen."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return ended or process.create_time() != self.started
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class Task:
    """One notebook to execute: from ``path`` to ``output``; ``hash`` identifies all its inputs.

    ``trained`` is the folder of what the run's notebooks train in common.
    """

    key: str
    path: Path
    output: Path
    parameters: dict[str, Any]
    hash: str
    limit: float
    cell_limit: int
    owner: Owner
    trained: Path

    @property
    def sidecar(self) -> Path:
        """The file that says the output is complete."""
        return self.output.with_suffix(".json")

    @property
    def failed(self) -> Path:
        """Partial output of the last failure."""
        return self.output.with_suffix(".failed.ipynb")

    def lock(self) -> FileLock:
        """The lock that whoever executes this task holds; the system frees it when they die."""
        self.output.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self.output.with_suffix(".lock"))


@dataclass(frozen=True)
class Outcome:
    """How a task ended: "finished", "kept" (it had been finished before) or "failed".

    ``note`` is the record's line, or the first line of the error.
    """

    key: str
    status: str
    seconds: float = 0.0
    peak_mb: int = 0
    note: str = ""


def kept_outcome(task: Task) -> Outcome | None:
    """Outcome of an earlier, complete execution with the same inputs, or None.

    Both the output and its sidecar must carry the task's hash: the sidecar is written last, so a
    run killed anywhere leaves no pair that agrees.
    """
    try:
        stored = json.loads(task.sidecar.read_text(encoding="utf-8"))
        marked = read_notebook(task.output).node.metadata.get("llmers_run", {})
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(stored, dict) or not stored.get("hash") == task.hash == marked.get("hash"):
        return None
    return Outcome(task.key, "kept", stored["seconds"], stored["peak_mb"], stored["note"])


def is_locked(task: Task) -> bool:
    """Whether another run is executing this task now."""
    try:
        with task.lock().acquire(timeout=0):
            return False
    except Timeout:
        return True


def execute(task: Task) -> Outcome:
    """Execute a task, or wait for another run that is doing it and take over its result."""
    with task.lock():
        return kept_outcome(task) or _execute_locked(task)


def _execute_locked(task: Task) -> Outcome:
    for stale in task.output.parent.glob(f".{task.output.stem}.*.work"):
        shutil.rmtree(stale, ignore_errors=True)
    folder = task.output.parent / f".{task.output.stem}.{os.getpid()}.work"
    folder.mkdir()
    started = time.monotonic()
    try:
        status = _run_process(task, folder)
        seconds = round(time.monotonic() - started, 1)
        peak, error = status.get("peak_mb", 0), status["error"]
        partial = folder / "output.ipynb"
        if error:
            _keep_partial(partial, task.failed)
            return Outcome(task.key, "failed", seconds, peak, error)
        node = read_notebook(partial).node
        node.metadata["llmers_run"] = {"hash": task.hash, "parameters": task.parameters}
        outcome = Outcome(task.key, "finished", seconds, peak, _record_line(node))
        write_atomically(task.output, as_text(node))
        write_atomically(task.sidecar, json.dumps(asdict(outcome) | {"hash": task.hash}, indent=1))
        task.failed.unlink(missing_ok=True)
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_process(task: Task, folder: Path) -> dict[str, Any]:
    """Start `kernel_process`, watch it, and return what it says."""
    job = {
        "input": str(task.path.resolve()),
        "output": str(folder / "output.ipynb"),
        "parameters": task.parameters,
        "cell_limit": task.cell_limit,
        "status": str(folder / "status.json"),
    }
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", kernel_process.__name__],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=os.environ | ENVIRONMENT | {trained_once.FOLDER: str(task.trained)},
            start_new_session=True,
            text=True,
        )
    try:
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        stopped = _watch(process, task)
    finally:
        if process.poll() is None:
            kernel_process.kill_tree(process.pid)
        process.stdin.close()
        process.wait()
    if stopped:
        return {"error": f"{kernel_process.running_cell(folder / 'output.ipynb')}: {stopped}"}
    try:
        return json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        said = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return {"error": f"process ended with code {process.returncode}: {''.join(said[-1:])}"}


def _watch(process: subprocess.Popen, task: Task) -> str:
    """Wait for the end; why it had to be stopped before, or an empty text."""
    deadline = time.monotonic() + task.limit
    while True:
        try:
            process.wait(timeout=0.2)
            return ""
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                return f"stopped after {task.limit:g} s, the limit for a whole notebook"
            if task.owner.is_gone():
                return "stopped, because the run was killed"


def _keep_partial(partial: Path, failed: Path) -> None:
    try:
        text = as_text(read_notebook(partial).node)
    except (FileNotFoundError, ValueError):
        return  # killed before, or while, it was written
    write_atomically(failed, text)


def _record_line(node: Any) -> str:
    from llmers_utils.tutorial.records import MIME

    outputs = (o for cell in node.cells for o in cell.get("outputs", []))
    return next((o.data["text/plain"] for o in outputs if MIME in o.get("data", {})), "")
