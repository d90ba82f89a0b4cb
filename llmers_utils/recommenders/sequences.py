"""User histories as one flat array, and the windows and batches cut from it.

Padding is always on the left and always the id ``n_items``: the row after the last item.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from torch import Tensor

if TYPE_CHECKING:
    from llmers_utils.data import Split

EARLIER = {"valid": ("train",), "test": ("train", "valid")}
"""What may be known of a user when a part is asked about: the same for every model and mask."""


@dataclass(frozen=True)
class Histories:
    """The items of all users, one after the other: user u's are ``items[offsets[u]:offsets[u+1]]``.

    ``pad`` is the padding id, n_items.
    """

    items: np.ndarray
    offsets: np.ndarray
    pad: int

    @classmethod
    def of(cls, split: Split, *parts: str) -> Histories:
        """Collect the named parts of a split, each user's in time order."""
        rows = pl.concat([getattr(split, part) for part in parts])
        user, time = rows["user"].to_numpy(), rows["timestamp"].to_numpy()
        order = np.argsort(user, kind="stable")
        # Parts usually follow each other in time, and then the dear second sort is not needed.
        if ((np.diff(user[order]) == 0) & (np.diff(time[order]) < 0)).any():
            order = np.lexsort((time, user))
        counts = np.bincount(user, minlength=split.dataset.n_users)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        return cls(rows["item"].to_numpy()[order].astype(np.int64), offsets, split.dataset.n_items)

    @classmethod
    def before(cls, split: Split, part: str) -> Histories:
        """Collect all that may be known when ``part`` ("valid" or "test") is asked about."""
        if part not in EARLIER:
            raise ValueError(f"part={part!r}: must be one of {sorted(EARLIER)}")
        # Only the prefix protocol has a prompt beside its training part.
        prompt = ("prompt",) if split.prompt_is_apart else ()
        return cls.of(split, *prompt, *EARLIER[part])

    @property
    def lengths(self) -> np.ndarray:
        """History length of every user, (n_users,)."""
        return np.diff(self.offsets)

    def last(self, users: np.ndarray, length: int) -> np.ndarray:
        """Return the last ``length`` items of each user, (B, length), left-padded."""
        return left_padded(
            self.items, self.offsets[users], self.offsets[users + 1], length, self.pad
        )

    def flat(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All items of the users as (row, item) pairs; row counts within ``users``."""
        counts = self.lengths[users]
        rows = np.repeat(np.arange(len(users)), counts)
        first = np.repeat(self.offsets[users] - np.cumsum(counts) + counts, counts)
        return rows, self.items[first + np.arange(len(rows))]


def left_padded(
    values: np.ndarray, starts: np.ndarray, ends: np.ndarray, length: int, pad: float
) -> np.ndarray:
    """Return the last ``length`` of each span ``values[start:end]``, (B, length)."""
    positions = ends[:, None] + np.arange(-length, 0)
    inside = positions >= starts[:, None]
    return np.where(inside, values[np.where(inside, positions, 0)], pad)


class SequenceBatches:
    """Windows of at most ``length`` next-item targets; together they cover each target once.

    A batch has ``users`` (B,), ``sequences`` (B, length) and ``targets`` (B, length): the item that
    follows each position. Windows are cut from the end of a user's history.

    With ``recent`` there is only the last window of each user, and of its targets only the last
    ``recent``: the others are padding, though their items stay in the sequence.
    """

    def __init__(self, histories: Histories, length: int, *, recent: int | None = None) -> None:
        if recent is not None and not 1 <= recent <= length:
            raise ValueError(f"recent={recent}: must be 1 to {length}, the length of a window")
        self.histories = histories
        self.length = length
        self.recent = recent
        targets = np.maximum(histories.lengths - 1, 0)
        self.windows = -(-targets // length) if recent is None else np.minimum(targets, 1)

    def __len__(self) -> int:
        """Count the windows."""
        return int(self.windows.sum())

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Yield all windows in a random order."""
        users, ends = self._windows()
        order = rng.permutation(len(users))
        for rows in np.split(order, np.arange(batch_size, len(order), batch_size)):
            yield self._batch(users[rows], ends[rows])

    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Return user and end position (exclusive, of the targets) of each window."""
        counts = self.windows
        users = np.repeat(np.arange(len(counts)), counts)
        back = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
        return users, self.histories.offsets[users + 1] - back * self.length

    def _batch(self, users: np.ndarray, ends: np.ndarray) -> dict[str, Tensor]:
        items, starts, pad = self.histories.items, self.histories.offsets[users], self.histories.pad
        cut = (self.length, pad)
        targets = left_padded(items, starts + 1, ends, *cut)
        if self.recent is not None:
            targets[:, : self.length - self.recent] = pad
        return {
            "users": torch.from_numpy(users),
            "sequences": torch.from_numpy(left_padded(items, starts, ends - 1, *cut)),
            "targets": torch.from_numpy(targets),
        }
