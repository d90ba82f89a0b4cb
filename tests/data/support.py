"""A real HTTP server with moods, registry entries, small data sets in every form."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import polars as pl

from llmers_utils.data import Dataset, load_dataset
from llmers_utils.data.movielens import GENRES_100K


class FileServer(ThreadingHTTPServer):
    """Serves ``files`` by path. The flags make it behave like the servers one meets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.ranges = True  # honour Range requests
        self.cut_after: int | None = None  # bytes of each answer before the connection drops
        self.stall_after: int | None = None  # bytes of each answer before it waits for ``released``
        self.failures: list[int] = []  # statuses of the next answers
        self.requests: list[tuple[str, str | None]] = []  # (path, Range header) of each GET
        self.released = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_HEAD(self) -> None:
        self._answer(send_body=False)

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        self._answer(send_body=True)

    def _answer(self, *, send_body: bool) -> None:
        if self.server.failures:
            self.send_error(self.server.failures.pop(0))
            return
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and self.server.ranges else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if send_body:
            self._send(body[start:])

    def _send(self, body: bytes) -> None:
        if self.server.stall_after is not None:
            self.wfile.write(body[: self.server.stall_after])
            self.wfile.flush()
            self.server.released.wait(60)
            with contextlib.suppress(ConnectionError):  # the client may be dead by now
                self.wfile.write(body[self.server.stall_after :])
        elif self.server.cut_after is not None:
            self.wfile.write(body[: self.server.cut_after])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def url_source(address: str, archive: bytes, files: dict[str, bytes]) -> dict:
    """A registry entry for a zip at ``address`` whose folder ``toy`` holds ``files``."""
    return {
        "kind": "url",
        "url": address,
        "bytes": len(archive),
        "sha256": sha256(archive),
        "folder": "toy",
        "files": [
            {"path": path, "bytes": len(content), "sha256": sha256(content)}
            for path, content in files.items()
        ],
    }


def register(home: Path, *sources: dict, name: str = "toy") -> None:
    entry = {"description": "a toy", "licence": "MIT", "terms": "Play.", "sources": sources}
    (home / "assets.json").write_text(json.dumps({name: entry}))


RECBOLE = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t5\t100\n2\t9\t3\t50\n1\t9\t4\t100\n1\t267\t1\t90\n",
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "9\tMisérables, Les\t1995\tDrama Musical\n10\tHelp! (Oh) III (1995)\tV\tComedy\n"
    "267\tunkonwn\tunkonwn\tunknown\n300\tNever Rated\t1990\tDrama\n",
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t24\tM\ttechnician\t85711\n2\t53\tF\tother\t94043\n3\t53\tF\tother\t94043\n",
    "ml-100k.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.09\tfilm.genre\tm.1\n",
}


def write_files(folder: Path, files: dict[str, str], encoding: str = "utf-8") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))


def grouplens_files(dataset: Dataset) -> dict[str, str]:
    """The canonical frames in the form in which GroupLens publishes MovieLens-100K."""
    items = dataset.items
    raw_items = items["raw_item"].to_list()
    raw_users = dataset.users["raw_user"].to_list()
    shuffled = dataset.interactions.sample(fraction=1.0, shuffle=True, seed=7)
    ratings = [
        f"{raw_users[user]}\t{raw_items[item]}\t{rating:g}\t{time}"
        for user, item, rating, time in shuffled.iter_rows()
    ]
    films = []
    for row in items.iter_rows(named=True):
        title = "unknown" if row["title"] == "unkonwn" else f"{row['title']} ({row['release']})"
        flags = "|".join(str(int(genre in row["genres"])) for genre in GENRES_100K)
        films.append(f"{row['raw_item']}|{title} |01-Jan-1995||http://example.org|{flags}")
    people = [
        f"{row['raw_user']}|{row['age']}|{row['gender']}|{row['occupation']}|00000"
        for row in dataset.users.iter_rows(named=True)
    ]
    texts = {"u.data": ratings, "u.item": films, "u.user": people}
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def toy_interactions(sequences: dict[str, list[tuple[str, float, int]]]) -> str:
    """A csv of the folder format from (item, rating, timestamp) per user."""
    rows = [
        f"{user},{item},{rating:g},{time}"
        for user, sequence in sequences.items()
        for item, rating, time in sequence
    ]
    return "\n".join(["user,item,rating,timestamp", *rows]) + "\n"


def toy_dataset(folder: Path, sequences: dict[str, list[tuple[str, float, int]]]) -> Dataset:
    items = sorted({item for sequence in sequences.values() for item, _, _ in sequence})
    titles = "\n".join(["item,title", *(f"{item},Film {item}" for item in items)]) + "\n"
    write_files(folder, {"interactions.csv": toy_interactions(sequences), "items.csv": titles})
    return load_dataset(str(folder))


def pairs(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return list(frame.select("user", "item").iter_rows())
