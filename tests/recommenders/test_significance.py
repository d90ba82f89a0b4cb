from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from llmers_utils.recommenders import holm, mean_sd, paired_difference


def arms(shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    b = rng.random(500)
    return b + shift + 0.1 * rng.standard_normal(500), b


def test_p_value_is_the_paired_t_test() -> None:
    a, b = arms(0.01)
    difference = paired_difference(a, b)
    assert difference.p_value == pytest.approx(ttest_rel(a, b).pvalue, abs=1e-12)
    assert difference.mean == pytest.approx((a - b).mean())
    assert difference.n == 500


def test_interval_agrees_with_the_normal_one() -> None:
    a, b = arms(0.01)
    d = a - b
    difference = paired_difference(a, b, n_boot=4000)
    half = 1.96 * d.std(ddof=1) / np.sqrt(len(d))
    assert difference.low == pytest.approx(d.mean() - half, abs=half / 10)
    assert difference.high == pytest.approx(d.mean() + half, abs=half / 10)


def test_interval_has_its_seed() -> None:
    a, b = arms(0.0)
    assert paired_difference(a, b, seed=1) == paired_difference(a, b, seed=1)
    assert paired_difference(a, b, seed=1) != paired_difference(a, b, seed=2)


def test_interval_covers_zero_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        d = paired_difference(rng.standard_normal(60), np.zeros(60), n_boot=400)
        covered += d.low <= 0 <= d.high
    assert 0.88 <= covered / 200 <= 0.99


def test_equal_arms_differ_by_nothing() -> None:
    difference = paired_difference(np.ones(5), np.ones(5))
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert difference.p_value == 1
    assert paired_difference(np.ones(5), np.zeros(5)).p_value == 0


def test_users_without_a_value_are_left_out_in_both() -> None:
    a, b = arms(0.1)
    a[3] = b[3] = np.nan
    assert paired_difference(a, b).n == 499
    a[4] = np.nan
    with pytest.raises(ValueError, match="one arm only"):
        paired_difference(a, b)


@pytest.mark.parametrize(("a", "b"), [(np.ones(3), np.ones(4)), (np.ones(1), np.ones(1))])
def test_unpaired_or_too_few_users_raise(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(ValueError, match="need"):
        paired_difference(a, b)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_probability(bad: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, bad])


def test_mean_sd() -> None:
    assert mean_sd([1, 2, 3]) == (2.0, 1.0)
    assert mean_sd([4]) == (4.0, 0.0)
