from __future__ import annotations

import json
import re

import pytest

from llmers_utils.data import leave_last_out, prefix
from llmers_utils.language import tasks
from llmers_utils.language.clients import open_client
from llmers_utils.language.record import BUILDERS, main
from llmers_utils.language.responses import ResponseStore
from llmers_utils.paths import DATA

FOLDER = DATA / "llm_responses" / "ml-100k"
ROWS = dict.fromkeys(tasks.TASKS, 943) | {"item_knowledge": 1682, "item_comprehension": 1682}


@pytest.mark.parametrize("task", tasks.TASKS)
def test_rebuilt_inputs_have_the_recorded_hashes(task, ml_100k):
    requests = BUILDERS[task](ml_100k)
    rows = {row.entity: row for row in ResponseStore(FOLDER).rows(task)}
    assert len(requests) == len(rows) == ROWS[task]
    assert all(rows[r.entity].input_sha256 == r.input_sha256 for r in requests)
    answers = open_client("recorded", dataset="ml-100k").complete(requests)
    assert [answer.entity for answer in answers] == [request.entity for request in requests]


@pytest.mark.parametrize("task", tasks.TASKS)
def test_recorded_rows_have_the_form_and_nothing_of_the_input(task):
    lines = (FOLDER / f"{task}.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == ROWS[task]
    for line in lines:
        assert list(json.loads(line)) == [
            *("task", "template_version", "entity", "input_sha256", "model", "created"),
            *("prompt_tokens", "completion_tokens", "text"),
        ]
    rows = ResponseStore(FOLDER).rows(task)
    assert {(row.task, row.model, row.created) for row in rows} == {
        (task, "recorded-llm", "2026-11")
    }
    assert all(row.readable() for row in rows)
    assert min(row.prompt_tokens for row in rows) > 50
    assert min(row.completion_tokens for row in rows) > 10


def test_no_inputs_are_shipped():
    listed = re.compile(r"\(\d{4}\) [1-5](;|$)")  # "Toy Story (1995) 5;"
    for path in FOLDER.glob("*.json*"):
        assert not listed.search(path.read_text("utf-8")), path.name
        assert '"input"' not in path.read_text("utf-8"), path.name


def test_a_changed_rating_is_a_stale_answer(ml_100k):
    import dataclasses

    import polars as pl

    frame = ml_100k.interactions
    changed = frame.with_columns(
        rating=pl.when(pl.int_range(pl.len()) == 0).then(6 - frame["rating"]).otherwise("rating")
    ).cast(frame.schema)
    user = ml_100k.users["raw_user"][int(frame["user"][0])]
    dataset = dataclasses.replace(ml_100k, interactions=changed)
    requests = tasks.user_preference_early(prefix(dataset))
    with pytest.raises(LookupError, match=rf"Stale.*: 1 \(entities \['{user}'\]"):
        open_client("recorded", dataset="ml-100k").complete(requests)


def test_prompts_show_the_training_view_only(ml_100k):
    split = leave_last_out(ml_100k)
    test_items = dict(zip(split.test["user"], split.test["item"], strict=True))
    for user, request in enumerate(tasks.reasoning_chains(split)[:50]):
        held_out = ml_100k.items["raw_item"][test_items[user]]
        assert f"[{held_out}] " not in request.messages[1]["content"]


def test_own_candidates_and_masks(ml_100k):
    split = leave_last_out(ml_100k)
    [request] = tasks.candidate_ranking(split, {"1": ["50", "7"]})
    assert request.messages[1]["content"].index("[7] ") < request.messages[1]["content"].index(
        "[50] "
    )
    chains = {"1": ResponseStore(FOLDER).rows("reasoning_chains")[0].parsed()}
    masks = {"1": [0] * len(chains["1"].chains)}
    [request] = tasks.chain_fills(ml_100k, chains, masks)
    assert request.messages[1]["content"].count("[MASK: a film] ->") == len(masks["1"])


def test_record_command(ml_100k, capsys):
    arguments = ["item_knowledge", "--llm", "recorded", "--limit", "3", "--store", str(FOLDER)]
    assert main(arguments) == 0
    assert "3 calls (100% from the store, 0 failed)" in capsys.readouterr().out
