"""Each rule is silent on a good notebook and speaks on one that breaks it."""

from __future__ import annotations

import copy

import pytest
from nbformat.v4 import new_output

from llmers_utils.tutorial.records import MIME
from llmers_utils.tutorial.rules import HEADINGS
from llmers_utils.tutorial.scaffold import TEMPLATE, new_notebook
from llmers_utils.tutorial.structure import check_notebook, check_notebooks, profile_problems

from .support import FACTS, SECTION, code, make, method_cells, text, write

RECORD = make()


@pytest.fixture
def cells():
    return method_cells(copy.deepcopy(RECORD))


def problems(root, cells, name="03_kar", **facts):
    path = write(root / SECTION / f"{name}.ipynb", cells, **(FACTS | facts))
    return check_notebook(path)


def at(cells, tag):
    return next(c for c in cells if tag in c.metadata.get("tags", []))


def add(cells, *new):
    """Put cells, after a line of text, before the checks."""
    place = cells.index(at(cells, "checks")) - 1
    cells[place:place] = [text("A line."), *new]


def test_a_good_notebook_has_no_problem(tmp_path, cells):
    assert problems(tmp_path, cells) == []


def test_a_good_chapter_has_no_problem(tmp_path, cells):
    facts = {k: v for k, v in FACTS.items() if k not in ("method", "idea", "paper", "backbone")}
    kept = [c for c in cells if not {"record", "exercise"} & set(c.metadata.get("tags", []))]
    kept = [c for c in kept if "solution" not in c.metadata.get("tags", [])]
    kept = [c for c in kept if not c.source.startswith("## The m")]
    path = write(tmp_path / SECTION / "00_overview.ipynb", kept, **(facts | {"kind": "chapter"}))
    assert check_notebook(path) == []


BAD_CELLS = {
    "cell length": [
        ("x = 1\n" * 26, "26 lines"),
        (f"x = '{'a' * 100}'", "longer than 100"),
        (" ", "empty"),
    ],
    "plain Python": [
        ("%matplotlib inline", "magic"),
        ("!ls", "magic"),
        ("print(1", "syntax"),
        ("x = 1;", "`;`"),
        ("x = 1;  # note", "`;`"),
    ],
    "imports": [("import os", "move it"), ("def f():\n    from math import pi", "move it")],
    "banned": [
        ("clear_output()", "nbval"),
        ("for x in tqdm([1]):\n    pass", "progress"),
        ("sys.exit(0)", "cells below"),
        ("for x in {1, 2}:\n    pass", "loops over a set"),
        ("for x in set([1]):\n    pass", "loops over a set"),
    ],
    "paths": [
        ('open("/home/me/x.csv")', "llmers_utils.paths"),
        ('open("../data/x.csv")', "llmers_utils.paths"),
        ('open("~/x.csv")', "llmers_utils.paths"),
    ],
    "package": [("setup(seed=1, choice={})", None)],
}


@pytest.mark.parametrize(
    ("rule", "source", "remedy"),
    [(rule, *bad) for rule, bads in BAD_CELLS.items() for bad in bads if bad[1]],
)
def test_code_rules(tmp_path, cells, rule, source, remedy):
    add(cells, code(source))
    found = problems(tmp_path, cells)
    assert rule in {p.rule for p in found}
    assert any(remedy in p.remedy for p in found)
    assert all(p.rule == rule for p in found if p.rule not in ("plain Python", "text"))


@pytest.mark.parametrize(
    ("imports", "source", "remedy"),
    [
        (
            "from llmers_utils.tutorial import setpu",
            "1",
            "llmers_utils.tutorial.setpu does not exist",
        ),
        ("import llmers_utils.tutorials", "1", "llmers_utils.tutorials does not exist"),
        ("from llmers_utils.tutorial import plots", "plots.plot_arm()", "plots.plot_arm does not"),
        (
            "from llmers_utils.tutorial import draw_flow",
            "draw_flow(box={})",
            "draw_flow() has no argument 'box'",
        ),
        ("from llmers_utils.tutorial import record", "record(note='x')", "no argument 'note'"),
        ("import pandas", "1", "no dependency"),
    ],
)
def test_names_of_the_package_exist(tmp_path, cells, imports, source, remedy):
    at(cells, "imports").source += "\n" + imports
    add(cells, code(source))
    assert any(remedy in p.remedy for p in problems(tmp_path, cells))


@pytest.mark.parametrize(
    ("printed", "what"),
    [
        ("made on 2026-03-04", "a date"),
        ("at 12:30:00", "a date"),
        ("trained in 3.2 s", "a duration"),
        ("3.2s", "a duration"),
        ("12 seconds", "a duration"),
        ("40ms", "a duration"),
        ("see /home/me/.cache/x", "a path"),
        ("<object at 0x7f3a2b4c5d>", "an address"),
        ("10%|###", "a progress bar"),
        ("FutureWarning: x", "a warning"),
    ],
)
def test_outputs_that_change(tmp_path, cells, printed, what):
    add(cells, code("x", printed=printed))
    (problem,) = problems(tmp_path, cells)
    assert problem.rule == "repeatable"
    assert what in problem.remedy


