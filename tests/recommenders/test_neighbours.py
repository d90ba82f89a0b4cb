from __future__ import annotations

import numpy as np
import pytest

from llmers_utils.recommenders.neighbours import cosine_neighbours


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)


def naive(vectors: np.ndarray, k: int) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return np.argsort(-similarity, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("chunk", [1, 7, 50, 1000])
@pytest.mark.parametrize("k", [1, 10, 49])
def test_nearest_first_whatever_the_chunk(vectors: np.ndarray, k: int, chunk: int) -> None:
    found = cosine_neighbours(vectors, k, chunk=chunk)
    assert found.dtype == np.int64
    assert np.array_equal(found, naive(vectors, k))


def test_nobody_is_their_own_neighbour_nor_twice(vectors: np.ndarray) -> None:
    doubled = np.concatenate([vectors, vectors])  # each has a twin with the cosine one
    found = cosine_neighbours(doubled, 20)
    assert found.shape == (100, 20)
    assert not (found == np.arange(100)[:, None]).any()
    assert all(len(set(row)) == 20 for row in found.tolist())
    assert np.array_equal(found[:50, 0], np.arange(50, 100))


def test_only_the_direction_counts(vectors: np.ndarray) -> None:
    stretched = vectors * np.linspace(0.1, 90, 50)[:, None]
    assert np.array_equal(cosine_neighbours(stretched, 5), cosine_neighbours(vectors, 5))


def test_equal_ones_come_in_the_order_of_ids() -> None:
    assert cosine_neighbours(np.ones((5, 2)), 3).tolist() == [
        [1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2],
    ]  # fmt: skip


def test_items_without_a_vector_are_the_last_choice(vectors: np.ndarray) -> None:
    holed = vectors.copy()
    holed[:3] = 0
    found = cosine_neighbours(holed, 46)
    assert (found[3:] >= 3).all()
    assert sorted(cosine_neighbours(holed, 49)[10, -3:]) == [0, 1, 2]
    assert not (found == np.arange(50)[:, None]).any()


def test_no_neighbours_at_all(vectors: np.ndarray) -> None:
    assert cosine_neighbours(vectors, 0).shape == (50, 0)


@pytest.mark.parametrize(
    ("change", "k", "chunk"),
    [(None, 50, 9), (None, -1, 9), (None, 3, 0), (np.nan, 3, 9), (np.inf, 3, 9)],
)
def test_impossible_input_is_refused(vectors: np.ndarray, change, k: int, chunk: int) -> None:
    if change is not None:
        vectors[4, 2] = change
    with pytest.raises(ValueError, match="must be"):
        cosine_neighbours(vectors, k, chunk=chunk)


def test_the_input_stays_as_it_was(vectors: np.ndarray) -> None:
    before = vectors.copy()
    cosine_neighbours(vectors, 5)
    assert np.array_equal(vectors, before)
