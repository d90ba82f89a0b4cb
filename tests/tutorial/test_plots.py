from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")


from llmers_utils.tutorial.diagrams import TAXONOMY, draw_chains, draw_flow, draw_taxonomy
from llmers_utils.tutorial.plots import (
    COLOURS,
    plot_arms,
    plot_curve,
    plot_histogram,
    plot_slices,
    use_style,
)

from .support import comparison


@pytest.fixture(autouse=True)
def style():
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        use_style()
        yield
    plt.close("all")


def drawn(figure) -> None:
    """A figure is drawn, small enough to be kept in a notebook."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert 2_000 < file.tell() < 60_000


def test_arms_show_values_and_paired_intervals():
    made = comparison()
    figure = plot_arms(made)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_yticklabels()] == list(made.arms)
    means = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 1]
    assert means == [made.values(name).mean() for name in made.arms]
    bars = [
        line for line in right.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 1.3
    ]
    llm = next(b for b in bars if b.get_color() == COLOURS["llm"])
    d = made.difference("+ llm")
    assert list(llm.get_xdata()) == [d.low, d.high]
    drawn(figure)


def test_arms_without_values_for_users_have_one_panel():
    made = comparison()
    for runs in made.arms.values():
        for run in runs:
            run.evaluation.metrics["AUC"] = 0.7
    assert len(plot_arms(made, "AUC").axes) == 1


def test_slices_point_up_for_better():
    figure = plot_slices(comparison(lower_is_better=["LogLoss"]), "LogLoss")
    axis = figure.axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["all", "tail items"]
    assert all(
        x > 0 for line in axis.lines[:-1] for x in line.get_xdata() if len(line.get_xdata()) == 2
    )
    drawn(figure)


def test_curve_has_a_band_over_seeds():
    values = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 3.0]])
    figure = plot_curve(
        [1, 2, 4], {"a": values}, xlabel="x", ylabel="y", levels={"base": 1.5}, log=True
    )
    axis = figure.axes[0]
    assert list(axis.lines[0].get_ydata()) == [1.5, 3.0, 3.0]
    low, high = axis.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (1.0, 4.0)
    assert axis.get_xscale() == "log"
    drawn(figure)


def test_histogram_flow_and_taxonomy_are_drawn():
    drawn(plot_histogram([1, 1, 2, 5], xlabel="n", ylabel="items"))
    boxes = {"texts": (0, 0), "vectors": (1, 0), "model": (1, 1)}
    arrows = [("texts", "vectors"), ("vectors", "model")]
    kinds = {"texts": "data", "vectors": "llm", "model": "model"}
    drawn(draw_flow(boxes, arrows, kinds, labels={arrows[0]: "encode"}))
    for families in TAXONOMY.values():
        drawn(draw_taxonomy(next(iter(families.values()))[0]))
    drawn(draw_taxonomy())
    with pytest.raises(ValueError, match="'KARR': no method of the taxonomy"):
        draw_taxonomy("KARR")
    with pytest.raises(KeyError):
        draw_flow(boxes, [("texts", "nowhere")])


def test_chains_share_the_boxes_of_equal_texts():
    chains = [
        (["Alien", "mood: dread", "Heat"], ["Ronin"]),
        (["Alien", "Fargo"], ["Ronin", "Brazil"]),
    ]
    figure = draw_chains(chains, {"Alien": "data", "mood: dread": "llm"})
    (axis,) = figure.axes
    boxes = [text.get_text() for text in axis.texts if text.get_text()]
    assert sorted(boxes) == sorted(["Alien", "mood: dread", "Heat", "Ronin", "Fargo", "Brazil"])
    drawn(figure)
