"""The README's figure: how many times as fast, and how time grows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from llmers_utils.tutorial.plots import use_style
from tests.benchmarks.results import FIGURE, GROWTH, MODELS, NAMES, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = ("training", "to equal quality", "evaluation")


def draw(rows: Sequence[Row], path: Path = FIGURE) -> None:
    """Draw ratios on the left and growth on the right."""
    use_style()
    figure, (left, *right) = plt.subplots(1, 3, figsize=(12, 4.2), width_ratios=(1.5, 1, 1))
    _draw_ratios(left, [one for one in rows if one["model"] and one["data"] == "ml-100k"])
    for axes, axis in zip(right, ("users", "items"), strict=True):
        grown = [one for one in rows if one["what"] == GROWTH and one["data"] == axis]
        _draw_growth(axes, grown, axis)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _draw_ratios(axes: Axes, rows: Sequence[Row]) -> None:
    pairs = sorted(
        {(one["model"], one["peer"]) for one in rows}, key=lambda p: (MODELS.index(p[0]), p[1])
    )
    places = {pair: len(pairs) - number for number, pair in enumerate(pairs)}
    for number, what in enumerate(MEASURES):
        chosen = [one for one in rows if one["what"] == what]
        y = [places[one["model"], one["peer"]] + 0.22 * (1 - number) for one in chosen]
        ratio = {name: [one["ratio"][name] for one in chosen] for name in ("min", "median", "max")}
        (dots,) = axes.plot(ratio["median"], y, "o", markersize=5, label=what)
        axes.hlines(y, ratio["min"], ratio["max"], color=dots.get_color(), linewidth=1.5)
    axes.axvline(1, color="#767676", linewidth=1)
    axes.set(xscale="log", xlabel="times as fast as the peer", title="MovieLens-100K, one thread")
    axes.xaxis.set_major_formatter("{x:g}")
    names = [f"{model} / {NAMES.get(peer, peer)}" for model, peer in places]
    axes.set_yticks(list(places.values()), names)
    axes.grid(axis="x")
    axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.13))


def _draw_growth(axes: Axes, rows: Sequence[Row], axis: str) -> None:
    for one in rows:
        label = f"{one['peer']}: {one['slope']:.2f} ({one['theory']})"
        axes.plot(one["sizes"], one["values"], marker="o", markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel=axis, ylabel="times the smallest")
    axes.set_title(f"Growth with the {axis}")
    axes.grid()
    axes.legend(title="power over the last tenfold (theory)", title_fontsize=8, fontsize=8)
