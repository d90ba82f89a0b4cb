"""The tutorial's requests, built from the reader's own data.

Each function rebuilds, character by character, what the model was shown when the shipped answers
were recorded, so that the sha256 of the input proves that an answer belongs to the reader's data.
User tasks see a training view only: ``user_preference``, ``reasoning_chains``, ``chain_fills``
and ``candidate_ranking`` were recorded under ``leave_last_out``, ``user_preference_early`` under
``prefix``. Two tasks depend on earlier answers: ``chain_fills`` on the recorded chains and the
recorded places of the masks, ``candidate_ranking`` on its candidates, which are the ids of the
recorded ranking.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from llmers_utils.data import Dataset, Split, display_titles
from llmers_utils.language.knowledge_graph import entity_names, item_graph, subgraph_texts
from llmers_utils.language.prompts import load_template
from llmers_utils.language.responses import Request, ResponseStore, sha256
from llmers_utils.language.schemas import CandidateRanking, Chain, ReasoningChains
from llmers_utils.paths import DATA


def item_knowledge(dataset: Dataset) -> list[Request]:
    """One request an item, in the order of dense ids: "title | year | genres"."""
    columns = ("raw_item", "title", "release", "genres")
    return [
        request_for("item_knowledge", raw, f"{title} | {release or 'unknown'} | {' '.join(genres)}")
        for raw, title, release, genres in dataset.items.select(columns).iter_rows()
    ]


def user_preference(split: Split) -> list[Request]:
    """One request a user: the latest 40 films of the training view with ratings."""

    def shown(view: pl.DataFrame, titles: Sequence[str]) -> str:
        latest = view.tail(40)
        head = f"{len(view)} ratings in all, the latest {len(latest)} shown, oldest first"
        return f"{head}\n{_rated(latest, titles)}"

    return _for_users("user_preference", split, shown)


def user_preference_early(split: Split) -> list[Request]:
    """One request a user: all films of the training view (the prefix) with ratings."""

    def shown(view: pl.DataFrame, titles: Sequence[str]) -> str:
        return f"the first {len(view)} ratings, oldest first\n{_rated(view, titles)}"

    return _for_users("user_preference_early", split, shown)


def reasoning_chains(split: Split) -> list[Request]:
    """One request a user: the latest 10 films of the training view with ids and ratings."""

    def shown(view: pl.DataFrame, titles: Sequence[str]) -> str:
        return _rated(view.tail(10), titles, with_ids=True)

    return _for_users("reasoning_chains", split, shown)


def candidate_ranking(
    split: Split, candidates: Mapping[str, Sequence[str]] | None = None
) -> list[Request]:
    """One request a user: the latest 15 films, and candidates to rank.

    ``candidates``: raw item ids by raw user id; by default those of the recorded answers. Users
    without candidates get no request.
    """
    if candidates is None:
        candidates = recorded_candidates(split.dataset.name)
    raw_items = split.dataset.items["raw_item"].to_list()
    title_of = dict(zip(raw_items, display_titles(split.dataset), strict=True))
    requests = []
    for entity, view, titles in _views(split):
        if entity in candidates:
            listed = sorted(candidates[entity], key=raw_items.index)
            lines = "; ".join(f"[{raw}] {title_of[raw]}" for raw in listed)
            text = f"HISTORY: {_rated(view.tail(15), titles)}\nCANDIDATES: {lines}"
            requests.append(request_for("candidate_ranking", entity, text))
    return requests


def chain_fills(
    dataset: Dataset,
    chains: Mapping[str, ReasoningChains] | None = None,
    masks: Mapping[str, Sequence[int]] | None = None,
) -> list[Request]:
    """One request a user: their chains, each with one node masked.

    ``chains``: by raw user id; ``masks``: the index of the hidden node of each chain. By default
    both are the recorded ones. The node at that index is the truth that a fill is compared with.
    """
    if chains is None:
        store = _recorded(dataset.name)
        chains = {row.entity: row.parsed() for row in store.rows("reasoning_chains")}
    masks = recorded_masks(dataset.name) if masks is None else masks
    raw_items = dataset.items["raw_item"].to_list()
    title_of = dict(zip(raw_items, display_titles(dataset), strict=True))
    return [
        request_for(
            "chain_fills",
            entity,
            " || ".join(
                _masked(chain, hidden, title_of)
                for chain, hidden in zip(chains[entity].chains, masks[entity], strict=True)
            ),
        )
        for entity in chains
        if entity in masks
    ]


def item_comprehension(dataset: Dataset) -> list[Request]:
    """One request an item, in the order of dense ids: its subgraph of the knowledge graph in words.

    The entities are named by the recorded ``item_knowledge``.
    """
    rows = {row.entity: row for row in _recorded(dataset.name).rows("item_knowledge")}
    raw_items = dataset.items["raw_item"].to_list()
    known = {item: rows[raw].parsed() for item, raw in enumerate(raw_items) if raw in rows}
    graph = item_graph(dataset)
    texts = subgraph_texts(dataset, graph, entity_names(graph, known))
    return [
        request_for("item_comprehension", raw, text)
        for raw, text in zip(raw_items, texts, strict=True)
    ]


def recorded_candidates(dataset_name: str) -> dict[str, list[str]]:
    """The candidates of each user (raw ids), as the recorded rankings name them."""
    answers = ((r.entity, r.parsed()) for r in _recorded(dataset_name).rows("candidate_ranking"))
    return {
        entity: answer.ranking for entity, answer in answers if isinstance(answer, CandidateRanking)
    }


def recorded_masks(dataset_name: str) -> dict[str, list[int]]:
    """For each user the index of the hidden node of each recorded chain."""
    path = _recorded(dataset_name).folder / "chain_masks.json"
    return json.loads(path.read_text(encoding="utf-8"))


TASKS: dict[str, Callable[..., list[Request]]] = {
    task.__name__: task
    for task in (
        item_knowledge,
        item_comprehension,
        user_preference,
        user_preference_early,
        reasoning_chains,
        candidate_ranking,
        chain_fills,
    )
}


def _recorded(dataset_name: str) -> ResponseStore:
    return ResponseStore(DATA / "llm_responses" / Path(dataset_name).name)


def request_for(task: str, entity: str, text: str) -> Request:
    """The request of one entity: the task's template with ``text`` in its gap ``input``."""
    template = load_template(task)
    return Request(
        task=task,
        template_version=template.version,
        entity=entity,
        messages=template.render(input=text),
        schema=template.schema,
        max_tokens=template.max_tokens,
        input_sha256=sha256(text),
    )


