"""Any OpenAI-compatible server: a cloud, vLLM, Ollama, ``transformers serve``."""

from __future__ import annotations

import email.utils
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache

import httpx2
import openai
from openai.types.chat import ChatCompletion

from llmers_utils.language.clients import StoringClient, repair_messages, response_to, validate
from llmers_utils.language.http_limits import AnswerTooLarge, LimitedTransport
from llmers_utils.language.responses import Request, Response, ResponseStore
from llmers_utils.language.schemas import schema_class

# A wrong key, address or model fails every request alike: the run stops at once.
HOPELESS = (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError)


@dataclass(frozen=True)
class Patience:
    """How long to insist: tries a request, seconds a try, first and longest pause between tries."""

    tries: int = 6
    timeout: float = 120.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    max_bytes: int = 1_000_000

    def pause(self, attempt: int, error: Exception, rng: random.Random) -> float:
        """Seconds before the next try: what the server asks for, else exponential with jitter."""
        asked = _retry_after(error)
        if asked is not None:
            return min(asked, self.longest_pause) + rng.uniform(0, self.first_pause)
        return min(self.first_pause * 2**attempt, self.longest_pause) * rng.uniform(0.5, 1.0)


@dataclass
class _Spent:
    """Tokens of one request over all its tries."""

    prompt: int = 0
    completion: int = 0


class OpenAIClient(StoringClient):
    """Chat completions with concurrency, retries, a schema, and one repair try.

    Retried are 408, 409, 429, 5xx, timeouts, cut connections and broken bodies. A request that
    fails after all tries, is refused, or stays invalid after one repair ends as a failed
    response; the batch goes on. Errors that no retry can mend (wrong key, address or model) are
    raised.

    Args:
        model: name of the model on the server.
        store: where answers are kept.
        base_url, api_key: by default ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``. The key is never
            written anywhere; servers without keys ignore it.
        concurrency: requests at once.
        patience: retries and limits.
    """

    def __init__(
        self,
        model: str,
        store: ResponseStore,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        concurrency: int = 8,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(model, store)
        self.concurrency = concurrency
        self.patience = patience or Patience()
        self._schema_accepted = True
        self._rng = random.Random(0)
        timeout = self.patience.timeout
        self._api = openai.OpenAI(
            base_url=base_url or os.environ.get("OPENAI_BASE_URL"),
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,
            timeout=timeout,
            http_client=httpx2.Client(
                transport=LimitedTransport(self.patience.max_bytes, timeout), timeout=timeout
            ),
        )

    def _answer(self, requests: list[Request]) -> Iterator[Response]:
        with ThreadPoolExecutor(self.concurrency) as pool:
            futures = [pool.submit(self._one, request) for request in requests]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, request: Request) -> Response:
        """One response, kept at once: an interrupt must not lose what others were paid for."""
        spent, text, problem = _Spent(), "", None
        try:
            text, problem = validate(self._text(request, request.messages, spent), request.schema)
            if problem is not None and request.schema is not None:
                repair = repair_messages(request, text, problem)
                text, problem = validate(self._text(request, repair, spent), request.schema)
        except HOPELESS:
            raise
        except (openai.OpenAIError, ValueError) as error:
            problem = _describe(error)
        tokens = (spent.prompt, spent.completion)
        response = response_to(request, self.model, text, tokens, problem)
        self.store.append(response)
        return response

    def _text(self, request: Request, messages: list[dict[str, str]], spent: _Spent) -> str:
        """The answer's text, after as many tries as it takes. Raises the last try's error."""
        for attempt in range(self.patience.tries):
            try:
                return self._ask(request, messages, spent)
            except (openai.OpenAIError, ValueError) as error:
                last = attempt == self.patience.tries - 1
                if last or not _worth_retrying(error):
                    raise
                time.sleep(self.patience.pause(attempt, error, self._rng))
        raise AssertionError("patience.tries must be at least 1")

    def _ask(self, request: Request, messages: list[dict[str, str]], spent: _Spent) -> str:
        try:
            completion = self._send(request, messages, with_schema=self._schema_accepted)
        except (openai.BadRequestError, openai.UnprocessableEntityError):
            if request.schema is None or not self._schema_accepted:
                raise
            completion = self._send(request, messages, with_schema=False)
            self._schema_accepted = False  # the server takes the request, but no schema
        if not isinstance(completion, ChatCompletion) or not completion.choices:
            raise ValueError("the server's answer is not a chat completion")
        if completion.usage:
            spent.prompt += completion.usage.prompt_tokens or 0
            spent.completion += completion.usage.completion_tokens or 0
        return completion.choices[0].message.content or ""

    def _send(
        self, request: Request, messages: list[dict[str, str]], *, with_schema: bool
    ) -> object:
        body = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.schema is not None and with_schema:
            body["response_format"] = _response_format(request.schema)
        # Not `chat.completions.create`, which spends a fifth of a call on looking at plain JSON.
        return self._api.post("/chat/completions", cast_to=ChatCompletion, body=body)


@lru_cache
def _response_format(schema: str) -> dict[str, object]:
    wanted = {"name": schema, "schema": schema_class(schema).model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": wanted}


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error.__cause__, AnswerTooLarge) or isinstance(error, AnswerTooLarge):
        return False  # temperature 0 would only send the same again
    if isinstance(error, openai.APIStatusError):
        return error.status_code in (408, 409, 429) or error.status_code >= 500
    return True


def _retry_after(error: Exception) -> float | None:
    """Seconds that the server asks for, given as a number or as a date."""
    if not isinstance(error, openai.APIStatusError):
        return None
    value = error.response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_to_datetime(value) if value[:1].isalpha() else None
        return max(0.0, date.timestamp() - time.time()) if date else None


def _describe(error: Exception) -> str:
    """Kind and reason of a failure in one line, without headers, addresses or keys."""
    status = f" {error.status_code}" if isinstance(error, openai.APIStatusError) else ""
    reason = error.__cause__ if isinstance(error.__cause__, AnswerTooLarge) else ""
    if isinstance(error, ValueError):
        reason = error
    return f"{type(error).__name__}{status} {reason}".strip()[:300]
