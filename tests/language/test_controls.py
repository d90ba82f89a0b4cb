from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from llmers_utils.language.controls import CONTROLS, metadata_texts, text_control

TEXTS = [f"film {i} of space love war {'comedy' if i % 2 else 'drama'} {i % 7}" for i in range(300)]


class FakeEncoder:
    def encode(self, texts):
        return np.full((len(texts), 8), 0.5, dtype=np.float32)


@pytest.fixture
def real():
    rng = np.random.default_rng(1)
    mixing = rng.standard_normal((8, 8))
    return (rng.standard_normal((300, 8)) @ mixing + 3).astype(np.float32)


def control(kind, real, seed=0):
    return text_control(kind, real=real, metadata_texts=TEXTS, encoder=FakeEncoder(), seed=seed)


@pytest.mark.parametrize("kind", [kind for kind in CONTROLS if kind != "none"])
def test_shape_type_and_repeatability(kind, real):
    first = control(kind, real)
    assert first.shape == real.shape
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, control(kind, real))


def test_none_and_real(real):
    assert control("none", real) is None
    np.testing.assert_array_equal(control("real", real), real)


def test_shuffled_moves_every_row_and_keeps_them_all(real):
    shuffled = control("shuffled", real)
    assert not (shuffled == real).all(axis=1).any()
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(real, axis=0))
    assert (shuffled != control("shuffled", real, seed=1)).any()


def test_random_has_the_real_mean_and_covariance(real):
    drawn = np.concatenate([control("random", real, seed=seed) for seed in range(60)])
    np.testing.assert_allclose(drawn.mean(axis=0), real.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(real.T), atol=0.6)


def test_random_with_fewer_rows_than_columns():
    real = np.random.default_rng(0).standard_normal((5, 20)).astype(np.float32)
    drawn = text_control("random", real=real, metadata_texts=TEXTS[:5], encoder=FakeEncoder())
    assert np.isfinite(drawn).all()


def test_tfidf_tells_texts_apart_and_pads(real):
    features = control("tfidf", real)
    assert features[0] @ features[14] > features[0] @ features[15]
    wide = np.zeros((300, 400), dtype=np.float32)
    padded = control("tfidf", wide)
    assert padded.shape == wide.shape
    assert not padded[:, -50:].any()


def test_metadata_is_the_encoder_on_the_texts(real):
    assert (control("metadata", real) == 0.5).all()
    with pytest.raises(ValueError, match="metadata"):
        control("metadata", real[:, :4])


def test_errors(real):
    with pytest.raises(ValueError, match="real, shuffled, random"):
        control("shufled", real)
    with pytest.raises(ValueError, match="299"):
        text_control("real", real=real[:299], metadata_texts=TEXTS, encoder=FakeEncoder())


def test_metadata_texts():
    items = pl.DataFrame(
        {
            "title": ["Toy Story", "Untitled"],
            "release": ["1995", None],
            "year": [1995, None],
            "genres": [["Animation", "Comedy"], []],
        }
    )
    assert metadata_texts(SimpleNamespace(items=items)) == [
        "Toy Story (1995). Genres: Animation, Comedy.",
        "Untitled.",
    ]
