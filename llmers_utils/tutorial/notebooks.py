"""Notebooks as files: where they lie, what their metadata says, how they are cleaned."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmers_utils.paths import NOTEBOOKS

FILE_NAME = re.compile(r"(?P<number>\d\d)_(?P<slug>[a-z0-9_]+)")
SECTION_NAME = re.compile(r"(?P<number>\d+(?:_\d+)*)_(?P<words>[a-z][a-z0-9_]*)")
# What an execution leaves behind and a reader never needs.
TRANSIENT_METADATA = ("papermill", "execution", "widgets", "llmers_run", "ExecuteTime")
TRANSIENT_TAGS = {"injected-parameters", "papermill-error-cell-tag"}


class Facts(BaseModel):
    """The block ``metadata.llmers`` of a notebook: what an index says about it.

    ``kind`` is "method" (one method of the tutorial) or "chapter" (introduction, overview,
    conclusion), which has no record and need not name method, idea, paper and backbone.
    ``minutes`` is the time a run takes with the default parameters on two CPU cores.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["method", "chapter"]
    title: str = Field(min_length=1)
    promise: str = Field(min_length=1)
    section: str = Field(min_length=1)
    minutes: float = Field(gt=0)
    needs: str = Field(min_length=1)
    method: str = ""
    idea: str = ""
    paper: str = ""
    backbone: str = ""

    @model_validator(mode="after")
    def _methods_say_more(self) -> Facts:
        missing = [
            name for name in ("method", "idea", "paper", "backbone") if not getattr(self, name)
        ]
        if self.kind == "method" and missing:
            raise ValueError(f"a method notebook must also state {', '.join(missing)}")
        return self


@dataclass(frozen=True)
class Notebook:
    """A notebook read from ``path``; ``node`` is nbformat's tree of it."""

    path: Path
    node: Any

    @property
    def name(self) -> str:
        """File name without its ending, such as ``03_kar``."""
        return self.path.stem

    @property
    def slug(self) -> str:
        """Name without its number, such as ``kar``."""
        match = FILE_NAME.fullmatch(self.name)
        return match["slug"] if match else self.name

    @property
    def section(self) -> str:
        """Name of the folder, such as ``2_knowledge_enhancement``."""
        return self.path.parent.name

    @property
    def key(self) -> str:
        """Unique name within a tree of notebooks: ``section/name``."""
        return f"{self.section}/{self.name}"

    @cached_property
    def facts(self) -> Facts:
        """The metadata block; ValueError naming the file where it is missing or wrong."""
        try:
            return Facts.model_validate(self.node.metadata.get("llmers", {}))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "block"
            raise ValueError(f"{self.path}: metadata.llmers: {where}: {first['msg']}") from error

    def code_cells(self) -> Iterator[tuple[int, Any]]:
        """(position from 1, cell) of each code cell."""
        return ((i, c) for i, c in enumerate(self.node.cells, 1) if c.cell_type == "code")

    def tagged(self, tag: str) -> list[tuple[int, Any]]:
        """(position from 1, cell) of the cells that carry `tag`."""
        return [(i, c) for i, c in enumerate(self.node.cells, 1) if tag in tags(c)]


def tags(cell: Any) -> list[str]:
    """Tags of a cell, in stored order."""
    return list(cell.metadata.get("tags", []))


def import_nbformat() -> ModuleType:
    """nbformat without its slowest part.

    Where `rfc3987_syntax` is installed, jsonschema (below nbformat) builds a grammar of web
    addresses at import: seconds in every process, and of no use for notebooks.
    """
    sys.modules.setdefault("rfc3987_syntax", None)
    import nbformat

    return nbformat


def read_notebook(path: Path | str) -> Notebook:
    """Read a notebook; ValueError naming the file where it is none."""
    path = Path(path)
    try:
        node = import_nbformat().read(path, as_version=4)
    except FileNotFoundError:
        raise
    except Exception as error:  # nbformat raises many kinds for a broken file
        raise ValueError(f"{path}: not a readable notebook ({type(error).__name__})") from error
    return Notebook(path, node)


