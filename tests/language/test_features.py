import numpy as np

from llmers_utils.language import centred
from llmers_utils.language.responses import Response


def test_centred_rows_share_nothing_and_unknown_ones_stay_zero():
    vectors = np.random.default_rng(0).normal(3.0, 0.1, (50, 8)).astype(np.float32)
    vectors[7] = 0
    result = centred(vectors)
    known = np.arange(50) != 7
    assert not result[7].any()
    np.testing.assert_allclose(result[known].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(result[known].std(), 1, rtol=1e-3)
    assert not centred(np.zeros((3, 2))).any()


def test_free_text_answers_are_read_as_they_stand():
    answer = Response("item_comprehension", 1, "1", "", "m", "2026-11", 1, 1, "A film.")
    assert answer.readable() == "A film."
