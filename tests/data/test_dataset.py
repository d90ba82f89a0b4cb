"""The canonical frames, on small data and on MovieLens-100K."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from llmers_utils.data import DataError, Dataset, display_titles, load_dataset
from llmers_utils.data.dataset import RawData, build_dataset
from llmers_utils.data.reading import Table

from .support import toy_dataset


def test_movielens_100k_has_its_published_size(ml_100k: Dataset) -> None:
    assert (ml_100k.n_users, ml_100k.n_items) == (943, 1682)
    assert ml_100k.interactions.height == 100_000
    assert ml_100k.rating_range == (1.0, 5.0)
    assert not ml_100k.order_only
    assert ml_100k.triples is None or ml_100k.triples.height == 91_631


def test_columns_and_types_are_the_promised_ones(ml_100k: Dataset) -> None:
    assert dict(ml_100k.interactions.schema) == {
        "user": pl.Int32,
        "item": pl.Int32,
        "rating": pl.Float32,
        "timestamp": pl.Int64,
    }
    items = dict(ml_100k.items.schema)
    assert items.pop("entity", pl.String) == pl.String
    assert items == {
        "item": pl.Int32,
        "raw_item": pl.String,
        "title": pl.String,
        "release": pl.String,
        "year": pl.Int32,
        "genres": pl.List(pl.String),
    }
    assert dict(ml_100k.users.schema) == {
        "user": pl.Int32,
        "raw_user": pl.String,
        "age": pl.Int32,
        "gender": pl.String,
        "occupation": pl.String,
    }


def test_ids_are_dense_and_rows_stand_at_their_id(ml_100k: Dataset) -> None:
    assert ml_100k.items["item"].to_list() == list(range(1682))
    assert ml_100k.users["user"].to_list() == list(range(943))
    assert ml_100k.items["raw_item"].cast(pl.Int32).to_list() == list(range(1, 1683))


def test_interactions_are_sorted_by_user_time_and_raw_item_as_a_number(ml_100k: Dataset) -> None:
    keys = list(ml_100k.interactions.select("user", "timestamp", "item").iter_rows())
    assert keys == sorted(keys)
    # In the first user's first second of two ratings, 168 stands before 172.
    first = ml_100k.interactions["item"].head(2).to_list()
    assert ml_100k.items["raw_item"][first].to_list() == ["168", "172"]


def test_display_titles_have_the_year_in_brackets(ml_100k: Dataset) -> None:
    titles = display_titles(ml_100k)
    assert len(titles) == 1682
    assert titles[0] == "Toy Story (1995)"
    assert titles[1411] == "Land Before Time III: The Time of the Great Giving (1995) (V)"
    assert ml_100k.items["title"][0] == "Toy Story"
    assert ml_100k.items["year"].null_count() == 2


def test_entities_lead_into_the_triples(ml_100k: Dataset) -> None:
    if ml_100k.triples is None:
        pytest.skip("this copy of ml-100k has no triples")
    entities = ml_100k.items["entity"].drop_nulls()
    assert len(entities) == 1530
    known = pl.concat([ml_100k.triples["head"], ml_100k.triples["tail"]]).unique()
    assert entities.is_in(known.implode()).mean() > 0.99


def test_ids_that_are_not_all_numbers_are_sorted_as_strings(tmp_path: Path) -> None:
    numbers = {"10": [("9", 5, 1), ("10", 5, 2)], "9": [("9", 5, 1)]}
    dataset = toy_dataset(tmp_path / "numbers", numbers)
    assert dataset.users["raw_user"].to_list() == ["9", "10"]
    assert dataset.items["raw_item"].to_list() == ["9", "10"]
    mixed = toy_dataset(tmp_path / "mixed", {"10": [("9", 5, 1), ("b", 5, 2), ("10", 5, 3)]})
    assert mixed.items["raw_item"].to_list() == ["10", "9", "b"]


def test_fingerprint_follows_the_content_and_not_the_order_of_the_rows(tmp_path: Path) -> None:
    one = toy_dataset(tmp_path / "one", {"1": [("a", 5, 1), ("b", 4, 2)], "2": [("a", 3, 1)]})
    same = toy_dataset(tmp_path / "same", {"2": [("a", 3, 1)], "1": [("b", 4, 2), ("a", 5, 1)]})
    assert one.fingerprint == same.fingerprint
    for change in ({"1": [("a", 4, 1)]}, {"1": [("a", 5, 2)]}, {"2": [("a", 5, 1)]}):
        other = toy_dataset(tmp_path / str(change), {"1": [("a", 5, 1)]} | change)
        assert other.fingerprint != one.fingerprint
    titles = tmp_path / "same" / "items.csv"
    titles.write_text(titles.read_text().replace("Film a", "Film A"))
    assert load_dataset(str(tmp_path / "same")).fingerprint != one.fingerprint


def test_unknown_name_lists_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"'ml-100': allowed are ml-100k, ml-1m, .* or the path"):
        load_dataset("ml-100")


def test_import_stays_light() -> None:
    code = (
        "import sys, llmers_utils.data\n"
        "print([m for m in ('torch', 'sklearn', 'huggingface_hub', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pair_may_stand_twice_only_where_items_repeat(tmp_path: Path) -> None:
    sequences = {"1": [("9", 5, 1), ("9", 5, 2)]}
    with pytest.raises(DataError, match="one row a pair"):
        toy_dataset(tmp_path, sequences)
    interactions = pl.DataFrame(
        {
            "raw_user": ["1", "1"],
            "raw_item": ["9", "9"],
            "rating": [5.0, 5.0],
            "timestamp": [1, 2],
        }
    )
    items = pl.DataFrame(
        {"raw_item": ["9"], "title": ["x"], "release": ["1990"], "genres": [["y"]]}
    )
    table = Table(tmp_path / "log.parquet", interactions)
    source = RawData(table, interactions, items, "items", repeats=True)
    assert build_dataset("log", source).interactions["item"].to_list() == [0, 0]
