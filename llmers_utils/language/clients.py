"""One interface to a language model, whatever the engine."""

from __future__ import annotations

import datetime
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import ValidationError
from tqdm import tqdm

from llmers_utils.language.ledger import Ledger
from llmers_utils.language.responses import Request, Response, ResponseStore
from llmers_utils.language.schemas import schema_class
from llmers_utils.language.serving import refuse_while_serving
from llmers_utils.paths import DATA, cache_dir

RECORDED_MODEL = "recorded-llm"


class Client(Protocol):
    """What the notebooks know of a language model."""

    model: str
    ledger: Ledger

    def complete(self, requests: Sequence[Request], *, progress: bool = False) -> list[Response]:
        """Answers in the order of the requests, as many as requests; failures carry ``error``."""

    def next_token_logprobs(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Log-probabilities (N, C) in nats that each candidate follows each prompt."""


class StoringClient(ABC):
    """Looks into the store first, asks the engine for the rest, keeps what it says.

    Each answer is on disk as soon as it has come, so a killed run goes on where it stopped. A
    request that was answered is never sent again; one that failed is tried again by the next call.
    """

    def __init__(self, model: str, store: ResponseStore) -> None:
        self.model = model
        self.store = store
        self.ledger = Ledger()

    def complete(self, requests: Sequence[Request], *, progress: bool = False) -> list[Response]:
        """Answers in the order of the requests; see ``Client``."""
        refuse_while_serving("complete()")
        start = time.perf_counter()
        answers = {r.key: found for r in requests if (found := self.store.get(r, self.model))}
        cached = sum(request.key in answers for request in requests)
        missing = {request.key: request for request in requests if request.key not in answers}
        try:
            if missing:
                engine = self._answer(list(missing.values()))
                for response in tqdm(engine, total=len(missing), disable=not progress):
                    answers[response.key] = response
        finally:
            for task in dict.fromkeys(request.task for request in missing.values()):
                self.store.merge(task)
            self._count(requests, answers, cached, time.perf_counter() - start)
        return [answers[request.key] for request in requests]

    def next_token_logprobs(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Not every engine can; see ``Client``."""
        refuse_while_serving("next_token_logprobs()")
        return self._next_token_logprobs(prompts, candidates)

    @abstractmethod
    def _answer(self, requests: list[Request]) -> Iterator[Response]:
        """One response for each request, in any order, each appended to the store at once."""

    def _next_token_logprobs(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        raise NotImplementedError(
            f"{type(self).__name__} cannot give the probability of arbitrary tokens; "
            'use llm="hf:tiny" or another "hf:" model for this'
        )

    def _count(
        self, requests: Sequence[Request], answers: dict[str, Response], cached: int, seconds: float
    ) -> None:
        self.ledger.calls += len(requests)
        self.ledger.cached += cached
        self.ledger.seconds += seconds
        for key in dict.fromkeys(request.key for request in requests):
            if key in answers:
                self.ledger.failed += answers[key].error is not None
                self.ledger.prompt_tokens += answers[key].prompt_tokens
                self.ledger.completion_tokens += answers[key].completion_tokens


class RecordedClient(StoringClient):
    """Answers from the store only; nothing is asked, nothing is paid."""

    def _answer(self, requests: list[Request]) -> Iterator[Response]:
        task = requests[0].task
        known = self.store.entities(task, self.model)
        stale = [request.entity for request in requests if request.entity in known]
        fresh = [request.entity for request in requests if request.entity not in known]
        raise LookupError(
            f"{self.store.folder}: {len(requests)} answers of {self.model!r} are missing for task "
            f"{task!r}, template version {requests[0].template_version}. Stale, since template or "
            f"input changed: {len(stale)} (entities {stale[:5]}). Never recorded: {len(fresh)} "
            f"(entities {fresh[:5]}). Record them anew with\n"
            f"  python -m llmers_utils.language.record {task} "
            f"--dataset {self.store.folder.name} --llm openai:MODEL"
        )


def open_client(spec: str, *, dataset: str, store: Path | None = None) -> Client:
    """The client that a specification names.

    Args:
        spec: ``recorded`` or ``recorded:<model>`` (answers in ``data/llm_responses``);
            ``openai:<model>`` (any OpenAI-compatible server; address and key from the environment
            variables ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``); ``hf:<model or folder>``
            (transformers, on this machine; ``hf:tiny`` is the project's own small model);
            ``file:<task>=<path>[,<task>=<path>]`` (texts that somebody else recorded, as JSON).
        dataset: name of the data set, or the reader's folder; names the folder of answers.
        store: another folder for the answers. By default engines keep theirs in the cache.

    Raises ValueError where the specification is not of that form.
    """
    form = re.fullmatch(r"(?P<engine>\w+)(:(?P<model>.+))?", spec)
    if form is None or form["engine"] not in ENGINES:
        raise ValueError(f"llm={spec!r}: must be one of {', '.join(SPEC_FORMS)}")
    if form["engine"] != "recorded" and not form["model"]:
        raise ValueError(f"llm={spec!r}: name a model, as in {spec}:<model>")
    return ENGINES[form["engine"]](form["model"], Path(dataset).name, store)


def validate(text: str, schema: str | None) -> tuple[str, str | None]:
    """The bare answer and what is wrong with it (None: nothing).

    A JSON object may stand in a code fence or between words. A valid one comes back in the schema's
    own form.
    """
    if schema is None:
        return text, None if text.strip() else "the answer is empty"
    found = re.search(r"\{.*\}", text, re.DOTALL)
    if found is None:
        return text, "the answer holds no JSON object"
    try:
        return schema_class(schema).model_validate_json(found[0]).model_dump_json(), None
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()[:5]
        ]
        return text, "; ".join(problems)


def repair_messages(request: Request, text: str, problem: str) -> list[dict[str, str]]:
    """The conversation that asks once more for a valid answer."""
    ask = f"This answer is not valid ({problem}). Answer again with the corrected JSON object only."
    return [
        *request.messages,
        {"role": "assistant", "content": text[:4000]},
        {"role": "user", "content": ask},
    ]


def response_to(
    request: Request, model: str, text: str, tokens: tuple[int, int], error: str | None
) -> Response:
    """A response made now."""
    return Response(
        *request.identity,
        model=model,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        text=text,
        error=error,
        key=request.key,
    )


def _engine_store(dataset: str, store: Path | None) -> ResponseStore:
    return ResponseStore(store or cache_dir() / "llm_responses" / dataset)


def _open_recorded(model: str | None, dataset: str, store: Path | None) -> StoringClient:
    folder = store or DATA / "llm_responses" / dataset
    return RecordedClient(model or RECORDED_MODEL, ResponseStore(folder))


def _open_openai(model: str, dataset: str, store: Path | None) -> StoringClient:
    from llmers_utils.language.openai_client import OpenAIClient

    return OpenAIClient(model, _engine_store(dataset, store))


def _open_hf(model: str, dataset: str, store: Path | None) -> StoringClient:
    from llmers_utils.language.hf_client import HFClient

    return HFClient(model, _engine_store(dataset, store))


def _open_files(spec: str, dataset: str, store: Path | None) -> Client:
    from llmers_utils.language.file_client import FileClient, parse_files

    return FileClient(parse_files(spec))


ENGINES: dict[str, Callable[..., Client]] = {
    "recorded": _open_recorded,
    "openai": _open_openai,
    "hf": _open_hf,
    "file": _open_files,
}
SPEC_FORMS = (
    "recorded",
    "recorded:<model>",
    "openai:<model>",
    "hf:<model or folder>",
    "hf:tiny",
    "file:<task>=<path>",
)
