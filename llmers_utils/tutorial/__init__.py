"""Tutorial: what a notebook needs around its method, and what runs and checks notebooks.

Names are imported when they are first used, so that the shell's commands start quickly.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "settings": ("Settings", "seed_everything", "setup"),
    "comparison": ("Comparison", "Trained", "compare"),
    "arms": ("train_ctr", "train_ranker"),
    "records": ("Record", "load_records", "make_record", "read_record", "record"),
    "exercises": ("check_exercise",),
    "plots": ("plot_arms", "plot_board", "plot_curve", "plot_histogram", "plot_slices"),
    "diagrams": ("draw_chains", "draw_flow", "draw_taxonomy"),
    "notebooks": ("clean_notebook",),
    "structure": ("check_notebook", "check_notebooks"),
    "batch": ("execute_in_place", "run"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
