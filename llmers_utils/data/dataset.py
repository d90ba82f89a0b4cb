"""The one shape in which every recommender of this tutorial sees data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from llmers_utils.data.reading import Table

INTERACTION_SCHEMA = {
    "user": pl.Int32,
    "item": pl.Int32,
    "rating": pl.Float32,
    "timestamp": pl.Int64,
}


@dataclass(frozen=True)
class Dataset:
    """Interactions, items and users with dense ids.

    Attributes:
        name: the name it was loaded by.
        interactions: (n, 4) frame of user:Int32, item:Int32, rating:Float32, timestamp:Int64
            (seconds), sorted by user, timestamp, then raw item id as a number.
        items: one row an item, in the order of the dense ids: item:Int32, raw_item:String,
            title:String (bare), release:String (what the source has in brackets behind the title,
            mostly the year), year:Int32 or null, genres:List(String), entity:String where
            ``triples`` has one.
        users: one row a user, in the order of the dense ids: user:Int32, raw_user:String; age
            (years), gender, occupation where the source has them.
        triples: head, relation, tail as strings, or None without a knowledge graph.
        rating_range: lowest and highest rating the source allows.
        order_only: ``timestamp`` is the place in the user's own sequence, not a time.
        repeats: a user may meet an item again (practice, listening), so that a user-item pair may
            stand several times and what was seen stays a candidate.
        fingerprint: sha256 over interactions and items; two equal ones train the same models.
    """

    name: str
    interactions: pl.DataFrame = field(repr=False)
    items: pl.DataFrame = field(repr=False)
    users: pl.DataFrame = field(repr=False)
    triples: pl.DataFrame | None = field(repr=False)
    rating_range: tuple[float, float]
    fingerprint: str
    order_only: bool = False
    repeats: bool = False

    @property
    def n_users(self) -> int:
        """Number of users; their ids are 0 .. n_users - 1."""
        return self.users.height

    @property
    def n_items(self) -> int:
        """Number of items; their ids are 0 .. n_items - 1."""
        return self.items.height


@dataclass(frozen=True)
class RawData:
    """What a loader read, with raw ids, before ``build_dataset`` checks and numbers it.

    ``ratings`` has the columns raw_user, raw_item, rating, timestamp, row for row as in
    ``table``; ``items`` has raw_item, title, release, genres; ``users`` has raw_user.
    """

    table: Table
    ratings: pl.DataFrame
    items: pl.DataFrame
    items_name: str
    users: pl.DataFrame | None = None
    users_name: str = ""
    triples: pl.DataFrame | None = None
    rating_range: tuple[float, float] = (1.0, 5.0)
    order_only: bool = False
    repeats: bool = False


def build_dataset(name: str, source: RawData) -> Dataset:
    """Check a source and give it dense ids.

    The catalogue is every item with at least one interaction. Ids follow the raw ids sorted as
    numbers when all of them are numbers, else as strings.

    Raises:
        DataError: a rating out of range, a user-item pair given twice (where ``repeats`` does not
            allow it), an unknown item or user.
    """
    _check_range(source)
    users = _numbered(source.ratings["raw_user"], "user")
    items = _numbered(source.ratings["raw_item"], "item")
    _check_known(source, items, source.items, source.items_name)
    if source.users is not None:
        _check_known(source, users, source.users, source.users_name)
    numbered = (
        source.ratings.join(users, on="raw_user", how="left", maintain_order="left")
        .join(items, on="raw_item", how="left", maintain_order="left")
        .select(pl.col(column).cast(dtype) for column, dtype in INTERACTION_SCHEMA.items())
    )
    if not source.repeats:
        _check_pairs(source, numbered)
    interactions = numbered.sort("user", "timestamp", "item")
    catalogue = items.join(source.items, on="raw_item", how="left", maintain_order="left")
    catalogue = catalogue.with_columns(
        year=pl.col("release").str.extract(r"^(\d{4})$", 1).cast(pl.Int32)
    )
    first = ["item", "raw_item", "title", "release", "year", "genres"]
    catalogue = catalogue.select(*first, pl.exclude(first))
    people = users
    if source.users is not None:
        people = users.join(source.users, on="raw_user", how="left", maintain_order="left")
    return Dataset(
        name=name,
        interactions=interactions,
        items=catalogue,
        users=people.select("user", pl.exclude("user")),
        triples=source.triples,
        rating_range=source.rating_range,
        fingerprint=_fingerprint(interactions, catalogue, people),
        order_only=source.order_only,
        repeats=source.repeats,
    )


def display_titles(dataset: Dataset) -> list[str]:
    """Titles as people write them, "Toy Story (1995)", in the order of the item ids."""
    return dataset.items.select(display_title())["title"].to_list()


def display_title() -> pl.Expr:
    """Expression for the display title of a frame with the columns ``title`` and ``release``."""
    bracketed = pl.format("{} ({})", "title", "release")
    return pl.when(pl.col("release").is_null()).then("title").otherwise(bracketed).alias("title")


def _check_range(source: RawData) -> None:
    low, high = source.rating_range
    ratings = source.ratings["rating"]
    bad = ~ratings.is_between(low, high)
    if bad.any():
        row = bad.arg_max()
        source.table.fail(
            row, f"rating {ratings[row]:g} is out of range; allowed are {low:g} to {high:g}"
        )


def _check_known(source: RawData, used: pl.DataFrame, known: pl.DataFrame, where: str) -> None:
    column = next(name for name in used.columns if name.startswith("raw_"))
    unknown = used.join(known, on=column, how="anti")[column]
    if unknown.is_empty():
        return
    row = source.ratings[column].is_in(unknown.implode()).arg_max()
    source.table.fail(
        row,
        f"unknown {column.removeprefix('raw_')} {source.ratings[column][row]!r}; "
        f"allowed are the {known.height:,} of {where}",
    )


def _check_pairs(source: RawData, numbered: pl.DataFrame) -> None:
    pairs = numbered["user"].cast(pl.Int64) * (numbered["item"].max() + 1) + numbered["item"]
    repeated = ~pairs.is_first_distinct()
    if repeated.any():
        row = repeated.arg_max()
        earlier = source.table.place((pairs == pairs[row]).arg_max())
        user, item = source.ratings[row, "raw_user"], source.ratings[row, "raw_item"]
        source.table.fail(
            row,
            f"user {user!r} and item {item!r} were given at {earlier} already; "
            "allowed is one row a pair",
        )


def _numbered(raw: pl.Series, name: str) -> pl.DataFrame:
    """Raw ids in order with their dense numbers, columns raw_<name> and <name>."""
    distinct = raw.unique().to_frame()
    as_number = pl.col(raw.name).cast(pl.Int64, strict=False)
    numeric = distinct.select(as_number.is_not_null().all()).item()
    # The string is the second key, so that "1" and "01" keep one order on every machine.
    keys = [as_number, pl.col(raw.name)] if numeric else [pl.col(raw.name)]
    return distinct.sort(keys).with_row_index(name).with_columns(pl.col(name).cast(pl.Int32))


def _fingerprint(interactions: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for column in interactions:
        values = column.to_numpy()
        digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())
    described = items.select("raw_item", "title", "release", pl.col("genres").list.join("|"))
    for column in [*described, users["raw_user"]]:
        digest.update("\x1e".join(column.fill_null("\x1f").to_list()).encode())
        digest.update(b"\x1d")
    return digest.hexdigest()
