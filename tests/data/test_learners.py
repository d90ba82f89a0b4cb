"""Simulated learners keep to the graph, differ from each other, and repeat as told."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from llmers_utils.data.learners import depths, simulate_learners

# 0 -> 1 -> 3, 0 -> 2 -> 3, 3 -> 4; concept 5 stands alone.
BEFORE = np.zeros((6, 6), dtype=bool)
BEFORE[[0, 0, 1, 2, 3], [1, 2, 3, 3, 4]] = True
AREAS = np.array([0, 0, 1, 1, 0, 2])


def _log(**options: object) -> pl.DataFrame:
    return simulate_learners(BEFORE, AREAS, **({"learners": 300, "repetition": 0.3} | options))


def _repeats(log: pl.DataFrame) -> float:
    same = pl.col("concept") == pl.col("concept").shift().over("user")
    return log.select(same.drop_nulls().mean()).item()


def test_the_seed_fixes_the_log() -> None:
    assert_frame_equal(_log(seed=3), _log(seed=3))
    assert not _log(seed=3).equals(_log(seed=4))


def test_steps_count_from_zero_and_lengths_stay_in_range() -> None:
    log = _log(attempts=(3, 7))
    assert (log["step"] == log.select(pl.int_range(pl.len()).over("user")).to_series()).all()
    assert log.group_by("user").len()["len"].max() <= 7
    assert set(log["correct"].unique()) == {0, 1}


def test_repetition_is_a_knob() -> None:
    shares = [_repeats(_log(repetition=share)) for share in (0.0, 0.4, 0.8)]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert abs(shares[2] - 0.8) < 0.1
    with pytest.raises(ValueError, match="repetition=1"):
        _log(repetition=1)


def test_a_new_concept_never_comes_before_its_prerequisites() -> None:
    """Who practises a concept has left each prerequisite behind, or practised it before."""
    log = _log(attempts=(20, 20), repetition=0.0)
    for _, rows in log.group_by("user"):
        order = {c: i for i, c in reversed(list(enumerate(rows["concept"].to_list())))}
        for before, after in np.argwhere(BEFORE):
            if after in order and before in order:
                # Later only as a step back after a wrong answer to what builds on it.
                wrong = rows.filter(pl.col("correct") == 0)["step"].min()
                assert order[before] < order[after] or wrong < order[before]


def test_learners_differ_in_interests() -> None:
    areas = np.repeat([0, 1], 20)  # nothing precedes anything
    log = simulate_learners(
        np.zeros((40, 40), dtype=bool),
        areas,
        learners=400,
        repetition=0.0,
        attempts=(8, 8),
    )
    share = log.with_columns(first=pl.Series(areas).gather(log["concept"]) == 0)
    share = share.group_by("user").agg(pl.col("first").mean())["first"]
    assert share.std() > 1.2 * np.sqrt(0.25 / 8)  # more spread than eight tosses of one coin


def test_depths_and_cycles() -> None:
    assert depths(BEFORE).tolist() == [0, 1, 1, 2, 3, 0]
    circle = BEFORE.copy()
    circle[4, 0] = True
    with pytest.raises(ValueError, match="cycle"):
        depths(circle)
