"""Verified, resumable downloads and safe unpacking."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

CHUNK = 1 << 20
Advance = Callable[[int], object]  # told the bytes that have arrived so far


class SourceError(Exception):
    """One source could not give an asset; the message is the reason."""


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, name: str, *, n_bytes: int | None, sha256: str | None) -> None:
    """Compare a file with what the registry says of it; None is not compared.

    Raises:
        SourceError: another size or another hash; the message has both.
    """
    found_bytes = path.stat().st_size
    if n_bytes is not None and found_bytes != n_bytes:
        raise SourceError(f"{name}: {found_bytes:,} bytes arrived, {n_bytes:,} are expected")
    if sha256 is not None and (found := sha256_of(path)) != sha256:
        raise SourceError(f"{name}: wrong sha256 {found}, expected is {sha256}")


def download(
    url: str,
    target: Path,
    *,
    n_bytes: int | None = None,
    sha256: str | None = None,
    advance: Advance = lambda done: None,
    attempts: int = 4,
    timeout: float = 30.0,
    pause: float = 0.5,
) -> None:
    """Download ``url`` to ``target``, which appears only when it is whole and verified.

    What arrives is kept in ``<target>.part``. A cut connection, or a later call, goes on from
    there by an HTTP range; where the server ignores ranges it starts again.

    Args:
        url: address.
        target: file to make.
        n_bytes: expected size, or None.
        sha256: expected hash, or None.
        advance: called with the number of bytes that have arrived.
        attempts: connections in a row without one new byte before giving up.
        timeout: seconds without an answer before a connection counts as cut.
        pause: seconds between two connections, doubled after each one without a new byte.

    Raises:
        SourceError: no connection, an HTTP error, or a wrong size or hash.
    """
    part = target.with_name(f"{target.name}.part")
    resumed = part.exists()
    failures, most = 0, _size(part)
    while n_bytes is None or _size(part) < n_bytes:
        try:
            _receive(url, part, n_bytes, advance, timeout)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise SourceError(f"{url}: HTTP {error.code} {error.reason}") from error
            reason: Exception = error
        except (OSError, http.client.HTTPException) as error:
            reason = error
        failures = 0 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        if failures >= attempts:
            raise SourceError(f"{url}: {_plainly(reason)}") from reason
        time.sleep(pause * 2**failures)
    try:
        verify(part, url, n_bytes=n_bytes, sha256=sha256)
    except SourceError:
        part.unlink()
        if not resumed:
            raise
        # The remains of an earlier call may belong to another version of the file.
        download(url, target, n_bytes=n_bytes, sha256=sha256, advance=advance,
                 attempts=attempts, timeout=timeout, pause=pause)  # fmt: skip
        return
    os.replace(part, target)


def _receive(url: str, part: Path, n_bytes: int | None, advance: Advance, timeout: float) -> None:
    """Append what the server sends to ``part``; raise OSError when it ends too early."""
    start = _size(part)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # longer than the file is now
        raise ConnectionError("the server has no such range") from error
    with response:
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if goes_on:
            first = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            goes_on = first is not None and int(first[1]) == start
            if not goes_on:
                part.unlink()
                raise ConnectionError("the server sent another range than asked for")
        expected = response.length  # of this answer; None where the server does not say
        received = 0
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                file.flush()  # a killed process keeps what it received
                received += len(chunk)
                advance(file.tell())
                if n_bytes is not None and file.tell() > n_bytes:
                    return  # too long: verify() says so
            os.fsync(file.fileno())
        if expected is not None and received < expected:
            raise ConnectionError(f"cut after {received:,} of {expected:,} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _plainly(reason: Exception) -> str:
    inner = getattr(reason, "reason", None)
    return f"{type(reason).__name__}: {inner or reason}"


def unpack(archive: Path, folder: Path, members: str, paths: Iterable[str]) -> None:
    """Copy ``<members>/<path>`` of a zip archive to ``folder/<path>`` for each of ``paths``.

    Nothing in the archive is run. One member anywhere in it with an absolute path or a ``..``
    condemns the whole archive.

    Raises:
        SourceError: a truncated or damaged archive, an unsafe member, a member that is missing.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            _refuse_unsafe(archive, opened.namelist())
            for path in paths:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(f"{members}/{path}") as source, target.open("wb") as file:
                    while chunk := source.read(CHUNK):
                        file.write(chunk)
    except (zipfile.BadZipFile, EOFError) as error:
        raise SourceError(f"{archive.name}: truncated or damaged archive ({error})") from error
    except KeyError as error:
        raise SourceError(f"{archive.name}: {error.args[0]}") from error


def _refuse_unsafe(archive: Path, members: Iterable[str]) -> None:
    for member in members:
        windows = PureWindowsPath(member)
        inside = not PurePosixPath(member).is_absolute() and not windows.anchor
        if not inside or ".." in windows.parts:
            raise SourceError(
                f"{archive.name}: unsafe member {member!r}; allowed are relative paths without '..'"
            )