def _views(split: Split) -> Iterator[tuple[str, pl.DataFrame, list[str]]]:
    """Raw id, training view and display titles (by dense id) of each user with a history."""
    titles = display_titles(split.dataset)
    for user, raw in enumerate(split.dataset.users["raw_user"]):
        view = split.training_view(user)
        if len(view):
            yield raw, view, titles


def _for_users(
    task: str, split: Split, shown: Callable[[pl.DataFrame, Sequence[str]], str]
) -> list[Request]:
    return [request_for(task, raw, shown(view, titles)) for raw, view, titles in _views(split)]


def _rated(view: pl.DataFrame, titles: Sequence[str], *, with_ids: bool = False) -> str:
    """ "Toy Story (1995) 5; Heat (1995) 4", or with "[id] " before each title."""
    rows = view.select("item", "raw_item", "rating").iter_rows()
    return "; ".join(
        f"{f'[{raw}] ' if with_ids else ''}{titles[item]} {rating:g}" for item, raw, rating in rows
    )


def _masked(chain: Chain, hidden: int, title_of: Mapping[str, str]) -> str:
    nodes = [
        f"film: {title_of[node.removeprefix('item:')]}" if node.startswith("item:") else node
        for node in chain.nodes
    ]
    nodes[hidden] = f"[MASK: a {nodes[hidden].split(':')[0]}]"
    return " -> ".join(nodes)
