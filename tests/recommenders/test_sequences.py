from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from llmers_utils.data import Split, cold_items
from llmers_utils.recommenders import Histories, SequenceBatches

TOY = Histories(items=np.array([4, 5, 6, 7, 8, 1]), offsets=np.array([0, 5, 5, 6]), pad=9)


def test_last_is_left_padded() -> None:
    last = TOY.last(np.array([2, 0, 1]), 3)
    assert last.tolist() == [[9, 9, 1], [6, 7, 8], [9, 9, 9]]


def test_flat_lists_pairs_of_row_and_item() -> None:
    rows, items = TOY.flat(np.array([2, 1, 0]))
    assert rows.tolist() == [0, 2, 2, 2, 2, 2]
    assert items.tolist() == [1, 4, 5, 6, 7, 8]


def test_before_is_train_for_valid_and_both_for_test(split: Split) -> None:
    for user in (0, 17):
        rows = split.dataset.interactions.filter(user=user)["item"].to_list()
        one = np.array([user])
        assert Histories.before(split, "valid").last(one, 10)[0].tolist() == rows[:-2]
        assert Histories.before(split, "test").last(one, 11)[0].tolist() == rows[:-1]


def test_before_includes_the_prefix(ctr_split: Split) -> None:
    known = Histories.before(ctr_split, "valid").lengths
    assert known.sum() == len(ctr_split.prompt) + len(ctr_split.train)


def test_histories_of_interleaved_parts_are_in_time_order(split: Split) -> None:
    scattered = cold_items(split.dataset, share=0.5)
    histories = Histories.of(scattered, "test", "train", "valid")
    expected = Histories.of(split, "train", "valid", "test")
    assert histories.items.tolist() == expected.items.tolist()


def test_before_names_the_parts(split: Split) -> None:
    with pytest.raises(ValueError, match=r"'train': must be one of \['test', 'valid'\]"):
        Histories.before(split, "train")


@pytest.mark.parametrize("length", [1, 2, 3, 4, 50])
def test_windows_cover_each_target_once_and_follow_the_sequence(length: int) -> None:
    source = SequenceBatches(TOY, length)
    pairs: Counter[tuple[int, int, int]] = Counter()
    windows = 0
    for batch in source.epoch(np.random.default_rng(0), 2):
        windows += len(batch["users"])
        for user, inputs, targets in zip(*(batch[k].tolist() for k in batch), strict=True):
            assert (np.array(inputs) == 9).tolist() == (np.array(targets) == 9).tolist()
            pairs.update((user, a, b) for a, b in zip(inputs, targets, strict=True) if b != 9)
    assert pairs == Counter({(0, 4, 5): 1, (0, 5, 6): 1, (0, 6, 7): 1, (0, 7, 8): 1})
    assert windows == len(source)


def test_recent_targets_of_the_last_window_only() -> None:
    source = SequenceBatches(TOY, 3, recent=2)
    (batch,) = source.epoch(np.random.default_rng(0), 8)
    assert len(source) == len(batch["users"]) == 1  # the other two users have no target
    assert batch["sequences"].tolist() == [[5, 6, 7]]
    assert batch["targets"].tolist() == [[9, 7, 8]]


@pytest.mark.parametrize("recent", [0, 4])
def test_recent_targets_fit_into_the_window(recent: int) -> None:
    with pytest.raises(ValueError, match=f"recent={recent}: must be 1 to 3"):
        SequenceBatches(TOY, 3, recent=recent)


def test_epochs_differ_by_generator_only(split: Split) -> None:
    source = SequenceBatches(Histories.of(split, "train"), 5)

    def first(seed: int) -> list:
        return next(source.epoch(np.random.default_rng(seed), 8))["sequences"].tolist()

    assert first(0) == first(0) != first(1)
