"""A knowledge graph around each item, named and put into words.

Freebase's entities are bare ids ("m.06pj8"). Their names are found by joining the graph with what
a language model knows of the items: the id that directs the films that the answers give to Steven
Spielberg is Steven Spielberg. The item-centred text then has the item's own facts (first order)
and other items that share one of them (second order).

Source of the item-centred text: Cui et al., "Comprehending Knowledge Graphs with Large Language
Models for Recommender Systems", SIGIR 2025.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llmers_utils.data import Dataset, display_titles
from llmers_utils.language.schemas import ItemKnowledge

Facts = Callable[[ItemKnowledge], Sequence[str]]

# How an answer names the entities of a relation, and how many films must agree on a name. A film
# has one or two directors, but dozens of actors for three named ones: one film proves nothing.
NAMED_BY: dict[str, tuple[Facts, int]] = {
    "film.film.directed_by": (lambda known: [known.director] if known.director else [], 1),
    "film.film.actor": (lambda known: known.cast, 2),
}
LIKENESS = 0.5
"""Share of the films of an entity and of a name that both must have in common (Jaccard)."""
PEOPLE = {
    "film.film.directed_by": "director",
    "film.film.written_by": "writer",
    "film.film.produced_by": "producer",
    "film.film.cinematography": "cinematographer",
    "film.film.actor": "actor",
}
SEQUELS = {"film.film.prequel": "follows", "film.film.sequel": "is followed by"}
AWARDS = {"film.film.award_won": "awards won", "film.film.award_nomination": "nominations"}
MISSING = "missing"


@dataclass(frozen=True)
class ItemGraph:
    """The triples whose head is an item of the catalogue.

    ``tails[relation][item]`` are the entities of one item (dense id), sorted; ``items[relation]
    [entity]`` the items of one entity, ascending.
    """

    tails: Mapping[str, Mapping[int, list[str]]]
    items: Mapping[str, Mapping[str, list[int]]]


def item_graph(dataset: Dataset) -> ItemGraph:
    """Index the triples of a data set around its items.

    Raises:
        ValueError: the data set has no ``triples``, or its items no ``entity``.
    """
    if dataset.triples is None or "entity" not in dataset.items.columns:
        raise ValueError(
            f"{dataset.name} has no knowledge graph; needed: triples (head, relation, tail) and a "
            "column `entity` of the items"
        )
    items_of = defaultdict(list)  # films listed twice share an entity
    for item, entity in dataset.items.select("item", "entity").drop_nulls().iter_rows():
        items_of[entity].append(item)
    tails = defaultdict(lambda: defaultdict(set))
    items = defaultdict(lambda: defaultdict(set))
    for head, relation, tail in dataset.triples.iter_rows():
        for item in items_of.get(head, ()):
            tails[relation][item].add(tail)
            items[relation][tail].add(item)
    return ItemGraph(_sorted(tails), _sorted(items))


def entity_names(graph: ItemGraph, known: Mapping[int, ItemKnowledge]) -> dict[str, str]:
    """Names of the entities that the recorded knowledge of the items identifies.

    A name belongs to an entity when each is the other's closest match by the items they share,
    and they share enough (``LIKENESS`` and the relation's own minimum).

    Args:
        graph: of the items.
        known: what a language model knows, by dense item id.
    """
    names: dict[str, str] = {}
    for relation, (facts, at_least) in NAMED_BY.items():
        linked = graph.tails.get(relation, {})
        items_of_name = defaultdict(set)
        for item, knowledge in known.items():
            for name in facts(knowledge) if item in linked else ():
                items_of_name[name].add(item)
        likeness = {}
        for entity, items in graph.items.get(relation, {}).items():
            shared = Counter(n for i in items if i in known for n in facts(known[i]))
            for name, count in shared.items():
                union = len(items) + len(items_of_name[name]) - count
                if count >= at_least and count / union >= LIKENESS:
                    likeness[entity, name] = count / union
        best_entity, best_name = _best(likeness, 1), _best(likeness, 0)
        for entity, name in best_name.items():
            if best_entity[name] == entity:
                names.setdefault(entity, name)
    return names


def subgraph_texts(
    dataset: Dataset,
    graph: ItemGraph,
    names: Mapping[str, str],
    *,
    actors: int = 6,
    neighbours: int = 3,
    seed: int = 0,
) -> list[str]:
    """Put each item's subgraph into words, in the order of the dense ids.

    First order: title, genres, people, sequels, counts of awards; what the graph lacks is written
    "missing". Second order: up to ``neighbours`` other items, sampled with ``seed``, of each
    named person, and of a cinematographer even without a name.

    Args:
        actors: at most so many named actors, those with the most films first.
    """
    titles = display_titles(dataset)
    rng = np.random.default_rng(seed)
    title_of = {
        entity: titles[item]
        for item, entity in dataset.items.select("item", "entity").drop_nulls().iter_rows()
    }
    texts = []
    for item, genres in enumerate(dataset.items["genres"].to_list()):
        lines = [f"{titles[item]}", f"genres: {', '.join(genres) or MISSING}"]
        seen: set[str] = set()
        shared = []
        for relation, role in PEOPLE.items():
            people = graph.tails.get(relation, {}).get(item, [])
            if relation == "film.film.actor":
                by_films = sorted(people, key=lambda e: (-len(graph.items[relation][e]), e))
                people = [entity for entity in by_films if entity in names][:actors]
            told = [names[entity] for entity in people if entity in names]
            lines.append(f"{role}: {', '.join(told) or MISSING}")
            for entity in people:
                if entity in seen or not (entity in names or role == "cinematographer"):
                    continue
                seen.add(entity)
                others = [o for o in graph.items[relation][entity] if titles[o] != titles[item]]
                if others:
                    drawn = sorted(rng.permutation(others)[:neighbours].tolist())
                    label = f"{role} {names[entity]}" if entity in names else f"same {role}"
                    shared.append(f"{label}: {', '.join(titles[o] for o in drawn)}")
        for relation, words in SEQUELS.items():
            parts = [title_of.get(e) for e in graph.tails.get(relation, {}).get(item, [])]
            lines += [f"{words}: {title}" for title in parts if title]
        for relation, words in AWARDS.items():
            count = len(graph.tails.get(relation, {}).get(item, []))
            lines += [f"{words}: {count}"] if count else []
        texts.append("\n".join([*lines, *(f"shares {link}" for link in shared)]))
    return texts


def _sorted(index: Mapping) -> dict:
    return {r: {key: sorted(values) for key, values in m.items()} for r, m in index.items()}


def _best(likeness: Mapping[tuple[str, str], float], side: int) -> dict[str, str]:
    """For each entity (side 0) or name (side 1) its closest match; ties go to the smaller one."""
    best: dict[str, str] = {}
    for pair, _ in sorted(likeness.items(), key=lambda entry: (-entry[1], entry[0])):
        best.setdefault(pair[side], pair[1 - side])
    return best
