"""nbval compares outputs to the letter.

The hook here lets decimal numbers move within the tolerance that `tolerance.py` states.
"""

from __future__ import annotations

import copy
import os

import pytest
from nbval.plugin import IPyNbCell

from .tolerance import DEFAULT_TOLERANCE, METRIC_TOLERANCE, agree

# Kernels started by nbval inherit these: one thread, so that sums are added in one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LLMERS_NBVAL", "1")

# The plain text beside an HTML table is compared; standard error belongs to the libraries.
NOT_COMPARED = ("text/html", "stderr")
TOLERANT_TAGS = {"metric", "record"}


def _tolerance(cell: IPyNbCell) -> float:
    tags = set(cell.cell.metadata.get("tags", []))
    return METRIC_TOLERANCE if tags & TOLERANT_TAGS else DEFAULT_TOLERANCE


def _adopt_close_values(fresh: list, reference: list, tolerance: float) -> list:
    """The fresh outputs, with each value replaced by the stored one where the two agree."""
    adopted = copy.deepcopy(fresh)
    for new, old in zip(adopted, reference, strict=False):
        if "text" in new and "text" in old and agree(old["text"], new["text"], tolerance):
            new["text"] = old["text"]
        for mime, value in new.get("data", {}).items():
            stored = old.get("data", {}).get(mime)
            if stored is not None and agree(stored, value, tolerance):
                new["data"][mime] = stored
    return adopted


_strict_comparison = IPyNbCell.compare_outputs


def _tolerant_comparison(self: IPyNbCell, test: list, ref: list, skip_compare=None) -> bool:
    fresh = _adopt_close_values(test, ref, _tolerance(self))
    skipped = (*self.parent.skip_compare, *NOT_COMPARED) if skip_compare is None else skip_compare
    return _strict_comparison(self, fresh, ref, skipped)


@pytest.hookimpl
def pytest_configure(config: pytest.Config) -> None:
    IPyNbCell.compare_outputs = _tolerant_comparison
