"""The parameters cell of a notebook: what it declares, and values that it can take."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from llmers_utils.paths import NOTEBOOKS
from llmers_utils.tutorial.notebooks import Notebook
from llmers_utils.tutorial.settings import SHARED

TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool, "list": list}


@dataclass(frozen=True)
class Parameter:
    """One line ``name: type = literal`` of a parameters cell."""

    name: str
    type: str
    default: Any

    def parse(self, text: str) -> Any:
        """Value that `text`, typed in a shell, stands for; ValueError where it is no such thing."""
        if self.type == "str":
            return text
        if self.type == "list" and not text.lstrip().startswith("["):
            return self.check([_literal(part.strip()) for part in text.split(",")])
        return self.check(_literal(text))

    def check(self, value: Any) -> Any:
        """`value`, with an int made a float where that is declared; ValueError on another type."""
        if self.type == "float" and type(value) is int:
            value = float(value)
        if type(value) is not TYPES[self.type]:
            raise ValueError(
                f"{self.name}={value!r}: must be of type {self.type}, like {self.default!r}"
            )
        return value


def _literal(text: str) -> Any:
    """A Python literal (YAML takes 1e-3 for a text), true or false, or else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def declared_parameters(notebook: Notebook) -> dict[str, Parameter]:
    """Parameters by name, in order, as Python's own parser reads the parameters cell.

    ValueError naming the file where the cell is missing, there twice, or holds anything but lines
    ``name: type = literal`` with a type of `TYPES`.
    """
    cells = notebook.tagged("parameters")
    if len(cells) != 1:
        raise ValueError(f"{notebook.path}: {len(cells)} cells are tagged parameters, must be 1")
    number, cell = cells[0]
    try:
        statements = ast.parse(cell.source).body
        return {p.name: p for p in map(_as_parameter, statements)}
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"{notebook.path}: cell {number}: {error}") from error


def _as_parameter(statement: ast.stmt) -> Parameter:
    source = ast.unparse(statement)
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Name(id=kind), value=value):
            if kind not in TYPES or value is None:
                raise ValueError(
                    f"{source!r}: type must be one of {', '.join(TYPES)}, with a value"
                )
            parameter = Parameter(name, kind, ast.literal_eval(value))
            parameter.check(parameter.default)
            return parameter
    raise ValueError(f"{source!r}: must be a line `name: type = literal`")


def visible_parameters(notebook: Notebook) -> dict[str, tuple[str, str]]:
    """(type, source of the default) by name, as papermill sees them.

    papermill reads lines, not Python: a second ``=`` or a union type hides a parameter from it.
    """
    from papermill import inspect_notebook

    found = inspect_notebook(str(notebook.path))
    return {name: (p["inferred_type_name"], p["default"]) for name, p in found.items()}


def load_profile(name: str, root: Path = NOTEBOOKS) -> dict[str, Any]:
    """Values of the profile `name`: parameters, and below ``notebooks`` those of single ones.

    The file is ``root/profiles/NAME.yaml``; ValueError where it is missing or no mapping.
    """
    folder = root / "profiles"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise ValueError(f"no profile {name!r} in {folder}: there are {known}")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or not isinstance(values.get("notebooks", {}), dict):
        raise ValueError(f"{path}: must be a mapping of parameter names to values")
    return values


def resolve(
    notebooks: Sequence[Notebook],
    *,
    profile: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> dict[str, dict[str, Any]]:
    """Values to inject into each notebook, by its key.

    `assignments` (texts ``name=value``) override `profile`, and `seeds` stands for a parameter of
    that name. A value goes to the notebooks that declare its name; ValueError where none of them
    does, or where it has the wrong type. A profile names shared parameters, which go where they are
    declared, and in its part for one notebook parameters which that notebook must declare.
    """
    declared = {notebook.key: declared_parameters(notebook) for notebook in notebooks}
    values: dict[str, dict[str, Any]] = {key: {} for key in declared}
    profile = dict(profile or {})
    single = profile.pop("notebooks", {})
    for name, value in profile.items():
        if name not in SHARED:
            raise ValueError(f"profile: {name!r} is no shared parameter: {', '.join(SHARED)}")
        for key, parameter in _declaring(name, declared, required=False):
            values[key][name] = _in(key, parameter.check, value)
    for notebook in notebooks:
        for name, value in single.get(notebook.slug, {}).items():
            ((_, parameter),) = _declaring(name, {notebook.key: declared[notebook.key]})
            values[notebook.key][name] = _in(notebook.key, parameter.check, value)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"-p {assignment}: must have the form name=value")
        for key, parameter in _declaring(name, declared):
            values[key][name] = _in(key, parameter.parse, text)
    if seeds is not None:
        for key, _ in _declaring("seeds", declared):
            values[key]["seeds"] = list(seeds)
    return {
        key: {name: _absolute(v) for name, v in chosen.items()} for key, chosen in values.items()
    }


def _declaring(
    name: str, declared: Mapping[str, Mapping[str, Parameter]], *, required: bool = True
) -> list[tuple[str, Parameter]]:
    found = [(key, names[name]) for key, names in declared.items() if name in names]
    if not found and required:
        known = sorted({known for names in declared.values() for known in names})
        near = get_close_matches(name, known, n=2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(
            f"unknown parameter {name!r} in {', '.join(declared)}: {hint}"
            f"there are {', '.join(known)}"
        )
    return found


def _in(key: str, convert: Any, value: Any) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


def _absolute(value: Any) -> Any:
    """A reader's folder is named from where they stand; a notebook runs in its own folder."""
    is_folder = (
        isinstance(value, str) and ("/" in value or value.startswith(".")) and Path(value).is_dir()
    )
    return str(Path(value).resolve()) if is_folder else value
