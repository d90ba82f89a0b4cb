"""Learners and the concepts they practise: the shipped graph, ASSISTments 2009, Junyi Academy.

An item is a concept, the rating says whether the attempt was right (1) or wrong (0), ``timestamp``
is the place in the learner's own sequence, and ``triples`` are the precedence edges between
concepts (head before tail) where the source has them.

Sources: Feng, Heffernan and Koedinger, "Addressing the assessment challenge with an online system
that tutors as it assesses", UMUAI 2009 (ASSISTments); Chang, Hsu and Chen, "Modeling Exercise
Relationships in E-Learning: A Unified Approach", EDM 2015 (Junyi).
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from llmers_utils.data.dataset import Dataset, RawData, build_dataset
from llmers_utils.data.learners import simulate_learners
from llmers_utils.data.reading import Table, read_text
from llmers_utils.paths import DATA

if TYPE_CHECKING:
    from llmers_utils.data.splits import Split

PRECEDES = "comes before"
CONCEPTS = ("concepts.csv", "edges.csv")
ASSIST2009 = ("train.csv", "test.csv", "skill_names.txt")
# The same three files under the names of their repository (DKVMN).
ASSIST2009_DKVMN = tuple(
    f"assist2009_updated_{name}" for name in ("train.csv", "test.csv", "skill_mapping.txt")
)
JUNYI = ("exercise_table.csv", "u_from_e.txt")


def load_concepts(
    folder: Path = DATA / "concepts",
    *,
    learners: int = 1000,
    repetition: float = 0.3,
    seed: int = 0,
) -> Dataset:
    """The shipped graph of school mathematics with a *synthetic* log of learners over it.

    Args:
        folder: holds concepts.csv (id, name, explanation, area) and edges.csv (before, after).
        learners, repetition, seed: of ``simulate_learners``.

    Returns:
        A dataset whose items have the extra column ``explanation``. Concepts that no learner
        practised are left out of it.

    Raises:
        DataError: a file is wrong.
        ValueError: the graph has a cycle, or a repetition out of range.
    """
    concepts, edges = read_text(folder / "concepts.csv"), read_text(folder / "edges.csv")
    concepts.require(["id", "name", "explanation", "area"])
    edges.require(["before", "after"])
    ids, areas = concepts.ids("id"), concepts.filled("area")
    ends = []
    for column in ("before", "after"):
        named = edges.filled(column)
        if (unknown := ~named.is_in(ids.implode())).any():
            row = unknown.arg_max()
            edges.fail(row, f"unknown concept {named[row]!r}; allowed are those of concepts.csv")
        ends.append(named)
    place = {concept: index for index, concept in enumerate(ids)}
    before = np.zeros((len(ids), len(ids)), dtype=bool)
    before[[place[i] for i in ends[0]], [place[i] for i in ends[1]]] = True
    log = simulate_learners(
        before,
        areas.rank("dense").to_numpy().astype(np.int64) - 1,
        learners=learners,
        repetition=repetition,
        seed=seed,
    )
    ratings = log.select(
        raw_user=(pl.col("user") + 1).cast(pl.String),
        raw_item=ids.gather(log["concept"]),
        rating=pl.col("correct").cast(pl.Float32),
        timestamp="step",
    )
    items = _items(ids, concepts.filled("name"), areas)
    items = items.with_columns(explanation=concepts.filled("explanation"))
    return _practice("concepts", concepts, ratings, items, "concepts.csv", _precedence(*ends))


def load_assist2009(folder: Path, files: tuple[str, ...] = ASSIST2009) -> Dataset:
    """ASSISTments 2009, "updated", as the authors of DKVMN publish it: 110 skills, no graph.

    A learner is three lines: how many attempts, the skills, right or wrong. Both parts of that
    release hold different learners and are put together. ``precedence_edges`` makes a graph.

    Raises:
        DataError: a file is wrong.
    """
    *logs, names = (folder / file for file in files)
    frames, tables = zip(*(_three_lines(path) for path in logs), strict=True)
    parts = [f.with_columns(raw_user=f"{p}-" + pl.col("raw_user")) for p, f in enumerate(frames, 1)]
    skills = read_text(names, separator="\t", columns=["skill", "name"], quoting=csv.QUOTE_NONE)
    titles = skills.filled("name").str.strip_chars('" ')
    items = _items(skills.ids("skill"), titles)
    ratings = pl.concat(parts)
    return _practice("assist2009", Table(tables[0].path, ratings), ratings, items, names.name, None)


def load_junyi(folder: Path) -> Dataset:
    """Junyi Academy: exercises with their prerequisites, and who practised what.

    ``u_from_e.txt`` (of the RCD release) numbers exercises by the rank of their names and learners
    behind them. It has neither order nor correctness: every rating is 1, and the timestamp only
    counts a learner's rows. Good for the graph and the names; nothing about a *next* concept can
    be learned from it.

    Raises:
        DataError: a file is wrong.
    """
    exercises = read_text(folder / "exercise_table.csv")
    exercises.require(["name", "prerequisites", "area"])
    frame = exercises.frame.with_columns(exercises.filled("name")).unique(
        "name", keep="first", maintain_order=True
    )
    names = frame["name"].sort()
    practised = read_text(
        folder / "u_from_e.txt",
        separator="\t",
        columns=["exercise", "user"],
        quoting=csv.QUOTE_NONE,
    )
    numbers = practised.number("exercise", pl.Int64, f"a rank from 0 to {len(names) - 1}")
    if (unknown := ~numbers.is_between(0, len(names) - 1)).any():
        row = unknown.arg_max()
        practised.fail(row, f"unknown exercise {numbers[row]}; allowed are 0 to {len(names) - 1}")
    ratings = pl.DataFrame(
        {"raw_user": practised.filled("user"), "raw_item": names.gather(numbers)}
    ).with_columns(
        rating=pl.lit(1.0, dtype=pl.Float32),
        timestamp=pl.int_range(pl.len()).over("raw_user"),
    )
    edges = (
        frame.select(before=pl.col("prerequisites").str.split(","), after="name")
        .explode("before")
        .with_columns(pl.col("before").str.strip_chars())
        .filter(pl.col("before").is_in(names.implode()) & (pl.col("before") != pl.col("after")))
    )
    items = _items(frame["name"], frame["name"].str.replace_all("_", " "), frame["area"])
    triples = _precedence(edges["before"], edges["after"]).unique(maintain_order=True)
    return _practice("junyi", practised, ratings, items, "exercise_table.csv", triples)


def collapse_repeats(dataset: Dataset) -> Dataset:
    """The same log with each run of attempts at one concept cut to its first attempt.

    "Same as last" is then never right, so that a ranking has to say something about the next one.
    """
    frame = dataset.interactions
    new = (pl.col("item") != pl.col("item").shift().over("user")).fill_null(True)
    raw = frame.filter(frame.select(new).to_series()).join(dataset.users, on="user")
    raw = raw.join(dataset.items.select("item", "raw_item"), on="item", maintain_order="left")
    ratings = raw.select("raw_user", "raw_item", "rating", "timestamp")
    items = dataset.items.drop("item", "year")
    table = Table(Path(dataset.name), ratings)
    return _practice(dataset.name, table, ratings, items, "", dataset.triples)


def precedence_edges(split: Split, least: int = 10) -> pl.DataFrame:
    """Triples for a log without a graph, from its training part alone.

    An edge goes from i to j where learners went on from i to j at least ``least`` times and i comes
    earlier in the mean, so that there is no cycle. Validation and test rows are never looked at.
    """
    rows = split.train.select(
        "item",
        next=pl.col("item").shift(-1).over("user"),
        place=pl.int_range(pl.len()).over("user") / pl.len().over("user"),
    )
    places = rows.group_by("item").agg(pl.col("place").mean())
    counts = rows.filter(pl.col("item") != pl.col("next")).group_by("item", "next").len()
    found = (
        counts.filter(pl.col("len") >= least)
        .join(places, on="item")
        .join(places, left_on="next", right_on="item", suffix="_next")
        .filter(pl.col("place") < pl.col("place_next"))
        .sort("item", "next")
    )
    entities = split.dataset.items["entity"]
    return _precedence(entities.gather(found["item"]), entities.gather(found["next"]))


FORMS: dict[str, dict[tuple[str, ...], Callable[[Path], Dataset]]] = {
    "concepts": {CONCEPTS: load_concepts},
    "assist2009": {
        ASSIST2009: load_assist2009,
        ASSIST2009_DKVMN: partial(load_assist2009, files=ASSIST2009_DKVMN),
    },
    "junyi": {JUNYI: load_junyi},
}


def _three_lines(path: Path) -> tuple[pl.DataFrame, Table]:
    """Attempts of one DKVMN file, a row each, and the file for messages."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    table = Table(path, pl.DataFrame({"line": lines}), "\n".join(lines), "\0", csv.QUOTE_NONE, 0)
    fields = [[field for field in line.split(",") if field] for line in lines]
    users, skills, right = [], [], []
    for row in range(0, len(fields), 3):
        learner = fields[row : row + 3]
        counts = [str(len(line)) for line in learner[1:]]
        if len(learner) < 3 or learner[0] != counts[:1] or counts[0] != counts[1]:
            table.fail(
                row, "a learner needs three lines: how many attempts, skills, right or wrong"
            )
        users += [row // 3 + 1] * len(learner[1])
        skills += learner[1]
        right += learner[2]
    frame = pl.DataFrame({"raw_user": users, "raw_item": skills, "rating": right}).with_columns(
        pl.col("raw_user").cast(pl.String),
        pl.col("rating").cast(pl.Float32),
        timestamp=pl.int_range(pl.len()).over("raw_user"),
    )
    return frame, table


def _items(ids: pl.Series, names: pl.Series, areas: pl.Series | None = None) -> pl.DataFrame:
    genres = [[]] * len(ids) if areas is None else [[area] if area else [] for area in areas]
    return pl.DataFrame(
        {
            "raw_item": ids,
            "title": names,
            "release": pl.Series([None] * len(ids), dtype=pl.String),
            "genres": pl.Series(genres, dtype=pl.List(pl.String)),
            "entity": ids,
        }
    )


def _precedence(before: pl.Series, after: pl.Series) -> pl.DataFrame:
    relation = pl.Series([PRECEDES] * len(before), dtype=pl.String)
    return pl.DataFrame({"head": before, "relation": relation, "tail": after})


def _practice(
    name: str,
    table: Table,
    ratings: pl.DataFrame,
    items: pl.DataFrame,
    items_name: str,
    triples: pl.DataFrame | None,
) -> Dataset:
    source = RawData(
        table=table,
        ratings=ratings,
        items=items,
        items_name=items_name,
        triples=triples,
        rating_range=(0.0, 1.0),
        order_only=True,
        repeats=True,
    )
    return build_dataset(name, source)
