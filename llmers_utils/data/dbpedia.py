"""DBpedia's facts about the films of MovieLens-1M, with names.

Source: the files of Palumbo, Rizzo and Troncy, "entity2rec: Learning User-Item Relatedness from
Knowledge Graphs for Top-N Item Recommendation", RecSys 2017. DBpedia: CC BY-SA 3.0.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from llmers_utils import paths
from llmers_utils.data.dataset import Dataset
from llmers_utils.data.reading import DataError, read_text

MAPPINGS = "mappings.tsv"
# Relations that Freebase has too keep its names, so that both graphs are put into words alike.
RELATIONS: Mapping[str, str] = {
    "director": "film.film.directed_by",
    "writer": "film.film.written_by",
    "producer": "film.film.produced_by",
    "cinematography": "film.film.cinematography",
    "starring": "film.film.actor",
    "editing": "dbo:editing",
    "musicComposer": "dbo:musicComposer",
    "distributor": "dbo:distributor",
}
RESOURCE = "http://dbpedia.org/resource/"
_DISAMBIGUATION = re.compile(r"\s*\([^()]*\)$")


def dbpedia_folder() -> Path | None:
    """Where the files lie, or None.

    Looked for in ``LLMERS_DATA``/ml1m_dbpedia, then ``LLMERS_SHARED``/kg-movielens1m/ml1m_dbpedia.
    """
    local, shared = paths.local_data_dir(), paths.shared_dir()
    places = [local / "ml1m_dbpedia"] if local is not None else []
    places += [shared / "kg-movielens1m" / "ml1m_dbpedia"] if shared is not None else []
    return next((place for place in places if (place / MAPPINGS).is_file()), None)


def add_dbpedia(dataset: Dataset, folder: Path) -> tuple[Dataset, dict[str, str]]:
    """Give MovieLens-1M the graph of ``folder``: ``triples``, ``entity``, and names.

    Args:
        dataset: its raw item ids are those of MovieLens-1M.
        folder: holds ``mappings.tsv`` (item id, title, entity) and, for each name in
            ``RELATIONS``, optionally ``<name>.edgelist`` (film, entity).

    Returns:
        The data set with its graph, and the name of each entity at the end of a triple.

    Raises:
        DataError: a file is wrong, an item has two entities, or there is no edge list at all.
    """
    table = read_text(
        folder / MAPPINGS,
        separator="\t",
        columns=["raw_item", "title", "entity"],
        quoting=csv.QUOTE_NONE,
    )
    entities = pl.DataFrame({"raw_item": table.ids("raw_item"), "entity": table.filled("entity")})
    triples = [
        _edges(path).select("head", pl.lit(relation).alias("relation"), "tail")
        for name, relation in RELATIONS.items()
        if (path := folder / f"{name}.edgelist").is_file()
    ]
    if not triples:
        raise DataError(f"{folder}: no edge list; needed is one of {', '.join(RELATIONS)}.edgelist")
    graph = pl.concat(triples)
    items = dataset.items.drop("entity", strict=False)
    items = items.join(entities, on="raw_item", how="left", maintain_order="left")
    names = {entity: name for entity in graph["tail"].unique() if (name := readable_name(entity))}
    return dataclasses.replace(dataset, items=items, triples=graph), names


def readable_name(entity: str) -> str | None:
    """ "http://dbpedia.org/resource/Paul_Jones_(film_producer)" as "Paul Jones".

    None for an address outside DBpedia, which says nothing.
    """
    if not entity.startswith(RESOURCE):
        return None
    words = unquote(entity.removeprefix(RESOURCE)).replace("_", " ").strip()
    return _DISAMBIGUATION.sub("", words) or None


def _edges(path: Path) -> pl.DataFrame:
    table = read_text(path, separator=" ", columns=["head", "tail"], quoting=csv.QUOTE_NONE)
    return pl.DataFrame({"head": table.filled("head"), "tail": table.filled("tail")})
