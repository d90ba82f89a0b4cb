"""MovieLens-100K and MovieLens-1M in each form in which they are published.

Source: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and
Context. ACM TiiS 5(4), article 19.
"""

from __future__ import annotations

import csv
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import polars as pl

from llmers_utils.data.dataset import Dataset, RawData, build_dataset
from llmers_utils.data.reading import DataError, Table, read_text
from llmers_utils.paths import DATA

# The order of the genre flags in u.item.
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
# The occupation codes of users.dat, as its README lists them.
OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student",
    "customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker",
    "K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist",
    "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip
# The one film without data (raw id 267) is spelt so in RecBole's copy, title and year alike.
NO_RELEASE = "unkonwn"

RECBOLE_100K = ("ml-100k.inter", "ml-100k.item", "ml-100k.user", "ml-100k.kg")
# Corrected links from items to the graph, see the data card: RecBole's own `ml-100k.link` counts
# items by the ids of MovieLens-1M and joins nearly every film of MovieLens-100K to a wrong entity.
ENTITY_LINKS_100K = DATA / "entity_links" / "ml-100k.csv"
GROUPLENS_100K = ("u.data", "u.item", "u.user")
GROUPLENS_1M = ("ratings.dat", "movies.dat", "users.dat")
ORDER_ONLY_1M = ("sequences_chrono.tsv.xz", "movies.dat", "users.dat")


def load_recbole_100k(folder: Path) -> Dataset:
    """MovieLens-100K as RecBole ships it, with its Freebase graph."""
    ratings = _atomic(folder / "ml-100k.inter")
    ratings.require(["user_id", "item_id", "rating", "timestamp"])
    items = _atomic(folder / "ml-100k.item")
    items.require(["item_id", "movie_title", "release_year", "class"])
    users = _atomic(folder / "ml-100k.user")
    users.require(["user_id", "age", "gender", "occupation"])
    graph = _atomic(folder / "ml-100k.kg")
    graph.require(["head_id", "relation_id", "tail_id"])
    described = pl.DataFrame(
        {
            "raw_item": items.ids("item_id"),
            "title": items.filled("movie_title"),
            "release": items.filled("release_year"),
            "genres": items.filled("class").str.split(" "),
        }
    )
    entities = pl.read_csv(ENTITY_LINKS_100K, infer_schema=False)
    source = RawData(
        table=ratings,
        ratings=_ratings(ratings, "user_id", "item_id"),
        items=described.join(entities, on="raw_item", how="left"),
        items_name="ml-100k.item",
        users=_users(users, "user_id"),
        users_name="ml-100k.user",
        triples=graph.frame.select(head="head_id", relation="relation_id", tail="tail_id"),
    )
    return build_dataset("ml-100k", source)


def load_grouplens_100k(folder: Path) -> Dataset:
    """MovieLens-100K as GroupLens publishes it."""
    ratings = _plain(folder / "u.data", "\t", ["user", "item", "rating", "timestamp"])
    items = _plain(
        folder / "u.item",
        "|",
        ["item", "title", "released", "video", "url", *GENRES_100K],
    )
    users = _plain(folder / "u.user", "|", ["user", "age", "gender", "occupation", "zip"])
    flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in GENRES_100K]
    genres = items.frame.select(genres=pl.concat_list(flags).list.drop_nulls())
    source = RawData(
        table=ratings,
        ratings=_ratings(ratings, "user", "item"),
        items=_cut_titles(items.ids("item"), items.filled("title")).hstack(genres),
        items_name="u.item",
        users=_users(users, "user"),
        users_name="u.user",
    )
    return build_dataset("ml-100k", source)


def load_grouplens_1m(folder: Path) -> Dataset:
    """MovieLens-1M as GroupLens publishes it. Ages are the lower ends of its seven groups."""
    ratings = _plain(folder / "ratings.dat", "::", ["user", "item", "rating", "timestamp"])
    return _dataset_1m(folder, ratings, _ratings(ratings, "user", "item"))


