"""Requests about concepts of a curriculum, with and without their place in it.

One request a concept, from the catalogue and the precedence edges alone: nothing of a learner is
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmers_utils.language.responses import Request
from llmers_utils.language.tasks import request_for

if TYPE_CHECKING:
    from llmers_utils.data import Dataset


def concept_interpretation(dataset: Dataset) -> list[Request]:
    """One request a concept, in the order of dense ids: what it is, what precedes, what follows.

    A line without concepts is left out.

    Raises:
        ValueError: a data set without precedence edges.
    """
    earlier, later = concept_neighbours(dataset)
    names = dataset.items["title"].to_list()
    requests = []
    for item, (raw, described) in enumerate(_described(dataset)):
        lines = [described]
        for label, found in (("Learned before it", earlier), ("Built on it", later)):
            if found[item]:
                lines.append(f"{label}: {'; '.join(names[other] for other in found[item])}")
        requests.append(request_for("concept_interpretation", raw, "\n".join(lines)))
    return requests


def concept_interpretation_alone(dataset: Dataset) -> list[Request]:
    """One request a concept, in the order of dense ids: its name and explanation only."""
    return [
        request_for("concept_interpretation_alone", raw, described)
        for raw, described in _described(dataset)
    ]


def concept_neighbours(dataset: Dataset) -> tuple[list[list[int]], list[list[int]]]:
    """For each item the items that come right before it, and those right after it, by dense id.

    Edges to concepts outside the catalogue are left out.

    Raises:
        ValueError: a data set without precedence edges.
    """
    if dataset.triples is None:
        raise ValueError(
            f"{dataset.name!r} has no precedence edges in `triples`; make them from its training "
            "part with llmers_utils.data.education.precedence_edges"
        )
    ids = {entity: item for item, entity in enumerate(dataset.items["entity"])}
    earlier: list[list[int]] = [[] for _ in ids]
    later: list[list[int]] = [[] for _ in ids]
    for head, _, tail in dataset.triples.iter_rows():
        if head in ids and tail in ids:
            later[ids[head]].append(ids[tail])
            earlier[ids[tail]].append(ids[head])
    return earlier, later


def _described(dataset: Dataset) -> list[tuple[str, str]]:
    """Raw id and what the catalogue says of each concept."""
    has_text = "explanation" in dataset.items.columns
    columns = ["raw_item", "title", *(["explanation"] if has_text else [])]
    return [
        (raw, f"Concept: {title}" + "".join(f"\nExplanation: {text}" for text in rest))
        for raw, title, *rest in dataset.items.select(columns).iter_rows()
    ]
