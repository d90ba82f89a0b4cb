"""Wheels by the real pip, and the hub's client against a server on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from llmers_utils.data import AssetError, assets, fetch
from llmers_utils.data.download import sha256_of
from llmers_utils.data.sources import AssetFile, SourceError, WheelSource

from .support import FileServer, register, sha256, zipped

WHEEL_FILES = {
    "toypack/__init__.py": b"raise SystemExit('run')\n",
    "toypack/model/a.txt": b"hello",
    "toypack-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toypack\nVersion: 1.0\n",
    "toypack-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
    b"Tag: py3-none-any\n",
    "toypack-1.0.dist-info/RECORD": b"",
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _wheel_source(content: bytes = b"hello") -> dict:
    return {
        "kind": "wheel",
        "requirement": "toypack==1.0",
        "folder": "toypack/model",
        "files": [{"path": "a.txt", "bytes": len(content), "sha256": sha256(content)}],
    }


def test_member_of_a_wheel_arrives(registry: Path, index: Path) -> None:
    (index / "toypack-1.0-py3-none-any.whl").write_bytes(zipped(WHEEL_FILES))
    register(registry, _wheel_source())
    folder = fetch("toy")
    assert folder.name == "wheel"
    assert sorted(path.name for path in folder.iterdir()) == [assets.MARKER, "a.txt"]
    assert (folder / "a.txt").read_bytes() == b"hello"
    assert not (folder.parent / ".downloads").exists()


def test_changed_wheel_is_refused(registry: Path, index: Path) -> None:
    (index / "toypack-1.0-py3-none-any.whl").write_bytes(zipped(WHEEL_FILES))
    register(registry, _wheel_source(b"jello"))
    with pytest.raises(AssetError, match=f"wrong sha256 {sha256(b'hello')}"):
        fetch("toy")


def test_unsafe_wheel_is_refused(registry: Path, index: Path, tmp_path: Path) -> None:
    wheel = zipped(WHEEL_FILES | {"toypack/../../evil.txt": b"evil"})
    (index / "toypack-1.0-py3-none-any.whl").write_bytes(wheel)
    register(registry, _wheel_source())
    with pytest.raises(AssetError, match="unsafe member"):
        fetch("toy")
    assert not list(tmp_path.rglob("evil.txt"))


def test_source_distribution_is_never_built(registry: Path, index: Path, tmp_path: Path) -> None:
    witness = tmp_path / "build_was_run"
    project = tmp_path / "toypack-1.0"
    project.mkdir()
    (project / "backend.py").write_text(f"open({str(witness)!r}, 'w').close()\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    with tarfile.open(index / "toypack-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, "toypack-1.0")
    register(registry, _wheel_source())
    with pytest.raises(AssetError, match=r"pip download toypack==1\.0: ERROR"):
        fetch("toy")
    assert not witness.exists()


def test_python_without_pip_gives_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    source = WheelSource.model_validate(_wheel_source())
    with pytest.raises(SourceError, match="No module named pip"):
        source.fetch_into(tmp_path, tmp_path, lambda done: None)


def test_the_real_wheel_arrives_from_the_package_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "index", "versions", "recbole"],
        capture_output=True,
        check=False,
    )
    if asked.returncode:
        pytest.skip("no package index with recbole can be reached")
    monkeypatch.setenv("LLMERS_CACHE", str(tmp_path))
    monkeypatch.delenv("LLMERS_DATA", raising=False)
    folder = fetch("ml-100k", progress=True)
    assert folder == tmp_path / "assets" / "ml-100k" / "wheel"
    source = assets.registry()["ml-100k"].sources[0]
    for file in source.files:
        assert sha256_of(folder / file.path) == file.sha256
    assert "no redistribution" in capsys.readouterr().err


HUB_FETCH = """
import sys
from pathlib import Path
from llmers_utils import paths
paths.DATA = Path(sys.argv[1])
from llmers_utils.data import fetch
print(fetch("toy"))
"""


def _hub_source() -> dict:
    files = [{"path": "config.json"}, {"path": "sub/a.txt", "sha256": sha256(b"hello")}]
    return {"kind": "hub", "repo": "org/model", "revision": "0" * 40, "files": files}


def _run_with_hub(
    registry: Path, endpoint: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    # The hub's client reads its settings once, at import; hence a process of its own.
    return subprocess.run(
        [sys.executable, "-c", HUB_FETCH, str(registry)],
        env=os.environ | {"HF_ENDPOINT": endpoint, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_of_a_hub_revision_arrive(registry: Path, server: FileServer) -> None:
    base = f"/org/model/resolve/{'0' * 40}"
    server.files = {f"{base}/config.json": b"{}", f"{base}/sub/a.txt": b"hello"}
    register(registry, _hub_source())
    done = _run_with_hub(registry, server.address)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.name == "hub"
    assert (folder / "sub" / "a.txt").read_bytes() == b"hello"
    assert (folder / "config.json").read_bytes() == b"{}"


@pytest.mark.parametrize("offline", ["0", "1"])
def test_hub_out_of_reach_is_a_reason(registry: Path, server: FileServer, offline: str) -> None:
    register(registry, _hub_source())  # and the server has no such file
    done = _run_with_hub(registry, server.address, HF_HUB_OFFLINE=offline)
    assert done.returncode == 1
    assert "AssetError" in done.stderr
    assert "hub: org/model/config.json: " in done.stderr
    assert "hub: a machine that reaches the model hub, org/model at 000" in done.stderr


def test_file_entry_refuses_unknown_fields() -> None:
    with pytest.raises(ValueError, match="size"):
        AssetFile.model_validate({"path": "a", "size": 1})
