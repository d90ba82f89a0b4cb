"""The one file from which every side reads its data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from llmers_utils.data import Dataset, leave_last_out, prefix
from llmers_utils.recommenders import CTRData, build_ctr_data


def ranking_arrays(dataset: Dataset) -> dict[str, np.ndarray]:
    """Interactions by user and time, with their part (0 train, 1 valid, 2 test).

    ``user``, ``item`` and ``part`` (M,), and the scalars ``n_users`` and ``n_items``.
    """
    split = leave_last_out(dataset)
    rows = pl.concat(
        getattr(split, part).select("user", "item", part=pl.lit(number, dtype=pl.Int64))
        for number, part in enumerate(("train", "valid", "test"))
    ).sort("user", "part", maintain_order=True)
    columns = {name: rows[name].to_numpy().astype(np.int64) for name in rows.columns}
    return columns | {"n_users": np.array(dataset.n_users), "n_items": np.array(dataset.n_items)}


def ctr_arrays(data: CTRData) -> dict[str, np.ndarray]:
    """Click-through rows as plain columns, a set for each part, named ``PART_COLUMN``.

    ``item``, ``age``, ``gender``, ``occupation`` and ``label`` (M,); ``genres`` (M, G), ``liked``
    and ``disliked`` (M, H) hold ids from 1, and 0 for nothing. No side gets the id of the user,
    since ours does not use it: most users of the later parts are new.
    """
    spec = data.spec
    width = int(spec.item_genres.sum(1).max())
    order = (-spec.item_genres).argsort(dim=1, stable=True)[:, :width].numpy()
    genres = np.where(np.take_along_axis(spec.item_genres.numpy(), order, 1) > 0, order + 1, 0)
    arrays = {}
    for part in ("train", "valid", "test"):
        batch = {name: values.numpy() for name, values in getattr(data, part).items()}
        rating, items = batch["history_rating"], batch["history"] + 1
        columns = {name: batch[name].astype(np.int64) for name in ("item", "label")}
        for field, name in enumerate(spec.user_field_names):
            columns[name] = spec.user_fields[:, field].numpy()[batch["user"]]
        columns |= {
            "genres": genres[batch["item"]],
            "liked": np.where(rating > 0, items, 0),
            "disliked": np.where((rating <= 0) & (items <= spec.n_items), items, 0),
        }
        arrays |= {f"{part}_{name}": values for name, values in columns.items()}
    return arrays


def write_exchange(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """Write ``ranking.npz`` and ``ctr.npz`` of a data set; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"ranking": ranking_arrays(dataset), "ctr": ctr_arrays(build_ctr_data(prefix(dataset)))}
    paths = {kind: folder / f"{kind}.npz" for kind in found}
    for kind, arrays in found.items():
        np.savez(paths[kind], **arrays)
    return paths
