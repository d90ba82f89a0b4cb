"""One request a category, and the shipped answers that belong to them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmers_utils import paths
from llmers_utils.data.mind import load_mind
from llmers_utils.data.movielens import GENRES_100K
from llmers_utils.language import answer_texts, open_client
from llmers_utils.language.category_tasks import (
    TASK,
    category_descriptions,
    category_sentence,
    genre_descriptions,
)


def test_one_request_a_distinct_category():
    requests = category_descriptions(["b", "a", "b", "b"], "news")
    assert [request.entity for request in requests] == ["a", "b"]
    assert category_sentence("b", "news") in requests[1].messages[-1]["content"]
    assert len({request.key for request in requests}) == 2


def test_every_genre_has_a_recorded_description_of_about_fifty_words():
    client = open_client("recorded", dataset="ml-100k")
    texts = answer_texts(client.complete(genre_descriptions()), GENRES_100K)
    assert None not in texts
    assert len(set(texts)) == 19
    words = np.array([len(text.split()) for text in texts])
    assert words.min() >= 40
    assert words.max() <= 60
    assert not any(mark in text for text in texts for mark in '"“*\n')
    assert (client.ledger.calls, client.ledger.cached, client.ledger.failed) == (19, 19, 0)
    client.complete(genre_descriptions())
    assert client.ledger.calls == client.ledger.cached == 38  # a second run asks nobody


def test_published_descriptions_answer_the_requests(tmp_path):
    rows = [{"category": "golf", "description": "Fairways and greens."}]
    (tmp_path / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    client = open_client(f"file:{TASK}={tmp_path / 'list.json'}", dataset="mind")
    answers = client.complete(category_descriptions(["golf", "tunedin"], "news"))
    assert answer_texts(answers, ["golf", "tunedin"]) == ["Fairways and greens.", None]


@pytest.mark.parametrize("writer", ["gpt4", "gpt35", "llama2_13b"])
def test_what_three_language_models_wrote_answers_for_minds_subcategories(writer):
    shared = paths.shared_dir()
    if shared is None or not (shared / "mind-sample").is_dir():
        pytest.skip("LLMERS_SHARED with mind-sample and llm-gptaugnews is not set")
    subcategories = sorted(set(load_mind(shared / "mind-sample").news["subcategory"]))
    path = shared / "llm-gptaugnews" / f"category_description_{writer}.json"
    client = open_client(f"file:{TASK}={path}", dataset="mind-sample")
    answers = client.complete(category_descriptions(subcategories, "news"))
    texts = answer_texts(answers, subcategories)
    assert sum(text is not None for text in texts) >= 140
    assert client.ledger.failed == texts.count(None)
    assert client.ledger.calls == len(subcategories) == 143