@pytest.mark.parametrize(
    "printed",
    [
        "Toy Story (1995)",
        "0.0812 s.d.",
        "1997-09-20",
        "5 seeds",
        "a film of 90 minutes",
        "the 1990s",
        "https://a.org/home/x",
        "9/10",
    ],
)
def test_outputs_that_do_not_change(tmp_path, cells, printed):
    add(cells, code("x", printed=printed))
    assert problems(tmp_path, cells) == []


@pytest.mark.parametrize(
    ("output", "rule"),
    [
        (new_output("stream", name="stderr", text="x"), "errors"),
        (new_output("error", ename="E", evalue="", traceback=[]), "errors"),
        (new_output("display_data", {"image/svg+xml": "<svg/>"}), "outputs"),
        (new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}}), "outputs"),
        (new_output("display_data", {"text/html": "<script>1</script>"}), "outputs"),
        (new_output("display_data", {"image/png": "A" * 700_000}), "size"),
        (new_output("display_data", {MIME: RECORD.as_json()}), "record"),
    ],
)
def test_kinds_of_output(tmp_path, cells, output, rule):
    cell = code("x")
    cell.outputs = [output]
    add(cells, cell)
    assert {p.rule for p in problems(tmp_path, cells)} == {rule}


def test_execution_counts(tmp_path, cells):
    path = write(tmp_path / SECTION / "03_kar.ipynb", cells, counted=False, **FACTS)
    (problem,) = check_notebook(path)
    assert problem.rule == "executed"
    assert "None, must be 1" in problem.remedy


def test_names_and_metadata(tmp_path, cells):
    assert {p.rule for p in problems(tmp_path, cells, "Kar")} == {"name", "record"}
    assert "metadata" in {p.rule for p in problems(tmp_path, cells, minutes=0)}
    for change in ({"title": "Other"}, {"promise": "Other"}, {"minutes": 7}, {"paper": "Other"}):
        (problem,) = problems(tmp_path, cells, **change)
        assert (problem.rule, problem.cell) == ("metadata", 1)
    assert "folder" in problems(tmp_path, cells, section="3_other")[0].remedy


@pytest.mark.parametrize("tag", ["imports", "parameters", "setup", "checks", "record"])
def test_required_tags(tmp_path, cells, tag):
    at(cells, tag).metadata["tags"] = []
    assert "tags" in {p.rule for p in problems(tmp_path, cells)}


def test_tags_in_order_and_of_nbval(tmp_path, cells):
    first, second = at(cells, "checks"), at(cells, "setup")
    first.metadata["tags"], second.metadata["tags"] = ["setup"], ["checks"]
    assert any("in the order" in p.remedy for p in problems(tmp_path, cells))
    second.metadata["tags"], first.metadata["tags"] = ["setup"], ["checks", "nbval-ignore-output"]
    assert any("needs a reason" in p.remedy for p in problems(tmp_path, cells))
    first.metadata["llmers"] = {"reason": "the fan's noise"}
    assert problems(tmp_path, cells) == []
    first.metadata["tags"] = ["checks", "nbval-skip"]
    assert any("nbval must run" in p.remedy for p in problems(tmp_path, cells))


def test_text_before_code_and_headings(tmp_path, cells):
    add(cells, code("1"), code("2"))
    assert {p.rule for p in problems(tmp_path, cells)} == {"text"}
    del cells[cells.index(next(c for c in cells if c.source == "## The backbone"))]
    assert any("0 headings `## The backbone`" in p.remedy for p in problems(tmp_path, cells))
    cells[1], cells[2] = cells[2], cells[1]
    assert any("headings must come" in p.remedy for p in problems(tmp_path, cells))


def test_parameters_that_papermill_does_not_see(tmp_path, cells):
    at(cells, "parameters").source = "seeds: list = [0]\nepochs: int = 3  # a = b"
    (problem,) = problems(tmp_path, cells)
    assert problem.rule == "parameters"
    assert "papermill does not see epochs" in problem.remedy
    at(cells, "parameters").source = "seeds: list = [0]\nepochs: int = 3\nextra: int = 1"
    assert "look at extra" in problems(tmp_path, cells)[0].remedy
    at(cells, "parameters").source = "seeds = [0]"
    assert "must be a line" in problems(tmp_path, cells)[0].remedy


def test_claims(tmp_path, cells):
    at(cells, "checks").outputs[0].text = "checks hold: 1/2"
    assert {p.rule for p in problems(tmp_path, cells)} == {"checks"}
    at(cells, "checks").outputs[0].text = "checks hold: 2/2"
    at(cells, "checks").source = 'print("checks hold: 2/2")'
    assert any("asserts nothing" in p.remedy for p in problems(tmp_path, cells))


