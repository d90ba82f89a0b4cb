"""The request of GPTAugNews: what does the name of a category stand for?

One call a category, however many items bear it.
"""

from __future__ import annotations

from collections.abc import Iterable

from llmers_utils.data.movielens import GENRES_100K
from llmers_utils.language.responses import Request
from llmers_utils.language.tasks import request_for

TASK = "category_description"


def category_sentence(category: str, kind: str = "film") -> str:
    """What a template can say without a language model: "The film category is Film-Noir."."""
    return f"The {kind} category is {category}."


def category_descriptions(categories: Iterable[str], kind: str = "film") -> list[Request]:
    """One request a distinct category, in sorted order; ``kind`` says of what, "film" or "news".

    Source of the idea: Yada and Yamana, "News Recommendation with Category Description by a Large
    Language Model", 2024; the wording is this project's own.
    """
    return [
        request_for(TASK, category, category_sentence(category, kind))
        for category in sorted(set(categories))
    ]


def genre_descriptions() -> list[Request]:
    """The requests of MovieLens' 19 genres, which the shipped answers belong to."""
    return category_descriptions(GENRES_100K)
