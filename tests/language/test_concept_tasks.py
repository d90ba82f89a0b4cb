"""Requests about concepts show the graph's neighbours, never reversed; answers are recorded."""

from __future__ import annotations

import dataclasses
import re

import pytest

from llmers_utils.data.education import load_concepts
from llmers_utils.language import open_client
from llmers_utils.language.concept_tasks import (
    concept_interpretation,
    concept_interpretation_alone,
    concept_neighbours,
)
from llmers_utils.language.responses import ResponseStore
from llmers_utils.paths import DATA

WORDS = {"concept_interpretation": (80, 120), "concept_interpretation_alone": (50, 80)}
BUILDERS = (concept_interpretation, concept_interpretation_alone)


@pytest.fixture(scope="module")
def concepts():
    return load_concepts()


def _named(prompt: str, label: str) -> set[str]:
    line = re.search(rf"^{label}: (.*)$", prompt, re.MULTILINE)
    return set(line[1].split("; ")) if line else set()


def test_prompts_name_exactly_the_neighbours_and_never_reversed(concepts):
    title = dict(zip(concepts.items["entity"], concepts.items["title"], strict=True))
    edges = [(title[head], title[tail]) for head, _, tail in concepts.triples.rows()]
    for request in concept_interpretation(concepts):
        prompt, own = request.messages[1]["content"], title[request.entity]
        assert _named(prompt, "Learned before it") == {a for a, b in edges if b == own}
        assert _named(prompt, "Built on it") == {b for a, b in edges if a == own}
        assert f"Concept: {own}\n" in prompt


def test_without_structure_no_neighbour_is_named(concepts):
    for request in concept_interpretation_alone(concepts):
        prompt = request.messages[1]["content"]
        assert "Learned before it" not in prompt
        assert "Built on it" not in prompt


def test_lines_without_concepts_are_left_out(concepts):
    prompts = {r.entity: r.messages[1]["content"] for r in concept_interpretation(concepts)}
    assert "Learned before it" not in prompts["counting"]
    assert "Built on it" not in prompts["logarithms"]


@pytest.mark.parametrize("build", BUILDERS)
def test_one_recorded_answer_a_concept_and_no_call_beside(concepts, build):
    requests = build(concepts)
    client = open_client("recorded", dataset="concepts")
    answers = client.complete(requests)
    assert [answer.entity for answer in answers] == concepts.items["raw_item"].to_list()
    assert client.ledger.calls == client.ledger.cached == concepts.n_items
    least, most = WORDS[requests[0].task]
    assert all(least <= len(answer.text.split()) <= most for answer in answers)
    assert len({answer.text for answer in answers}) == concepts.n_items


@pytest.mark.parametrize("task", WORDS)
def test_recorded_rows_are_one_paragraph(task):
    rows = ResponseStore(DATA / "llm_responses" / "concepts").rows(task)
    assert {(row.model, row.created) for row in rows} == {("recorded-llm", "2026-11")}
    assert not any("\n" in row.text for row in rows)


def test_without_a_graph_there_is_a_remedy(concepts):
    with pytest.raises(ValueError, match="precedence_edges"):
        concept_neighbours(dataclasses.replace(concepts, triples=None))
