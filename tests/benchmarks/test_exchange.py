from __future__ import annotations

import numpy as np
import pytest

from llmers_utils.data import leave_last_out, load_dataset, prefix
from llmers_utils.recommenders import build_ctr_data
from tests.benchmarks.exchange import write_exchange


@pytest.fixture(scope="module")
def dataset():
    return load_dataset("ml-100k")


@pytest.fixture(scope="module")
def files(dataset, tmp_path_factory):
    return write_exchange(dataset, tmp_path_factory.mktemp("exchange"))


def test_interactions_round_trip(dataset, files):
    data, split = np.load(files["ranking"]), leave_last_out(dataset)
    assert (data["n_users"], data["n_items"]) == (dataset.n_users, dataset.n_items)
    assert (np.diff(data["user"]) >= 0).all()
    for number, part in enumerate((split.train, split.valid, split.test)):
        chosen = data["part"] == number
        assert (data["user"][chosen] == part["user"].to_numpy()).all()
        assert (data["item"][chosen] == part["item"].to_numpy()).all()
    last = np.append(np.diff(data["user"]) != 0, True)
    assert (data["part"][last] == 2).all()


def test_rows_say_what_our_samples_say(dataset, files):
    data, ctr = np.load(files["ctr"]), build_ctr_data(prefix(dataset))
    for part in ("train", "valid", "test"):
        batch = getattr(ctr, part)
        for name in ("item", "label"):
            assert (data[f"{part}_{name}"] == batch[name].numpy()).all()
        history, rating = batch["history"].numpy(), batch["history_rating"].numpy()
        liked, disliked = data[f"{part}_liked"], data[f"{part}_disliked"]
        assert (liked[rating > 0] == history[rating > 0] + 1).all()
        assert ((liked > 0) + (disliked > 0) == (history < dataset.n_items)).all()
        counts = ctr.spec.item_genres.sum(1).numpy()[batch["item"].numpy()]
        assert ((data[f"{part}_genres"] > 0).sum(1) == counts).all()
