"""DBpedia's graph for MovieLens-1M: entities, triples, readable names."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmers_utils import paths
from llmers_utils.data import DataError, Dataset
from llmers_utils.data.dbpedia import add_dbpedia, dbpedia_folder, readable_name
from llmers_utils.data.movielens import load_grouplens_1m, load_order_only_1m

from .support import write_files

ML_1M = {
    "ratings.dat": "1::20::5::100\n1::3::4::100\n2::3::1::50\n",
    "movies.dat": "3::Café Noir (1995)::Drama|War\n20::Alone (2000)::Comedy\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}
R = "http://dbpedia.org/resource/"
GRAPH = {
    "mappings.tsv": f"20\tAlone (2000)\t{R}Alone\n77\tUnrated (1990)\t{R}Unrated",
    "director.edgelist": f"{R}Alone {R}Jane_Doe_(director)\n",
    "starring.edgelist": f"{R}Alone {R}George_%22Buck%22_Flower\n{R}Alone http://imdb.com/nm1/\n",
}


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    write_files(tmp_path / "ml", ML_1M)
    return load_grouplens_1m(tmp_path / "ml")


def test_triples_entities_and_names(small: Dataset, tmp_path: Path) -> None:
    write_files(tmp_path / "graph", GRAPH)
    dataset, names = add_dbpedia(small, tmp_path / "graph")
    assert dataset.items["entity"].to_list() == [None, f"{R}Alone"]
    assert dataset.triples.columns == ["head", "relation", "tail"]
    assert sorted(dataset.triples["relation"]) == [
        "film.film.actor", "film.film.actor", "film.film.directed_by",
    ]  # fmt: skip
    assert names == {
        f"{R}Jane_Doe_(director)": "Jane Doe",
        f"{R}George_%22Buck%22_Flower": 'George "Buck" Flower',
    }
    assert dataset.fingerprint == small.fingerprint
    assert small.triples is None


def test_the_graph_can_be_put_into_words(small: Dataset, tmp_path: Path) -> None:
    from llmers_utils.language import item_graph, subgraph_texts

    write_files(tmp_path / "graph", GRAPH)
    dataset, names = add_dbpedia(small, tmp_path / "graph")
    texts = subgraph_texts(dataset, item_graph(dataset), names)
    assert "director: Jane Doe\n" in texts[1]
    assert 'actor: George "Buck" Flower' in texts[1]
    assert "director: missing" in texts[0]


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        (f"{R}Paul_Jones_(film_producer)", "Paul Jones"),
        (f"{R}What_About_Bob%3F", "What About Bob?"),
        (f"{R}Warner_Bros.", "Warner Bros."),
        ("http://www.imdb.com/name/nm0416933/", None),
        (R, None),
    ],
)
def test_readable_names(entity: str, name: str | None) -> None:
    assert readable_name(entity) == name


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("mappings.tsv", f"20\tAlone\t{R}A\n20\tAlone\t{R}B\n", r"mappings\.tsv, line 2: raw_item"),
        ("mappings.tsv", f"20\t{R}A\n", r"mappings\.tsv, line 1: 2 fields; needed are 3"),
        ("director.edgelist", f"{R}A {R}B C\n", r"director\.edgelist, line 1: 3 fields"),
    ],
)
def test_bad_input_is_named(
    small: Dataset, tmp_path: Path, file: str, text: str, message: str
) -> None:
    write_files(tmp_path / "graph", GRAPH | {file: text})
    with pytest.raises(DataError, match=message):
        add_dbpedia(small, tmp_path / "graph")


def test_no_edge_list_at_all_is_named(small: Dataset, tmp_path: Path) -> None:
    write_files(tmp_path / "graph", {"mappings.tsv": GRAPH["mappings.tsv"]})
    with pytest.raises(DataError, match="no edge list; needed is one of director"):
        add_dbpedia(small, tmp_path / "graph")


def test_the_readers_own_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    write_files(shared / "kg-movielens1m" / "ml1m_dbpedia", GRAPH)
    own.mkdir()
    monkeypatch.delenv("LLMERS_SHARED", raising=False)
    monkeypatch.delenv("LLMERS_DATA", raising=False)
    assert dbpedia_folder() is None
    monkeypatch.setenv("LLMERS_DATA", str(own))
    monkeypatch.setenv("LLMERS_SHARED", str(shared))
    assert dbpedia_folder() == shared / "kg-movielens1m" / "ml1m_dbpedia"
    write_files(own / "ml1m_dbpedia", GRAPH)
    assert dbpedia_folder() == own / "ml1m_dbpedia"


def test_the_shared_graph_has_its_known_size() -> None:
    shared = paths.shared_dir()
    if shared is None or not (shared / "kg-movielens1m").is_dir():
        pytest.skip("LLMERS_SHARED with kg-movielens1m is not set")
    films = load_order_only_1m(shared / "ml-1m")
    dataset, names = add_dbpedia(films, shared / "kg-movielens1m" / "ml1m_dbpedia")
    assert dataset.triples.height == 34_941
    assert dataset.items["entity"].is_not_null().sum() == 3059
    blazing = dataset.triples.filter(head=f"{R}Blazing_Saddles", relation="film.film.directed_by")
    assert [names[entity] for entity in blazing["tail"]] == ["Mel Brooks"]
