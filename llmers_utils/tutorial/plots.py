"""Plots in one style. Each function returns the figure; the notebook calls ``plt.show()``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmers_utils.tutorial.comparison import Comparison

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#333333", "#767676", "#E3E3E3"
# Blue and orange are told apart by every kind of colour vision; the other arms step back.
COLOURS = {
    "backbone": "#6E6E6E",
    "metadata": "#0072B2",
    "llm": "#D55E00",
    "shuffled": "#EDB48A",
    "ablation": "#9C9C9C",
}
WIDTHS = {"backbone": 2.0, "metadata": 2.0, "llm": 2.6, "shuffled": 2.0, "ablation": 1.0}
SIZES = {"backbone": 7, "metadata": 7, "llm": 8.5, "shuffled": 7, "ablation": 4}
MARKERS = ("o", "s", "^", "D", "v", "P")  # ablations share a colour and differ in shape
STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.figsize": (6.4, 3.4),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#B0B0B0",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
}


def use_style() -> None:
    """Make `STYLE` the default of this process and forbid vector output in notebooks."""
    import matplotlib as mpl

    mpl.rcParams.update(STYLE)
    colours = [COLOURS[role] for role in ("llm", "metadata", "backbone")]
    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(color=[*colours, "#009E73", "#CC79A7", "#56B4E9"])


def plot_arms(comparison: Comparison, metric: str | None = None) -> Figure:
    """Arms as dots: left the metric (small dots: seeds), right the paired difference.

    The bar on the right is the 95 % interval over users of the difference to the reference, so
    an arm whose bar crosses the line is not told apart from it. Metrics without a value for each
    user have only the left part.
    """
    import matplotlib.pyplot as plt

    metric = metric or comparison.metric
    try:
        differences = {
            n: comparison.difference(n, metric=metric)
            for n in comparison.arms
            if n != comparison.reference
        }
    except ValueError:
        differences = {}
    columns = 2 if differences else 1
    height = 0.9 + 0.42 * len(comparison.arms)
    figure, axes = plt.subplots(
        1, columns, figsize=(4 * columns, height), sharey=True, squeeze=False
    )
    _arm_dots(axes[0, 0], comparison, metric)
    if differences:
        _difference_bars(axes[0, 1], comparison, differences)
    return figure


def _arm_dots(axis: Any, comparison: Comparison, metric: str) -> None:
    for row, (name, role) in enumerate(_rows(comparison)):
        values = comparison.values(name, metric)
        if len(values) > 1:
            axis.plot(values, [row] * len(values), "o", ms=3, color=COLOURS[role], alpha=0.45)
        axis.plot(values.mean(), row, "o", ms=SIZES[role], color=COLOURS[role])
    better = "lower" if comparison.sign(metric) < 0 else "higher"
    axis.set(title=f"{metric} ({better} is better)")
    axis.set_yticks(range(len(comparison.arms)), [name for name, _ in _rows(comparison)])
    _horizontal(axis, len(comparison.arms))


def _difference_bars(axis: Any, comparison: Comparison, differences: Mapping[str, Any]) -> None:
    axis.axvline(0, color=COLOURS["backbone"], lw=1.2)
    for row, (name, role) in enumerate(_rows(comparison)):
        if name not in differences:
            continue
        d = differences[name]
        axis.plot([d.low, d.high], [row, row], color=COLOURS[role], lw=WIDTHS[role])
        axis.plot(d.mean, row, "o", ms=SIZES[role], color=COLOURS[role])
    axis.set(title=f"difference to {comparison.reference}, 95 % interval")
    _horizontal(axis, len(comparison.arms))


def _rows(comparison: Comparison) -> list[tuple[str, str]]:
    return [(name, comparison.roles[name]) for name in comparison.arms]


def _horizontal(axis: Any, rows: int) -> None:
    axis.grid(axis="x")
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(rows - 0.4, -0.6)
    axis.locator_params(axis="x", nbins=5)


def plot_slices(comparison: Comparison, metric: str | None = None) -> Figure:
    """Gain over the reference (positive is better) for all targets and for each slice."""
    import matplotlib.pyplot as plt

    metric = metric or comparison.metric
    values = {
        name: {"all": comparison.values(name, metric).mean()}
        | comparison.slice_values(name, metric)
        for name in comparison.arms
    }
    base = values[comparison.reference]
    shown = [(n, role) for n, role in _rows(comparison) if n != comparison.reference]
    figure, axis = plt.subplots(figsize=(6.4, 0.9 + 0.55 * len(base)))
    offsets = np.linspace(-0.24, 0.24, len(shown)) if len(shown) > 1 else [0.0]
    shapes = iter(MARKERS * len(shown))
    for offset, (name, role) in zip(offsets, shown, strict=True):
        marker = next(shapes) if role == "ablation" else "o"
        gains = [comparison.sign(metric) * (values[name][part] - base[part]) for part in base]
        rows = np.arange(len(base)) + offset
        axis.hlines(rows, 0, gains, color=COLOURS[role], lw=WIDTHS[role])
        size = SIZES[role] - 1.5 + (role == "ablation")
        axis.plot(gains, rows, marker, ls="", ms=size, color=COLOURS[role], label=name)
    axis.axvline(0, color=COLOURS["backbone"], lw=1.2)
    axis.set_yticks(range(len(base)), list(base))
    axis.set(title=f"gain in {metric} over {comparison.reference}")
    _horizontal(axis, len(base))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1)
    return figure


GAINS = {"lift": "llm", "knowledge_gain": "metadata", "semantic_gain": "shuffled"}


def plot_board(board: pl.DataFrame) -> Figure:
    """The leaderboard: for each record its lift and what each control leaves of it, in per cent."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.8, 1.1 + 0.45 * len(board)))
    rows = np.arange(len(board))
    for offset, (gain, role) in zip((-0.18, 0.0, 0.18), GAINS.items(), strict=True):
        values = board[gain].cast(float).fill_null(float("nan")).to_numpy()
        axis.hlines(rows + offset, 0, values, color=COLOURS[role], lw=2)
        axis.plot(values, rows + offset, "o", color=COLOURS[role], label=gain.replace("_", " "))
    axis.axvline(0, color=COLOURS["backbone"], lw=1.2)
    names = [f"{r['method']}, {r['dataset']}\n({r['metric']})" for r in board.to_dicts()]
    axis.set_yticks(rows, names)
    axis.set(title="in per cent of the backbone's value")
    _horizontal(axis, len(board))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1)
    return figure


