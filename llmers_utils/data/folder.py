"""The reader's own data: a folder of csv or parquet files."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from llmers_utils.data.dataset import Dataset, RawData, build_dataset
from llmers_utils.data.reading import DataError, Table, read_parquet, read_text

READERS = {".parquet": read_parquet, ".csv": read_text}
DEFAULT_RANGE = (1.0, 5.0)


def load_folder(folder: Path) -> Dataset:
    """Load ``interactions`` and ``items``, and ``users`` and ``triples`` where they are.

    Each is a ``.parquet`` or a UTF-8 ``.csv`` file with a header:

    - interactions: user, item, rating, timestamp (seconds)
    - items: item, title, and if wanted year, genres (joined by "|"), entity
    - users: user, and if wanted age, gender, occupation
    - triples: head, relation, tail
    - ``dataset.json``: ``{"rating_range": [low, high]}``; without it ratings go from 1 to 5

    Raises:
        DataError: names the file, the line, the value and what is allowed.
    """
    low, high = rating_range = _rating_range(folder / "dataset.json")
    table = _required(folder, "interactions")
    table.require(["user", "item", "rating", "timestamp"])
    ratings = pl.DataFrame(
        {
            "raw_user": table.filled("user"),
            "raw_item": table.filled("item"),
            "rating": table.number("rating", pl.Float32, f"a number from {low:g} to {high:g}"),
            "timestamp": table.number("timestamp", pl.Int64, "whole seconds"),
        }
    )
    items = _required(folder, "items")
    users, triples = _optional(folder, "users"), _optional(folder, "triples")
    return build_dataset(
        folder.resolve().name,
        RawData(
            table=table,
            ratings=ratings,
            items=_items(items),
            items_name=items.path.name,
            users=None if users is None else _users(users),
            users_name="" if users is None else users.path.name,
            triples=None if triples is None else _triples(triples),
            rating_range=rating_range,
        ),
    )


def _items(table: Table) -> pl.DataFrame:
    table.require(["item", "title"])
    frame, columns = table.frame, {"raw_item": table.ids("item"), "title": table.filled("title")}
    release = pl.Series("release", [None] * frame.height, dtype=pl.String)
    if "year" in frame.columns:
        release = _years(table)
    genres = pl.Series("genres", [[]] * frame.height, dtype=pl.List(pl.String))
    if "genres" in frame.columns:
        genres = _listed(frame["genres"])
    columns |= {"release": release, "genres": genres}
    if "entity" in frame.columns:
        columns["entity"] = frame["entity"].cast(pl.String)
    return pl.DataFrame(columns)


def _years(table: Table) -> pl.Series:
    given = table.frame["year"].cast(pl.String).str.strip_chars().replace("", None)
    # parquet written by pandas has 1995.0 where another year is missing
    given = given.str.strip_suffix(".0")
    bad = ~given.str.contains(r"^\d{4}$").fill_null(True)
    if bad.any():
        row = bad.arg_max()
        table.fail(row, f"year {given[row]!r} is not allowed; use four digits or leave it empty")
    return given


def _listed(genres: pl.Series) -> pl.Series:
    if isinstance(genres.dtype, pl.List):
        return genres.cast(pl.List(pl.String)).fill_null([])
    return genres.fill_null("").str.split("|").list.eval(pl.element().filter(pl.element() != ""))


def _users(table: Table) -> pl.DataFrame:
    table.require(["user"])
    columns = {"raw_user": table.ids("user")}
    if "age" in table.frame.columns:
        columns["age"] = table.number("age", pl.Int32, "whole years")
    for column in ("gender", "occupation"):
        if column in table.frame.columns:
            columns[column] = table.filled(column)
    return pl.DataFrame(columns)


def _triples(table: Table) -> pl.DataFrame:
    names = ["head", "relation", "tail"]
    table.require(names)
    return pl.DataFrame([table.filled(name) for name in names])


def _required(folder: Path, name: str) -> Table:
    table = _optional(folder, name)
    if table is None:
        raise DataError(f"{folder}: neither {name}.parquet nor {name}.csv is there; one is needed")
    return table


def _optional(folder: Path, name: str) -> Table | None:
    for suffix, read in READERS.items():
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return read(path)
    return None


def _rating_range(path: Path) -> tuple[float, float]:
    if not path.is_file():
        return DEFAULT_RANGE
    try:
        low, high = json.loads(path.read_bytes())["rating_range"]
        low, high = float(low), float(high)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: {path.read_text(errors='replace').strip()!r} is not allowed; "
            'use {"rating_range": [low, high]}'
        ) from error
    if not low < high:
        raise DataError(f"{path}: rating_range [{low:g}, {high:g}] is empty; use low < high")
    return low, high
