"""Impressions from MIND, or made from ratings: one shape for both."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from llmers_utils.data import Split, display_titles, load_dataset, prefix
from llmers_utils.data.mind import Mind, is_mind, load_mind
from llmers_utils.recommenders.impressions import Impressions
from llmers_utils.recommenders.sequences import left_padded

PARTS = ("train", "valid", "test")
NO_CATEGORY = "unknown"


@dataclass(frozen=True)
class ImpressionData:
    """Texts, categories and impressions in the order of time.

    Attributes:
        name, hash: as of a data set and its split.
        kind: "film" or "news", for prompts.
        titles, categories: of every item.
        n_users: of all parts together; a user of the test may be new.
        train, valid, test: impressions.
        protocol: how they were made.
        skipped: what was left out.
    """

    name: str
    hash: str
    kind: str
    titles: list[str] = field(repr=False)
    categories: list[str] = field(repr=False)
    n_users: int
    train: Impressions = field(repr=False)
    valid: Impressions = field(repr=False)
    test: Impressions = field(repr=False)
    protocol: str
    skipped: dict[str, int]


def load_impressions(
    dataset: str,
    *,
    history: int = 20,
    shown: int = 20,
    limits: Sequence[int] = (4000, 1000, 2000),
    seed: int = 0,
) -> ImpressionData:
    """Impressions of a folder of MIND, or of any data set of ratings.

    Ratings are cut by ``prefix`` within each person's own sequence: the first are history only, of
    the others the latest tenth tests and the tenth before validates.

    Args:
        history: the latest so many clicks are the history.
        shown: other candidates beside the one that was liked (ratings only).
        limits: most impressions of train, valid and test, drawn with ``seed``; each part's are the
            same whatever the other limits are.
    """
    if is_mind(dataset):
        return from_mind(load_mind(dataset), history=history, limits=limits, seed=seed)
    # Cut each person's own sequence, so that everybody is in the test and not only the latest.
    split = prefix(dataclasses.replace(load_dataset(dataset), order_only=True))
    return from_ratings(split, history=history, shown=shown, limits=limits, seed=seed)


def from_mind(mind: Mind, *, history: int, limits: Sequence[int], seed: int = 0) -> ImpressionData:
    """MIND's own impressions, the earliest 80 % for training, then 10 % and 10 %.

    The history is the latest part of the list; the official code of GPTAugNews takes the oldest.
    A piece of news belongs to its subcategory.

    Raises:
        ValueError: a part would be empty.
    """
    frame = mind.impressions
    ends = np.rint(np.array([0, 0.8, 0.9, 1.0]) * frame.height).astype(int)
    if (np.diff(ends) == 0).any():
        raise ValueError(f"{mind.name}: {frame.height} impressions cannot be cut into three parts")
    parts = {}
    for part, start, end, limit in zip(PARTS, ends, ends[1:], limits, strict=False):
        rng = np.random.default_rng([seed, PARTS.index(part)])
        rows = frame[_draw(rng, int(start), int(end), limit)]
        sizes = rows["candidates"].list.len().to_numpy()
        clicked, bounds = _flat(rows["history"])
        parts[part] = Impressions(
            users=rows["user"].to_numpy().astype(np.int64),
            histories=left_padded(clicked, bounds[:-1], bounds[1:], history, -1),
            candidates=_flat(rows["candidates"])[0],
            labels=_flat(rows["labels"])[0] > 0,
            offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )
    return ImpressionData(
        name=mind.name,
        hash=_hash(mind.fingerprint, history, limits, seed),
        kind="news",
        titles=mind.news["title"].to_list(),
        categories=mind.news["subcategory"].to_list(),
        n_users=mind.n_users,
        **parts,
        protocol="time order",
        skipped=mind.skipped,
    )


def from_ratings(
    split: Split,
    *,
    history: int,
    shown: int,
    limits: Sequence[int],
    liked: float = 4,
    seed: int = 0,
) -> ImpressionData:
    """Impressions that ratings might have come from.

    An impression is one film somebody liked (rated at least ``liked``) among ``shown`` films they
    never rated, drawn with the chance of (training ratings + 1): sites show what is popular, and
    the order of popularity alone should not give the click away. The history is what they liked
    before. Everything is drawn once, so that all models see the same candidates.

    An item belongs to its rarest genre, the one that says most about it.

    Raises:
        ValueError: a user has rated so many items that ``shown`` others are not left.
    """
    data = split.dataset
    user, item = (data.interactions[c].to_numpy().astype(np.int64) for c in ("user", "item"))
    bounds = np.searchsorted(user, np.arange(data.n_users + 1))
    fewest = data.n_items - int(np.diff(bounds).max())
    if fewest < shown:
        raise ValueError(f"shown={shown}: somebody has only {fewest} unrated items")
    likes = data.interactions["rating"].to_numpy() >= liked
    before = np.concatenate([[0], np.cumsum(likes)])  # likes in earlier rows
    popularity = np.bincount(split.train["item"].to_numpy(), minlength=data.n_items) + 1
    parts = {}
    for part, limit in zip(PARTS, limits, strict=True):
        rng = np.random.default_rng([seed, PARTS.index(part)])
        rows = _rows_of(split, part)
        rows = rows[likes[rows]]
        rows = rows[_draw(rng, 0, len(rows), limit)]
        others = _unrated(rng, item, bounds, user[rows], popularity, shown)
        candidates = np.concatenate([item[rows][:, None], others], axis=1)
        # The clicked one stands at a random place, as in a real list.
        order = rng.permuted(np.tile(np.arange(shown + 1), (len(rows), 1)), axis=1)
        parts[part] = Impressions(
            users=user[rows],
            histories=left_padded(
                item[likes], before[bounds[user[rows]]], before[rows], history, -1
            ),
            candidates=np.take_along_axis(candidates, order, axis=1).ravel(),
            labels=(order == 0).ravel(),
            offsets=np.arange(len(rows) + 1) * (shown + 1),
        )
    return ImpressionData(
        name=data.name,
        hash=_hash(split.hash, history, shown, limits, liked, seed),
        kind="film",
        titles=display_titles(data),
        categories=rarest_genres(data.items["genres"].to_list()),
        n_users=data.n_users,
        **parts,
        protocol=f"{split.protocol}, 1+{shown} shown",
        skipped={},
    )


def rarest_genres(genres: Sequence[Sequence[str]]) -> list[str]:
    """Of each item's genres the one that fewest items have; "unknown" for an item without."""
    counts = pl.Series([name for names in genres for name in names], dtype=pl.String)
    number = dict(counts.value_counts(name="n").iter_rows())
    return [
        min(names, key=lambda name: (number[name], name)) if names else NO_CATEGORY
        for names in genres
    ]


