from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest

from llmers_utils.language.openai_client import OpenAIClient, Patience
from llmers_utils.language.responses import ResponseStore
from llmers_utils.language.serving import serving
from tests.language import batch_to_kill
from tests.language.batch_to_kill import requests
from tests.language.faulty_server import FaultyServer

QUICK = Patience(tries=4, timeout=0.6, first_pause=0.02, longest_pause=0.2)


def client(server: FaultyServer, folder: Path, **options) -> OpenAIClient:
    options = {"patience": QUICK, "api_key": "secret-key"} | options
    return OpenAIClient("m", ResponseStore(folder), base_url=server.base_url, **options)


@pytest.mark.parametrize("fault", ["busy", "broken", "hang", "cut", "half"])
def test_passing_fault_is_retried(fault, tmp_path):
    with FaultyServer(lambda entity, attempt: fault if attempt == 0 else None) as server:
        [answer] = client(server, tmp_path).complete(requests(1))
    assert answer.error is None
    assert answer.parsed().reason == "about 0"
    assert server.tries["0"] == 2


@pytest.mark.parametrize(
    ("fault", "tries", "named"),
    [
        ("busy", 4, "429"),
        ("broken", 4, "500"),
        ("hang", 4, "Timeout"),
        ("cut", 4, "Connection"),
        ("half", 4, ""),
        ("large", 1, "larger than 1,000,000 bytes"),
        ("refused", 2, "400"),
        ("schema", 2, "ranking"),
    ],
)
def test_lasting_fault_is_recorded_as_failed(fault, tries, named, tmp_path):
    with FaultyServer(lambda entity, attempt: fault if entity == "0" else None) as server:
        engine = client(server, tmp_path)
        bad, good = engine.complete(requests(2))
    assert bad.error
    assert named in bad.error
    assert server.tries["0"] == tries
    assert good.error is None
    assert engine.ledger.failed == 1
    assert ResponseStore(tmp_path).rows("candidate_ranking") == [bad, good]
    with pytest.raises(ValueError, match="failed"):
        bad.parsed()


def test_one_repair_try_mends_a_wrong_schema_and_is_paid(tmp_path):
    with FaultyServer(lambda entity, attempt: "schema" if attempt == 0 else None) as server:
        engine = client(server, tmp_path)
        [answer] = engine.complete(requests(1))
    assert answer.error is None
    assert (answer.prompt_tokens, answer.completion_tokens) == (20, 10)
    repair = server.bodies[1]["messages"]
    assert [message["role"] for message in repair] == ["user", "assistant", "user"]
    assert "ranking" in repair[-1]["content"]


def test_schema_is_sent_and_left_out_for_a_server_that_refuses_it(tmp_path):
    with FaultyServer(lambda entity, attempt: "no schema") as server:
        answers = client(server, tmp_path, concurrency=1).complete(requests(3))
    assert [answer.error for answer in answers] == [None] * 3
    sent = ["response_format" in body for body in server.bodies]
    assert sent == [True, False, False, False]


def test_retry_after_is_honoured(tmp_path):
    patience = Patience(tries=2, first_pause=0.0, longest_pause=0.2)
    with FaultyServer(lambda entity, attempt: "busy" if attempt == 0 else None) as server:
        start = time.perf_counter()
        client(server, tmp_path, patience=patience).complete(requests(1))
        assert time.perf_counter() - start >= 0.05  # a lower bound: a slow machine cannot fail it


def test_wrong_key_stops_the_run_and_is_not_shown(tmp_path):
    with (
        FaultyServer(lambda entity, attempt: "wrong key") as server,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client(server, tmp_path).complete(requests(50))
    assert "secret-key" not in str(caught.value)
    assert sum(server.tries.values()) < 50


def test_key_is_stored_nowhere(tmp_path):
    with FaultyServer(lambda entity, attempt: "refused" if entity == "1" else None) as server:
        client(server, tmp_path).complete(requests(2))
    assert all(b"secret-key" not in path.read_bytes() for path in tmp_path.rglob("*"))


def test_thousand_requests_with_a_fifth_of_faults_end_in_order(tmp_path):
    passing = ["busy", "broken", "hang", "cut", "half"]
    lasting = {"5": "large", "15": "schema", "25": "refused", "35": "broken"}

    def fault(entity: str, attempt: int) -> str | None:
        if entity in lasting:
            return lasting[entity]
        kind = passing[int(entity) // 5 % 5] if int(entity) % 5 == 0 and attempt == 0 else None
        return "cut" if kind == "hang" and int(entity) % 3 else kind

    batch = requests(1000)
    with FaultyServer(fault) as server:
        engine = client(server, tmp_path, concurrency=16)
        answers = engine.complete(batch)
        assert [answer.entity for answer in answers] == [request.entity for request in batch]
        failed = {answer.entity for answer in answers if answer.error}
        assert failed == set(lasting)
        assert engine.ledger.failed == len(lasting)
        assert all(a.parsed().reason == f"about {a.entity}" for a in answers if not a.error)
        tries = dict(server.tries)
        again = client(server, tmp_path).complete(batch[40:])
        assert dict(server.tries) == tries, "an answered request was sent again"
    assert again == answers[40:]


def test_killed_run_resumes_without_paying_twice(tmp_path):
    count, concurrency = 200, 8
    with FaultyServer(lambda entity, attempt: None, delay=0.02) as server:
        process = subprocess.Popen(
            [sys.executable, batch_to_kill.__file__, str(tmp_path), server.base_url, str(count)],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        while sum(server.answered.values()) < 60:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        journal = (tmp_path / ".candidate_ranking.journal").read_bytes()
        kept = re.findall(rb'"entity": "(\d+)".*\n', journal)
        assert 0 < len(kept) < count
        with (tmp_path / ".candidate_ranking.journal").open("ab") as file:
            file.write(b'{"task": "candidate_ranking", "ent')  # torn in the middle of a line
        engine = client(server, tmp_path, patience=Patience())
        answers = engine.complete(requests(count))
    assert [answer.entity for answer in answers] == [str(number) for number in range(count)]
    assert all(answer.error is None for answer in answers)
    assert engine.ledger.cached == len(kept)
    assert all(server.answered[entity.decode()] == 1 for entity in kept)
    # Only what was under way at the kill, and had not arrived, is asked once more.
    assert sum(server.answered.values()) <= count + concurrency
    assert not (tmp_path / ".candidate_ranking.journal").exists()
    assert len((tmp_path / "candidate_ranking.jsonl").read_text().splitlines()) == count


def test_no_calls_at_serving_time(tmp_path):
    with FaultyServer(lambda entity, attempt: None) as server:
        engine = client(server, tmp_path)
        with serving(), pytest.raises(RuntimeError, match="serving time"):
            engine.complete(requests(1))
        with serving(), pytest.raises(RuntimeError, match="serving time"):
            engine.next_token_logprobs(["a"], ["b"])
        with pytest.raises(NotImplementedError, match="hf:"):
            engine.next_token_logprobs(["a"], ["b"])
    assert not server.tries
