"""The shipped graph and its synthetic log, ASSISTments 2009 and Junyi."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from llmers_utils import paths
from llmers_utils.data import DataError, leave_last_out, load_dataset
from llmers_utils.data.education import (
    ASSIST2009_DKVMN,
    collapse_repeats,
    load_assist2009,
    load_concepts,
    load_junyi,
    precedence_edges,
)

from .support import write_files

SKILLS = '1\tTable\n2\t"Parts, of a Polynomial"\n3\tMean \n4\tNever practised\n'
ASSIST = {
    "train.csv": "3\n1,1,2\n0,1,1\n2\n3,2,\n1,0,\n",
    "test.csv": "1\n2\n0\n",
    "skill_names.txt": SKILLS,
}
JUNYI = {
    "exercise_table.csv": 'name,live,prerequisites,topic,area\nslope,TRUE,"axes,lines",t,algebra\n'
    "axes,TRUE,,t,algebra\nlines,TRUE,lines,t,geometry\naxes,TRUE,,t,algebra\n",
    "u_from_e.txt": "0\t7\n2\t7\n1\t9\n",
}


def _shared(name: str) -> Path:
    shared = paths.shared_dir()
    folder = None if shared is None else shared / "education" / name
    if folder is None or not folder.is_dir():
        pytest.skip(f"education/{name} is not in LLMERS_SHARED")
    return folder


def test_shipped_graph_is_a_dag_of_known_concepts() -> None:
    dataset = load_dataset("concepts")
    assert 60 <= dataset.n_items <= 80
    edges = dataset.triples.select("head", "tail").rows()
    assert 100 <= len(edges) == len(set(edges)) <= 160
    known = set(dataset.items["entity"])
    assert all(head in known and tail in known and head != tail for head, tail in edges)
    reach = {tail for _, tail in edges}
    assert known - reach == {"counting"}  # one beginning; load_concepts refuses cycles itself
    assert dataset.items["title"].n_unique() == dataset.n_items
    assert dataset.items["explanation"].str.len_chars().min() > 30


def test_synthetic_log_is_seeded_and_its_knobs_turn() -> None:
    base = load_concepts(learners=50)
    assert base.fingerprint == load_concepts(learners=50).fingerprint
    assert base.fingerprint != load_concepts(learners=50, seed=1).fingerprint
    assert (base.repeats, base.order_only, base.rating_range) == (True, True, (0.0, 1.0))
    assert set(base.interactions["rating"].unique()) == {0.0, 1.0}
    pairs = base.interactions.select("user", "item")
    assert pairs.is_duplicated().any()


def test_every_concept_is_practised() -> None:
    """Else the prompts of its neighbours would change, and the recorded answers would be stale."""
    listed = (paths.DATA / "concepts" / "concepts.csv").read_text("utf-8").count("\n") - 1
    assert load_concepts(learners=100, repetition=0.9).n_items == listed


def test_the_split_keeps_repeated_items_in_order() -> None:
    split = leave_last_out(load_concepts(learners=50))
    ends = split.train.group_by("user").agg(pl.col("timestamp").max().alias("end"))
    later = split.test.join(ends, on="user")
    assert (later["timestamp"] == later["end"] + 2).all()
    assert split.test["user"].is_unique().all()


def test_collapsed_log_never_says_the_same_twice() -> None:
    dataset = load_concepts(learners=50, repetition=0.6)
    collapsed = collapse_repeats(dataset)
    item = collapsed.interactions["item"].to_numpy()
    user = collapsed.interactions["user"].to_numpy()
    assert not ((item[1:] == item[:-1]) & (user[1:] == user[:-1])).any()
    assert collapsed.interactions.height < dataset.interactions.height
    assert collapsed.items.equals(dataset.items)
    assert collapsed.users.equals(dataset.users)
    assert set(collapsed.interactions.rows()) <= set(dataset.interactions.rows())


def test_wrong_graphs_are_named(tmp_path: Path) -> None:
    head = "id,name,explanation,area\na,A,x,n\nb,B,y,n\n"
    write_files(tmp_path, {"concepts.csv": head, "edges.csv": "before,after\na,b\nb,c\n"})
    with pytest.raises(DataError, match=r"edges\.csv, line 3: unknown concept 'c'"):
        load_concepts(tmp_path)
    write_files(tmp_path, {"edges.csv": "before,after\na,b\nb,a\n"})
    with pytest.raises(ValueError, match="cycle"):
        load_concepts(tmp_path)


@pytest.mark.parametrize("names", [tuple(ASSIST), ASSIST2009_DKVMN])
def test_assist_in_small(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_files(tmp_path, dict(zip(names, ASSIST.values(), strict=True)))
    dataset = load_assist2009(tmp_path, names)
    assert dataset.users["raw_user"].to_list() == ["1-1", "1-2", "2-1"]
    assert dataset.items["title"].to_list() == ["Table", "Parts, of a Polynomial", "Mean"]
    assert dataset.interactions.rows() == [
        (0, 0, 0.0, 0),
        (0, 0, 1.0, 1),
        (0, 1, 1.0, 2),
        (1, 2, 1.0, 0),
        (1, 1, 0.0, 1),
        (2, 1, 0.0, 0),
    ]
    assert dataset.triples is None


@pytest.mark.parametrize("log", ["3\n1,2\n0,1\n", "2\n1,2\n0\n", "2\n1,2\n"])
def test_assist_names_a_bad_learner(tmp_path: Path, log: str) -> None:
    write_files(tmp_path, ASSIST | {"train.csv": "1\n1\n1\n" + log})
    with pytest.raises(DataError, match=r"train\.csv, line 4: .*three lines"):
        load_assist2009(tmp_path)


def test_precedence_edges_come_from_the_training_part(tmp_path: Path) -> None:
    # Twelve learners go 1, 2, 3; the step to 3 and the one to 1 are validation and test.
    write_files(
        tmp_path, ASSIST | {"train.csv": "4\n1,2,3,1\n1,1,1,1\n" * 12, "test.csv": "1\n1\n1\n"}
    )
    split = leave_last_out(load_assist2009(tmp_path))
    edges = precedence_edges(split, least=10)
    assert edges.rows() == [("1", "comes before", "2")]
    assert precedence_edges(split, least=13).is_empty()


def test_junyi_in_small(tmp_path: Path) -> None:
    write_files(tmp_path, JUNYI)
    dataset = load_junyi(tmp_path)
    assert dataset.items["raw_item"].to_list() == ["axes", "lines", "slope"]
    assert dataset.items["genres"].to_list() == [["algebra"], ["geometry"], ["algebra"]]
    # A loop is no edge, and two prerequisites are two edges.
    assert dataset.triples.rows() == [
        ("axes", "comes before", "slope"),
        ("lines", "comes before", "slope"),
    ]
    write_files(tmp_path, {"u_from_e.txt": "0\t7\n3\t7\n"})
    with pytest.raises(DataError, match=r"line 2: unknown exercise 3; allowed are 0 to 2"):
        load_junyi(tmp_path)


def test_whole_assist() -> None:
    dataset = load_assist2009(_shared("assist2009"))
    assert (dataset.n_users, dataset.n_items) == (2921 + 1230, 110)
    assert dataset.interactions.height == 224_218 + 101_419
    item, user = (dataset.interactions[c].to_numpy() for c in ("item", "user"))
    same = (item[1:] == item[:-1])[user[1:] == user[:-1]].mean()
    assert 0.5 < same < 0.6  # the repetition that the notebook warns of
    edges = precedence_edges(leave_last_out(dataset), least=50)
    place = {skill: i for i, skill in enumerate(dataset.items["entity"])}
    graph = np.zeros((110, 110), dtype=bool)
    graph[[place[h] for h in edges["head"]], [place[t] for t in edges["tail"]]] = True
    assert 50 < graph.sum() < 400
    assert not np.diag(graph).any()


def test_whole_junyi() -> None:
    folder = _shared("junyi")
    dataset = load_junyi(folder)
    assert (dataset.n_users, dataset.n_items) == (10_000, 703)
    assert dataset.interactions.height == 279_086
    assert dataset.triples.height == 979  # 981 listed, without loops and the rows of double names
    ranks = pl.read_csv(
        folder / "exercise_ids.tsv", separator="\t", has_header=False, new_columns=["id", "name"]
    )
    names = dict(ranks.select("name", "id").rows())
    raw = pl.read_csv(
        folder / "u_from_e.txt", separator="\t", has_header=False, new_columns=["id", "user"]
    )
    used = sorted(raw["id"].unique())
    assert [names[name] for name in dataset.items["raw_item"]] == used