def _rows_of(split: Split, part: str) -> np.ndarray:
    """Rows of ``dataset.interactions`` that make a part."""
    numbered = split.dataset.interactions.with_row_index("row")
    keys = ["user", "item", "timestamp"]
    return (
        getattr(split, part).join(numbered, on=keys, how="inner")["row"].unique().sort().to_numpy()
    )


def _draw(rng: np.random.Generator, start: int, end: int, limit: int) -> np.ndarray:
    """At most ``limit`` of the rows start .. end - 1, in order."""
    return np.sort(start + rng.permutation(end - start)[:limit])


def _unrated(
    rng: np.random.Generator,
    item: np.ndarray,
    bounds: np.ndarray,
    users: np.ndarray,
    weights: np.ndarray,
    count: int,
) -> np.ndarray:
    """Distinct items (B, count) that each user never rated, by weight.

    Source of the draw without replacement: Efraimidis and Spirakis, 2006 (exponential keys).
    """
    chosen = np.empty((len(users), count), dtype=np.int64)
    for row, one in enumerate(users):
        keys = rng.exponential(size=len(weights)) / weights
        keys[item[bounds[one] : bounds[one + 1]]] = np.inf
        chosen[row] = np.argpartition(keys, count - 1)[:count]
    return chosen


def _flat(lists: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column of lists, one after the other, and the bounds of each list."""
    bounds = np.concatenate([[0], np.cumsum(lists.list.len().to_numpy())]).astype(np.int64)
    return lists.explode().drop_nulls().to_numpy().astype(np.int64), bounds


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
