"""From answers to the rows of a feature matrix, in the order of the dense ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from llmers_utils.language.responses import Response

if TYPE_CHECKING:
    from llmers_utils.language.encoder import TextEncoder


def answer_texts(answers: Sequence[Response], entities: Sequence[str]) -> list[str | None]:
    """One paragraph for each raw id of ``entities``; None where no answer succeeded."""
    found = {answer.entity: answer.readable() for answer in answers if answer.error is None}
    return [found.get(entity) for entity in entities]


def encode_known(encoder: TextEncoder, texts: Sequence[str | None]) -> np.ndarray:
    """Vectors (N, D) float32 of the texts; a missing text is the zero vector."""
    known = [index for index, text in enumerate(texts) if text is not None]
    vectors = np.zeros((len(texts), encoder.dim), dtype=np.float32)
    vectors[known] = encoder.encode([texts[index] for index in known])
    return vectors


def centred(vectors: np.ndarray) -> np.ndarray:
    """Text vectors (N, D) without what all share, scaled to a mean variance of one.

    Sentence vectors all point in much the same direction and have small components, so what tells
    two texts apart is a small part of each. Rows of zeros, which stand for no text, stay zero.
    """
    known = vectors.any(1)
    if not known.any():
        return vectors
    centre = vectors[known].mean(0)
    return known[:, None] * (vectors - centre) / (vectors[known] - centre).std()
