from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from llmers_utils.language.responses import Request, Response, ResponseStore

ANSWER = json.dumps({"ranking": ["1"], "dislike": "1", "reason": "so"})


def request(entity="1", **changes) -> Request:
    facts = {"messages": [{"role": "user", "content": f"about {entity}"}]} | changes
    return Request(task="candidate_ranking", template_version=1, entity=entity, **facts)


def response(asked: Request, **changes) -> Response:
    facts = {"model": "m", "created": "2026-11", "text": ANSWER, "key": asked.key} | changes
    return Response(*asked.identity, prompt_tokens=3, completion_tokens=2, **facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": "other"}]},
        {"schema": "CandidateRanking"},
        {"max_tokens": 3},
        {"temperature": 0.5},
        {"seed": 1},
        {"input_sha256": "ab"},
    ],
)
def test_key_is_of_the_whole_request(changes):
    assert request().key == request().key
    assert request(**changes).key != request().key


def test_rows_are_sorted_plain_and_complete(tmp_path):
    store = ResponseStore(tmp_path)
    for entity in ("10", "9", "b", "a", "2"):
        store.append(response(request(entity), text="é"))
    store.merge("candidate_ranking")
    lines = (tmp_path / "candidate_ranking.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["entity"] for row in rows] == ["2", "9", "10", "a", "b"]
    assert list(rows[0]) == [
        *("task", "template_version", "entity", "input_sha256", "model", "created"),
        *("prompt_tokens", "completion_tokens", "text", "key"),
    ]
    assert "é" in lines[0]
    assert ResponseStore(tmp_path).rows("candidate_ranking") == store.rows("candidate_ranking")
    assert not (tmp_path / ".candidate_ranking.journal").exists()


def test_journal_is_read_before_it_is_merged(tmp_path):
    ResponseStore(tmp_path).append(response(request()))
    assert ResponseStore(tmp_path).get(request(), "m") == response(request())
    assert ResponseStore(tmp_path).get(request(), "other") is None
    assert ResponseStore(tmp_path).get(request(seed=1), "m") is None


def test_imported_answer_is_found_by_its_input(tmp_path):
    store = ResponseStore(tmp_path)
    store.append(response(request(input_sha256="ab"), key=""))
    assert store.get(request(input_sha256="ab", max_tokens=9), "m") is not None
    assert store.get(request(input_sha256="cd"), "m") is None
    assert store.get(replace(request(input_sha256="ab"), template_version=2), "m") is None


def test_failure_is_no_answer_and_is_replaced(tmp_path):
    store = ResponseStore(tmp_path)
    store.append(response(request(), text="", error="500"))
    store.merge("candidate_ranking")
    assert store.get(request(), "m") is None
    store.append(response(request()))
    store.merge("candidate_ranking")
    assert [row.error for row in ResponseStore(tmp_path).rows("candidate_ranking")] == [None]


def test_torn_line_is_dropped_in_the_journal_only(tmp_path):
    ResponseStore(tmp_path).append(response(request("1")))
    journal = tmp_path / ".candidate_ranking.journal"
    journal.write_bytes(journal.read_bytes() + b'{"task": "cand')
    store = ResponseStore(tmp_path)
    assert len(store.rows("candidate_ranking")) == 1
    store.append(response(request("2")))
    store.merge("candidate_ranking")
    assert len(ResponseStore(tmp_path).rows("candidate_ranking")) == 2
    path = tmp_path / "candidate_ranking.jsonl"
    path.write_bytes(path.read_bytes() + b'{"task": "cand')
    with pytest.raises(ValueError, match=r"candidate_ranking\.jsonl, line 3"):
        ResponseStore(tmp_path).rows("candidate_ranking")


def _append_many(folder: Path, first: int) -> None:
    store = ResponseStore(folder)
    for number in range(first, first + 25):
        store.append(response(request(str(number))))
        if number % 10 == 0:
            store.merge("candidate_ranking")
    store.merge("candidate_ranking")


def test_two_processes_lose_nothing(tmp_path):
    context = get_context("spawn")
    writers = [context.Process(target=_append_many, args=(tmp_path, n)) for n in (0, 25)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows = ResponseStore(tmp_path).rows("candidate_ranking")
    assert [row.entity for row in rows] == [str(number) for number in range(50)]


def test_parsed_and_unknown_task(tmp_path):
    assert response(request()).parsed().ranking == ["1"]
    with pytest.raises(ValueError, match="failed"):
        response(request(), error="500").parsed()
    with pytest.raises(KeyError, match="no answers for task 'x'"):
        ResponseStore(tmp_path).rows("x")


def test_threads_share_their_syncs_and_each_row_is_on_disk(tmp_path, monkeypatch):
    store, syncs = ResponseStore(tmp_path), []

    def slow_sync(descriptor):
        syncs.append(descriptor)
        time.sleep(0.02)

    monkeypatch.setattr("llmers_utils.language.responses.os.fsync", slow_sync)

    def append(number):
        store.append(response(request(str(number))))
        journal = (tmp_path / ".candidate_ranking.journal").read_text("utf-8")
        lines = journal.split("\n")[:-1]  # what follows is being written by another thread
        return str(number) in {json.loads(line)["entity"] for line in lines}

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(append, range(64)))
    assert len(syncs) < 64  # fewer than rows, however slow the machine
    assert len(ResponseStore(tmp_path).rows("candidate_ranking")) == 64


def test_a_row_that_could_not_be_written_is_written_with_the_next(tmp_path, monkeypatch):
    store = ResponseStore(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="full"):
            store.append(response(request("1")))
    store.append(response(request("2")))
    assert [row.entity for row in ResponseStore(tmp_path).rows("candidate_ranking")] == ["1", "2"]
