"""From a split to click-through samples: was this item liked, given what came strictly before?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from torch import Tensor

from llmers_utils.recommenders.sequences import left_padded
from llmers_utils.recommenders.training import Batch

if TYPE_CHECKING:
    from llmers_utils.data import Dataset, Split

AGE_BUCKETS = [18, 25, 35, 45, 50, 56]
"""Lower bounds of all but the first bucket: MovieLens-1M's own."""


@dataclass(frozen=True)
class CTRSpec:
    """What every sample shares: the sizes of the id spaces and the side information.

    ``user_fields`` (n_users, F) are category ids, field f in 0..``user_cardinalities[f]``-1 and
    named ``user_field_names[f]``; ``item_genres`` (n_items, G) is multi-hot.
    """

    n_users: int
    n_items: int
    user_fields: Tensor
    user_cardinalities: tuple[int, ...]
    user_field_names: tuple[str, ...]
    item_genres: Tensor


@dataclass(frozen=True)
class CTRData:
    """Samples of the parts ``train``, ``valid`` and ``test``, each a dict of M rows.

    ``user`` (M,), ``item`` (M,), ``label`` (M,) float 0/1, ``history`` (M, H) the user's items
    before the sample, left-padded with n_items, and ``history_rating`` (M, H) their ratings, from
    -1 (the scale's lowest) to 1 (its highest), 0 for padding.
    """

    spec: CTRSpec
    split: Split
    train: Batch
    valid: Batch
    test: Batch

    def batches(self, part: str = "train") -> CTRBatches:
        """Return the part's samples as a source for ``fit``."""
        return CTRBatches(getattr(self, part))


class CTRBatches:
    """Samples in a random order, a batch at a time."""

    def __init__(self, samples: Batch) -> None:
        self.samples = samples

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples["label"])

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[Batch]:
        """Yield every sample once."""
        order = torch.from_numpy(rng.permutation(len(self)))
        for rows in order.split(batch_size):
            yield {name: v.index_select(0, rows) for name, v in self.samples.items()}


def build_ctr_data(
    split: Split,
    max_history: int = 20,
    positive: Callable[[np.ndarray], np.ndarray] = lambda rating: rating >= 4,
) -> CTRData:
    """Make samples of a split; ``positive`` maps ratings (M,) to booleans.

    The history of a training sample comes from the prefix (if any) and the training part only,
    that of a valid or test sample also from the parts before, and always from strictly earlier
    times than the sample's: nothing later, and nothing simultaneous, can change it.
    """
    prefix = ["prompt"] if split.prompt_is_apart else []
    earlier = {"train": [], "valid": ["train"], "test": ["train", "valid"]}
    parts = {
        part: _samples(split, [*prefix, *known, part], max_history, positive)
        for part, known in earlier.items()
    }
    return CTRData(spec=_spec(split.dataset), split=split, **parts)


def _samples(
    split: Split,
    parts: list[str],
    max_history: int,
    positive: Callable[[np.ndarray], np.ndarray],
) -> Batch:
    """Build samples of the last of ``parts``, with histories from all of them."""
    frames = [getattr(split, part) for part in parts]
    wanted = [part == parts[-1] for part in parts]
    rows = pl.concat(
        frame.with_columns(sample=pl.lit(is_sample))
        for frame, is_sample in zip(frames, wanted, strict=True)
    )
    rows = rows.sort("user", "timestamp", maintain_order=True)
    user, item, rating = (rows[column].to_numpy() for column in ("user", "item", "rating"))
    time = rows["timestamp"].to_numpy()
    at = np.flatnonzero(rows["sample"].to_numpy())
    starts = np.searchsorted(user, user[at])
    new_moment = np.append(True, (np.diff(user) != 0) | (np.diff(time) != 0))
    # Ratings of one moment come from one page: none of them is known before the others.
    ends = np.flatnonzero(new_moment)[np.cumsum(new_moment) - 1][at]
    low, high = split.dataset.rating_range
    scaled = (2 * (rating - low) / (high - low) - 1).astype(np.float32)
    samples = {
        "user": user[at].astype(np.int64),
        "item": item[at].astype(np.int64),
        "label": positive(rating[at]).astype(np.float32),
        "history": left_padded(
            item.astype(np.int64), starts, ends, max_history, split.dataset.n_items
        ),
        "history_rating": left_padded(scaled, starts, ends, max_history, np.float32(0)),
    }
    return {name: torch.from_numpy(values) for name, values in samples.items()}


def _spec(dataset: Dataset) -> CTRSpec:
    names = [name for name in ("age", "gender", "occupation") if name in dataset.users.columns]
    columns = [_categories(dataset.users[name]) for name in names]
    item_genres = [row or [] for row in dataset.items["genres"].to_list()]
    genres = sorted({genre for row in item_genres for genre in row})
    index = {genre: column for column, genre in enumerate(genres)}
    hot = torch.zeros(dataset.n_items, len(genres))
    for item, row in enumerate(item_genres):
        hot[item, [index[genre] for genre in row]] = 1
    ids = np.stack(columns, axis=1) if columns else np.zeros((dataset.n_users, 0), dtype=np.int64)
    return CTRSpec(
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        user_fields=torch.from_numpy(ids),
        user_cardinalities=tuple(int(column.max()) + 1 for column in columns),
        user_field_names=tuple(names),
        item_genres=hot,
    )


def _categories(column: pl.Series) -> np.ndarray:
    """Number the values of a user field; numbers are ages and go by bucket, null is a category."""
    if column.dtype.is_numeric():
        bucket = np.digitize(column.fill_null(-1).to_numpy(), AGE_BUCKETS) + 1
        return np.where(column.is_null().to_numpy(), 0, bucket).astype(np.int64)
    values = column.fill_null("").to_list()
    index = {value: number for number, value in enumerate(sorted(set(values)))}
    return np.array([index[value] for value in values], dtype=np.int64)
