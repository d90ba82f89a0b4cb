"""`llmers new`: a notebook of the right shape to start from."""

from __future__ import annotations

from pathlib import Path

from llmers_utils.paths import NOTEBOOKS
from llmers_utils.tutorial.notebooks import (
    FILE_NAME,
    SECTION_NAME,
    Notebook,
    all_notebooks,
    as_text,
    read_notebook,
    write_atomically,
)

TEMPLATE = Path(__file__).with_name("template.ipynb")


def new_notebook(
    slug: str, *, section: str, method: str | None = None, root: Path = NOTEBOOKS
) -> Path:
    """Write a method's notebook from the template, with the next free number; returns its path.

    `section` is a folder of `root` (or its number, such as "2"), `method` the name as a reader
    knows it (by default the slug in capitals). What the author has to fill in is marked TODO.
    ValueError for a slug that is taken or no plain name, and for an unknown section.
    """
    slug = slug.replace("-", "_")
    if not FILE_NAME.fullmatch(f"00_{slug}"):
        raise ValueError(f"slug {slug!r}: must be small letters, digits and underscores")
    folder = _section(section, root)
    taken = {Notebook(path, None).slug: path for path in all_notebooks(root)}
    if slug in taken:
        raise ValueError(f"slug {slug!r} is taken by {taken[slug]}")
    numbers = [int(p.stem[:2]) for p in folder.glob("*.ipynb") if FILE_NAME.fullmatch(p.stem)]
    path = folder / f"{max(numbers, default=0) + 1:02d}_{slug}.ipynb"
    method = method or slug.upper().replace("_", "-")
    text = as_text(read_notebook(TEMPLATE).node)
    filled = {
        "__SLUG__": slug,
        "__SECTION__": folder.name,
        "__METHOD__": method,
        "__TITLE__": f"{method}: TODO: title",
    }
    for placeholder, value in filled.items():
        text = text.replace(placeholder, value.replace("\\", "").replace('"', "'"))
    write_atomically(path, text)
    return path


def _section(name: str, root: Path) -> Path:
    folders = sorted(p for p in root.glob("*") if p.is_dir() and SECTION_NAME.fullmatch(p.name))
    found = [
        p
        for p in folders
        if name in (p.name, (match := SECTION_NAME.fullmatch(p.name))["number"], match["words"])
    ]
    if len(found) != 1:
        listed = ", ".join(p.name for p in found or folders) or "none yet"
        raise ValueError(f"section {name!r}: must be one of {listed}")
    return found[0]
