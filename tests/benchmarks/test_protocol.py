from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks import protocol
from tests.benchmarks.protocol import Enough, Job, auc, first, measure, ndcg

DATA = {
    "user": np.array([0, 0, 0, 1, 1, 1]),
    "item": np.array([0, 1, 2, 3, 4, 0]),
    "part": np.array([0, 1, 2, 0, 1, 2]),
    "n_users": np.array(2),
    "n_items": np.array(5),
}


class Counter:
    """A side whose scores say how often it was trained."""

    def __init__(self):
        self.trained = 0

    def train(self, epoch_done):
        while True:
            self.trained += 1
            epoch_done(10)

    def scores(self, part):
        return np.full((2, 5), float(self.trained))

    def evaluate(self):
        return 0.0


def test_ndcg_masks_what_was_known_before_the_part():
    scores = np.array([[9.0, 8, 7, 0, 0], [1, 0, 2, 9, 8]])
    # Of user 0 items 0 and 1 are known, so the target is first; of user 1 item 2 is before it.
    assert ndcg(DATA, scores, "test") == pytest.approx((1 + 1 / np.log2(3)) / 2)
    assert ndcg(DATA, scores, "valid") == pytest.approx(1)


def test_ties_count_against_the_model():
    assert ndcg(DATA, np.ones((2, 5)), "test") == pytest.approx(1 / np.log2(4))


def test_auc_counts_ties_half():
    assert auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.5, 0.5])) == pytest.approx(3.5 / 4)


def test_measure_stops_after_the_epochs_and_judges_each():
    result = measure(Job("SASRec", "d", "f", epochs=3), DATA, Counter())
    assert [row[1] for row in result["epochs"]] == [10, 20, 30]
    assert all(row[2] is not None for row in result["epochs"])
    assert len(result["evaluation"]) == protocol.EVALUATIONS
    assert result["memory"] > 0


def test_measure_does_not_judge_where_steps_bound_the_epoch():
    result = measure(Job("SASRec", "d", "f", epochs=9, seconds=0, steps=1), DATA, Counter())
    [[_, targets, valid, test]] = result["epochs"]
    assert (targets, valid, test) == (10, None, None)


def test_judging_is_off_the_clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(protocol.time, "perf_counter", lambda: now[0])

    class Slow(Counter):
        def train(self, epoch_done):
            for _ in range(2):
                now[0] += 1
                epoch_done(1)

        def scores(self, part):
            now[0] += 100
            return np.ones((2, 5))

    result = measure(Job("SASRec", "d", "f", epochs=2), DATA, Slow())
    assert [row[0] for row in result["epochs"]] == [1, 2]


def test_first_yields_and_counts_the_first_batches():
    seen = []
    assert list(first("abcd", 2, seen.append)) == ["a", "b"] == seen
    assert list(first("ab", None, seen.append)) == ["a", "b"]
    with pytest.raises(Enough):
        raise Enough
