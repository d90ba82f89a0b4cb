"""The openai client against a real server: `transformers serve` with the tiny model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from llmers_utils.language.openai_client import OpenAIClient, Patience
from llmers_utils.language.responses import Request, ResponseStore
from llmers_utils.language.tiny_lm import TINY, film_question


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    command = Path(sys.executable).parent / "transformers"
    if not command.exists():
        pytest.skip("transformers[serving] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("serve") / "log").open("wb+")
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [str(command), "serve", str(TINY), *options], stdout=log, stderr=log, env=environment
    )
    try:
        deadline = time.monotonic() + 180
        while not _healthy(port):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                pytest.fail("the server did not start:\n" + log.read().decode()[-2000:])
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()
        log.close()


def _healthy(port: int) -> bool:
    try:
        return urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except (URLError, TimeoutError, ConnectionError):
        return False


def ask(entity: str, title: str, **changes) -> Request:
    return Request(
        task="film",
        template_version=1,
        entity=entity,
        messages=[{"role": "user", "content": film_question(title, ["Drama"])}],
        max_tokens=24,
        **changes,
    )


def test_answers_come_over_http_and_are_kept(address, tmp_path):
    patience = Patience(tries=2, timeout=60, first_pause=0.1)
    client = OpenAIClient(
        str(TINY), ResponseStore(tmp_path), base_url=address, concurrency=2, patience=patience
    )
    batch = [ask("1", "Heat (1995)"), ask("2", "Emma (1996)"), ask("3", "Fargo (1996)")]
    answers = client.complete(batch)
    assert [answer.entity for answer in answers] == ["1", "2", "3"]
    assert [answer.error for answer in answers] == [None] * 3
    assert all(len(answer.text.split()) > 3 for answer in answers)
    assert client.ledger.prompt_tokens > 3 * 10
    assert client.ledger.completion_tokens >= 3 * 5
    assert client.complete(batch) == answers
    assert client.ledger.cached == 3
    # It cannot write JSON: asked for a schema, the failure is recorded and the batch ends.
    [failed] = client.complete([ask("4", "Heat (1995)", schema="CandidateRanking")])
    assert "JSON" in failed.error
