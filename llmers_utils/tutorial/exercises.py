"""Exercises that correct themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Case = tuple[tuple[Any, ...], Any]


def check_exercise(
    name: str, fn: Callable[..., Any], cases: Sequence[Case], *, tolerance: float = 1e-6
) -> None:
    """Print whether `fn` solves an exercise: "not attempted", "passed", or what differs.

    `cases` are pairs (arguments, expected). Where expected is callable it is given the answer and
    returns True, or False, or a text that says what is wrong; numbers and arrays (NumPy or
    torch) may differ by `tolerance`. A body of ``...`` (which returns None) or one that raises
    NotImplementedError counts as not attempted. An error in `fn` is not caught.
    """
    for number, (arguments, expected) in enumerate(cases, 1):
        try:
            answer = fn(*arguments)
        except NotImplementedError:
            answer = None
        if answer is None and expected is not None:
            if number == 1:
                print(f"{name}: not attempted")
            else:
                print(f"{name}: case {number} returns nothing")
            return
        verdict = _compare(answer, expected, tolerance)
        if verdict:
            shown = ", ".join(_short(a) for a in arguments)
            print(f"{name}: case {number}: {fn.__name__}({shown}) {verdict}")
            return
    print(f"{name}: passed ({len(cases)} case{'s' if len(cases) != 1 else ''})")


def _compare(answer: Any, expected: Any, tolerance: float) -> str:
    """What is wrong with `answer`, or an empty text."""
    if callable(expected):
        verdict = expected(answer)
        if isinstance(verdict, str):
            return verdict
        return "" if verdict else f"gives {_short(answer)}, which is not right"
    wrong = f"gives {_short(answer)}, expected {_short(expected)}"
    if isinstance(expected, str | dict | set | bool):
        return "" if type(answer) is type(expected) and answer == expected else wrong
    given, wanted = _array(answer), _array(expected)
    if given.shape != wanted.shape:
        return f"gives shape {given.shape}, expected {wanted.shape}"
    if wanted.dtype.kind in "fiub" and given.dtype.kind in "fiub":
        close = np.allclose(given, wanted, atol=tolerance, rtol=tolerance, equal_nan=True)
        return "" if close else wrong
    return "" if np.array_equal(given, wanted) else wrong


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _short(value: Any, width: int = 60) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= width else f"{text[: width - 3]}..."
