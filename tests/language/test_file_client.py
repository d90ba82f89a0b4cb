"""Texts from files, and the rows of features that answers become."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llmers_utils.language import answer_texts, encode_known, open_client, serving
from llmers_utils.language.responses import Request, Response


def request(task: str, entity: str) -> Request:
    return Request(task, 1, entity, [{"role": "user", "content": entity}])


@pytest.fixture
def spec(tmp_path):
    facts = {"1": "A film about toys.", "2": {"plot": "A spy.", "mood": ["slick", "wry"], "x": ""}}
    (tmp_path / "films.json").write_text(json.dumps(facts), encoding="utf-8")
    return f"file:item_knowledge={tmp_path / 'films.json'}"


def test_texts_are_answers_and_the_rest_failures(spec):
    client = open_client(spec, dataset="anything")
    questions = [request("item_knowledge", entity) for entity in ("2", "3", "1")]
    answers = client.complete([*questions, request("user_preference", "1")])
    assert [answer.error is None for answer in answers] == [True, False, True, False]
    assert answers[0].readable() == "plot: A spy. mood: slick, wry."
    assert answers[2].readable() == "A film about toys."
    assert (client.ledger.calls, client.ledger.cached, client.ledger.failed) == (4, 2, 2)
    with pytest.raises(ValueError, match="entity 3: failed"):
        answers[1].readable()
    with pytest.raises(NotImplementedError, match="hf:tiny"):
        client.next_token_logprobs(["a"], ["b"])
    with serving(), pytest.raises(RuntimeError, match="serving"):
        client.complete(questions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'["a"]', "a list must be one of"),
        (b"7", "one object from raw ids"),
        (b'{"1": "a"', "JSON"),
        (b'{"1": "\xff"}', "UTF-8"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    path = tmp_path / "films.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        open_client(f"file:item_knowledge={path}", dataset="anything")
    assert str(path) in str(error.value)


@pytest.mark.parametrize("spec", ["file:films.json", "file:item_knowledge=nowhere.json"])
def test_bad_specifications_say_the_form(spec):
    with pytest.raises(ValueError, match="TASK=PATH of an existing file"):
        open_client(spec, dataset="anything")


class LengthEncoder:
    dim = 2

    def encode(self, texts):
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def test_rows_follow_the_entities_and_missing_texts_are_zero():
    answer = '{"summary": "Likes it.", "preferences": ["a"], "dislikes": [], "genres": [], '
    answer += '"styles": [], "reasoning": "r", "next": []}'
    common = {"template_version": 1, "input_sha256": "", "model": "m", "created": "2026-11"}
    common |= {"prompt_tokens": 1, "completion_tokens": 1}
    answers = [
        Response(task="user_preference", entity="7", text=answer, **common),
        Response(task="user_preference", entity="9", text="", error="timeout", **common),
    ]
    texts = answer_texts(answers, ["9", "8", "7"])
    assert texts == [None, None, "Likes it. Likes: a."]
    vectors = encode_known(LengthEncoder(), texts)
    assert vectors.tolist() == [[0, 0], [0, 0], [len(texts[2]), 1]]
