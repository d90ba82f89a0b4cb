"""Fixtures: the HTTP server, an empty registry, MovieLens-100K in small and whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmers_utils import paths
from llmers_utils.data import AssetError, Dataset, load_dataset

from .support import RECBOLE, FileServer, write_files


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for a registry and a cache, instead of the project's own."""
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.setattr(paths, "DATA", home)
    monkeypatch.setenv("LLMERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LLMERS_DATA", raising=False)
    monkeypatch.delenv("LLMERS_SHARED", raising=False)
    return home


@pytest.fixture(scope="session")
def ml_100k() -> Dataset:
    try:
        return load_dataset("ml-100k")
    except AssetError as error:
        pytest.skip(f"ml-100k is not here and cannot be fetched: {error}")


@pytest.fixture
def recbole_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recbole"
    write_files(folder, RECBOLE)
    return folder
