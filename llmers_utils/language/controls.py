"""Controls for text features: what else could explain a gain?

Each control takes the place of the matrix of real text vectors and keeps its shape, so that the
same module can be trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmers_utils.data import Dataset, Split, display_titles

if TYPE_CHECKING:
    from llmers_utils.language.encoder import TextEncoder


def metadata_texts(dataset: Dataset) -> list[str]:
    """What the catalogue itself says of each item, in the order of the dense ids.

    "Toy Story (1995). Genres: Animation, Children's, Comedy."
    """
    titles = display_titles(dataset)
    genres = dataset.items["genres"].to_list()
    return [
        f"{title}. Genres: {', '.join(names)}." if names else f"{title}."
        for title, names in zip(titles, genres, strict=True)
    ]


def history_texts(split: Split) -> list[str]:
    """What the log itself says of each user: the films a prompt may show, by dense id.

    "Watched: Jean de Florette (1986), Reservoir Dogs (1992)."; empty for a user without such films.
    """
    titles = display_titles(split.dataset)
    views = (split.training_view(user)["item"] for user in range(split.dataset.n_users))
    return [
        f"Watched: {', '.join(titles[i] for i in view)}." if len(view) else "" for view in views
    ]


def text_control(
    kind: str,
    *,
    real: np.ndarray,
    metadata_texts: Sequence[str],
    encoder: TextEncoder,
    seed: int = 0,
) -> np.ndarray | None:
    """The features of one control: (N, D) float32 like ``real``, or None for ``none``.

    ``real``: the language model's texts, encoded; ``shuffled``: the same rows, each at another
    item; ``random``: Gaussian with the real mean and covariance; ``tfidf``: TF-IDF of the
    metadata, reduced by SVD; ``metadata``: the encoder on title and genres; ``none``: no
    features. Raises ValueError on another kind, and where rows and texts differ in number.
    """
    if kind not in CONTROLS:
        raise ValueError(f"control {kind!r}: must be one of {', '.join(CONTROLS)}")
    if real.ndim != 2 or len(real) != len(metadata_texts):
        raise ValueError(
            f"real has shape {real.shape} and there are {len(metadata_texts)} metadata texts; "
            "needed: (N, D) and N texts"
        )
    return CONTROLS[kind](real, metadata_texts, encoder, np.random.default_rng(seed))


def _real(real: np.ndarray, *_: object) -> np.ndarray:
    return real.astype(np.float32)


def _shuffled(
    real: np.ndarray, texts: Sequence[str], encoder: TextEncoder, rng: np.random.Generator
) -> np.ndarray:
    """A random cycle through all rows: no row stays where it was."""
    if len(real) < 2:
        raise ValueError(f"control 'shuffled' needs at least 2 rows, not {len(real)}")
    cycle = rng.permutation(len(real))
    shuffled = np.empty_like(real, dtype=np.float32)
    shuffled[cycle] = real[np.roll(cycle, 1)]
    return shuffled


def _random(
    real: np.ndarray, texts: Sequence[str], encoder: TextEncoder, rng: np.random.Generator
) -> np.ndarray:
    """A Gaussian with the mean and covariance of the real rows, through their thin SVD."""
    mean = real.mean(axis=0, dtype=np.float64)
    centred = real.astype(np.float64) - mean
    factor = np.linalg.svd(centred, full_matrices=False)
    scale = factor.S[:, None] * factor.Vh / np.sqrt(max(1, len(real) - 1))
    return (mean + rng.standard_normal((len(real), len(scale))) @ scale).astype(np.float32)


def _tfidf(
    real: np.ndarray, texts: Sequence[str], encoder: TextEncoder, rng: np.random.Generator
) -> np.ndarray:
    """TF-IDF and truncated SVD (latent semantic analysis), unit rows, zeros beyond the rank."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    rank = min(real.shape[1], min(counts.shape) - 1)
    reduced = TruncatedSVD(rank, random_state=int(rng.integers(2**31))).fit_transform(counts)
    norms = np.linalg.norm(reduced, axis=1, keepdims=True)
    features = np.zeros(real.shape, dtype=np.float32)
    features[:, :rank] = reduced / np.maximum(norms, 1e-12)
    return features


def _metadata(
    real: np.ndarray, texts: Sequence[str], encoder: TextEncoder, rng: np.random.Generator
) -> np.ndarray:
    features = encoder.encode(texts)
    if features.shape != real.shape:
        raise ValueError(
            f"control 'metadata': the encoder gives {features.shape}, the real rows {real.shape}"
        )
    return features


def _none(*_: object) -> None:
    return None


CONTROLS: dict[str, Callable[..., np.ndarray | None]] = {
    "real": _real,
    "shuffled": _shuffled,
    "random": _random,
    "tfidf": _tfidf,
    "metadata": _metadata,
    "none": _none,
}
