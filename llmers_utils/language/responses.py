"""Requests, responses, and the store that keeps answers as JSON lines."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from llmers_utils.language.prompts import load_template
from llmers_utils.language.schemas import Answer, schema_class


@dataclass(frozen=True)
class Request:
    """One question to a language model.

    Attributes:
        task, template_version: which prompt.
        entity: raw id of the item or user that it is about.
        messages: chat messages with ``role`` and ``content``.
        schema: name of the answer's schema, or None for free text.
        max_tokens, temperature, seed: how to generate.
        input_sha256: hash of what was shown about the entity; by default of the messages.
    """

    task: str
    template_version: int
    entity: str
    messages: Sequence[dict[str, str]]
    schema: str | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    input_sha256: str = ""

    def __post_init__(self) -> None:
        if not self.input_sha256:
            object.__setattr__(self, "input_sha256", sha256(_canonical(list(self.messages))))

    @cached_property
    def key(self) -> str:
        """The sha256 of the whole request in canonical JSON."""
        return sha256(_canonical(asdict(self)))

    @property
    def identity(self) -> tuple[str, int, str, str]:
        """Task, template version, entity and input: what an imported answer is known by."""
        return self.task, self.template_version, self.entity, self.input_sha256


@dataclass(frozen=True)
class Response:
    """One answer, or one failure.

    Attributes:
        task, template_version, entity, input_sha256: of the request.
        model: who answered; ``created``: when, as YYYY-MM or YYYY-MM-DD.
        prompt_tokens, completion_tokens: its cost.
        text: the answer as the model gave it (of a failure: the last text, or empty).
        error: None, or why there is no valid answer.
        key: the request's key; empty for imported answers, which were not made by this package's
            exact requests and are found by task, version, entity and input.
    """

    task: str
    template_version: int
    entity: str
    input_sha256: str
    model: str
    created: str
    prompt_tokens: int
    completion_tokens: int
    text: str
    error: str | None = None
    key: str = ""

    @property
    def identity(self) -> tuple[str, int, str, str]:
        """Task, template version, entity and input."""
        return self.task, self.template_version, self.entity, self.input_sha256

    def parsed(self) -> Answer:
        """The answer as its task's schema says.

        Raises ValueError for a failed response, for free text, and (as pydantic's ValidationError)
        where the text is not valid.
        """
        self.raise_for_failure()
        schema = load_template(self.task).schema
        if schema is None:
            raise ValueError(f"{self.task}: answers are free text; read `.text`")
        return schema_class(schema).model_validate_json(self.text)

    def readable(self) -> str:
        """The answer as one paragraph, for an encoder: free text as it stands, else the schema's.

        Raises ValueError for a failed response, and where the text does not fit the schema.
        """
        self.raise_for_failure()
        return self.text if load_template(self.task).schema is None else self.parsed().text()

    def raise_for_failure(self) -> None:
        """Raise ValueError where this is a failure and no answer."""
        if self.error is not None:
            raise ValueError(f"{self.task} of entity {self.entity}: failed ({self.error})")


@dataclass
class ResponseStore:
    """A folder with one file of answers a task: ``<folder>/<task>.jsonl``, sorted by entity.

    While a batch runs, each answer is appended to ``.<task>.journal`` and synced to disk, so that
    a killed run has paid for nothing in vain; ``merge`` moves the journal into the sorted file. A
    lock file makes several processes safe. Failures stay in the file until a later answer
    replaces them.
    """

    folder: Path
    _rows: dict[str, dict[tuple, Response]] = field(default_factory=dict, repr=False)
    # Threads of one process share their syncs: one writes what all of them have by then.
    _threads: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    _pending: dict[str, list[Response]] = field(default_factory=dict, repr=False, compare=False)

    def rows(self, task: str) -> list[Response]:
        """All rows of a task, sorted by entity. KeyError where the task has no file."""
        if not self._table(task):
            known = sorted(path.stem for path in self.folder.glob("*.jsonl"))
            raise KeyError(f"{self.folder}: no answers for task {task!r}; there are {known}")
        return _sorted(self._table(task).values())

    def get(self, request: Request, model: str) -> Response | None:
        """The answer of that model to that request; None where there is none or it failed."""
        table = self._table(request.task)
        row = table.get((model, request.key)) or table.get((model, *request.identity))
        return None if row is None or row.error is not None else row

    def entities(self, task: str, model: str) -> set[str]:
        """Entities with some answer of that model, fresh or stale."""
        return {row.entity for row in self._table(task).values() if row.model == model}

    def append(self, response: Response) -> None:
        """Write one row to the journal; it is on disk when this returns."""
        (pending := self._pending.setdefault(response.task, [])).append(response)
        with self._threads:
            if response in pending:  # else another thread has written it meanwhile
                self._write(response.task, pending[:])
        self._table(response.task)[_row_key(response)] = response

    def _write(self, task: str, rows: list[Response]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(task), self._journal(task).open("ab+") as file:
            _drop_torn_line(file)
            file.write(b"".join(map(_line, rows)))
            file.flush()
            os.fsync(file.fileno())
        del self._pending[task][: len(rows)]

    def merge(self, task: str) -> None:
        """Move the journal's rows into the sorted file."""
        journal, path = self._journal(task), self._path(task)
        if not journal.exists():
            return
        with self._lock(task):
            table = self._read(task)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            temporary.write_bytes(b"".join(map(_line, _sorted(table.values()))))
            os.replace(temporary, path)
            journal.unlink(missing_ok=True)
        self._rows[task] = table

    def _table(self, task: str) -> dict[tuple, Response]:
        if task not in self._rows:
            self._rows[task] = self._read(task)
        return self._rows[task]

    def _read(self, task: str) -> dict[tuple, Response]:
        table: dict[tuple, Response] = {}
        for path, torn_allowed in ((self._path(task), False), (self._journal(task), True)):
            table |= {_row_key(row): row for row in _read_rows(path, torn_allowed)}
        return table

    def _path(self, task: str) -> Path:
        return self.folder / f"{task}.jsonl"

    def _journal(self, task: str) -> Path:
        return self.folder / f".{task}.journal"

    def _lock(self, task: str) -> FileLock:
        return FileLock(self.folder / f".{task}.lock")


def sha256(text: str) -> str:
    """Hex digest of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _line(response: Response) -> bytes:
    facts = asdict(response)
    optional = {name: facts.pop(name) for name in ("error", "key")}
    facts |= {name: value for name, value in optional.items() if value}
    return (json.dumps(facts, ensure_ascii=False) + "\n").encode("utf-8")


def _row_key(row: Response) -> tuple:
    return (row.model, row.key) if row.key else (row.model, *row.identity)


def _sorted(rows: Iterator[Response] | Sequence[Response]) -> list[Response]:
    def order(row: Response) -> tuple:
        number = int(row.entity) if row.entity.isdecimal() else float("inf")
        return number, row.entity, row.model, row.key

    return sorted(rows, key=order)


def _read_rows(path: Path, torn_allowed: bool) -> Iterator[Response]:
    """Rows of a file; a last line without its end, left by a kill, is skipped in a journal."""
    if not path.exists():
        return
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if torn_allowed and not line.endswith(b"\n"):
            return
        try:
            yield Response(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not a response row ({error})") from error


def _drop_torn_line(file: BinaryIO) -> None:
    """Cut off a last line that a kill left without its end."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
