"""The graph around items: index, names found by joining, texts."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from llmers_utils.data import Dataset
from llmers_utils.language import open_client
from llmers_utils.language.knowledge_graph import entity_names, item_graph, subgraph_texts
from llmers_utils.language.schemas import ItemKnowledge
from llmers_utils.language.tasks import item_knowledge

DIRECTED, ACTED = "film.film.directed_by", "film.film.actor"
SHOT, SEQUEL, PREQUEL = "film.film.cinematography", "film.film.sequel", "film.film.prequel"
AWARD = "film.film.award_won"
TRIPLES = [
    ("f0", DIRECTED, "spielberg"),
    ("f1", DIRECTED, "spielberg"),
    ("f2", DIRECTED, "mann"),
    ("f0", ACTED, "ford"),
    ("f1", ACTED, "ford"),
    ("f0", ACTED, "extra"),
    ("f2", ACTED, "once"),
    ("f0", SHOT, "camera"),
    ("f3", SHOT, "camera"),
    ("f0", SEQUEL, "f1"),
    ("f1", PREQUEL, "f0"),
    ("f0", AWARD, "oscar"),
    ("f0", AWARD, "globe"),
    ("elsewhere", DIRECTED, "spielberg"),
    ("spielberg", "film.director.film", "f0"),
]


def make_dataset(triples: list[tuple[str, str, str]] = TRIPLES, n_items: int = 5) -> Dataset:
    """Films 0 to 4; the last one is not linked."""
    items = pl.DataFrame(
        {
            "item": pl.Series(range(n_items), dtype=pl.Int32),
            "raw_item": [str(i + 1) for i in range(n_items)],
            "title": [f"Film {'ABCDE'[i]}" for i in range(n_items)],
            "release": [str(1990 + i) for i in range(n_items)],
            "year": pl.Series([1990 + i for i in range(n_items)], dtype=pl.Int32),
            "genres": [["Drama", "War"], ["Drama"], ["Crime"], ["Comedy"], []],
            "entity": ["f0", "f1", "f2", "f3", None],
        }
    )
    empty = pl.DataFrame(
        schema={"user": pl.Int32, "item": pl.Int32, "rating": pl.Float32, "timestamp": pl.Int64}
    )
    users = pl.DataFrame({"user": pl.Series([0], dtype=pl.Int32), "raw_user": ["1"]})
    graph = pl.DataFrame(triples, schema=["head", "relation", "tail"], orient="row")
    return Dataset("toy", empty, items, users, graph, (1.0, 5.0), "toy")


def told(director: str | None, *cast: str) -> ItemKnowledge:
    return ItemKnowledge(
        known=True,
        director=director,
        cast=list(cast),
        countries=[],
        language=None,
        themes=[],
        tone=[],
        setting=None,
        audience="anybody",
        tags=[],
        similar=[],
        description="A film of which a language model knows something.",
    )


KNOWN = {
    0: told("Steven Spielberg", "Harrison Ford"),
    1: told("Steven Spielberg", "Harrison Ford"),
    2: told("Michael Mann", "Al Pacino"),
    3: told("Ridley Scott"),
    4: told("Steven Spielberg"),
}


def test_only_triples_with_an_item_as_head_are_kept() -> None:
    graph = item_graph(make_dataset())
    assert graph.tails[DIRECTED] == {0: ["spielberg"], 1: ["spielberg"], 2: ["mann"]}
    assert graph.items[DIRECTED] == {"spielberg": [0, 1], "mann": [2]}
    assert graph.tails[ACTED][0] == ["extra", "ford"]
    assert "film.director.film" not in graph.tails


def test_films_listed_twice_share_their_facts() -> None:
    dataset = make_dataset()
    twice = dataset.items.with_columns(entity=pl.col("entity").replace("f3", "f0"))
    graph = item_graph(dataclasses.replace(dataset, items=twice))
    assert graph.items[DIRECTED]["spielberg"] == [0, 1, 3]
    assert graph.tails[ACTED][3] == graph.tails[ACTED][0]


def test_a_triple_given_twice_counts_once() -> None:
    assert item_graph(make_dataset(TRIPLES + TRIPLES)) == item_graph(make_dataset())


@pytest.mark.parametrize("lacking", ["triples", "entity"])
def test_a_data_set_without_a_graph_is_refused(lacking: str) -> None:
    dataset = make_dataset()
    if lacking == "triples":
        dataset = dataclasses.replace(dataset, triples=None)
    else:
        dataset = dataclasses.replace(dataset, items=dataset.items.drop("entity"))
    with pytest.raises(ValueError, match="toy has no knowledge graph"):
        item_graph(dataset)


def test_names_are_joined_by_the_films_they_share() -> None:
    names = entity_names(item_graph(make_dataset()), KNOWN)
    # An unlinked film (4) does not count against Spielberg.
    assert names["spielberg"] == "Steven Spielberg"
    assert names["mann"] == "Michael Mann"
    assert names["ford"] == "Harrison Ford"


def test_one_film_names_a_director_but_no_actor() -> None:
    names = entity_names(item_graph(make_dataset()), KNOWN)
    assert "once" not in names  # in one film, which has one named actor
    assert "extra" not in names


def test_a_name_belongs_to_one_entity() -> None:
    triples = [("f0", DIRECTED, "both"), ("f1", DIRECTED, "both"), ("f0", DIRECTED, "assistant")]
    names = entity_names(item_graph(make_dataset(triples)), KNOWN)
    assert names == {"both": "Steven Spielberg"}


def test_too_little_in_common_is_no_match() -> None:
    triples = [(f"f{i}", DIRECTED, "prolific") for i in range(4)]
    known = {0: told("Steven Spielberg"), 1: told("A"), 2: told("B"), 3: told("C")}
    assert entity_names(item_graph(make_dataset(triples)), known) == {}


def test_texts_say_what_is_there_and_what_is_missing() -> None:
    dataset = make_dataset()
    graph = item_graph(dataset)
    first, second, _, fourth, last = subgraph_texts(dataset, graph, entity_names(graph, KNOWN))
    assert first.splitlines() == [
        "Film A (1990)",
        "genres: Drama, War",
        "director: Steven Spielberg",
        "writer: missing",
        "producer: missing",
        "cinematographer: missing",
        "actor: Harrison Ford",
        "is followed by: Film B (1991)",
        "awards won: 2",
        "shares director Steven Spielberg: Film B (1991)",
        "shares same cinematographer: Film D (1993)",
        "shares actor Harrison Ford: Film B (1991)",
    ]
    assert "follows: Film A (1990)" in second
    assert "shares same cinematographer: Film A (1990)" in fourth
    assert last.splitlines()[1:3] == ["genres: missing", "director: missing"]
    assert "shares" not in last


def _hub(films: int) -> Dataset:
    dataset = make_dataset()
    items = pl.DataFrame(
        {
            "item": pl.Series(range(films), dtype=pl.Int32),
            "raw_item": [str(i) for i in range(films)],
            "title": [f"Film {i:02}" for i in range(films)],
            "release": ["1990"] * films,
            "year": pl.Series([1990] * films, dtype=pl.Int32),
            "genres": [["Drama"]] * films,
            "entity": [f"f{i}" for i in range(films)],
        }
    )
    triples = [(f"f{i}", DIRECTED, "hub") for i in range(films)]
    graph = pl.DataFrame(triples, schema=["head", "relation", "tail"], orient="row")
    return dataclasses.replace(dataset, items=items, triples=graph)


def test_the_second_order_is_a_sample_that_follows_its_seed() -> None:
    dataset = _hub(30)
    graph, names = item_graph(dataset), {"hub": "Jane Doe"}
    texts = subgraph_texts(dataset, graph, names, neighbours=3)
    assert texts == subgraph_texts(dataset, graph, names, neighbours=3)
    assert texts != subgraph_texts(dataset, graph, names, neighbours=3, seed=1)
    for item, text in enumerate(texts):
        shared = text.splitlines()[-1].removeprefix("shares director Jane Doe: ").split(", ")
        assert len(set(shared)) == 3
        assert f"Film {item:02} (1990)" not in shared


def test_at_most_so_many_actors_those_with_most_films_first() -> None:
    triples = [("f0", ACTED, f"a{i}") for i in range(5)] + [("f1", ACTED, "a4")]
    dataset = make_dataset(triples)
    names = {f"a{i}": f"Actor {i}" for i in range(5)}
    text = subgraph_texts(dataset, item_graph(dataset), names, actors=2)[0]
    assert "actor: Actor 4, Actor 0\n" in text


def test_the_recorded_knowledge_names_the_graph_of_movielens(ml_100k) -> None:
    answers = open_client("recorded", dataset="ml-100k").complete(item_knowledge(ml_100k))
    known = {item: answer.parsed() for item, answer in enumerate(answers)}
    graph = item_graph(ml_100k)
    names = entity_names(graph, known)
    titles = ml_100k.items["title"].to_list()
    (spielberg,) = [entity for entity, name in names.items() if name == "Steven Spielberg"]
    directed = {titles[item] for item in graph.items[DIRECTED][spielberg]}
    assert {"Jaws", "Schindler's List", "Jurassic Park"} <= directed
    assert not {"Gandhi", "North by Northwest"} & directed  # the wrong links gave him these
    agree = [
        known[item].director in [names.get(person) for person in people]
        for item, people in graph.tails[DIRECTED].items()
        if known[item].director and any(person in names for person in people)
    ]
    assert len(agree) > 1000
    assert sum(agree) / len(agree) > 0.95
