"""Small notebooks and results to test with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from llmers_utils.language import Ledger
from llmers_utils.recommenders.evaluation import Evaluation
from llmers_utils.tutorial.comparison import Comparison, Trained, compare
from llmers_utils.tutorial.records import MIME, Record, make_record
from llmers_utils.tutorial.rules import HEADINGS
from llmers_utils.tutorial.settings import Settings

SECTION = "2_knowledge_enhancement"
PARAMETERS = (
    'seeds: list = [0]\nepochs: int = 3\nrate: float = 0.5\nmodel: str = "a"\nfast: bool = True'
)
ROLES = {"base": "backbone", "+ metadata": "metadata", "+ llm": "llm", "+ shuffled": "shuffled"}


def code(source: str, *tags: str, printed: str = "", hidden: bool = False):
    cell = new_code_cell(source)
    if tags:
        cell.metadata["tags"] = list(tags)
    if hidden:
        cell.metadata["jupyter"] = {"source_hidden": True}
    if printed:
        cell.outputs = [new_output("stream", name="stdout", text=printed + "\n")]
    return cell


def text(source: str):
    return new_markdown_cell(source)


def write(path: Path, cells: list, *, counted: bool = True, **facts) -> Path:
    """Store a notebook; `counted` as if it had been executed."""
    node = new_notebook(cells=cells)
    node.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    node.metadata["language_info"] = {"name": "python"}
    if facts:
        node.metadata["llmers"] = facts
    if counted:
        for count, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
            cell.execution_count = count
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(node, path)
    return path


def runnable(root: Path, name: str, *sources: str, parameters: str = PARAMETERS) -> Path:
    """A notebook with a parameters cell and the given code, for execution."""
    cells = [code(parameters, "parameters"), *(code(source) for source in sources)]
    return write(root / SECTION / f"{name}.ipynb", cells, counted=False)


def evaluation(level: float, *, users: int = 200, seed: int = 0, lower: float = 0.0) -> Evaluation:
    """Values around `level` for each user, correlated between arms as real ones are."""
    easy = np.random.default_rng(0).random(users)
    own = np.random.default_rng(seed + 1).normal(0, 0.02, users)
    values = level + 0.2 * easy + own - 0.1
    mean = float(values.mean())
    return Evaluation(
        protocol="leave_last_out, test, full ranking",
        users=np.arange(users),
        metrics={"NDCG@10": mean, "HR@10": 2 * mean, "LogLoss": 1 - mean},
        per_user={"NDCG@10": values, "HR@10": 2 * values, "LogLoss": 1 - values},
        n=users,
        slices={"tail items": {"NDCG@10": mean / 2, "HR@10": mean, "LogLoss": 1 - mean / 2}},
        slice_sizes={"tail items": users // 2},
    )


def comparison(levels: dict[str, float] | None = None, seeds=(0, 1), **options) -> Comparison:
    levels = levels or {"base": 0.30, "+ metadata": 0.31, "+ llm": 0.33, "+ shuffled": 0.305}
    arms = {
        name: lambda seed, name=name, level=level: Trained(
            evaluation(level, seed=10 * seed + len(name)), 1000 + len(name), 1.26, 64
        )
        for name, level in levels.items()
    }
    options = {"metric": "NDCG@10", "reference": "base", "roles": ROLES} | options
    return compare(arms, seeds=list(seeds), **options)


FACTS = {
    "kind": "method",
    "title": "KAR: knowledge for click prediction",
    "promise": "You will give a click model an expert's notes.",
    "section": SECTION,
    "method": "KAR",
    "idea": "notes of a language model as fields",
    "paper": "Xi et al., RecSys 2024",
    "backbone": "DIN",
    "minutes": 2,
    "needs": "MovieLens-100K",
}
STUB = 'def twice(a):\n    ...\n\n\ncheck_exercise("exercise 1", twice, [((1,), 2)])'
SOLUTION = STUB.replace("...", "return 2 * a")


def make(**changes) -> Record:
    """A record of `comparison()`."""
    ledger = Ledger(calls=5, cached=5, prompt_tokens=70, completion_tokens=30, seconds=1.23)
    facts = {
        "notebook": "kar",
        "method": "KAR",
        "section": SECTION,
        "comparison": comparison(),
        "split": SimpleNamespace(hash="0123456789abcdef"),
        "dataset": SimpleNamespace(name="ml-100k"),
        "parameters": Settings({"seeds": [0, 1], "epochs": 3}),
        "ledger": ledger,
    }
    return make_record(**(facts | changes))


def method_cells(record: Record) -> list:
    """Cells of a method's notebook that breaks no rule."""
    header = "# {title}\n\n{promise}\n\n{paper} | {backbone} | {minutes} min | {needs}"
    recorded = code("record(notebook='kar')", "record")
    data = {"text/plain": record.line(), MIME: record.as_json()}
    recorded.outputs = [new_output("display_data", data)]
    sections = {
        "Set-up": [
            code("from llmers_utils.tutorial import check_exercise, record, setup", "imports"),
            code("seeds: list = [0]\nepochs: int = 3", "parameters"),
            code(
                "settings = setup(seeds=seeds, epochs=epochs)",
                "setup",
                printed="seeds 0 | epochs 3",
            ),
        ],
        "Checks": [
            code('assert 1 == 1\nprint("checks hold: 1/1")', "checks", printed="checks hold: 1/1")
        ],
        "Exercises": [
            code(STUB, "exercise", printed="exercise 1: not attempted"),
            code(SOLUTION, "solution", printed="exercise 1: passed (1 case)", hidden=True),
            text("Another."),
            code(STUB, "exercise", printed="exercise 1: not attempted"),
            code(SOLUTION, "solution", printed="exercise 1: passed (1 case)", hidden=True),
        ],
        "The record": [recorded],
    }
    cells = [text(header.format(**FACTS))]
    for heading in HEADINGS:
        cells += [text(f"## {heading}"), *sections.get(heading, [])]
    return cells
