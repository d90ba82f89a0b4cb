"""Run notebooks as a batch: validated, in parallel, resumable, with one table at the end."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from joblib import Parallel, delayed
from tqdm import tqdm

import llmers_utils
from llmers_utils.paths import DATA, NOTEBOOKS, cache_dir
from llmers_utils.tutorial.execution import (
    Outcome,
    Owner,
    Task,
    execute,
    is_locked,
    kept_outcome,
)
from llmers_utils.tutorial.notebooks import (
    Notebook,
    as_text,
    clean,
    find_notebooks,
    read_notebook,
    write_atomically,
)
from llmers_utils.tutorial.parameters import load_profile, resolve

LIMIT, CELL_LIMIT = 3600.0, 1800  # seconds for a notebook, for a cell
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# What a notebook's result depends on besides itself; records and documentation are no inputs.
INPUTS = ("prompts", "llm_responses", "models", "assets.json")


def run(
    names: Sequence[str] = (),
    *,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    jobs: int = 1,
    name: str | None = None,
    limit: float = LIMIT,
    cell_limit: int = CELL_LIMIT,
    update: bool = False,
    root: Path = NOTEBOOKS,
    stream: TextIO | None = None,
) -> list[Outcome]:
    """Execute notebooks and return how each ended, in the order of teaching.

    Outputs go to ``cache_dir()/runs/<run>/<section>/<NN_slug>.ipynb``, where the run is `name` or
    is derived from profile, parameters and seeds, so that the same command resumes. A notebook
    whose output exists for the same source, parameters, package and data is not executed again.
    `limit` and `cell_limit` are seconds for a whole notebook and for one cell. `update` writes
    the clean executed notebooks back to their place (default parameters only).

    Workers are joblib's: under ``joblib.parallel_config(backend="ray" | "dask")`` the notebooks
    run on that cluster (which must share the file system). ValueError, before anything is
    executed, for unknown names and parameters and for values of a wrong type.
    """
    stream = stream or sys.stdout
    if update and (profile or assignments or seeds is not None):
        raise ValueError("update: stored outputs are made with the default parameters only")
    notebooks = [read_notebook(path) for path in find_notebooks(names, root)]
    values = resolve(
        notebooks,
        profile=load_profile(profile, root) if profile else None,
        assignments=assignments,
        seeds=seeds,
    )
    folder = run_folder(name or run_id(profile, assignments, seeds))
    package = package_hash()
    owner = Owner.me()
    tasks = [
        Task(
            key=notebook.key,
            path=notebook.path,
            output=folder / notebook.section / notebook.path.name,
            parameters=values[notebook.key],
            hash=task_hash(notebook, values[notebook.key], package),
            limit=limit,
            cell_limit=cell_limit,
            owner=owner,
            trained=folder / "trained" / package,
        )
        for notebook in notebooks
    ]
    print(f"{len(tasks)} notebook(s), outputs in {folder}", file=stream)
    minutes = {n.key: float(n.node.metadata.get("llmers", {}).get("minutes", 0)) for n in notebooks}
    outcomes = _run_tasks(tasks, jobs, minutes, stream)
    if update:
        _write_back(tasks, outcomes, stream)
    return outcomes


def _run_tasks(
    tasks: list[Task], jobs: int, minutes: dict[str, float], stream: TextIO
) -> list[Outcome]:
    outcomes = {task.key: kept for task in tasks if (kept := kept_outcome(task))}
    waiting = [task for task in tasks if task.key not in outcomes]
    for task in waiting:
        if is_locked(task):
            print(f"{task.key}: another run is executing it; this one waits for it", file=stream)
    # The longest first, so that no worker is left alone with it at the end.
    waiting.sort(key=lambda task: -minutes[task.key])
    bar = tqdm(
        total=len(tasks),
        initial=len(outcomes),
        unit="notebook",
        file=stream,
        disable=not stream.isatty(),
        dynamic_ncols=True,
    )
    with bar:
        for outcome in outcomes.values():
            bar.write(_line(outcome), file=stream)
        results = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(
            delayed(execute)(task) for task in waiting
        )
        for outcome in results:
            outcomes[outcome.key] = outcome
            bar.write(_line(outcome), file=stream)
            stream.flush()
            bar.set_postfix_str(f"{outcome.seconds:.0f} s, {outcome.peak_mb} MB")
            bar.update()
    return [outcomes[task.key] for task in tasks]


def _line(outcome: Outcome) -> str:
    return f"{outcome.status:<8} {outcome.key}  {outcome.seconds:.0f} s, {outcome.peak_mb} MB"


def _write_back(tasks: Iterable[Task], outcomes: Iterable[Outcome], stream: TextIO) -> None:
    for task, outcome in zip(tasks, outcomes, strict=True):
        if outcome.status != "failed":
            write_atomically(task.path, as_text(clean(read_notebook(task.output).node)))
            print(f"updated {task.key}", file=stream)


def execute_in_place(path: Path | str) -> Outcome:
    """Execute one notebook with its default parameters and store the clean result in its place."""
    path = Path(path).resolve()
    (outcome,) = run([str(path)], update=True, name="update", root=path.parent.parent)
    return outcome


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """The table at the end of a run."""
    width = max(len(o.key) for o in outcomes)
    head = f"{'notebook':<{width}}  {'status':<8}  {'seconds':>7}  {'peak MB':>7}  result"
    rows = [
        f"{o.key:<{width}}  {o.status:<8}  {o.seconds:>7.0f}  {o.peak_mb or '-':>7}  {o.note}"
        for o in outcomes
    ]
    failed = sum(o.status == "failed" for o in outcomes)
    lines = [row.rstrip() for row in rows]
    return "\n".join([head, *lines, f"{len(outcomes) - failed} of {len(outcomes)} finished"])


def run_folder(name: str) -> Path:
    """Folder of the run `name`; ValueError where that is no plain name."""
    if not RUN_NAME.fullmatch(name):
        raise ValueError(f"run {name!r}: must be letters, digits, dots, dashes and underscores")
    return cache_dir().resolve() / "runs" / name


def run_id(profile: str | None, assignments: Sequence[str], seeds: Sequence[int] | None) -> str:
    """Name of a run, from what was asked of it."""
    asked = [profile, sorted(assignments), None if seeds is None else list(seeds)]
    return f"{profile or 'quick'}-{_digest(json.dumps(asked))[:8]}"


def task_hash(notebook: Notebook, parameters: dict[str, Any], package: str) -> str:
    """Hash of all that a notebook's result depends on; stored outputs are no part of it."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.node.cells]
    return _digest(json.dumps([cells, parameters, package], sort_keys=True))


def package_hash() -> str:
    """Hash of the package's sources and of the committed data that notebooks read."""
    package = Path(llmers_utils.__file__).parent
    files = [(package, path) for path in sorted(package.rglob("*.py"))]
    for name in INPUTS:
        found = [DATA / name] if (DATA / name).is_file() else sorted((DATA / name).rglob("*"))
        files += [(DATA, path) for path in found if path.is_file()]
    lines = [
        f"{p.relative_to(base)} {hashlib.sha256(p.read_bytes()).hexdigest()}" for base, p in files
    ]
    return _digest(os.linesep.join(lines))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
