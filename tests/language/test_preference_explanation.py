"""LANE's prompt of an explanation: free text, and every fact comes from outside."""

from __future__ import annotations

from llmers_utils.language import load_template, request_for

EVIDENCE = "PREFERENCES, each after its weight:\n0.70  {dry} wit\n0.30  heists\nFILM: Heat (1995)"


def test_template_is_free_text_with_one_gap():
    template = load_template("preference_explanation")
    assert template.fields == ("input",)
    assert template.schema is None
    assert template.max_tokens >= 500  # four steps do not fit into fewer


def test_request_carries_the_evidence_and_the_four_steps():
    request = request_for("preference_explanation", "7", EVIDENCE)
    asked = request.messages[-1]["content"]
    assert asked.startswith(EVIDENCE)
    assert [asked.count(f"\n{step}. ") for step in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert (request.entity, request.schema) == ("7", None)


def test_other_weights_are_another_request():
    first, second = (
        request_for("preference_explanation", "7", text)
        for text in (EVIDENCE, EVIDENCE.replace("0.70", "0.60"))
    )
    assert first.key != second.key
    assert first.input_sha256 != second.input_sha256
