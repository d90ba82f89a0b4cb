"""The registry, and fetching under bad conditions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmers_utils import paths
from llmers_utils.data import AssetError, asset_status, assets, fetch
from llmers_utils.data import download as download_module

from .support import FileServer, register, sha256, url_source, zipped

FILES = {"a.txt": b"hello", "sub/b.bin": bytes(range(256)) * 2000}
ARCHIVE = zipped({f"toy/{path}": content for path, content in FILES.items()})
# A process of its own, with the registry's folder as its argument.
FETCH = """
import sys
from pathlib import Path
from llmers_utils import paths
paths.DATA = Path(sys.argv[1])
from llmers_utils.data import fetch
print(fetch("toy"))
"""


@pytest.fixture
def toy(registry: Path, server: FileServer) -> dict:
    server.files["/toy.zip"] = ARCHIVE
    source = url_source(f"{server.address}/toy.zip", ARCHIVE, FILES)
    register(registry, source)
    return source


def _content(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in FILES}


def test_the_projects_registry_is_valid_and_complete() -> None:
    entries = assets.registry()
    assert list(entries) == ["ml-100k", "ml-1m", "all-MiniLM-L6-v2"]
    kinds = {name: [source.kind for source in asset.sources] for name, asset in entries.items()}
    assert kinds["ml-100k"] == ["wheel", "url"]
    assert kinds["all-MiniLM-L6-v2"] == ["wheel", "hub"]
    for asset in entries.values():
        assert asset.licence
        assert asset.terms
        for source in asset.sources:
            verified = source.kind == "url" or any(file.sha256 for file in source.files)
            assert verified, source


def test_unknown_fields_of_the_registry_are_refused(registry: Path, toy: dict) -> None:
    register(registry, toy | {"sha265": "typo"})
    with pytest.raises(ValueError, match="sha265"):
        fetch("toy")


def test_fetch_unpacks_verifies_and_prints_the_terms_once(
    toy: dict, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fetch("toy")
    assert folder == tmp_path / "cache" / "assets" / "toy" / "url"
    assert _content(folder) == FILES
    assert capsys.readouterr().err == "toy (MIT). Play.\n"
    assert fetch("toy") == folder
    assert capsys.readouterr().err == ""
    assert len(server.requests) == 1
    left = {path.name for path in folder.parent.iterdir()} - {".lock"}
    assert left == {"url"}


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_a_bar_where_asked_for(
    toy: dict, monkeypatch: pytest.MonkeyPatch, progress: bool
) -> None:
    bars: list[assets.tqdm] = []
    shown: list[bool] = []

    class KeptBar(assets.tqdm):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            bars.append(self)
            shown.append(not self.disable)

    monkeypatch.setattr(assets, "tqdm", KeptBar)
    fetch("toy", progress=progress)
    assert shown[-1] is progress
    if progress:
        last = bars[-1]
        assert (last.desc, last.n, last.total) == ("toy (url)", len(ARCHIVE), len(ARCHIVE))


def test_status_lists_what_is_here(toy: dict) -> None:
    (before,) = asset_status()
    fetch("toy")
    (after,) = asset_status()
    assert (before.name, before.licence, before.kinds) == ("toy", "MIT", ("local", "url"))
    assert before.bytes == len(ARCHIVE)
    assert (before.present, after.present) == (False, True)


def test_unknown_name_lists_the_allowed_ones(toy: dict) -> None:
    with pytest.raises(ValueError, match=r"asset 'toi': allowed are toy; did you mean 'toy'\?"):
        fetch("toi")


@pytest.mark.parametrize("damage", ["shorten", "remove", "unmark", "cut marker"])
def test_damaged_asset_is_fetched_again(toy: dict, server: FileServer, damage: str) -> None:
    folder = fetch("toy")
    marker = folder / assets.MARKER
    {
        "shorten": lambda: (folder / "sub" / "b.bin").write_bytes(b"short"),
        "remove": (folder / "a.txt").unlink,
        "unmark": marker.unlink,
        "cut marker": lambda: marker.write_bytes(marker.read_bytes()[:20]),
    }[damage]()
    assert assets.present_folder("toy") is None
    assert _content(fetch("toy")) == FILES
    assert len(server.requests) == 2


def test_changed_registry_makes_an_old_copy_stale(
    toy: dict, registry: Path, server: FileServer
) -> None:
    fetch("toy")
    newer = FILES | {"a.txt": b"HELLO"}
    archive = zipped({f"toy/{path}": content for path, content in newer.items()})
    server.files["/toy.zip"] = archive
    register(registry, url_source(toy["url"], archive, newer))
    assert (fetch("toy") / "a.txt").read_bytes() == b"HELLO"


def test_wrong_hash_of_a_member_is_refused_with_both_hashes(
    toy: dict, registry: Path, tmp_path: Path
) -> None:
    expected = sha256(b"other")
    toy["files"][0] |= {"sha256": expected}
    register(registry, toy)
    with pytest.raises(AssetError) as caught:
        fetch("toy")
    message = str(caught.value)
    assert f"a.txt: wrong sha256 {sha256(FILES['a.txt'])}, expected is {expected}" in message
    assert assets.present_folder("toy") is None
    assert not (tmp_path / "cache" / "assets" / "toy" / "url").exists()


def test_unsafe_archive_is_refused(registry: Path, server: FileServer, tmp_path: Path) -> None:
    archive = zipped({"toy/a.txt": b"a", "../../../evil.txt": b"evil"})
    server.files["/toy.zip"] = archive
    register(registry, url_source(f"{server.address}/toy.zip", archive, {"a.txt": b"a"}))
    with pytest.raises(AssetError, match=r"unsafe member '\.\./\.\./\.\./evil\.txt'"):
        fetch("toy")
    assert not list(tmp_path.rglob("evil.txt"))


def test_truncated_archive_is_refused(registry: Path, server: FileServer) -> None:
    archive = ARCHIVE[:-30]  # its hash is in the registry, and yet it is no archive
    server.files["/toy.zip"] = archive
    register(registry, url_source(f"{server.address}/toy.zip", archive, FILES))
    with pytest.raises(AssetError, match=r"toy\.zip: truncated or damaged archive"):
        fetch("toy")


def test_single_file_needs_no_archive(registry: Path, server: FileServer) -> None:
    server.files["/a.txt"] = b"hello"
    source = url_source(f"{server.address}/a.txt", b"hello", {"a.txt": b"hello"})
    del source["folder"]
    register(registry, source)
    assert (fetch("toy") / "a.txt").read_bytes() == b"hello"


def test_failing_source_falls_to_the_next(
    toy: dict, registry: Path, server: FileServer, tmp_path: Path
) -> None:
    missing = toy | {"url": f"{server.address}/missing.zip"}
    register(registry, missing, toy)
    assert _content(fetch("toy")) == FILES


def test_local_folder_comes_first_and_is_left_alone(
    toy: dict, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    for path, content in FILES.items():
        (own / "toy" / path).parent.mkdir(parents=True, exist_ok=True)
        (own / "toy" / path).write_bytes(content)
    monkeypatch.setenv("LLMERS_DATA", str(own))
    folder = fetch("toy")
    assert folder.name == "local"
    assert _content(folder) == FILES
    assert _content(own / "toy") == FILES
    assert server.requests == []


def test_wrong_local_file_is_named_and_the_next_source_taken(
    toy: dict, registry: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    (own / "toy" / "sub").mkdir(parents=True)
    (own / "toy" / "a.txt").write_bytes(b"jello")
    (own / "toy" / "sub" / "b.bin").write_bytes(FILES["sub/b.bin"])
    monkeypatch.setenv("LLMERS_DATA", str(own))
    register(registry, toy | {"url": f"{server.address}/missing.zip"})
    with pytest.raises(AssetError) as caught:
        fetch("toy")
    assert f"{own / 'toy' / 'a.txt'}: wrong sha256 {sha256(b'jello')}" in str(caught.value)
    register(registry, toy)
    assert fetch("toy").name == "url"


def test_without_network_the_error_lists_every_reason_and_every_way(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module.time, "sleep", lambda seconds: None)
    dead_index = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
                  "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}  # fmt: skip
    for variable, value in dead_index.items():
        monkeypatch.setenv(variable, value)
    files = [{"path": "a.txt", "sha256": sha256(b"a")}]
    wheel = {"kind": "wheel", "requirement": "toy==1.0", "folder": "toy", "files": files}
    url = url_source("http://127.0.0.1:9/toy.zip", ARCHIVE, FILES)
    register(registry, wheel, url)
    with pytest.raises(AssetError) as caught:
        fetch("toy")
    reasons, _, ways = str(caught.value).partition("Any one of these makes it available:")
    assert str(tmp_path / "cache" / "assets" / "toy") in reasons
    assert reasons.count("local: LLMERS_DATA is not set") == 1
    assert "wheel: pip download toy==1.0: ERROR" in reasons
    assert "url: http://127.0.0.1:9/toy.zip: URLError" in reasons
    assert "local: set LLMERS_DATA and put into $LLMERS_DATA/toy/ the files a.txt\n" in ways
    assert "the files a.txt, sub/b.bin" in ways
    assert "wheel: a package index with toy==1.0" in ways
    assert "url: a machine that reaches http://127.0.0.1:9/toy.zip" in ways


def test_kill_leaves_no_result_and_the_next_call_resumes(
    toy: dict, registry: Path, server: FileServer, tmp_path: Path
) -> None:
    server.stall_after = 200_000
    process = subprocess.Popen([sys.executable, "-c", FETCH, str(registry)])
    part = tmp_path / "cache" / "assets" / "toy" / ".downloads" / "toy.zip.part"
    _wait_until(lambda: part.exists() and part.stat().st_size == 200_000)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert assets.present_folder("toy") is None
    assert not (part.parents[1] / "url").exists()

    server.stall_after = None
    assert _content(fetch("toy")) == FILES  # and the dead process's lock does not hold it up
    assert [wanted for _, wanted in server.requests] == [None, "bytes=200000-"]


def test_kill_while_unpacking_leaves_no_result(
    toy: dict, registry: Path, server: FileServer, tmp_path: Path
) -> None:
    # The process dies at the last moment before the folder gets its name.
    dying = FETCH.replace("from llmers_utils.data import fetch", """
