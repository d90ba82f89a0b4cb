from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from llmers_utils.tutorial.comparison import Trained, compare

from .support import ROLES, comparison, evaluation


def test_table_has_means_and_sd_over_seeds():
    made = comparison()
    table = made.table(["NDCG@10"])
    assert table.columns == ["arm", "role", "NDCG@10", "sd NDCG@10", "parameters"]
    values = made.values("+ llm")
    assert table["NDCG@10"][2] == round(values.mean(), 4)
    assert table["sd NDCG@10"][2] == round(values.std(ddof=1), 4)
    assert "sd NDCG@10" not in comparison(seeds=[0]).table().columns


def test_difference_is_paired_over_users_and_averaged_over_seeds():
    made = comparison()
    d = made.difference("+ llm")
    expected = made.per_user("+ llm") - made.per_user("base")
    assert d.mean == pytest.approx(expected.mean())
    assert d.n == 200
    assert d.low < d.mean < d.high
    # Users differ far more than arms do; pairing takes that away.
    assert d.high - d.low < np.std(made.per_user("base")) / 5
    assert made.difference("base", "+ llm").mean == pytest.approx(-d.mean)
    by_hand = np.mean([r.evaluation.per_user["NDCG@10"] for r in made.arms["base"]], axis=0)
    assert np.array_equal(made.per_user("base"), by_hand)


def test_users_without_a_value_are_left_out():
    def arm(level):
        def train(seed):
            one = evaluation(level, seed=seed)
            values = one.per_user["NDCG@10"].copy()
            values[:50] = np.nan
            return Trained(replace(one, per_user={"AUC": values}, metrics={"GAUC": 0.5}), 1, 0.0)

        return train

    made = compare(
        {"a": arm(0.1), "b": arm(0.2)},
        seeds=[0],
        metric="GAUC",
        reference="a",
        roles={"a": "backbone", "b": "llm"},
    )
    assert made.difference("b").n == 150
    with pytest.raises(ValueError, match="'LogLoss' has no value for a user: there are AUC"):
        made.per_user("a", "LogLoss")


def test_family_of_questions_and_holm():
    made = comparison()
    frame = made.differences()
    assert list(zip(frame["arm"], frame["other"], strict=True)) == [
        ("+ metadata", "base"),
        ("+ llm", "base"),
        ("+ shuffled", "base"),
        ("+ llm", "+ metadata"),
        ("+ llm", "+ shuffled"),
    ]
    assert (frame["p_holm"] >= frame["p_value"]).all()
    one = made.differences([("+ llm", "base")])
    assert one["p_holm"].to_list() == one["p_value"].to_list()


def test_slices_and_text():
    made = comparison()
    table = made.slices_table()
    assert table.columns == ["arm", "tail items"]
    assert table["tail items"][0] == pytest.approx(made.values("base").mean() / 2, abs=1e-4)
    shown = repr(made)
    assert len(shown.splitlines()) == 5
    assert "base" in shown
    assert "p" not in shown.replace("+ ", "").split("\n")[1]


def test_direction_of_metrics():
    made = comparison(lower_is_better=["LogLoss"])
    assert (made.sign(), made.sign("LogLoss")) == (1, -1)


def test_each_arm_starts_from_the_same_generators():
    drawn = {}

    def arm(name, extra):
        def train(seed):
            drawn[name, seed] = (random.random(), torch.rand(1).item())
            torch.rand(extra)
            return Trained(evaluation(0.1, seed=seed), 1, 0.0)

        return train

    arms = {"a": arm("a", 5), "b": arm("b", 1)}
    roles = {"a": "backbone", "b": "llm"}
    compare(arms, seeds=[0, 1], metric="NDCG@10", reference="a", roles=roles)
    assert drawn["a", 0] == drawn["b", 0] != drawn["a", 1] == drawn["b", 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, "seeds"),
        ({"metric": "AUC"}, "metric 'AUC': must be one of NDCG@10"),
        ({"reference": "other"}, "reference 'other'"),
        ({"roles": {"base": "backbone"}}, "exactly the arms"),
        ({"roles": ROLES | {"base": "boss"}}, "'base' is 'boss'"),
        ({"roles": ROLES | {"+ metadata": "llm"}}, "only one arm can be 'llm'"),
    ],
)
def test_what_does_not_fit_together(options, message):
    with pytest.raises(ValueError, match=message):
        comparison(**options)


def test_arms_must_be_comparable():
    def good(seed):
        return Trained(evaluation(0.1), 1, 0.0)

    def fewer(seed):
        return Trained(evaluation(0.1, users=10), 1, 0.0)

    def other_protocol(seed):
        return Trained(replace(evaluation(0.1), protocol="sampled"), 1, 0.0)

    rest = {"seeds": [0], "metric": "NDCG@10", "reference": "a"}
    roles = {"a": "backbone", "b": "llm"}
    with pytest.raises(ValueError, match="arm 'b': other users"):
        compare({"a": good, "b": fewer}, roles=roles, **rest)
    with pytest.raises(ValueError, match="arm 'b': protocol 'sampled'"):
        compare({"a": good, "b": other_protocol}, roles=roles, **rest)
    with pytest.raises(TypeError, match="arm 'b' must return Trained, not Evaluation"):
        compare({"a": good, "b": lambda seed: evaluation(0.1)}, roles=roles, **rest)
