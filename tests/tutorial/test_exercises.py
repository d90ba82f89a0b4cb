from __future__ import annotations

import numpy as np
import pytest
import torch

from llmers_utils.tutorial.exercises import check_exercise


def said(capsys, fn, cases):
    check_exercise("exercise 1", fn, cases)
    return capsys.readouterr().out


def stub(a): ...


def unwritten(a):
    raise NotImplementedError


@pytest.mark.parametrize("fn", [stub, unwritten])
def test_not_attempted(capsys, fn):
    assert said(capsys, fn, [((1,), 2)]) == "exercise 1: not attempted\n"


@pytest.mark.parametrize(
    ("fn", "cases"),
    [
        (lambda a: a + 1, [((1,), 2), ((2,), 3)]),
        (lambda a: a + 1e-9, [((1.0,), 1.0), ((2.0,), 2.0)]),
        (lambda a: a, [((np.ones(3),), np.ones(3)), ((torch.ones(2),), [1.0, 1.0])]),
        (lambda a: a.upper(), [(("a",), "A"), (("b",), "B")]),
        (lambda a: {"k": a}, [((1,), {"k": 1}), ((2,), {"k": 2})]),
        (lambda a: [a], [((1,), [1]), ((np.nan,), [np.nan])]),
        (lambda a: None, [((1,), None), ((2,), None)]),
        (lambda a: a * 2, [((1,), lambda answer: answer == 2), ((3,), lambda answer: answer > 5)]),
    ],
)
def test_passed(capsys, fn, cases):
    assert said(capsys, fn, cases) == "exercise 1: passed (2 cases)\n"


@pytest.mark.parametrize(
    ("fn", "case", "message"),
    [
        (lambda a: 3, ((1,), 2), "case 1: <lambda>(1) gives 3, expected 2"),
        (lambda a: True, ((1,), False), "gives True, expected False"),
        (lambda a: 1, ((1,), True), "gives 1, expected True"),
        (lambda a: "b", (("a",), "c"), "gives 'b', expected 'c'"),
        (lambda a: "b", (("a",), 1.0), "gives 'b', expected 1.0"),
        (lambda a: [1, 2], ((1,), [1, 2, 3]), "gives shape (2,), expected (3,)"),
        (lambda a: np.array([1.0, 2.1]), ((1,), np.array([1.0, 2.0])), "expected array"),
        (lambda a: np.nan, ((1,), 1.0), "gives nan"),
        (lambda a: 5, ((1,), lambda answer: "must be even"), "must be even"),
        (lambda a: 5, ((1,), lambda answer: answer < 5), "gives 5, which is not right"),
    ],
)
def test_what_differs(capsys, fn, case, message):
    assert message in said(capsys, fn, [case])


def test_a_half_solution_and_errors_are_seen(capsys):
    assert "case 2 returns nothing" in said(
        capsys, lambda a: a if a == 1 else None, [((1,), 1), ((2,), 2)]
    )
    with pytest.raises(ZeroDivisionError):
        check_exercise("exercise 1", lambda a: 1 / 0, [((1,), 1)])
