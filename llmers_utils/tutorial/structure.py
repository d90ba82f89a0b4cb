"""`llmers check`: is every notebook of one shape, clean, executed, and true to the package?

A rule is a function of a notebook that yields problems; `RULES` and `rules.py` hold them all. Some
look at all notebooks together. Nothing is executed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llmers_utils.paths import NOTEBOOKS
from llmers_utils.tutorial.notebooks import Notebook, all_notebooks, read_notebook
from llmers_utils.tutorial.parameters import declared_parameters, load_profile, resolve
from llmers_utils.tutorial.rules import RULES, Finding
from llmers_utils.tutorial.sources import parse_cell

LEAST_SHARED_STATEMENTS = 3


@dataclass(frozen=True)
class Problem:
    """Something to mend: ``cell`` counts from 1, 0 means the whole notebook."""

    notebook: str
    cell: int
    rule: str
    remedy: str

    def __str__(self) -> str:
        where = f", cell {self.cell}" if self.cell else ""
        return f"{self.notebook}{where}: {self.rule}: {self.remedy}"


def check_notebook(path: Path | str) -> list[Problem]:
    """Problems of one notebook, in the order of `RULES`."""
    notebook = read_notebook(path)
    return [
        Problem(notebook.key, finding.cell, name, finding.remedy)
        for name, rule in RULES.items()
        for finding in _findings(rule, notebook)
    ]


def _findings(rule: object, notebook: Notebook) -> Iterable[Finding]:
    try:
        return list(rule(notebook))
    except ValueError as error:  # a broken metadata block or parameters cell, which says so itself
        return [Finding(0, str(error))]


def check_notebooks(paths: Sequence[Path] | None = None, root: Path = NOTEBOOKS) -> list[Problem]:
    """Problems of `paths` (all notebooks of `root` by default), alone and together."""
    paths = all_notebooks(root) if paths is None else paths
    problems = [problem for path in paths for problem in check_notebook(path)]
    notebooks = [read_notebook(path) for path in paths]
    return [*problems, *shared_functions(notebooks), *profile_problems(root)]


def shared_functions(notebooks: Sequence[Notebook]) -> list[Problem]:
    """Functions with the same body in two notebooks."""
    first: dict[str, tuple[str, str]] = {}
    problems = []
    for notebook in notebooks:
        for number, cell in notebook.code_cells():
            for function in _functions(cell.source):
                body = function.body[1:] if ast.get_docstring(function) else function.body
                if sum(isinstance(n, ast.stmt) for b in body for n in ast.walk(b)) < (
                    LEAST_SHARED_STATEMENTS
                ):
                    continue
                dumped = ast.dump(ast.Module(body, []))
                digest = hashlib.sha256(dumped.encode()).hexdigest()
                home, name = first.setdefault(digest, (notebook.key, function.name))
                if home != notebook.key:
                    remedy = f"{function.name} has the body of {name} in {home}: "
                    problems.append(
                        Problem(
                            notebook.key, number, "shared code", remedy + "move it to llmers_utils"
                        )
                    )
    return problems


def _functions(source: str) -> list[ast.FunctionDef]:
    tree = parse_cell(source)
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)] if tree else []


def profile_problems(root: Path = NOTEBOOKS) -> list[Problem]:
    """Profiles that name a parameter no notebook has, or give one a wrong type."""
    notebooks = []
    for path in all_notebooks(root):
        notebook = read_notebook(path)
        try:
            declared_parameters(notebook)
        except ValueError:
            continue  # reported by the rule on parameters
        notebooks.append(notebook)
    slugs = {notebook.slug for notebook in notebooks}
    problems = []
    for path in sorted((root / "profiles").glob("*.yaml")):
        try:
            profile = load_profile(path.stem, root)
            if unknown := sorted(set(profile.get("notebooks", {})) - slugs):
                raise ValueError(f"no notebook is named {', '.join(unknown)}")
            resolve(notebooks, profile=profile)
        except ValueError as error:
            problems.append(Problem(f"profiles/{path.name}", 0, "profile", str(error)))
    return problems