def plot_curve(
    x: Sequence[float],
    curves: Mapping[str, np.ndarray],
    *,
    xlabel: str,
    ylabel: str,
    roles: Mapping[str, str] | None = None,
    levels: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """Curves over a knob; one of shape (points, seeds) has a band from its least to its greatest.

    `roles` colours curves and `levels` (name -> value, horizontal lines) as arms.
    """
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots()
    roles = roles or {}
    for name, values in curves.items():
        values = np.asarray(values, dtype=float)
        colour = COLOURS.get(roles.get(name, "llm" if len(curves) == 1 else ""))
        mean = values.mean(axis=1) if values.ndim == 2 else values
        (line,) = axis.plot(x, mean, "o-", ms=5, lw=2, color=colour, label=name)
        if values.ndim == 2:
            axis.fill_between(
                x, values.min(1), values.max(1), color=line.get_color(), alpha=0.15, lw=0
            )
    for name, level in (levels or {}).items():
        colour = COLOURS[roles.get(name, "backbone")]
        axis.axhline(level, color=colour, lw=1.4, ls=(0, (4, 2)), label=name)
    if log:
        axis.set_xscale("log")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(axis="y")
    if len(curves) + len(levels or {}) > 1:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.5)
    return figure


def plot_histogram(
    values: Sequence[float], *, xlabel: str, ylabel: str, log: bool = False
) -> Figure:
    """Distribution of the data, in 30 bins."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6.4, 2.6))
    axis.hist(values, bins=30, color=COLOURS["metadata"], edgecolor="white", linewidth=0.6)
    if log:
        axis.set_yscale("log")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.grid(axis="y")
    return figure
