"""The one door to data: ``load_dataset``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from llmers_utils import paths
from llmers_utils.data import education, lastfm, movielens
from llmers_utils.data.assets import AssetError, fetch, present_folder, registry
from llmers_utils.data.dataset import Dataset
from llmers_utils.data.folder import load_folder

FORMS = movielens.FORMS | education.FORMS | lastfm.FORMS
"""The known data sets: for each the files of each form it comes in, and what loads them."""


def load_dataset(name: str) -> Dataset:
    """Load a data set by name ("ml-100k", "ml-1m", ...) or by the path of a folder.

    A name is looked for in ``LLMERS_DATA``/<name>, in the project's own ``data``/<name>, among the
    fetched assets, in ``LLMERS_SHARED``/<name>, and fetched at last.

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
    wanted = " or ".join(", ".join(files) for files in FORMS[name])
    raise AssetError(f"dataset {name!r} cannot be fetched: put {wanted} into $LLMERS_DATA/{name}")


def _folders(name: str) -> Iterator[Path]:
    """Folders to look into, in order; the last one fetches what an asset can give."""
    fetchable = name in registry()
    fetched = present_folder(name) if fetchable else None
    local, shared = paths.local_data_dir(), paths.shared_dir()
    if local is not None:
        yield local / name
    yield paths.DATA / name
    if fetched is not None:
        yield fetched
    if shared is not None:
        yield shared / name
    if fetchable:
        yield fetch(name)
