from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llmers_utils.language import tasks
from llmers_utils.language.clients import RecordedClient, StoringClient, open_client, validate
from llmers_utils.language.hf_client import HFClient
from llmers_utils.language.responses import ResponseStore
from llmers_utils.language.serving import serving
from tests.language.test_responses import ANSWER, request, response


@pytest.fixture
def store(tmp_path):
    store = ResponseStore(tmp_path)
    for entity in "123":
        store.append(response(request(entity), model="recorded-llm"))
    return store


def test_recorded_answers_in_order_with_a_ledger(store):
    client = RecordedClient("recorded-llm", store)
    answers = client.complete([request("3"), request("1"), request("3")])
    assert [answer.entity for answer in answers] == ["3", "1", "3"]
    assert client.ledger.as_dict() | {"seconds": 0} == {
        "calls": 3,
        "cached": 3,
        "failed": 0,
        "prompt_tokens": 6,
        "completion_tokens": 4,
        "seconds": 0,
    }
    assert str(client.ledger) == "3 calls (100% from the store, 0 failed), 6 tokens in, 4 out"


def test_missing_and_stale_answers_name_the_command(store):
    client = RecordedClient("recorded-llm", store)
    stale = replace(request("2"), input_sha256="other")
    with pytest.raises(LookupError, match="Stale") as caught:
        client.complete([request("1"), stale, request("9")])
    message = str(caught.value)
    assert "1 (entities ['2'])" in message
    assert "1 (entities ['9'])" in message
    assert "python -m llmers_utils.language.record candidate_ranking" in message


def test_serving_refuses_all_clients_and_ends(store):
    client = RecordedClient("recorded-llm", store)
    with serving():
        with serving(), pytest.raises(RuntimeError, match="serving time"):
            client.complete([request("1")])
        with pytest.raises(RuntimeError, match="serving time"):
            client.complete([])
    assert client.complete([request("1")])


class Counting(StoringClient):
    def __init__(self, store):
        super().__init__("m", store)
        self.asked = []

    def _answer(self, requests):
        for asked in reversed(requests):
            self.asked.append(asked.entity)
            made = response(asked, error="no" if asked.entity == "4" else None)
            self.store.append(made)
            yield made


def test_engine_is_asked_once_for_what_is_missing(tmp_path):
    client = Counting(ResponseStore(tmp_path))
    answers = client.complete([request(e) for e in "12123"])
    assert [answer.entity for answer in answers] == list("12123")
    assert sorted(client.asked) == ["1", "2", "3"]
    client.complete([request(e) for e in "134"])
    assert client.asked[3:] == ["4"]
    assert (client.ledger.calls, client.ledger.cached, client.ledger.failed) == (8, 2, 1)
    client.complete([request("4")])
    assert client.asked[4:] == ["4"], "a failure is tried again"


def test_an_interrupt_keeps_what_was_answered(tmp_path):
    class Interrupted(Counting):
        def _answer(self, requests):
            yield from super()._answer(requests[:2])
            raise KeyboardInterrupt

    client = Interrupted(ResponseStore(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        client.complete([request(e) for e in "123"])
    again = Counting(ResponseStore(tmp_path))
    again.complete([request(e) for e in "123"])
    assert again.asked == ["3"]


@pytest.mark.parametrize("spec", ["", "openai", "hf:", "gpt", "openai-x:y", ":m"])
def test_wrong_specification_lists_the_forms(spec):
    with pytest.raises(ValueError, match=r"recorded:<model>|name a model"):
        open_client(spec, dataset="ml-100k")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (ANSWER, None),
        (f"Here it is:\n```json\n{ANSWER}\n```", None),
        ("no object", "no JSON object"),
        (ANSWER[:-5] + "}", "JSON"),
        (json.dumps({"ranking": ["1"], "dislike": "1"}), "reason"),
        (json.dumps(json.loads(ANSWER) | {"extra": 1}), "extra"),
        (json.dumps(json.loads(ANSWER) | {"ranking": ["1", "1"]}), "twice"),
    ],
)
def test_validation(text, problem):
    _, found = validate(text, "CandidateRanking")
    assert (found is None) == (problem is None)
    assert problem is None or problem in found


def test_free_text_only_must_not_be_empty():
    assert validate(" words ", None) == (" words ", None)
    assert validate("  ", None)[1]


def test_recorded_answers_open_by_default(ml_100k):
    client = open_client("recorded", dataset="ml-100k")
    answers = client.complete(tasks.item_knowledge(ml_100k))
    assert len(answers) == ml_100k.n_items
    assert client.ledger.cached == client.ledger.calls == ml_100k.n_items
    assert client.ledger.prompt_tokens > 100 * ml_100k.n_items
    assert answers[0].parsed().director == "John Lasseter"


def test_hf_client_writes_and_scores(tmp_path):
    client = open_client("hf:tiny", dataset="ml-100k", store=tmp_path)
    assert isinstance(client, HFClient)
    free = replace(request("1"), max_tokens=8)
    [answer] = client.complete([free])
    assert answer.error is None
    assert answer.text
    assert answer.completion_tokens <= 9
    [failed] = client.complete([replace(free, schema="CandidateRanking")])
    assert failed.error
    assert client.ledger.failed == 1
    assert client.next_token_logprobs(["Is it good?"], [" yes", " no"]).shape == (1, 2)
    again = open_client("hf:tiny", dataset="ml-100k", store=tmp_path)
    assert again.complete([free]) == [answer]
    assert again.ledger.cached == 1
