"""Rules on the code of a notebook's cells."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from typing import Any

from llmers_utils.tutorial.notebooks import Notebook, tags
from llmers_utils.tutorial.output_rules import Finding, Rule
from llmers_utils.tutorial.sources import MAGIC, calls, imported_packages, missing_names, parse_cell

MOST_LINES, MOST_COLUMNS, MOST_MEDIAN = 25, 100, 8
PACKAGES = {
    "IPython",
    "llmers_utils",
    "matplotlib",
    "numpy",
    "openai",
    "peft",
    "polars",
    "pydantic",
}
PACKAGES |= {"safetensors", "scipy", "sentence_transformers", "sklearn", "torch", "transformers"}
BANNED_CALLS = {
    "clear_output": "nbval does not apply it",
    "display.clear_output": "nbval does not apply it",
    "update_display": "nbval does not apply it",
    "display.update_display": "nbval does not apply it",
    "tqdm": "fit() shows progress where there is someone to see it",
    "trange": "fit() shows progress where there is someone to see it",
    "exit": "the cells below would not run",
    "quit": "the cells below would not run",
    "sys.exit": "the cells below would not run",
    "os._exit": "the cells below would not run",
    "sys.path.append": "the package is installed",
    "sys.path.insert": "the package is installed",
    "input": "there is nobody to answer in a batch",
    "urlopen": "data come through llmers_utils.data",
    "requests.get": "data come through llmers_utils.data",
    "pickle.load": "nothing is unpickled",
}
FOREIGN_PATH = re.compile(r"^(?:/[\w.-]+/|~/|[A-Za-z]:[\\/])|(?:^|/)\.\./")


def short_cells(notebook: Notebook) -> Iterator[Finding]:
    """A cell has one purpose: at most 25 lines, median at most 8, no empty cells."""
    lengths = []
    for number, cell in enumerate(notebook.node.cells, 1):
        if not cell.source.strip():
            yield Finding(number, "cell is empty: delete it")
        if cell.cell_type == "code":
            lines = cell.source.splitlines()
            lengths.append(len(lines))
            # The formatter gives every imported name a line of its own.
            if len(lines) > MOST_LINES and "imports" not in tags(cell):
                yield Finding(number, f"{len(lines)} lines, at most {MOST_LINES}: divide it")
            if any(len(line) > MOST_COLUMNS for line in lines):
                yield Finding(number, f"a line is longer than {MOST_COLUMNS} columns")
    if lengths and statistics.median(lengths) > MOST_MEDIAN:
        median = statistics.median(lengths)
        yield Finding(0, f"median code cell has {median:g} lines, at most {MOST_MEDIAN}")


def plain_python(notebook: Notebook) -> Iterator[Finding]:
    """Neither magics nor shell lines, no line that ends in a semicolon."""
    for number, cell in notebook.code_cells():
        lines = [line.split("  #")[0].rstrip() for line in cell.source.splitlines()]
        if any(MAGIC.search(line) for line in lines) and parse_cell(cell.source) is None:
            yield Finding(number, "magic or shell line: write plain Python")
        elif parse_cell(cell.source) is None:
            yield Finding(number, "is no Python: mend the syntax")
        if any(line.endswith(";") for line in lines):
            yield Finding(number, "line ends in `;`, which hides nothing: use plt.show() or a name")


def imports_in_one_place(notebook: Notebook) -> Iterator[Finding]:
    """Imports only in the imports cell, and only of what the project depends on."""
    for number, cell in notebook.code_cells():
        packages = [p for tree in _trees(cell) for p in imported_packages(tree)]
        if packages and "imports" not in tags(cell):
            yield Finding(number, f"imports {', '.join(packages)}: move it to the imports cell")
        for package in packages:
            if package not in PACKAGES and package not in sys.stdlib_module_names:
                yield Finding(number, f"imports {package}, which is no dependency of the project")


def nothing_banned(notebook: Notebook) -> Iterator[Finding]:
    """No call that breaks a batch, a comparison of outputs, or determinism."""
    for number, cell in notebook.code_cells():
        for tree in _trees(cell):
            for name, _ in calls(tree):
                if reason := BANNED_CALLS.get(name):
                    yield Finding(number, f"calls {name}(): {reason}")
            for node in ast.walk(tree):
                if isinstance(node, ast.For) and _is_set(node.iter):
                    yield Finding(number, "loops over a set, whose order is chance: sort it")


def portable_paths(notebook: Notebook) -> Iterator[Finding]:
    """No absolute path and no way up out of the folder: llmers_utils.paths knows the places."""
    for number, cell in notebook.code_cells():
        for tree in _trees(cell):
            for node in ast.walk(tree):
                text = node.value if isinstance(node, ast.Constant) else None
                if isinstance(text, str) and FOREIGN_PATH.search(text):
                    yield Finding(number, f"path {text!r}: use llmers_utils.paths")


def true_to_the_package(notebook: Notebook) -> Iterator[Finding]:
    """Every name of llmers_utils exists, and takes the arguments it is given."""
    yield from (Finding(number, problem) for number, problem in missing_names(notebook))


def _trees(cell: Any) -> list[ast.Module]:
    tree = parse_cell(cell.source)
    return [tree] if tree else []


def _is_set(node: ast.expr) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return isinstance(node, ast.Set | ast.SetComp) or (is_call and node.func.id == "set")


CODE_RULES: dict[str, Rule] = {
    "cell length": short_cells,
    "plain Python": plain_python,
    "imports": imports_in_one_place,
    "banned": nothing_banned,
    "paths": portable_paths,
    "package": true_to_the_package,
}
