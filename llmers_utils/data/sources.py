"""Where an asset can come from: a local folder, a URL, a model hub, a PyPI wheel.

Each kind is one class with ``fetch_into(folder)``, which puts the asset's files there or raises
``SourceError``; ``assets.fetch`` verifies them.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from llmers_utils import paths
from llmers_utils.data.download import Advance, SourceError, download, unpack, verify


class AssetFile(BaseModel):
    """One file of an asset. Without size and hash it is verified with its archive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    bytes: int | None = None
    sha256: str | None = None


class Source(Protocol):
    """What every kind of source has."""

    kind: str
    files: tuple[AssetFile, ...]

    def fetch_into(self, folder: Path, downloads: Path, advance: Advance) -> None:
        """Put the files into ``folder``; ``downloads`` keeps what a later call can resume."""

    def instruction(self, asset: str) -> str:
        """Say in one line how a reader can get the files by this way."""


class _Remote(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    files: tuple[AssetFile, ...]
    bytes: int | None = None  # of what travels: the archive, the wheel, or all files

    def _paths(self) -> list[str]:
        return [file.path for file in self.files]


class UrlSource(_Remote):
    """A zip archive at a URL, or (without ``folder``) the one file itself."""

    kind: Literal["url"]
    url: str
    sha256: str
    folder: str | None = None

    def fetch_into(self, folder: Path, downloads: Path, advance: Advance) -> None:
        """Download, verify, unpack."""
        arrived = downloads / self.url.rpartition("/")[2]
        download(self.url, arrived, n_bytes=self.bytes, sha256=self.sha256, advance=advance)
        if self.folder is None:
            shutil.move(arrived, folder / self.files[0].path)
        else:
            unpack(arrived, folder, self.folder, self._paths())
            arrived.unlink()

    def instruction(self, asset: str) -> str:
        """Name the address."""
        return f"url: a machine that reaches {self.url}"


class WheelSource(_Remote):
    """Members of a wheel on PyPI, fetched by pip and unpacked without running any of it."""

    kind: Literal["wheel"]
    requirement: str
    folder: str

    def fetch_into(self, folder: Path, downloads: Path, advance: Advance) -> None:
        """Let pip download the wheel, with the reader's own index settings; unpack it."""
        fresh = downloads / "wheel"
        shutil.rmtree(fresh, ignore_errors=True)
        _pip_download(self.requirement, fresh, advance)
        wheels = list(fresh.glob("*.whl"))
        if len(wheels) != 1:
            raise SourceError(f"pip download {self.requirement}: {len(wheels)} wheels, not one")
        unpack(wheels[0], folder, self.folder, self._paths())
        shutil.rmtree(fresh)

    def instruction(self, asset: str) -> str:
        """Name the wheel."""
        return f"wheel: a package index with {self.requirement} (pip's own settings choose it)"


class HubSource(_Remote):
    """Files of one revision of a Hugging Face repository."""

    kind: Literal["hub"]
    repo: str
    revision: str

    def fetch_into(self, folder: Path, downloads: Path, advance: Advance) -> None:
        """Download each file into ``downloads``, then move it; the hub's client resumes."""
        from huggingface_hub import hf_hub_download  # slow to import, rarely needed
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        done = 0
        for path in self._paths():
            try:
                arrived = hf_hub_download(
                    self.repo, path, revision=self.revision, local_dir=downloads / "hub"
                )
            except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
                reason = str(error).splitlines()[0]
                raise SourceError(f"{self.repo}/{path}: {reason}") from error
            done += Path(arrived).stat().st_size
            advance(done)
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(arrived, target)

    def instruction(self, asset: str) -> str:
        """Name repository and revision."""
        return f"hub: a machine that reaches the model hub, {self.repo} at {self.revision}"


RemoteSource = Annotated[UrlSource | WheelSource | HubSource, Field(discriminator="kind")]


class LocalSource:
    """The same files as of ``remote``, put by the reader into ``LLMERS_DATA``/<asset>."""

    kind = "local"

    def __init__(self, asset: str, remote: Source) -> None:
        self.asset = asset
        self.files = remote.files

    def fetch_into(self, folder: Path, downloads: Path, advance: Advance) -> None:
        """Copy the files, so that the reader's folder is never changed or relied upon."""
        root = paths.local_data_dir()
        if root is None:
            raise SourceError("LLMERS_DATA is not set")
        origin = root / self.asset
        missing = [file.path for file in self.files if not (origin / file.path).is_file()]
        if missing:
            raise SourceError(f"{origin} lacks {', '.join(missing)}")
        done = 0
        for file in self.files:
            # A wrong copy must stop here with its own path, before a large file is copied.
            verify(
                origin / file.path, str(origin / file.path), n_bytes=file.bytes, sha256=file.sha256
            )
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin / file.path, folder / file.path)
            done += (folder / file.path).stat().st_size
            advance(done)

    def instruction(self, asset: str) -> str:
        """Name the folder and the files."""
        names = ", ".join(file.path for file in self.files)
        return f"local: set LLMERS_DATA and put into $LLMERS_DATA/{asset}/ the files {names}"


def _pip_download(requirement: str, folder: Path, advance: Advance) -> None:
    command = [
        sys.executable, "-m", "pip", "download", requirement, "--no-deps",
        "--only-binary", ":all:", "--dest", str(folder), "--disable-pip-version-check",
        "--progress-bar", "raw" if _pip_reports_progress() else "off",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    said = []
    with process:
        for line in process.stdout or ():
            if progress := re.match(r"Progress (\d+) of \d+", line):
                advance(int(progress[1]))
            else:
                said.append(line.strip())
    if process.returncode:
        errors = [line for line in said if line.startswith("ERROR")] or said[-3:]
        raise SourceError(f"pip download {requirement}: {' '.join(errors)}")


def _pip_reports_progress() -> bool:
    try:
        version = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return False  # the command itself will say that pip is missing
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major, minor) >= (24, 1)
