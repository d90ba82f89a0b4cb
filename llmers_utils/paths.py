"""Where things lie: the project's own files, the cache, and the reader's own data."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
NOTEBOOKS = ROOT / "notebooks"


def cache_dir() -> Path:
    """Folder of everything that can be made again: downloads, embeddings, runs.

    ``LLMERS_CACHE`` moves it; the default is ``.cache`` in the project's root.
    """
    return Path(os.environ.get("LLMERS_CACHE", ROOT / ".cache")).expanduser()


def local_data_dir() -> Path | None:
    """The reader's own copies of the data sets (``LLMERS_DATA``), or None."""
    return _folder_from_environment("LLMERS_DATA")


def shared_dir() -> Path | None:
    """Further public data for tests and larger runs (``LLMERS_SHARED``), or None."""
    return _folder_from_environment("LLMERS_SHARED")


def _folder_from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise NotADirectoryError(f"{variable}={value!r}: must name an existing folder")
    return folder
