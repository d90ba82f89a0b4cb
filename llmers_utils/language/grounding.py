"""From a title that a language model wrote to an item of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from llmers_utils.language.probes import MOVED_ARTICLE

if TYPE_CHECKING:
    from llmers_utils.language.encoder import TextEncoder


def title_key(title: str) -> str:
    """What titles that differ only in writing share.

    "Godfather, The (1972)" and "the godfather (1972)" both give "the godfather 1972".
    """
    name, bracket, rest = title.partition(" (")
    moved = MOVED_ARTICLE.match(name.strip())
    spoken = f"{moved[2]} {moved[1]}" if moved else name
    return re.sub(r"\W+", " ", f"{spoken}{bracket}{rest}".casefold()).strip()


def ground_titles(
    titles: Iterable[str],
    catalogue: Sequence[str],
    encoder: TextEncoder,
    *,
    least: float = 0.8,
) -> dict[str, int]:
    """The index in ``catalogue`` of each title that has one.

    A title with the key of an item is that item (of several, the first). Any other gets the item
    whose text vector is nearest, if their cosine is at least ``least``, and is left out otherwise.
    """
    item_of: dict[str, int] = {}
    for index, name in enumerate(catalogue):
        item_of.setdefault(title_key(name), index)
    unique = list(dict.fromkeys(titles))
    found = {title: item_of[title_key(title)] for title in unique if title_key(title) in item_of}
    others = [title for title in unique if title not in found]
    if others:
        cosines = encoder.encode(others) @ encoder.encode(list(catalogue)).T  # (M, N)
        for title, index, cosine in zip(others, cosines.argmax(1), cosines.max(1), strict=True):
            if cosine >= least:
                found[title] = int(index)
    return found
