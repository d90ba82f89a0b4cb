from __future__ import annotations

import numpy as np
import pytest

from llmers_utils.language import ground_titles, title_key

CATALOGUE = ["Godfather, The (1972)", "Heat (1995)", "Postino, Il (1994)", "Heat (1995)"]


class Angles:
    """An encoder of which a text's vector is known: the cosine with "Heat (1995)"."""

    def __init__(self, cosines: dict[str, float]) -> None:
        self.cosines = cosines

    def encode(self, texts: list[str]) -> np.ndarray:
        rows = [self.cosines.get(text, 1.0 if text.startswith("Heat") else -1.0) for text in texts]
        return np.array([(c, (1 - c * c) ** 0.5) for c in rows], dtype=np.float32)


@pytest.mark.parametrize(
    "written", ["Godfather, The (1972)", "The Godfather (1972)", "the  godfather (1972)"]
)
def test_titles_that_differ_in_writing_have_one_key(written: str) -> None:
    assert title_key(written) == "the godfather 1972"


def test_titles_of_other_years_or_words_have_other_keys() -> None:
    keys = {title_key(t) for t in ("Sabrina (1954)", "Sabrina (1995)", "Sabrinas (1995)")}
    assert len(keys) == 3


def test_the_same_title_comes_first_and_needs_no_encoder() -> None:
    found = ground_titles(["Il Postino (1994)", "Heat (1995)"], CATALOGUE, encoder=None)
    assert found == {"Il Postino (1994)": 2, "Heat (1995)": 1}


def test_the_nearest_counts_if_it_is_near_enough() -> None:
    encoder = Angles({"Heat 2": 0.9, "Thief": 0.5})
    assert ground_titles(["Heat 2", "Thief", "Heat 2"], CATALOGUE, encoder) == {"Heat 2": 1}
    assert ground_titles(["Thief"], CATALOGUE, encoder, least=0.4) == {"Thief": 1}
