"""Boxes and arrows: how a method flows, and where it stands in the taxonomy."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llmers_utils.tutorial.plots import COLOURS, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# How a box is filled: what is given, what the language model makes, what is trained.
FILLS = {"data": "#EFEFEF", "llm": "#FBE3D3", "model": "#D6E8F4", "plain": "#FFFFFF"}
EDGES = {
    "data": COLOURS["backbone"],
    "llm": COLOURS["llm"],
    "model": COLOURS["metadata"],
    "plain": MUTED,
}
# The tutorial's agenda: place -> family -> methods, in the order of teaching.
TAXONOMY = {
    "knowledge": {
        "summary text": ("LANE", "GPTAugNews", "KAR", "SLIM"),
        "knowledge graph": ("LLMRG", "CoLaKG"),
        "combination": ("SKarRec",),
    },
    "interaction": {
        "text-based": ("LLMRec", "LLaMA4Rec", "LLMHD", "SampleLLM"),
        "score-based": ("LLM-Ins", "LLM4DSR", "EIMF"),
    },
    "model": {
        "initialization": ("CTRL", "FLIP", "LLMEmb", "LLMInit", "LEARN", "SAID"),
        "distillation": ("LEADER", "SLMRec", "DLLM2Rec"),
        "embedding utilization": (
            *("LLM-CF", "TedRec", "PAD", "LLM-ESR"),
            *("NoteLLM", "NoteLLM-2", "BAHE", "HLLM"),
        ),
        "embedding guidance": ("LLM4MSR", "RLMRec"),
    },
}


def draw_flow(
    boxes: Mapping[str, tuple[float, float]],
    arrows: Sequence[tuple[str, str]],
    kinds: Mapping[str, str] | None = None,
    *,
    labels: Mapping[tuple[str, str], str] | None = None,
) -> Figure:
    """Boxes on a grid, joined by arrows.

    `boxes` maps a text (lines divided by a line feed) to its column and row, both from 0, rows
    downwards, fractions allowed. `kinds` gives the kind of a box: "data", "llm", "model" or
    "plain" (the default). `labels` writes a word at an arrow. KeyError for an unknown box or kind.
    """
    import matplotlib.pyplot as plt

    columns = max(x for x, _ in boxes.values())
    rows = max(y for _, y in boxes.values())
    figure, axis = plt.subplots(figsize=(2.1 * (columns + 1), 0.95 * (rows + 1)))
    kinds = kinds or {}
    drawn = {
        text: _box(axis, text, x, y, kinds.get(text, "plain")) for text, (x, y) in boxes.items()
    }
    for start, end in arrows:
        arrow = {
            "arrowstyle": "-|>",
            "color": INK,
            "lw": 1.1,
            "shrinkA": 2,
            "shrinkB": 2,
            "patchA": drawn[start].get_bbox_patch(),
            "patchB": drawn[end].get_bbox_patch(),
        }
        axis.annotate("", boxes[end], boxes[start], arrowprops=arrow, zorder=1)
        if label := (labels or {}).get((start, end)):
            (x0, y0), (x1, y1) = boxes[start], boxes[end]
            axis.text(
                (x0 + x1) / 2,
                (y0 + y1) / 2 - 0.1,
                label,
                ha="center",
                va="bottom",
                fontsize=8,
                color=MUTED,
            )
    axis.set(xlim=(-0.55, columns + 0.55), ylim=(rows + 0.5, -0.5))
    axis.axis("off")
    return figure


def draw_chains(
    chains: Sequence[tuple[Sequence[str], Sequence[str]]], kinds: Mapping[str, str] | None = None
) -> Figure:
    """Chains of boxes, one a row, each with what it leads to at its end.

    `chains`: (the boxes in order, the boxes that follow the last one). A text that comes again is
    the same box. `kinds` as in `draw_flow`; what only follows is "plain" unless it says otherwise.
    """
    boxes: dict[str, tuple[float, float]] = {}
    arrows: list[tuple[str, str]] = []
    for row, (nodes, following) in enumerate(chains):
        texts = [textwrap.fill(node, 22) for node in nodes]
        for column, text in enumerate(texts):
            boxes.setdefault(text, (1.15 * column, 1.4 * row))
        for below, node in enumerate(following):
            text = textwrap.fill(node, 22)
            boxes.setdefault(text, (1.15 * len(texts), 1.4 * row + 0.6 * below))
            arrows.append((texts[-1], text))
        arrows += pairwise(texts)
    filled = {textwrap.fill(node, 22): kind for node, kind in (kinds or {}).items()}
    return draw_flow(boxes, arrows, filled)


def draw_taxonomy(method: str | None = None) -> Figure:
    """The tutorial's methods by where they help; one of them may be shown in colour.

    ValueError for a method that the taxonomy does not have.
    """
    import matplotlib.pyplot as plt

    known = [m for families in TAXONOMY.values() for methods in families.values() for m in methods]
    if method is not None and method not in known:
        raise ValueError(f"{method!r}: no method of the taxonomy, which has {', '.join(known)}")
    figure, axis = plt.subplots(figsize=(8.4, 3.6))
    row = 0.0
    for place, families in TAXONOMY.items():
        middle = row + (len(families) - 1) / 2
        here = any(method in methods for methods in families.values())
        _box(axis, f"{place}\nenhancement", 0, middle, "model" if here else "plain", size=9)
        for family, methods in families.items():
            axis.plot([0.3, 0.62], [middle, row], color=MUTED, lw=0.8, zorder=0)
            _box(axis, family, 0.9, row, "llm" if method in methods else "plain", size=9)
            _method_names(axis, 1.3, row, methods, method)
            row += 1
        row += 0.4
    axis.set(xlim=(-0.35, 3.5), ylim=(row - 0.6, -0.6))
    axis.axis("off")
    return figure


def _method_names(
    axis: Any, x: float, y: float, methods: Sequence[str], chosen: str | None
) -> None:
    """Names on one line, the chosen one in colour."""
    previous: Any = None
    for name in methods:
        colour = COLOURS["llm"] if name == chosen else INK
        weight = "bold" if name == chosen else "normal"
        text = f"{name}, " if name != methods[-1] else name
        where = {"xy": (x, y)} if previous is None else {"xy": (1, 0.5), "xycoords": previous}
        previous = axis.annotate(
            text, **where, va="center", ha="left", fontsize=8.5, color=colour, weight=weight
        )


def _box(
    axis: Any, text: str, x: float, y: float, kind: str, *, size: float = 9.5, ha: str = "center"
) -> Any:
    patch = {"boxstyle": "round,pad=0.45", "fc": FILLS[kind], "ec": EDGES[kind], "lw": 1.1}
    return axis.text(x, y, text, ha=ha, va="center", bbox=patch, fontsize=size, zorder=2)
