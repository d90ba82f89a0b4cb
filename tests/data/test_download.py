"""Downloads over a real HTTP server on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmers_utils.data import download as download_module
from llmers_utils.data.download import SourceError, download, unpack

from .support import FileServer, sha256, zipped

CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module.time, "sleep", lambda seconds: None)


@pytest.fixture
def url(server: FileServer) -> str:
    server.files["/file.bin"] = CONTENT
    return f"{server.address}/file.bin"


def _download(url: str, target: Path, **arguments: object) -> None:
    download(url, target, n_bytes=len(CONTENT), sha256=sha256(CONTENT), **arguments)


def test_whole_file_arrives_and_progress_is_told(url: str, tmp_path: Path) -> None:
    told: list[int] = []
    _download(url, tmp_path / "file.bin", advance=told.append)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_earlier_part_is_resumed_by_range(server: FileServer, url: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:300_000])
    _download(url, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.requests == [("/file.bin", "bytes=300000-")]


def test_server_that_ignores_ranges_starts_again(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:300_000])
    _download(url, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_cut_connections_are_resumed_until_whole(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    server.cut_after = 100_000
    _download(url, tmp_path / "file.bin", attempts=2)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    starts = [wanted for _, wanted in server.requests]
    assert starts[:3] == [None, "bytes=100000-", "bytes=200000-"]
    assert len(starts) == 11


def test_cut_connections_without_ranges_end_in_an_error(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    server.ranges, server.cut_after = False, 100_000
    with pytest.raises(SourceError, match="cut after 100,000 of 1,048,576 bytes"):
        _download(url, tmp_path / "file.bin", attempts=3)
    assert not (tmp_path / "file.bin").exists()
    assert len(server.requests) == 4  # the first one made progress


def test_busy_server_is_asked_again(server: FileServer, url: str, tmp_path: Path) -> None:
    server.failures = [503, 429]
    _download(url, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_missing_file_is_not_asked_for_again(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="HTTP 404"):
        _download(f"{server.address}/other.bin", tmp_path / "file.bin")
    assert len(server.requests) == 1


def test_wrong_hash_names_both_and_leaves_nothing(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    server.files["/file.bin"] = other = CONTENT[:-1] + b"x"
    with pytest.raises(SourceError) as caught:
        _download(url, tmp_path / "file.bin")
    assert sha256(other) in str(caught.value)
    assert sha256(CONTENT) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_part_of_another_version_is_thrown_away(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"old" * 1000)
    _download(url, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == ["bytes=3000-", None]


def test_longer_part_than_the_file_is_thrown_away(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    download(url, tmp_path / "file.bin", sha256=sha256(CONTENT))  # size unknown: the server says
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert [wanted is None for _, wanted in server.requests] == [False, True]


def test_other_page_than_the_file_is_refused_by_its_size(
    server: FileServer, url: str, tmp_path: Path
) -> None:
    server.files["/file.bin"] = b"<html>please log in</html>"
    with pytest.raises(SourceError, match=r"26 bytes arrived, 1,048,576 are expected"):
        _download(url, tmp_path / "file.bin")


def test_no_server_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/.*refused"):
        _download("http://127.0.0.1:9/file.bin", tmp_path / "file.bin")


@pytest.mark.parametrize(
    "member", ["../evil.txt", "toy/../../evil.txt", "/etc/evil.txt", "C:\\evil.txt", "..\\evil.txt"]
)
def test_unsafe_member_condemns_the_archive(member: str, tmp_path: Path) -> None:
    archive = tmp_path / "toy.zip"
    archive.write_bytes(zipped({"toy/a.txt": b"a", member: b"evil"}))
    target = tmp_path / "inner" / "folder"
    with pytest.raises(SourceError, match=r"unsafe member .*evil\.txt.*without '\.\.'"):
        unpack(archive, target, "toy", ["a.txt"])
    assert not list(tmp_path.rglob("evil.txt"))
    assert not target.exists()


def test_only_the_named_members_are_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "toy.zip"
    archive.write_bytes(zipped({"toy/sub/a.txt": b"a", "toy/b.txt": b"b"}))
    unpack(archive, tmp_path / "out", "toy", ["sub/a.txt"])
    assert (tmp_path / "out" / "sub" / "a.txt").read_bytes() == b"a"
    assert not (tmp_path / "out" / "b.txt").exists()


@pytest.mark.parametrize("kept", [10, 60, 100])
def test_truncated_archive_is_named(kept: int, tmp_path: Path) -> None:
    archive = tmp_path / "toy.zip"
    archive.write_bytes(zipped({"toy/a.txt": b"a" * 1000})[:kept])
    with pytest.raises(SourceError, match=r"toy\.zip: truncated or damaged archive"):
        unpack(archive, tmp_path / "out", "toy", ["a.txt"])


def test_damaged_member_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "toy.zip"
    archive.write_bytes(zipped({"toy/a.txt": b"a" * 1000}).replace(b"aaaa", b"bbbb", 1))
    with pytest.raises(SourceError, match=r"toy\.zip: truncated or damaged archive \(Bad CRC"):
        unpack(archive, tmp_path / "out", "toy", ["a.txt"])


def test_missing_member_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "toy.zip"
    archive.write_bytes(zipped({"toy/a.txt": b"a"}))
    with pytest.raises(SourceError, match=r"toy/b\.txt"):
        unpack(archive, tmp_path / "out", "toy", ["b.txt"])
