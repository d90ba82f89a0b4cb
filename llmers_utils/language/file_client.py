"""Texts that somebody else's language model wrote: one JSON file a task, ``{raw id: text}``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmers_utils.data.mind import description_texts
from llmers_utils.language.clients import response_to
from llmers_utils.language.ledger import Ledger
from llmers_utils.language.responses import Request, Response
from llmers_utils.language.serving import refuse_while_serving


@dataclass(frozen=True)
class FreeText(Response):
    """An answer without a schema: read as it stands."""

    def readable(self) -> str:
        """The text itself."""
        self.raise_for_failure()
        return self.text


class FileClient:
    """Answers each request with the text its entity has in the task's file.

    Nothing is stored, since the files are the store, and their tokens are not known.

    Args:
        files: path of the JSON file of each task. A value is a text, or an object of facts, which
            is read as "name: value." sentences. Entities without a text get a failed answer, and
            so do all requests of a task without a file. A list of
            ``{"category": ..., "description": ...}`` is read as an object from one to the other.

    Raises ValueError naming the file that is neither.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        self.model = "file:" + ",".join(path.stem for path in files.values())
        self.texts = {task: _read(path) for task, path in files.items()}
        self.ledger = Ledger()

    def complete(self, requests: Sequence[Request], *, progress: bool = False) -> list[Response]:
        """Answers in the order of the requests."""
        refuse_while_serving("complete()")
        answers = [self._answer(request) for request in requests]
        failed = sum(answer.error is not None for answer in answers)
        self.ledger.calls += len(answers)
        self.ledger.failed += failed
        self.ledger.cached += len(answers) - failed
        return answers

    def next_token_logprobs(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Texts have no probabilities: NotImplementedError."""
        raise NotImplementedError('files hold texts only; use llm="hf:tiny" or another "hf:" model')

    def _answer(self, request: Request) -> Response:
        text = self.texts.get(request.task, {}).get(request.entity, "")
        error = None if text else "the files hold no text for it"
        return FreeText(**vars(response_to(request, self.model, text, (0, 0), error)))


def parse_files(spec: str) -> dict[str, Path]:
    """``TASK=PATH[,TASK=PATH]`` as a dict. ValueError in another form or without the file."""
    files = {}
    for part in spec.split(","):
        task, equals, path = part.partition("=")
        if not (task and equals and Path(path).expanduser().is_file()):
            raise ValueError(f"llm='file:{spec}': {part!r} must be TASK=PATH of an existing file")
        files[task] = Path(path).expanduser()
    return files


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: must be a JSON file in UTF-8 ({error})") from error
    if isinstance(content, list):
        return description_texts(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be one object from raw ids to texts")
    return {entity: _paragraph(value) for entity, value in content.items()}


def _paragraph(value: Any) -> str:
    if isinstance(value, dict):
        facts = {name: _paragraph(fact).rstrip(".") for name, fact in value.items() if fact}
        return " ".join(f"{name}: {fact}." for name, fact in facts.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).strip()
