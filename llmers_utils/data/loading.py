"""The one door to data: ``load_dataset``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from llmers_utils import paths
from llmers_utils.data.assets import fetch, present_folder
from llmers_utils.data.dataset import Dataset
from llmers_utils.data.folder import load_folder
from llmers_utils.data.movielens import FORMS


def load_dataset(name: str) -> Dataset:
    """Load a data set by name ("ml-100k", "ml-1m") or by the path of a folder.

    A name is looked for in ``LLMERS_DATA``/<name>, among the fetched assets, in
    ``LLMERS_SHARED``/<name>, and fetched at last.

    Raises:
        ValueError: neither a known name nor a folder.
        DataError: a file is wrong; the message names file, line, value and what is allowed.
        AssetError: the data is not here and cannot be fetched.
    """
    if name not in FORMS:
        if Path(name).expanduser().is_dir():
            return load_folder(Path(name).expanduser())
        near = difflib.get_close_matches(name, FORMS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"dataset {name!r}: allowed are {', '.join(FORMS)} or the path of a folder{hint}"
        )
    for folder in _folders(name):
        for files, loader in FORMS[name].items():
            if all((folder / file).is_file() for file in files):
                return loader(folder)
    raise AssertionError(f"asset {name!r} has none of the forms {list(FORMS[name])}")


def _folders(name: str) -> Iterator[Path]:
    """Folders to look into, in order; the last one fetches."""
    local, fetched, shared = paths.local_data_dir(), present_folder(name), paths.shared_dir()
    if local is not None:
        yield local / name
    if fetched is not None:
        yield fetched
    if shared is not None:
        yield shared / name
    yield fetch(name)
