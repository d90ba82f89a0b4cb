"""When does a fresh notebook output agree with the stored one?

Words and whole numbers must be equal. Decimal numbers may differ by an absolute tolerance, because
the last digits of a trained model depend on the CPU. Runs of blanks count as one, since a lost
minus sign moves a table's columns.
"""

from __future__ import annotations

import re
from typing import Any

DEFAULT_TOLERANCE = 1e-3
# For cells tagged `metric` or `record`: they show what a training run reached.
METRIC_TOLERANCE = 0.02
NOT_COMPARED = frozenset({"seconds"})  # keys of a record that measure the machine
# A p-value moves far when a difference moves a little, and a slice may hold few samples.
LOOSE = {"p_value": 1.0, "p_holm": 1.0, "slices": 0.1}

DECIMAL = re.compile(r"[-+−]?\d+\.\d+(?:[eE][-+]?\d+)?")


def agree(reference: Any, fresh: Any, tolerance: float) -> bool:
    """Whether two outputs (text, or nested JSON) agree within `tolerance`."""
    if isinstance(reference, dict) and isinstance(fresh, dict):
        return reference.keys() == fresh.keys() and all(
            agree(reference[key], fresh[key], LOOSE.get(key, tolerance))
            for key in reference.keys() - NOT_COMPARED
        )
    if isinstance(reference, list) and isinstance(fresh, list):
        return len(reference) == len(fresh) and all(
            agree(one, other, tolerance) for one, other in zip(reference, fresh, strict=True)
        )
    if isinstance(reference, float) and isinstance(fresh, float):
        return _close(reference, fresh, tolerance)
    if isinstance(reference, str) and isinstance(fresh, str):
        return _texts_agree(reference, fresh, tolerance)
    return type(reference) is type(fresh) and reference == fresh


def _texts_agree(reference: str, fresh: str, tolerance: float) -> bool:
    if reference == fresh:
        return True
    if _skeleton(reference) != _skeleton(fresh):
        return False
    return all(
        _close(_number(one), _number(other), tolerance)
        for one, other in zip(DECIMAL.findall(reference), DECIMAL.findall(fresh), strict=True)
    )


def _skeleton(text: str) -> list[str]:
    """The text with each decimal number replaced by a sign and its blanks joined."""
    return DECIMAL.sub(" # ", text).split()


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _close(one: float, other: float, tolerance: float) -> bool:
    # Rounded to the digits shown, two numbers `tolerance` apart may look a hair further apart.
    return abs(one - other) <= tolerance + 1e-9 or (one != one and other != other)
