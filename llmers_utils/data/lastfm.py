"""Last-FM as CoLaKG released it: lists of artists a listener, without times, cut in two.

Ids are the release's own numbers, by which its texts of a language model are keyed. The names come
from ``artists.dat`` of HetRec 2011, through ``item_map.txt``.

Sources: Cui et al., "Comprehending Knowledge Graphs with Large Language Models for Recommender
Systems", SIGIR 2025; Cantador, Brusilovsky and Kuflik, "2nd Workshop on Information Heterogeneity
and Fusion in Recommender Systems (HetRec 2011)", RecSys 2011.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from llmers_utils.data.dataset import Dataset, RawData, build_dataset
from llmers_utils.data.reading import DataError, Table, read_text
from llmers_utils.data.splits import TEST, TRAIN, VALID, Split, _split

LISTS = ("train.txt", "test.txt", "item_map.txt")
RELEASED = (*LISTS, "artists.dat")
# The same files in a folder that holds other copies of Last-FM too.
PREFIXED = (*(f"colakg_{name}" for name in LISTS), "artists.dat")
IN_TRAIN, IN_TEST = 0, 1


def load_lastfm(folder: Path) -> Dataset:
    """Last-FM (HetRec 2011) as CoLaKG released it: 1,859 listeners, 2,813 artists.

    There are no times: ``timestamp`` is 0 in the released training part and 1 in the released test
    part, which ``released`` cuts apart again. Ratings are 1, genres are empty.

    Raises:
        DataError: a file is wrong.
    """
    train, test, artists = (_present(folder, name) for name in LISTS)
    rows = pl.concat(
        _lists(path).with_columns(timestamp=pl.lit(part, pl.Int64))
        for path, part in ((train, IN_TRAIN), (test, IN_TEST))
    )
    _refuse_repeats(rows)
    ratings = rows.select(
        pl.col("raw_user", "raw_item"), pl.lit(1.0, pl.Float32).alias("rating"), "timestamp"
    )
    source = RawData(
        table=Table(train, ratings),
        ratings=ratings,
        items=_artists(artists, folder / "artists.dat"),
        items_name=artists.name,
        rating_range=(1.0, 1.0),
        order_only=True,
    )
    return build_dataset("lastfm", source)


def released(dataset: Dataset, share: float = 0.1, seed: int = 0) -> Split:
    """The released test part tests; a random ``share`` of each user's other rows validates.

    The release has no validation part. A user's rows to validate are rounded to whole ones, so
    that users with few rows give none and nobody gives all.

    Args:
        dataset: of ``load_lastfm``.
        seed: of the draw.

    Raises:
        ValueError: a share that is not between 0 and 1, or timestamps other than 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share={share!r}: allowed are numbers between 0 and 1")
    part = dataset.interactions["timestamp"].to_numpy()
    if set(np.unique(part)) != {IN_TRAIN, IN_TEST}:
        raise ValueError(f"{dataset.name!r} has no released parts; allowed is 'lastfm'")
    draws = np.random.default_rng(seed).random(len(part))
    drawn = dataset.interactions.select("user", draw=pl.Series(draws), part=part)
    place = pl.col("draw").rank("ordinal").over("user", "part")
    wanted = (share * pl.len().over("user", "part")).round()
    chosen = drawn.select((place <= wanted) & (place < pl.len().over("user", "part")))
    parts = np.where(chosen.to_series().to_numpy(), VALID, TRAIN)
    return _split("released", dataset, np.where(part == IN_TEST, TEST, parts))


FORMS: dict[str, dict[tuple[str, ...], Callable[[Path], Dataset]]] = {
    "lastfm": {RELEASED: load_lastfm, PREFIXED: load_lastfm}
}


def _present(folder: Path, name: str) -> Path:
    prefixed = folder / f"colakg_{name}"
    return prefixed if prefixed.is_file() else folder / name


def _lists(path: Path) -> pl.DataFrame:
    """Lines "user item item ..." as rows of raw_user, raw_item, with path and 1-based line."""
    users, items, lines = [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        ids = line.split()
        if wrong := [field for field in ids if not (field.isascii() and field.isdigit())]:
            raise DataError(
                f"{path}, line {number}: {wrong[0]!r} is not allowed; use whole numbers"
            )
        if ids:
            users += ids[:1] * (len(ids) - 1)
            items += ids[1:]
            lines += [number] * (len(ids) - 1)
    if not items:
        raise DataError(f"{path}, line 1: no items; at least one line `user item ...` is needed")
    return pl.DataFrame({"raw_user": users, "raw_item": items, "line": lines}).with_columns(
        path=pl.lit(str(path))
    )


def _refuse_repeats(rows: pl.DataFrame) -> None:
    pair = pl.struct("raw_user", "raw_item")
    repeated = ~rows.select(pair.is_first_distinct()).to_series()
    if repeated.any():
        user, item, line, path, _ = rows.row(repeated.arg_max())
        raise DataError(
            f"{path}, line {line}: user '{user}' and item '{item}' were given already; "
            "allowed is one of them over both parts"
        )


def _artists(path: Path, names: Path) -> pl.DataFrame:
    """The catalogue: new id (raw_item) and name of each artist of ``item_map.txt``."""
    mapped = read_text(path, separator=" ", columns=["artist", "item"], quoting=csv.QUOTE_NONE)
    known = read_text(names, separator="\t", quoting=csv.QUOTE_NONE)
    known.require(["id", "name"])
    named = pl.DataFrame({"artist": known.ids("id"), "title": known.filled("name")})
    artists = pl.DataFrame({"artist": mapped.ids("artist"), "raw_item": mapped.ids("item")})
    artists = artists.join(named, on="artist", how="left", maintain_order="left")
    if artists["title"].has_nulls():
        row = artists["title"].is_null().arg_max()
        mapped.fail(row, f"artist {artists['artist'][row]!r} is not in {names.name}")
    return artists.select(
        "raw_item",
        "title",
        release=pl.lit(None, pl.String),
        genres=pl.lit([], pl.List(pl.String)),
    )
