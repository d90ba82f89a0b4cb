"""The Microsoft News Dataset: ``news.tsv`` and ``behaviors.tsv``, and texts about its categories.

Source: Wu et al., "MIND: A Large-scale Dataset for News Recommendation", ACL 2020. The data are
under a Microsoft research licence and are never part of this project; its old download address
answers no more, so bring a folder of your own.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from llmers_utils.data.reading import DataError, Table, read_text

NEWS, BEHAVIORS = "news.tsv", "behaviors.tsv"
NEWS_COLUMNS = (
    *("raw_news", "category", "subcategory", "title", "abstract"),
    *("url", "title_entities", "abstract_entities"),
)
BEHAVIOR_COLUMNS = ("impression", "raw_user", "time", "history", "candidates")
TIME_FORM = "%m/%d/%Y %I:%M:%S %p"


@dataclass(frozen=True)
class Mind:
    """News and impressions with dense ids.

    Attributes:
        name: the folder's name.
        news: one row a piece of news, in the order of the file: news:Int32, raw_news, category,
            subcategory, title, abstract (null where empty).
        impressions: one row an impression, oldest first: user:Int32, timestamp:Int64 (seconds),
            history:List(Int32) (oldest click first, maybe empty), candidates:List(Int32),
            labels:List(Int8) (1 clicked). Each has at least one clicked and one other candidate.
        n_users: number of users of those impressions; their ids are 0 .. n_users - 1.
        skipped: what was left out: "mentions of unknown news" (in histories and candidates),
            "impressions without a click", "impressions without a non-click".
        fingerprint: sha256 over all of it.
    """

    name: str
    news: pl.DataFrame = field(repr=False)
    impressions: pl.DataFrame = field(repr=False)
    n_users: int
    skipped: dict[str, int]
    fingerprint: str


def is_mind(folder: Path | str) -> bool:
    """Whether a folder holds the two files of MIND."""
    return all((Path(folder).expanduser() / name).is_file() for name in (NEWS, BEHAVIORS))


def load_mind(folder: Path | str) -> Mind:
    """Read a folder with ``news.tsv`` and ``behaviors.tsv``, in the form of MIND-small's.

    News that has no row in ``news.tsv`` is taken out of histories and candidates, and counted.

    Raises:
        DataError: a file is wrong; the message names file, line, value and what is allowed.
    """
    folder = Path(folder).expanduser()
    news = _news(_read(folder / NEWS, NEWS_COLUMNS))
    table = _read(folder / BEHAVIORS, BEHAVIOR_COLUMNS)
    users, times = table.filled("raw_user"), _times(table)
    history, lost_history = _known(_exploded(table, "history"), news)
    candidates, lost_candidates = _known(_labelled(table), news)
    shown = candidates.group_by("row", maintain_order=True).agg(
        candidates=pl.col("news"), labels=pl.col("label")
    )
    read = history.group_by("row", maintain_order=True).agg(history=pl.col("news"))
    frame = (
        pl.DataFrame({"raw_user": users, "timestamp": times})
        .with_row_index("row")
        .join(shown, on="row", how="left", maintain_order="left")
        .join(read, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("candidates", "labels", "history").fill_null([]))
    )
    clicked = pl.col("labels").list.sum().fill_null(0)
    complete = frame.filter((clicked > 0) & (clicked < pl.col("labels").list.len()))
    skipped = {
        "mentions of unknown news": lost_history + lost_candidates,
        "impressions without a click": frame.filter(clicked == 0).height,
        "impressions without a non-click": frame.filter(
            (clicked > 0) & (clicked == pl.col("labels").list.len())
        ).height,
    }
    people = complete["raw_user"].unique().sort().to_frame().with_row_index("user")
    impressions = (
        complete.join(people, on="raw_user", how="left", maintain_order="left")
        .sort("timestamp", "row")
        .select(pl.col("user").cast(pl.Int32), "timestamp", "history", "candidates", "labels")
    )
    return Mind(
        name=folder.resolve().name,
        news=news,
        impressions=impressions,
        n_users=people.height,
        skipped=skipped,
        fingerprint=_fingerprint(news, impressions),
    )


def description_texts(path: Path | str) -> dict[str, str]:
    """Read a list of ``{"category": ..., "description": ...}`` as ``{category: description}``.

    It is the form in which the authors of GPTAugNews publish what GPT-4 wrote;
    ``llm="file:category_description=PATH"`` reads it.

    Raises:
        DataError: the file is no such list, or names a category twice.
    """
    path = Path(path).expanduser()
    try:
        pairs = [(row["category"], row["description"]) for row in json.loads(path.read_bytes())]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{path}: a list must be one of {{"category": ..., "description": ...}} ({error!r})'
        ) from error
    texts = dict(pairs)
    if len(texts) < len(pairs):
        raise DataError(f"{path}: {len(pairs) - len(texts)} categories are given twice")
    return texts


def _read(path: Path, columns: tuple[str, ...]) -> Table:
    if not path.is_file():
        raise DataError(f"{path} is not there; a folder of MIND has {NEWS} and {BEHAVIORS}")
    return read_text(path, separator="\t", columns=columns, quoting=csv.QUOTE_NONE)


def _news(table: Table) -> pl.DataFrame:
    return pl.DataFrame(
        [
            table.ids("raw_news"),
            table.filled("category"),
            table.filled("subcategory"),
            table.filled("title"),
            table.frame["abstract"],
        ]
    ).select(pl.int_range(pl.len(), dtype=pl.Int32).alias("news"), pl.all())


def _times(table: Table) -> pl.Series:
    given = table.filled("time")
    times = given.str.to_datetime(TIME_FORM, strict=False)
    if times.has_nulls():
        row = times.is_null().arg_max()
        table.fail(row, f"time {given[row]!r} is not allowed; use the form 11/12/2019 2:14:46 PM")
    return times.dt.epoch("s")


def _exploded(table: Table, column: str) -> pl.DataFrame:
    """One row a mention of some news: row (of the table), raw_news."""
    lists = table.frame.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"),
        pl.col(column).fill_null("").str.strip_chars().str.split(" ").alias("raw_news"),
    )
    return lists.explode("raw_news").filter(pl.col("raw_news") != "")


def _labelled(table: Table) -> pl.DataFrame:
    """As ``_exploded``, with the label that stands behind a candidate: "N55689-1"."""
    mentions = _exploded(table, "candidates")
    parts = mentions["raw_news"].str.extract_groups(r"^(?<raw_news>.+)-(?<label>[01])$").struct
    bad = parts.field("label").is_null()
    if bad.any():
        first = bad.arg_max()
        value = mentions["raw_news"][first]
        table.fail(
            mentions["row"][first], f"candidate {value!r} is not allowed; use NEWS-0 or NEWS-1"
        )
    return mentions.with_columns(
        parts.field("raw_news"), parts.field("label").cast(pl.Int8).alias("label")
    )


def _known(mentions: pl.DataFrame, news: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The mentions of news that has a text, with dense ids, and how many others there were."""
    found = mentions.join(
        news.select("raw_news", "news"), on="raw_news", how="inner", maintain_order="left"
    )
    return found, mentions.height - found.height


def _fingerprint(news: pl.DataFrame, impressions: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for column in news.select("raw_news", "subcategory", "title"):
        digest.update("\x1e".join(column.to_list()).encode())
        digest.update(b"\x1d")
    for name in ("user", "timestamp"):
        digest.update(impressions[name].cast(pl.Int64).to_numpy().astype("<i8").tobytes())
    for name in ("history", "candidates", "labels"):
        flat = impressions[name].explode().drop_nulls().cast(pl.Int64)
        digest.update(impressions[name].list.len().to_numpy().astype("<i8").tobytes())
        digest.update(flat.to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()