def load_order_only_1m(folder: Path) -> Dataset:
    """MovieLens-1M with the order of each user's ratings, but without their times.

    ``timestamp`` is the place in the user's sequence (from 0). Items with fewer than five
    ratings have no place and are left out: 999,611 ratings of 3,416 items.
    """
    path = folder / "sequences_chrono.tsv.xz"
    try:
        text = lzma.decompress(path.read_bytes()).decode("ascii")
    except lzma.LZMAError as error:
        raise DataError(f"{path}: truncated or damaged xz archive ({error})") from error
    frame = pl.read_csv(
        io.StringIO(text),
        separator="\t",
        has_header=False,
        new_columns=["user", "item", "rating"],
        infer_schema=False,
    ).with_columns(
        pl.col("item").str.split(" "),
        # Ratings are one digit each, written without a gap.
        pl.col("rating").str.extract_all("."),
    )
    uneven = frame["item"].list.len() != frame["rating"].list.len()
    table = Table(path, frame, text, "\t", csv.QUOTE_NONE, header_rows=0)
    if uneven.any():
        table.fail(uneven.arg_max(), "as many items as rating digits are needed")
    frame = frame.with_columns(timestamp=pl.int_ranges(pl.col("item").list.len()))
    exploded = Table(path, frame.explode("item", "rating", "timestamp"))
    return _dataset_1m(folder, exploded, _ratings(exploded, "user", "item"), order_only=True)


FORMS: dict[str, dict[tuple[str, ...], Callable[[Path], Dataset]]] = {
    "ml-100k": {RECBOLE_100K: load_recbole_100k, GROUPLENS_100K: load_grouplens_100k},
    "ml-1m": {GROUPLENS_1M: load_grouplens_1m, ORDER_ONLY_1M: load_order_only_1m},
}


def _dataset_1m(
    folder: Path, table: Table, ratings: pl.DataFrame, *, order_only: bool = False
) -> Dataset:
    items = _plain(folder / "movies.dat", "::", ["item", "title", "genres"])
    users = _plain(folder / "users.dat", "::", ["user", "gender", "age", "occupation", "zip"])
    code = users.number("occupation", pl.Int32, "a code from 0 to 20")
    unknown = ~code.is_between(0, len(OCCUPATIONS_1M) - 1)
    if unknown.any():
        row = unknown.arg_max()
        users.fail(row, f"occupation {code[row]} is not allowed; use a code from 0 to 20")
    genres = items.filled("genres").str.split("|")
    source = RawData(
        table=table,
        ratings=ratings,
        items=_cut_titles(items.ids("item"), items.filled("title")).with_columns(genres),
        items_name="movies.dat",
        users=_users(users, "user").with_columns(
            occupation=code.replace_strict(dict(enumerate(OCCUPATIONS_1M)), return_dtype=pl.String)
        ),
        users_name="users.dat",
        order_only=order_only,
    )
    return build_dataset("ml-1m", source)


def _atomic(path: Path) -> Table:
    """A RecBole atomic file: tab-separated, with "name:type" in the first line."""
    table = read_text(path, separator="\t", quoting=csv.QUOTE_NONE)
    frame = table.frame.rename(lambda column: column.partition(":")[0])
    return Table(path, frame, table.text, table.separator, table.quoting)


def _plain(path: Path, separator: str, columns: list[str]) -> Table:
    """A GroupLens file: no header, Latin-1 as published, often UTF-8 in copies."""
    return read_text(
        path,
        separator=separator,
        columns=columns,
        quoting=csv.QUOTE_NONE,
        encodings=("utf-8-sig", "latin-1"),
    )


def _ratings(table: Table, user: str, item: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "raw_user": table.filled(user),
            "raw_item": table.filled(item),
            "rating": table.number("rating", pl.Float32, "a number from 1 to 5"),
            "timestamp": table.number("timestamp", pl.Int64, "whole seconds since 1970"),
        }
    )


def _users(table: Table, user: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "raw_user": table.ids(user),
            "age": table.number("age", pl.Int32, "whole years"),
            "gender": table.filled("gender"),
            "occupation": table.filled("occupation"),
        }
    )


def _cut_titles(raw_items: pl.Series, titles: pl.Series) -> pl.DataFrame:
    """Cut "Toy Story (1995)" into title and release, as RecBole did."""
    parts = titles.str.extract_groups(r"^(?<title>.*?)\s*\((?<release>[^()]*)\)$")
    frame = parts.struct.unnest().with_columns(raw_items.alias("raw_item"))
    return frame.select("raw_item", pl.col("title", "release").fill_null(NO_RELEASE))