def test_exercises(tmp_path, cells):
    solution = at(cells, "solution")
    solution.metadata.pop("jupyter")
    solution.source = solution.source.replace("twice(a)", "twice(a, b)")
    solution.outputs = []
    remedies = [p.remedy for p in problems(tmp_path, cells)]
    assert len(remedies) == 3
    assert "collapsed" in remedies[0]
    assert "same functions" in remedies[1]
    assert "'passed'" in remedies[2]
    cells.remove(solution)
    assert any("followed by a cell tagged solution" in p.remedy for p in problems(tmp_path, cells))
    stub = at(cells, "exercise")
    cells.remove(stub)
    assert any("1 exercises, at least 2" in p.remedy for p in problems(tmp_path, cells))


def test_records_belong_to_their_notebook(tmp_path, cells):
    at(cells, "record").outputs[0].data[MIME]["notebook"] = "lane"
    (problem,) = problems(tmp_path, cells)
    assert "record's notebook is 'lane', must be 'kar'" in problem.remedy
    at(cells, "record").outputs = []
    assert "0 records are stored" in problems(tmp_path, cells)[0].remedy


def test_leftovers_todos_and_links(tmp_path, cells):
    at(cells, "checks").metadata["papermill"] = {}
    assert {p.rule for p in problems(tmp_path, cells)} == {"leftovers"}
    del at(cells, "checks").metadata["papermill"]
    cells[1].source += "\n\nTODO: more, see [there](../nowhere.md), [here](03_kar.ipynb)"
    found = problems(tmp_path, cells)
    assert {p.rule for p in found} == {"unfinished", "links"}
    assert "../nowhere.md" in str(found)


BODY = """def prepare(rows):
    kept = [r for r in rows if r]
    total = sum(kept)
    return total / 2"""


def test_shared_functions_belong_in_the_package(tmp_path, cells):
    first = method_cells(RECORD)
    add(first, code(BODY))
    write(tmp_path / SECTION / "03_kar.ipynb", first, **FACTS)
    add(cells, code(BODY.replace("prepare", "ready") + "\n"))
    write(tmp_path / SECTION / "04_slim.ipynb", cells, **FACTS)
    shared = [p for p in check_notebooks(root=tmp_path) if p.rule == "shared code"]
    (problem,) = shared
    assert problem.notebook.endswith("04_slim")
    assert "ready has the body of prepare" in problem.remedy
    assert "move it to llmers_utils" in problem.remedy


@pytest.mark.parametrize(
    ("profile", "remedy"),
    [
        ("epochs: many", "must be of type int"),
        ("heads: 4", "'heads' is no shared parameter"),
        ("notebooks: {karr: {epochs: 4}}", "no notebook is named karr"),
        ("notebooks: {kar: {heads: 4}}", "unknown parameter 'heads'"),
    ],
)
def test_profiles(tmp_path, cells, profile, remedy):
    write(tmp_path / SECTION / "03_kar.ipynb", cells, **FACTS)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "good.yaml").write_text("epochs: 4\nnotebooks: {kar: {seeds: [1]}}")
    assert profile_problems(tmp_path) == []
    (tmp_path / "profiles" / "bad.yaml").write_text(profile)
    (problem,) = profile_problems(tmp_path)
    assert problem.notebook == "profiles/bad.yaml"
    assert remedy in problem.remedy


def test_template_breaks_only_rules_that_its_author_must_fill(tmp_path):
    (tmp_path / SECTION).mkdir()
    path = new_notebook("my-method", section="2", method="MyMethod", root=tmp_path)
    assert path.name == "01_my_method.ipynb"
    found = check_notebook(path)
    # To fill in, to execute (counts, checks line, exercises' verdicts, record).
    assert {p.rule for p in found} == {"unfinished", "executed", "checks", "exercises", "record"}
    assert "__" not in path.read_text()
    assert TEMPLATE.stat().st_size < 30_000
    headings = [c.source.splitlines()[0] for c in _markdown(path) if c.source.startswith("## ")]
    assert headings == [f"## {heading}" for heading in HEADINGS]


def _markdown(path):
    from llmers_utils.tutorial.notebooks import read_notebook

    return [c for c in read_notebook(path).node.cells if c.cell_type == "markdown"]


def test_new_notebooks_take_free_names_and_numbers(tmp_path, cells):
    write(tmp_path / SECTION / "03_kar.ipynb", cells, **FACTS)
    assert new_notebook("next", section=SECTION, root=tmp_path).name == "04_next.ipynb"
    with pytest.raises(ValueError, match="'kar' is taken"):
        new_notebook("kar", section="2", root=tmp_path)
    with pytest.raises(ValueError, match="section '9': must be one of 2_knowledge"):
        new_notebook("other", section="9", root=tmp_path)
    with pytest.raises(ValueError, match="slug 'No Good'"):
        new_notebook("No Good", section="2", root=tmp_path)
