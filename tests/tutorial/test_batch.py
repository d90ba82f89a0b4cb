"""Runs of real kernels. The slow parts are shared: one run holds all kinds of failure."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from llmers_utils.tutorial import batch, execution
from llmers_utils.tutorial.notebooks import read_notebook

from .support import SECTION, code, runnable, text, write

IMPOSSIBLE = """from llmers_utils.tutorial import setup
setup(seeds=seeds, epochs=epochs, rate=rate, model=model, fast=fast,
      choices={"model": ["a", "b"], "fast": [True, False]}, ranges={"rate": (0.0, 1.0)})"""
NATIVE_HANG = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("LLMERS_CACHE", str(folder))
    return folder


def run(root: Path, *names: str, **options):
    stream = io.StringIO()
    outcomes = batch.run(names, root=root, stream=stream, **options)
    return {outcome.key.rpartition("/")[2]: outcome for outcome in outcomes}, stream.getvalue()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One run of a good notebook and of each kind of bad one."""
    root = tmp_path_factory.mktemp("mixed")
    here, shared = "print(os.path.basename(os.getcwd()))", "print(os.environ['LLMERS_TRAINED'])"
    runnable(root, "01_good", f"import os\n{here}", "print(epochs)", shared)
    runnable(root, "02_bad", "print('so far')", "1 / 0", "print('never')")
    runnable(root, "03_killed", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    runnable(root, "04_hanging", "import time\ntime.sleep(600)")
    runnable(root, "05_exit", "import sys\nsys.exit(0)", "print('never')")
    runnable(root, "06_impossible", IMPOSSIBLE)
    patch = pytest.MonkeyPatch()
    patch.setenv("LLMERS_CACHE", str(root / "cache"))
    outcomes, printed = run(
        root, assignments=["epochs=7", "rate=2"], cell_limit=8, jobs=2, name="mixed"
    )
    patch.undo()
    return outcomes, printed, root / "cache" / "runs" / "mixed" / SECTION


def test_good_notebook_finishes_with_its_parameters_in_its_folder(mixed):
    outcomes, printed, folder = mixed
    assert outcomes["01_good"].status == "finished"
    assert outcomes["01_good"].peak_mb > 20
    cells = [cell for _, cell in read_notebook(folder / "01_good.ipynb").code_cells()]
    trained = folder.parent / "trained" / batch.package_hash()
    printed_lines = [o.text for cell in cells[2:] for o in cell.outputs]
    assert printed_lines == [f"{SECTION}\n", "7\n", f"{trained}\n"]
    assert f"finished {SECTION}/01_good" in printed


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("02_bad", "In [4]: ZeroDivisionError: division by zero"),
        ("03_killed", "In [3]: kernel died"),
        ("04_hanging", "In [3]: stopped after 8 s, the limit for one cell"),
        ("05_exit", "the kernel ended before the last cell"),
        ("06_impossible", "ValueError: rate=2.0 must be a number from 0.0 to 1.0"),
    ],
)
def test_failures_say_where_and_what(mixed, name, note):
    outcomes, _, folder = mixed
    assert outcomes[name].status == "failed"
    assert note in outcomes[name].note
    assert not (folder / f"{name}.ipynb").exists()
    assert not (folder / f"{name}.json").exists()


def test_partial_output_of_what_failed_is_kept(mixed):
    _, _, folder = mixed
    cells = [cell for _, cell in read_notebook(folder / "02_bad.failed.ipynb").code_cells()]
    stored = "".join(o.get("text", "") for cell in cells for o in cell.outputs)
    assert "so far" in stored
    assert "never" not in stored


def test_nothing_temporary_is_left(mixed):
    _, _, folder = mixed
    assert not list(folder.glob("*.work"))
    assert not list(folder.glob(".*.work"))


def test_table_shows_every_notebook_and_the_errors(mixed):
    outcomes, _, _ = mixed
    table = batch.outcome_table(list(outcomes.values()))
    assert "1 of 6 finished" in table
    assert "ZeroDivisionError" in table
    assert len(table.splitlines()) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"assignments": ["epoch=3"]}, "did you mean epochs"),
        ({"assignments": ["epochs=many"]}, "must be of type int"),
        ({"assignments": ["epochs=1e1"]}, "must be of type int"),
        ({"assignments": ["epochs"]}, "name=value"),
        ({"profile": "huge"}, "no profile"),
        ({"name": "../elsewhere"}, "run '../elsewhere'"),
        ({"update": True, "seeds": [1]}, "default parameters only"),
    ],
)
def test_wrong_requests_execute_nothing(tmp_path, cache, options, message):
    runnable(tmp_path, "01_one", "1")
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **options)
    assert not (cache / "runs").exists()