def all_notebooks(root: Path = NOTEBOOKS) -> list[Path]:
    """Paths of the tutorial's notebooks in the order of teaching."""
    return sorted(
        path
        for path in root.glob("*/*.ipynb")
        if SECTION_NAME.fullmatch(path.parent.name) and FILE_NAME.fullmatch(path.stem)
    )


def find_notebooks(names: Sequence[str] = (), root: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks meant by `names`, in the order of teaching and each once.

    A name is a section (``2_knowledge_enhancement``, ``2`` or ``knowledge_enhancement``), a
    notebook (``kar`` or ``03_kar``), both (``2/overview``) or a path. No name means all.
    ValueError where a name means nothing (with the nearest names) or more than one notebook.
    """
    available = all_notebooks(root)
    if not available:
        raise ValueError(f"{root}: holds no notebook named NN_slug.ipynb in a section's folder")
    chosen = {path for name in names for path in _meant_by(name, available)}
    return [path for path in available if path in chosen] if names else available


def _meant_by(name: str, available: list[Path]) -> list[Path]:
    if name.endswith(".ipynb"):
        wanted = Path(name).resolve()
        return [p for p in available if p.resolve() == wanted] or _unknown(name, available)
    plain = name.strip("/").replace("-", "_").lower()
    section, _, slug = plain.rpartition("/")
    in_section = [path for path in available if plain in _section_names(path)]
    if in_section and not section:
        return in_section
    found = [
        path
        for path in available
        if slug in _notebook_names(path) and (not section or section in _section_names(path))
    ]
    if len(found) > 1:
        listed = ", ".join(f"{path.parent.name}/{path.stem}" for path in found)
        raise ValueError(f"{name!r} is ambiguous: say one of {listed}")
    return found or _unknown(name, available)


def _section_names(path: Path) -> set[str]:
    folder = path.parent.name
    match = SECTION_NAME.fullmatch(folder)
    number = match["number"]
    # "4" means 4_1 and 4_2 together.
    return {folder, number, number.split("_")[0], match["words"]}


def _notebook_names(path: Path) -> set[str]:
    return {path.stem, FILE_NAME.fullmatch(path.stem)["slug"]}


def _unknown(name: str, available: list[Path]) -> list[Path]:
    known = {n for path in available for n in (path.parent.name, *_notebook_names(path))}
    near = get_close_matches(name.rpartition("/")[2].lower(), sorted(known), n=3, cutoff=0.5)
    sections = ", ".join(dict.fromkeys(path.parent.name for path in available))
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are the sections {sections}"
    raise ValueError(f"no section or notebook is named {name!r}: {hint}")


def clean(node: Any) -> Any:
    """Drop from `node`, in place, what differs between two equal executions.

    Outputs, execution counts and cell ids stay; metadata that papermill, widgets or a front end
    left goes, and so do the cells that papermill added.
    """
    node.cells = [cell for cell in node.cells if not TRANSIENT_TAGS & set(tags(cell))]
    for key in TRANSIENT_METADATA:
        node.metadata.pop(key, None)
    node.metadata.get("language_info", {}).pop("version", None)
    for cell in node.cells:
        for key in (*TRANSIENT_METADATA, "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if not tags(cell):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            cell.outputs = _joined_streams(cell.outputs)
    return node


def _joined_streams(outputs: list[Any]) -> list[Any]:
    """Outputs with consecutive pieces of one stream as one: how it was cut is chance."""
    joined: list[Any] = []
    for output in outputs:
        before = joined[-1] if joined else None
        streams = before and output.output_type == "stream" == before.output_type
        if streams and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def clean_notebook(path: Path | str) -> bool:
    """Clean a stored notebook where it lies; whether that changed the file. Idempotent."""
    path = Path(path)
    before = path.read_text(encoding="utf-8")
    after = as_text(clean(read_notebook(path).node))
    if after != before:
        write_atomically(path, after)
    return after != before


def as_text(node: Any) -> str:
    """A notebook's file content."""
    return import_nbformat().writes(node).rstrip("\n") + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
