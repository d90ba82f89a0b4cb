"""Every notebook has the one shape, and holds with another seed than the stored one."""

from __future__ import annotations

import io
import re
import subprocess
from itertools import pairwise

import pytest

from llmers_utils.paths import NOTEBOOKS, ROOT
from llmers_utils.tutorial.batch import outcome_table, run
from llmers_utils.tutorial.board import MARKERS, readme_table
from llmers_utils.tutorial.notebooks import all_notebooks, read_notebook
from llmers_utils.tutorial.parameters import declared_parameters, load_profile, resolve
from llmers_utils.tutorial.records import find_records, load_records
from llmers_utils.tutorial.structure import check_notebooks


def test_every_notebook_has_the_one_shape():
    assert [str(problem) for problem in check_notebooks()] == []


def test_checks_hold_with_another_seed(tmp_path, monkeypatch):
    """The asserts of all notebooks, executed by papermill with a seed nobody looked at."""
    seeded = [
        str(path) for path in all_notebooks() if "seeds" in declared_parameters(read_notebook(path))
    ]
    outcomes = run(seeded, seeds=[7], name=f"seed7-{tmp_path.name}", stream=io.StringIO())
    assert all(outcome.status != "failed" for outcome in outcomes), outcome_table(outcomes)


@pytest.mark.parametrize("profile", sorted(p.stem for p in (NOTEBOOKS / "profiles").glob("*.yaml")))
def test_profiles_name_parameters_that_exist(profile):
    notebooks = [read_notebook(path) for path in all_notebooks()]
    assert resolve(notebooks, profile=load_profile(profile), assignments=(), seeds=None)


def test_readme_table_is_up_to_date():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = MARKERS
    assert text.split(begin)[1].split(end)[0].strip() == readme_table(load_records())


def test_stored_records_agree_with_the_committed_ones():
    """A notebook's own record and the reference records were made by the same experiment."""
    reference = {(r.notebook, r.dataset): r for r in load_records()}
    for notebook in map(read_notebook, all_notebooks()):
        for found in find_records(notebook):
            kept = reference[found["notebook"], found["dataset"]]
            assert (kept.split, kept.metric) == (found["split"], found["metric"])
            assert list(kept.arms) == list(found["arms"])
            mine = found["parameters"]
            assert {name for name in mine if mine[name] != kept.parameters[name]} <= {"seeds"}


def test_each_notebook_leads_to_the_next():
    """In the order of teaching; the first link after "Next:" is where a reader goes on."""
    notebooks = [read_notebook(path) for path in all_notebooks()]
    for here, following in pairwise(notebooks):
        texts = "\n".join(c.source for c in here.node.cells if c.cell_type == "markdown")
        link = re.search(r"^Next: \[[^]]+\]\(([^)]+)\)", texts, re.MULTILINE)
        assert link, here.key
        assert (here.path.parent / link[1]).resolve() == following.path.resolve(), here.key


def test_no_foreign_data_is_committed():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
    names = listing.stdout.decode().splitlines()
    assert names
    assert [n for n in names if n.endswith((".inter", ".dat", ".kg", ".pkl", ".npy", ".zip"))] == []
