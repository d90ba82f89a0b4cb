"""The corrected links from MovieLens-100K to Freebase."""

import re
import unicodedata

import polars as pl
import pytest

from llmers_utils import paths
from llmers_utils.data import Dataset
from llmers_utils.data.movielens import ENTITY_LINKS_100K


def links() -> dict[str, str]:
    return dict(pl.read_csv(ENTITY_LINKS_100K, infer_schema=False).iter_rows())


def test_films_of_one_director_share_their_director(ml_100k: Dataset):
    if ml_100k.triples is None:
        pytest.skip("this copy of ml-100k has no triples")
    spielberg = ml_100k.triples.filter(
        (pl.col("relation") == "film.film.directed_by") & (pl.col("tail") == "m.06pj8")
    )
    films = ml_100k.items.filter(pl.col("entity").is_in(spielberg["head"].implode()))
    assert {"Jaws", "Schindler's List", "Jurassic Park"} <= set(films["title"])
    assert len(films) == 7


def test_links_agree_with_the_titles_of_movielens_1m(ml_100k: Dataset):
    """Freebase's links were published by the ids of MovieLens-1M: the same title, year ± 1."""
    shared = paths.shared_dir()
    published = paths.cache_dir() / "assets/ml-100k/wheel/ml-100k.link"
    if shared is None or not published.is_file():
        pytest.skip("needs MovieLens-1M in LLMERS_SHARED and RecBole's ml-100k.link")
    rows = pl.read_csv(published, separator="\t", new_columns=["id", "entity"], infer_schema=False)
    title_1m = {}
    for line in (shared / "ml-1m" / "movies.dat").read_text("latin-1").splitlines():
        raw, title, _ = line.split("::")
        title_1m[raw] = (plain(title[:-6]), int(title[-5:-1]))
    entity_of = {entity: title_1m[raw] for raw, entity in rows.iter_rows()}
    described = {
        raw: (title, year)
        for raw, title, year in ml_100k.items.select("raw_item", "title", "year").iter_rows()
    }
    for raw, entity in links().items():
        title, year = described[raw]
        name, its_year = entity_of[entity]
        assert abs(year - its_year) <= 1, (title, name)
        assert plain(title) & name, (title, name)


def plain(title: str) -> set[str]:
    """The words of a title without accents, case and articles."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return set(re.findall(r"[a-z0-9]+", letters)) - {"the", "a", "an", "la", "le", "il", "el"}
