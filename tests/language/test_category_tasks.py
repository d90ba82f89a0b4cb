"""One request a category, and the shipped answers that belong to them."""

from __future__ import annotations

import json

import numpy as np

from llmers_utils.data.mind import write_descriptions
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
    write_descriptions(tmp_path / "list.json", tmp_path / "answers.json")
    client = open_client(f"file:{TASK}={tmp_path / 'answers.json'}", dataset="mind")
    answers = client.complete(category_descriptions(["golf", "tunedin"], "news"))
    assert answer_texts(answers, ["golf", "tunedin"]) == ["Fairways and greens.", None]
