"""Memorisation probes: does a text name what its writer was not shown?

A language model has read about public data sets. A text about a person that names their held-out
films would hand the answer to the recommender.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

# Articles that MovieLens moves to the end: "Godfather, The".
MOVED_ARTICLE = re.compile(r"^(.*), (The|A|An|La|Le|Les|Il|L'|El|Das|Der|Die)$")


def titles_named(
    texts: Sequence[str | None], titles: Sequence[str], chosen: Iterable[tuple[int, int]]
) -> np.ndarray:
    """Whether each text names each title: (P,) bool for the P pairs ``chosen``.

    A title is looked for as a whole phrase, in any case, without its year and with its article in
    front. One of a single short word ("Heat", "Fly") also counts where it is an ordinary word, so
    compare with the same share for random titles before reading anything into it.

    Args:
        texts: None counts as a text that names nothing.
        titles: such as ``Dataset.items["title"]`` or ``display_titles``.
        chosen: pairs (index of a text, index of a title).
    """
    patterns = [re.compile(rf"\b{re.escape(_spoken(title))}\b", re.IGNORECASE) for title in titles]
    return np.array(
        [texts[t] is not None and bool(patterns[i].search(texts[t])) for t, i in chosen], dtype=bool
    )


def _spoken(title: str) -> str:
    """ "Godfather, The (1972)" as people write it: "The Godfather"."""
    name = re.sub(r"\s*\(.*\)$", "", title).strip()
    moved = MOVED_ARTICLE.match(name)
    return f"{moved[2]} {moved[1]}" if moved else name
