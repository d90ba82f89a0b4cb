"""What the code of a notebook's cells says, by Python's own parser."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from llmers_utils.tutorial.notebooks import Notebook

MAGIC = re.compile(r"^\s*[%!]|^\s*\w+\s*=\s*[%!]|\?\s*$")


def parse_cell(source: str) -> ast.Module | None:
    """Syntax tree of a cell, or None where it is no plain Python."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(dotted name, call) of each call of a plain or dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            yield name, node


def dotted(node: ast.AST) -> str:
    """``a.b.c`` as text, or an empty text for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def imported_packages(tree: ast.AST) -> Iterator[str]:
    """Top-level names of the packages that the code imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or ".").split(".")[0] if not node.level else "."


def missing_names(notebook: Notebook) -> Iterator[tuple[int, str]]:
    """(cell, problem) for names of `llmers_utils` that do not exist and arguments no one takes."""
    bound: dict[str, Any] = {}
    for number, cell in notebook.code_cells():
        tree = parse_cell(cell.source)
        if tree is None:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom | ast.Import):
                yield from ((number, name) for name in _bind(node, bound))
        yield from ((number, f"{name} does not exist") for name in _missing_attributes(tree, bound))
        yield from ((number, problem) for problem in _unknown_arguments(tree, bound))


def _bind(node: ast.Import | ast.ImportFrom, bound: dict[str, Any]) -> Iterator[str]:
    """Remember what an import of ours binds; yield what it cannot."""
    module = getattr(node, "module", None)
    for alias in node.names:
        target = module or alias.name
        if not (target or "").startswith("llmers_utils"):
            continue
        try:
            found: Any = importlib.import_module(target)
            if module:
                found = _member(found, alias.name)
        except (ImportError, AttributeError):
            yield f"{target}{'.' + alias.name if module else ''} does not exist"
        else:
            if module or alias.asname:
                bound[alias.asname or alias.name] = found


def _member(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        return importlib.import_module(f"{module.__name__}.{name}")


def _missing_attributes(tree: ast.AST, bound: dict[str, Any]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = bound.get(node.value.id)
            if isinstance(owner, ModuleType) and not hasattr(owner, node.attr):
                yield f"{owner.__name__}.{node.attr}"


def _unknown_arguments(tree: ast.AST, bound: dict[str, Any]) -> Iterator[str]:
    """Keyword arguments that a function of ours does not have."""
    for name, call in calls(tree):
        first, _, rest = name.partition(".")
        target = bound.get(first)
        if rest and isinstance(target, ModuleType):
            target = getattr(target, rest, None)
        elif rest:
            continue
        if not callable(target):
            continue
        try:
            known = inspect.signature(target).parameters.values()
        except (TypeError, ValueError):
            continue
        if any(p.kind is p.VAR_KEYWORD for p in known):
            continue
        names = {p.name for p in known}
        for keyword in call.keywords:
            if keyword.arg and keyword.arg not in names:
                yield f"{name}() has no argument {keyword.arg!r}"
