"""Token states: what padding, order and repetition must not change."""

from __future__ import annotations

import numpy as np
import pytest

from llmers_utils.language.encoder import TextEncoder
from llmers_utils.language.token_states import TokenPair, _forward, frozen_states


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMERS_CACHE", str(tmp_path))


@pytest.fixture
def encoder(sentence_model) -> TextEncoder:
    return TextEncoder(str(sentence_model))


def pair(first: str, second: str = "") -> TokenPair:
    """Letters as tokens: [CLS] first [SEP] second [SEP]."""
    ids = [2, *(ord(x) - 92 for x in first), 3]
    more = [*(ord(x) - 92 for x in second), 3] if second else []
    return TokenPair(tuple(ids + more), (0,) * len(ids) + (1,) * len(more))


PAIRS = [pair("film", "a warm film".replace(" ", "")), pair("rain"), pair("film"), pair("rain")]


def test_shapes_masks_and_scale(encoder):
    states = frozen_states(encoder, PAIRS, dim=8)
    assert states.values.shape == (4, 16, 8)
    assert states.values.dtype == np.float16
    assert states.mask.sum(1).tolist() == [16, 6, 6, 6]
    assert not states.values[~states.mask].any()
    np.testing.assert_array_equal(states.values[1], states.values[3])
    distinct = states.values[:3].astype(float)[states.mask[:3]]
    assert distinct.std() == pytest.approx(1, abs=0.01)
    assert abs(distinct.mean(0)).max() < 0.01


def test_padding_of_the_batch_changes_nothing(encoder):
    together = _forward(encoder, PAIRS, batch_size=4)
    alone = _forward(encoder, PAIRS, batch_size=1)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_second_text_is_read_as_a_second_text(encoder):
    flat = TokenPair(PAIRS[0].ids, (0,) * len(PAIRS[0].ids))
    assert not np.allclose(_forward(encoder, [flat], 1), _forward(encoder, PAIRS[:1], 1), atol=1e-3)


def test_the_states_of_token_states_come_out(encoder):
    text = "film"
    ids = tuple(encoder.model.tokenizer(text)["input_ids"])
    expected, mask = encoder.token_states([text])
    found = _forward(encoder, [TokenPair(ids, (0,) * len(ids))], 1)
    np.testing.assert_allclose(found, expected[0][mask[0]], atol=1e-5)


def test_a_second_call_needs_no_network(encoder, sentence_model, monkeypatch):
    first = frozen_states(encoder, PAIRS, dim=8)
    monkeypatch.setattr("llmers_utils.language.token_states._forward", None)
    again = frozen_states(TextEncoder(str(sentence_model)), PAIRS, dim=8)
    np.testing.assert_array_equal(first.values, again.values)
    with pytest.raises(TypeError):  # other inputs are not in the cache
        frozen_states(encoder, PAIRS[::-1], dim=8)


def test_too_long_and_none_are_refused(encoder):
    with pytest.raises(ValueError, match="34 tokens"):
        frozen_states(encoder, [pair("a" * 32)])
    with pytest.raises(ValueError, match="at least one"):
        frozen_states(encoder, [])
