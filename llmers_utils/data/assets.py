"""Everything that comes from outside, fetched once, verified, and kept in the cache.

``data/assets.json`` is the registry: per asset its licence and its sources, per source its files.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, TypeAdapter
from tqdm import tqdm

from llmers_utils import paths
from llmers_utils.data.download import Advance, SourceError, sha256_of, verify
from llmers_utils.data.sources import LocalSource, RemoteSource, Source

MARKER = ".complete"


class AssetError(RuntimeError):
    """An asset is not here and cannot be fetched; the message lists every way to get it."""


class Asset(BaseModel):
    """One entry of the registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    licence: str
    terms: str
    sources: tuple[RemoteSource, ...]


@dataclass(frozen=True)
class AssetStatus:
    """One line of ``llmers fetch --list``. ``bytes`` is what its first source transfers."""

    name: str
    description: str
    licence: str
    bytes: int
    kinds: tuple[str, ...]
    present: bool


def registry() -> dict[str, Asset]:
    """All assets by name.

    Raises:
        ValueError: the registry breaks its own schema.
    """
    text = (paths.DATA / "assets.json").read_bytes()
    return TypeAdapter(dict[str, Asset]).validate_json(text)


def asset_status() -> list[AssetStatus]:
    """What can be fetched, and what is here."""
    return [
        AssetStatus(
            name=name,
            description=asset.description,
            licence=asset.licence,
            bytes=asset.sources[0].bytes or 0,
            kinds=("local", *(source.kind for source in asset.sources)),
            present=present_folder(name) is not None,
        )
        for name, asset in registry().items()
    ]


def present_folder(name: str) -> Path | None:
    """Folder of an asset that was fetched and verified before, or None. Never uses a network."""
    for source in _sources(name):
        folder = _home(name) / source.kind
        if _is_complete(folder, source):
            return folder
    return None


def fetch(name: str, *, progress: bool = False) -> Path:
    """Return the folder with an asset's verified files, fetching them where they are not here.

    Sources are tried in order, the reader's own ``LLMERS_DATA`` first. Files are complete or
    absent at every moment; several processes may call this at once.

    Args:
        name: an asset of ``data/assets.json``.
        progress: show a bar on stderr.

    Returns:
        ``cache_dir()/assets/<name>/<kind of the source>``.

    Raises:
        ValueError: no such asset.
        AssetError: no source could give it; the message has every reason and every way.
    """
    sources = _sources(name)
    if folder := present_folder(name):
        return folder
    home = _home(name)
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / ".lock"):
        if folder := present_folder(name):  # another process was faster
            return folder
        asset = registry()[name]
        print(f"{name} ({asset.licence}). {asset.terms}", file=sys.stderr)
        reasons = []
        for source in sources:
            try:
                return _fetch_from(source, name, progress)
            except SourceError as error:
                reasons.append(f"  {source.kind}: {error}")
    ways = [f"  {source.instruction(name)}" for source in sources]
    message = [
        f"asset {name!r} is missing in {home} and could not be fetched:",
        *dict.fromkeys(reasons),
        "Any one of these makes it available:",
        *ways,
    ]
    raise AssetError("\n".join(message))


def _sources(name: str) -> list[Source]:
    """Every source of an asset in the order of trying."""
    assets = registry()
    if name not in assets:
        near = difflib.get_close_matches(name, assets, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"asset {name!r}: allowed are {', '.join(assets)}{hint}")
    remote = assets[name].sources
    return [*(LocalSource(name, source) for source in remote), *remote]


def _home(name: str) -> Path:
    return paths.cache_dir() / "assets" / name


def _fetch_from(source: Source, name: str, progress: bool) -> Path:
    """Fetch into a staging folder, verify, and give the whole folder its name at once."""
    home = _home(name)
    staging, downloads, final = home / ".staging", home / ".downloads", home / source.kind
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    downloads.mkdir(exist_ok=True)
    with _bar(f"{name} ({source.kind})", source, progress) as advance:
        source.fetch_into(staging, downloads, advance)
    for file in source.files:
        verify(staging / file.path, file.path, n_bytes=file.bytes, sha256=file.sha256)
    _write_marker(staging, source)
    if final.exists():  # incomplete, or made for an older registry
        shutil.rmtree(final)
    os.replace(staging, final)
    shutil.rmtree(downloads)
    return final


@contextlib.contextmanager
def _bar(label: str, source: Source, progress: bool) -> Iterator[Advance]:
    total = getattr(source, "bytes", None) or sum(file.bytes or 0 for file in source.files)
    with tqdm(
        desc=label,
        total=total or None,
        unit="B",
        unit_scale=True,
        disable=not progress,
        delay=0.2,  # no bar for a source that fails at once
    ) as bar:
        yield lambda done: bar.update(done - bar.n)


def _write_marker(folder: Path, source: Source) -> None:
    """Keep size and hash of each file, so that a later look costs no hashing."""
    found = {
        file.path: {
            "bytes": (folder / file.path).stat().st_size,
            "sha256": file.sha256 or sha256_of(folder / file.path),
        }
        for file in source.files
    }
    (folder / MARKER).write_text(json.dumps(found, indent=1), encoding="utf-8")


def _is_complete(folder: Path, source: Source) -> bool:
    try:
        known = json.loads((folder / MARKER).read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):  # never finished, or cut by a power failure
        return False
    return all(
        file.path in known
        and file.sha256 in (None, known[file.path]["sha256"])
        and (folder / file.path).is_file()
        and (folder / file.path).stat().st_size == known[file.path]["bytes"]
        for file in source.files
    )
