"""A language model in this process, by transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llmers_utils.language.causal_lm import CausalLM
from llmers_utils.language.clients import StoringClient, repair_messages, response_to, validate
from llmers_utils.language.responses import Request, Response, ResponseStore


class HFClient(StoringClient):
    """``CausalLM`` as a client: one request after another, one repair try each.

    Small models seldom write valid JSON; what they write instead is kept as a failed response.
    """

    def __init__(self, model: str, store: ResponseStore, *, device: str = "cpu") -> None:
        super().__init__(model, store)
        self.lm = CausalLM(model, device=device)

    def _answer(self, requests: list[Request]) -> Iterator[Response]:
        for request in requests:
            response = self._one(request)
            self.store.append(response)
            yield response

    def _one(self, request: Request) -> Response:
        text, spent = self._ask(request, request.messages)
        text, problem = validate(text, request.schema)
        if problem is not None and request.schema is not None:
            text, again = self._ask(request, repair_messages(request, text, problem))
            text, problem = validate(text, request.schema)
            spent = (spent[0] + again[0], spent[1] + again[1])
        return response_to(request, self.model, text, spent, problem)

    def _ask(
        self, request: Request, messages: Sequence[dict[str, str]]
    ) -> tuple[str, tuple[int, int]]:
        prompt = self.lm.chat(messages)
        [text] = self.lm.generate(
            [prompt], request.max_tokens, temperature=request.temperature, seed=request.seed
        )
        return text, (self.lm.count_tokens(prompt), self.lm.count_tokens(text))

    def _next_token_logprobs(self, prompts: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        return self.lm.next_token_logprobs(prompts, candidates)