def test_finished_notebooks_are_kept_until_an_input_changes(tmp_path, cache):
    path = runnable(tmp_path, "01_one", "print(1)")
    (first,) = run(tmp_path)[0].values()
    (second,) = run(tmp_path)[0].values()
    assert (first.status, second.status) == ("finished", "kept")
    assert second.peak_mb == first.peak_mb
    (sidecar,) = cache.glob(f"runs/*/{SECTION}/01_one.json")
    # Each of these makes the pair of output and sidecar incomplete or stale.
    output = sidecar.with_suffix(".ipynb")
    whole = output.read_text()
    output.write_text(whole[: len(whole) // 2])
    task = _task(path, output)
    assert execution.kept_outcome(task) is None
    output.write_text(whole)
    assert execution.kept_outcome(task) is not None
    sidecar.write_text("{")
    assert execution.kept_outcome(task) is None
    sidecar.unlink()
    assert execution.kept_outcome(task) is None


def _task(path: Path, output: Path) -> execution.Task:
    hashed = batch.task_hash(read_notebook(path), {}, batch.package_hash())
    owner = execution.Owner.me()
    return execution.Task("k", path, output, {}, hashed, 60, 60, owner, output.parent)


def test_hash_depends_on_sources_and_parameters_not_on_outputs(tmp_path):
    def hashed(source, printed="", parameters=None, package="p"):
        path = write(tmp_path / "01_x.ipynb", [code(source, printed=printed)])
        return batch.task_hash(read_notebook(path), parameters or {}, package)

    base = hashed("1")
    assert base == hashed("1", printed="other")
    assert len({base, hashed("2"), hashed("1", parameters={"a": 1}), hashed("1", package="q")}) == 4


def test_whole_notebook_limit_ends_a_kernel_that_ignores_interrupts(tmp_path):
    runnable(tmp_path, "01_deaf", "print('here', flush=True)", NATIVE_HANG)
    outcomes, _ = run(tmp_path, limit=8)
    assert "stopped after 8 s, the limit for a whole notebook" in outcomes["01_deaf"].note
    assert not _descendants()


def _descendants() -> list[psutil.Process]:
    """Processes of notebooks that this test process has started and that still live."""
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if "ipykernel_launcher" in " ".join(p.cmdline()) and p.status() != psutil.STATUS_ZOMBIE
    ]


RUNNER = """
import sys
from pathlib import Path
from llmers_utils.tutorial import batch
if __name__ == "__main__":
    outcomes = batch.run(root=Path(sys.argv[1]), jobs=2, name="shared")
    print(batch.outcome_table(outcomes))
"""


def start_run(root: Path, log: Path) -> subprocess.Popen:
    script = root / "runner.py"
    script.write_text(RUNNER)
    with log.open("w") as file:
        return subprocess.Popen(
            [sys.executable, str(script), str(root)],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for(condition, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def test_kill_9_of_the_whole_run_and_resume(tmp_path, cache):
    marks = tmp_path / "marks"
    marks.mkdir()
    mark = f"from pathlib import Path\nimport time\nPath({str(marks)!r}, "
    runnable(tmp_path, "01_quick", mark + "f'quick{time.time_ns()}').touch()")
    slow = "open_gate = Path(GATE)\nwhile not open_gate.exists(): time.sleep(0.05)"
    slow = slow.replace("GATE", repr(str(tmp_path / "gate")))
    runnable(tmp_path, "02_slow", mark + "f'slow{time.time_ns()}').touch()", slow)
    folder = cache / "runs" / "shared" / SECTION
    process = start_run(tmp_path, tmp_path / "first.log")
    wait_for(lambda: (folder / "01_quick.json").exists() and list(marks.glob("slow*")))
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)  # the run and its workers, all at once
    process.wait()
    psutil.wait_procs(family, timeout=30)
    left = [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not left, "the killed run left processes behind"
    assert not (folder / "02_slow.ipynb").exists(), "a half-executed notebook is taken for a result"

    (tmp_path / "gate").touch()
    outcomes, _ = run(tmp_path, name="shared")
    assert {n: o.status for n, o in outcomes.items()} == {"01_quick": "kept", "02_slow": "finished"}
    assert len(list(marks.glob("quick*"))) == 1
    assert len(list(marks.glob("slow*"))) == 2
    assert not list(folder.glob(".*"))


def test_two_runs_at_once_execute_each_notebook_once(tmp_path, cache):
    marks = tmp_path / "marks"
    marks.mkdir()
    gate = tmp_path / "gate"
    runnable(
        tmp_path,
        "01_slow",
        f"from pathlib import Path\nimport time\nPath({str(marks)!r}, str(time.time_ns())).touch()",
        f"while not Path({str(gate)!r}).exists(): time.sleep(0.05)",
    )
    other = start_run(tmp_path, tmp_path / "other.log")
    wait_for(lambda: list(marks.iterdir()))
    threading.Timer(0.5, gate.touch).start()
    outcomes, printed = run(tmp_path, name="shared")
    assert other.wait(timeout=120) == 0
    assert outcomes["01_slow"].status == "kept"
    assert "another run is executing it; this one waits for it" in printed
    assert len(list(marks.iterdir())) == 1
    stored = json.loads((cache / "runs" / "shared" / SECTION / "01_slow.json").read_text())
    assert stored["status"] == "finished"


def test_update_stores_clean_outputs_in_place(tmp_path):
    cells = [
        text("# Title"),
        code("epochs: int = 3", "parameters"),
        text("x"),
        code("print(epochs)"),
    ]
    path = write(tmp_path / SECTION / "01_one.ipynb", cells, counted=False)
    assert batch.execute_in_place(path).status == "finished"
    notebook = read_notebook(path)
    assert [cell.execution_count for _, cell in notebook.code_cells()] == [1, 2]
    assert notebook.node.cells[3].outputs[0].text == "3\n"
    assert "papermill" not in path.read_text()
    assert "llmers_run" not in path.read_text()
    before = path.read_text()
    batch.execute_in_place(path)
    assert path.read_text() == before