import os, signal
from llmers_utils.data import assets, fetch
assets._write_marker = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
""")  # fmt: skip
    killed = subprocess.run([sys.executable, "-c", dying, str(registry)], check=False)
    assert killed.returncode == -signal.SIGKILL
    staging = tmp_path / "cache" / "assets" / "toy" / ".staging"
    assert (staging / "a.txt").exists()
    assert assets.present_folder("toy") is None
    assert _content(fetch("toy")) == FILES
    assert not staging.exists()


def test_two_processes_at_once_download_once(
    toy: dict, registry: Path, server: FileServer, tmp_path: Path
) -> None:
    server.stall_after = 200_000
    counted = FETCH.replace("print(", "(paths.DATA / str(os.getpid())).touch()\nprint(")
    command = [sys.executable, "-c", "import os\n" + counted, str(registry)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    started = [registry / str(process.pid) for process in processes]
    _wait_until(lambda: server.requests and all(path.exists() for path in started))
    time.sleep(1)  # time enough for a second request, if nothing held it back
    server.released.set()
    folders = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert folders == {str(tmp_path / "cache" / "assets" / "toy" / "url")}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(server.requests) == 1
    assert _content(Path(folders.pop())) == FILES


def test_marker_keeps_sizes_and_hashes(toy: dict) -> None:
    marker = json.loads((fetch("toy") / assets.MARKER).read_bytes())
    assert marker["a.txt"] == {"bytes": 5, "sha256": sha256(b"hello")}
    assert paths.cache_dir().name == "cache"


def _wait_until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)
