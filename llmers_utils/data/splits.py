"""Protocols: which interactions train, choose and judge a model, the same for every method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from llmers_utils.data.dataset import Dataset

TRAIN, VALID, TEST, NO_PART = range(4)
DESCRIPTION = ["raw_item", "title", "release", "year", "genres"]
Shares = tuple[float, float, float]


@dataclass(frozen=True)
class Split:
    """A data set cut into parts.

    Attributes:
        protocol: name of the function that made it.
        dataset: what was cut.
        train, valid, test: rows of ``dataset.interactions``, in its order; disjoint.
        prompt: the rows a prompt may show.
        hash: 16 hex digits over protocol, data and the rows of each part.
        cold_items: sorted ids of the items withheld from training, or None.
    """

    protocol: str
    dataset: Dataset
    train: pl.DataFrame = field(repr=False)
    valid: pl.DataFrame = field(repr=False)
    test: pl.DataFrame = field(repr=False)
    prompt: pl.DataFrame = field(repr=False)
    hash: str
    cold_items: np.ndarray | None = field(default=None, repr=False)

    @property
    def prompt_is_apart(self) -> bool:
        """Whether the prompt rows are no training rows, but lie before all samples."""
        return self.protocol.startswith("prefix")

    def training_view(self, user: int) -> pl.DataFrame:
        """What a prompt may know of one user: their ``prompt`` rows, oldest first.

        Args:
            user: dense id.

        Returns:
            A frame of user, item, rating, timestamp, raw_item, title, release, year, genres. It
            has no rows for a user without prompt rows, and nothing else can be reached from it.

        Raises:
            KeyError: no such user.
        """
        if not 0 <= user < self.dataset.n_users:
            raise KeyError(f"user {user!r}: allowed are 0 to {self.dataset.n_users - 1}")
        # The prompt is sorted by user, so a user's rows are one slice.
        bounds = np.array([user, user + 1], dtype=np.int32)
        start, end = np.searchsorted(self.prompt["user"].to_numpy(), bounds)
        rows = self.prompt[start:end]
        return rows.hstack(self.dataset.items[rows["item"], DESCRIPTION])


def leave_last_out(dataset: Dataset) -> Split:
    """Each user's last interaction tests, the second last validates, the rest trains.

    Ties of the timestamp follow the raw item id. Users with fewer than three interactions go
    wholly to training.
    """
    length = pl.len().over("user")
    from_end = length - pl.int_range(pl.len()).over("user")  # 1 is the last interaction
    part = (
        pl.when(length < 3)
        .then(TRAIN)
        .when(from_end == 1)
        .then(TEST)
        .when(from_end == 2)
        .then(VALID)
        .otherwise(TRAIN)
    )
    return _split("leave_last_out", dataset, _evaluate(dataset, part))


def global_time(dataset: Dataset, shares: Shares = (0.8, 0.1, 0.1)) -> Split:
    """The earliest share of all interactions trains, the next validates, the latest tests.

    Ties of the timestamp follow the user, then the user's own order.

    Raises:
        ValueError: shares that are not three non-negative numbers with the sum 1, or a data set
            without times.
    """
    if dataset.order_only:
        raise ValueError(
            f"global_time needs times, and this copy of {dataset.name!r} has only the order within "
            "each user; allowed are leave_last_out, prefix and cold_items, or a copy with times"
        )
    samples = np.ones(dataset.interactions.height, dtype=bool)
    return _split("global_time", dataset, _cut_by_time(dataset, samples, shares))


def prefix(dataset: Dataset, max_prefix: int = 20, shares: Shares = (0.8, 0.1, 0.1)) -> Split:
    """Each user's first interactions are for the prompt only; the rest are samples in time order.

    A user with L interactions gives the first min(L // 2, ``max_prefix``) to the prompt. All
    other interactions, of all users together, are cut by time as in ``global_time``. Without
    times, each user's own samples are cut at the same shares, and the protocol is named
    ``prefix_by_order``.

    Raises:
        ValueError: a negative ``max_prefix``, or shares as in ``global_time``.
    """
    if max_prefix < 0:
        raise ValueError(f"max_prefix={max_prefix!r}: allowed are 0, 1, 2, ...")
    place = pl.int_range(pl.len()).over("user")
    allowance = (pl.len().over("user") // 2).clip(upper_bound=max_prefix)
    in_prefix = _evaluate(dataset, place < allowance).astype(bool)
    times = None
    if dataset.order_only:  # how far each user's samples have come stands for the time
        progress = (place - allowance + 1) / (pl.len().over("user") - allowance)
        times = _evaluate(dataset, progress)
    parts = _cut_by_time(dataset, ~in_prefix, shares, times)
    name = "prefix_by_order" if dataset.order_only else "prefix"
    return _split(name, dataset, parts, prompt=dataset.interactions.filter(in_prefix))


def cold_items(dataset: Dataset, share: float = 0.1, seed: int = 0) -> Split:
    """A seeded share of the items is withheld: half of these validate, half test.

    Raises:
        ValueError: a share that is not between 0 and 1, or that leaves a part without items.
    """
    n_cold = round(share * dataset.n_items)
    if not 0 < share < 1 or not 2 <= n_cold < dataset.n_items:
        raise ValueError(
            f"share={share!r} of {dataset.n_items} items: allowed are numbers between 0 and 1 "
            "that withhold at least two items and keep at least one"
        )
    withheld = np.random.default_rng(seed).permutation(dataset.n_items)[:n_cold]
    part_of_item = np.full(dataset.n_items, TRAIN)
    part_of_item[withheld[: n_cold // 2]] = VALID
    part_of_item[withheld[n_cold // 2 :]] = TEST
    parts = part_of_item[dataset.interactions["item"].to_numpy()]
    return _split("cold_items", dataset, parts, withheld=np.sort(withheld))


SPLITS: dict[str, Callable[..., Split]] = {
    "leave_last_out": leave_last_out,
    "global_time": global_time,
    "prefix": prefix,
    "cold_items": cold_items,
}


def _evaluate(dataset: Dataset, expression: pl.Expr) -> np.ndarray:
    return dataset.interactions.select(expression).to_series().to_numpy()


def _cut_by_time(
    dataset: Dataset, samples: np.ndarray, shares: Shares, times: np.ndarray | None = None
) -> np.ndarray:
    """Part of each interaction, NO_PART where ``samples`` is false; ``times`` replace the own."""
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares={shares!r}: allowed are three numbers >= 0 with the sum 1")
    rows = np.flatnonzero(samples)
    if times is None:
        times = dataset.interactions["timestamp"].to_numpy()
    # The frame is sorted by user, so a stable sort breaks ties as promised.
    rows = rows[np.argsort(times[rows], kind="stable")]
    ends = np.rint(np.cumsum(shares) * len(rows)).astype(int)
    parts = np.full(len(times), NO_PART)
    parts[rows[: ends[0]]] = TRAIN
    parts[rows[ends[0] : ends[1]]] = VALID
    parts[rows[ends[1] :]] = TEST
    return parts


def _split(
    protocol: str,
    dataset: Dataset,
    parts: np.ndarray,
    *,
    prompt: pl.DataFrame | None = None,
    withheld: np.ndarray | None = None,
) -> Split:
    interactions = dataset.interactions
    digest = hashlib.sha256(f"{protocol} {dataset.fingerprint} ".encode())
    # The fingerprint fixes the rows and their order, so each row's part is all that is left.
    digest.update(parts.astype(np.int8).tobytes())
    train, valid, test = (interactions.filter(parts == part) for part in (TRAIN, VALID, TEST))
    return Split(
        protocol=protocol,
        dataset=dataset,
        train=train,
        valid=valid,
        test=test,
        prompt=train if prompt is None else prompt,
        hash=digest.hexdigest()[:16],
        cold_items=withheld,
    )
