"""Vectors on disk: immutable shards of rows, each row known by the sha256 of its text."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

_SAMPLES, _BLOCK = 16, 65_536


def text_key(text: str) -> str:
    """The sha256 of a text, by which its vector is known."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """Sixteen hex digits that change with the files of a model folder.

    Names, sizes and sixteen evenly spaced blocks of each file: enough to tell models apart without
    reading a hundred megabytes at every start.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".json", ".safetensors"}):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
        with path.open("rb") as file:
            for offset in np.linspace(0, max(0, size - _BLOCK), _SAMPLES, dtype=np.int64):
                file.seek(int(offset))
                digest.update(file.read(_BLOCK))
                if size <= _BLOCK:
                    break
    return digest.hexdigest()[:16]


class EmbeddingCache:
    """One folder of shards of one encoder.

    A shard is a safetensors file and a JSON sidecar (facts of the encoder, keys of the rows,
    bytes and sha256 of the file). Shards are written under a temporary name and renamed, the
    sidecar last, and never changed, so several processes may write at once. A shard that does not
    agree with its sidecar is deleted, and its texts are encoded anew.
    """

    def __init__(self, folder: Path, facts: dict[str, str]) -> None:
        self.folder = folder
        self.facts = facts
        self._rows: dict[str, np.ndarray] = {}
        self._read: set[str] = set()

    @property
    def dim(self) -> int | None:
        """Width of the rows, or None while there is none."""
        if not self._rows:
            self._refresh()
        return next((len(row) for row in self._rows.values()), None)

    def lookup(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The rows that are known, by key."""
        keys = list(keys)
        if any(key not in self._rows for key in keys):
            self._refresh()
        return {key: self._rows[key] for key in keys if key in self._rows}

    def add(self, keys: Sequence[str], rows: np.ndarray) -> None:
        """Write one shard: rows (N, D) float32 in the order of the keys."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256("".join(keys).encode()).hexdigest()[:24]
        body = save({"rows": np.ascontiguousarray(rows, dtype=np.float32)})
        sidecar = self.facts | {
            "dim": rows.shape[1],
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "texts": list(keys),
        }
        self._write(f"{name}.safetensors", body)
        self._write(f"{name}.json", json.dumps(sidecar).encode())
        self._rows |= dict(zip(keys, rows, strict=True))
        self._read.add(name)

    def _write(self, name: str, body: bytes) -> None:
        temporary = self.folder / f".{name}.{uuid.uuid4().hex}"
        temporary.write_bytes(body)
        os.replace(temporary, self.folder / name)

    def _refresh(self) -> None:
        for sidecar in sorted(self.folder.glob("*.json")):
            if sidecar.stem in self._read:
                continue
            rows = _read_shard(sidecar)
            if rows is None:
                with contextlib.suppress(FileNotFoundError):  # another process was quicker
                    sidecar.unlink()
                continue
            self._read.add(sidecar.stem)
            self._rows |= rows


def _read_shard(sidecar: Path) -> dict[str, np.ndarray] | None:
    """The rows of a shard, or None where sidecar and file do not agree."""
    try:
        facts = json.loads(sidecar.read_bytes())
        body = sidecar.with_suffix(".safetensors").read_bytes()
        if hashlib.sha256(body).hexdigest() != facts["sha256"]:
            return None
        return dict(zip(facts["texts"], load(body)["rows"], strict=True))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
