from __future__ import annotations

import pytest

from tests.benchmarks.models import compare, rate, time_to
from tests.benchmarks.results import (
    MARKERS,
    RISING,
    load,
    readme_text,
    row,
    save,
    slope,
    update_readme,
)

OURS = {
    "epochs": [[1.0, 10, 0.1, 0.2], [2.0, 30, 0.4, 0.3], [3.0, 50, 0.3, 0.5]],
    "evaluation": [0.2, 0.1, 0.3],
    "memory": 100.0,
}
THEIRS = {
    "epochs": [[10.0, 10, 0.2, 0.1], [30.0, 20, 0.4, 0.2]],
    "evaluation": [1.0, 1.0, 1.0],
    "memory": 400.0,
}


def by_what(rows):
    return {one["what"]: one for one in rows}


def test_ratio_says_how_many_times_better_ours_is():
    seconds = row("encoding", "loop", [1, 2, 4], [10, 10, 10], data="d", unit="s")
    assert seconds["ratio"] == {"min": 2.5, "median": 5, "max": 10}
    assert (seconds["ours"], seconds["theirs"], seconds["repetitions"]) == (2, 10, 3)
    rates = row("training", "p", [100], [50], data="d", unit="targets/s", higher_is_better=True)
    assert rates["ratio"]["median"] == 2


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([1, 0], [1, 1])])
def test_values_must_be_positive_and_there(ours, theirs):
    with pytest.raises(ValueError, match="needs positive values"):
        row("encoding", "loop", ours, theirs, data="d", unit="s")


def test_rate_leaves_the_first_epoch_out():
    assert rate(OURS) == 20
    assert rate({"epochs": OURS["epochs"][:1]}) == 10


def test_time_to_a_level():
    assert time_to(OURS, 0.1) == 1
    assert time_to(OURS, 0.39) == 2


def test_a_comparison_of_two_sides():
    rows = by_what(compare("SASRec", "ml-100k", "recbole", [OURS], [THEIRS]))
    assert rows["training"]["ratio"]["median"] == 20 / 0.5
    assert rows["evaluation"]["ratio"]["median"] == 10
    assert rows["memory"]["ratio"]["median"] == 4
    assert rows["to equal quality"]["ratio"]["median"] == 15
    assert rows["quality"]["note"] == RISING
    assert rows["quality"]["ratio"]["median"] == 1.5  # the test value of the best valid epoch


def test_quality_needs_judged_epochs():
    speed = {**OURS, "epochs": [[1.0, 10, None, None], [2.0, 20, None, None]]}
    rows = by_what(compare("SASRec", "ml-1m", "recbole", [speed], [speed]))
    assert set(rows) == {"training", "evaluation", "memory"}


def test_rows_replace_those_with_their_key(tmp_path):
    path = tmp_path / "benchmarks.json"
    old = row("encoding", "loop", [1], [2], data="cold", unit="s")
    other = row("batch", "papermill", [1], [2], data="two jobs", unit="s")
    save([old, other], path)
    save([old | {"unit": "h"}], path)
    assert {one["what"]: one["unit"] for one in load(path)} == {"encoding": "h", "batch": "s"}
    assert load(tmp_path / "none.json") == []


def test_readme_shows_ratios_between_the_markers(tmp_path):
    rows = compare("SASRec", "ml-100k", "recbole", [OURS, OURS], [THEIRS, THEIRS])
    rows += [row("batch", "serial papermill", [1, 2], [2, 2], data="all notebooks", unit="s")]
    text = readme_text(rows, "x.png")
    assert "| SASRec | RecBole | 40 |  | 15 | 10 |  | 4.0 | 1.50 † |" in text
    assert "| batch | all notebooks | serial papermill | 1.50 (1.00–2.0) |" in text
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{MARKERS[0]}\nold\n{MARKERS[1]}\nafter\n")
    for _ in range(2):
        update_readme(rows, readme, tmp_path / "img" / "x.png")
    found = readme.read_text()
    assert found.startswith("before\n")
    assert found.endswith("after\n")
    assert "old" not in found
    assert found.count("![") == 1
    readme.write_text("no markers")
    with pytest.raises(ValueError, match="once each"):
        update_readme(rows, readme, tmp_path / "x.png")


def test_readme_leaves_out_what_was_not_measured():
    text = readme_text([row("encoding", "loop", [1], [2], data="cold", unit="s")], "x.png")
    assert "| encoding | cold | loop | 2.0 |" in text
    assert "| model |" not in text
    assert "![" not in text
    assert readme_text([], "x.png") == ""


def test_slope_is_the_power_of_the_last_tenfold():
    assert slope([1, 10, 100], [1, 5, 500]) == pytest.approx(2)
