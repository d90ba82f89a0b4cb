from __future__ import annotations

import json
import re

import pytest
from safetensors.numpy import load_file

from llmers_utils.language.causal_lm import CausalLM
from llmers_utils.language.train_tiny_lm import (
    parser,
    recorded_conversations,
    train,
    without_ratings,
)


def test_training_writes_a_model_that_loads_and_is_repeatable(tmp_path):
    talks = [
        [
            {"role": "user", "content": f"Describe film {number}."},
            {"role": "assistant", "content": f"Film {number} is a tale of love and trains. " * 3},
        ]
        for number in range(100)
    ]
    options = parser().parse_args(
        ["--hidden", "32", "--layers", "1", "--epochs", "2", "--length", "24", "--batch", "4"]
    )
    facts = train(talks, tmp_path / "one", options)
    assert train(talks, tmp_path / "two", options) == facts
    assert json.loads((tmp_path / "one" / "training.json").read_text()) == facts
    assert {str(t.dtype) for t in load_file(tmp_path / "one" / "model.safetensors").values()} == {
        "float16"
    }
    lm = CausalLM(str(tmp_path / "one"))
    prompt = lm.chat([{"role": "user", "content": "Describe film 3."}])
    assert prompt.endswith("<|assistant|>\n")
    likely, unlikely = lm.logprobs([prompt] * 2, ["Film 3 is a tale", "zq xj vk wp"], average=True)
    assert likely > unlikely + 1


def test_sentences_with_ratings_are_left_out():
    text = "Loves space. Alien gets a 5. Three fives say so. Born in 1995."
    assert without_ratings(text) == "Loves space. Born in 1995."


def test_conversations_of_the_recordings(ml_100k):
    talks = recorded_conversations("ml-100k")
    assert len(talks) == 1682 + 943
    assert talks[0][0]["content"].startswith("Describe the film Toy Story (1995). Genres: Anim")
    assert all([turn["role"] for turn in talk] == ["user", "assistant"] for talk in talks)
    assert not any(re.search(r"\b[1-5]s\b", talk[1]["content"]) for talk in talks)


def test_defaults_match_the_shipped_model():
    options = parser().parse_args([])
    config = json.loads((options.output / "config.json").read_text())
    assert (config["hidden_size"], config["num_hidden_layers"]) == (options.hidden, options.layers)
    assert config["tie_word_embeddings"]


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_chat_template_marks_the_answer(role, tiny):
    talk = [{"role": "user", "content": "Hi"}, {"role": role, "content": "Yes"}]
    encoded = tiny.tokenizer.apply_chat_template(
        talk, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [
        token
        for token, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
        if mark
    ]
    expected = "Yes<|end|>" if role == "assistant" else ""
    assert tiny.tokenizer.decode(marked) == expected
