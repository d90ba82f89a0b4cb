"""The reader's own folder, good and bad."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from llmers_utils.data import DataError, display_titles, load_dataset

from .support import write_files

FILES = {
    "interactions.csv": "user,item,rating,timestamp\nann,x,5,30\nann,y,1.5,10\nbob,x,3,20\n",
    "items.csv": 'item,title,year,genres,entity\nx,"Tea, or\nnot",1999,Drama|War,e1\ny,Plain,,,\n',
    "users.csv": "user,age,gender,occupation\nann,30,F,baker\nbob,41,M,smith\n",
    "triples.csv": "head,relation,tail\ne1,made_by,e2\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(tmp_path / "mine", FILES)
    return tmp_path / "mine"


def test_csv_folder(folder: Path) -> None:
    dataset = load_dataset(str(folder))
    assert dataset.name == "mine"
    assert dataset.interactions.rows() == [(0, 1, 1.5, 10), (0, 0, 5.0, 30), (1, 0, 3.0, 20)]
    assert dataset.items["title"].to_list() == ["Tea, or\nnot", "Plain"]
    assert dataset.items["year"].to_list() == [1999, None]
    assert dataset.items["genres"].to_list() == [["Drama", "War"], []]
    assert dataset.items["entity"].to_list() == ["e1", None]
    assert dataset.users["occupation"].to_list() == ["baker", "smith"]
    assert dataset.triples.rows() == [("e1", "made_by", "e2")]
    assert display_titles(dataset) == ["Tea, or\nnot (1999)", "Plain"]


def test_parquet_folder_equals_the_csv_folder(folder: Path, tmp_path: Path) -> None:
    typed = tmp_path / "typed" / "mine"
    typed.mkdir(parents=True)
    interactions = pl.read_csv(folder / "interactions.csv").with_columns(
        pl.from_epoch("timestamp", "s")
    )
    interactions.write_parquet(typed / "interactions.parquet")
    items = pl.read_csv(folder / "items.csv").with_columns(
        pl.col("year").cast(pl.Float64), pl.col("genres").str.split("|")
    )
    items.write_parquet(typed / "items.parquet")
    for name in ("users", "triples"):
        pl.read_csv(folder / f"{name}.csv").write_parquet(typed / f"{name}.parquet")
    one, other = load_dataset(str(folder)), load_dataset(str(typed))
    assert one.fingerprint == other.fingerprint
    assert_frame_equal(one.items, other.items)
    assert_frame_equal(one.users, other.users)


def test_smallest_folder(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {"interactions.csv": FILES["interactions.csv"], "items.csv": "item,title\nx,X\ny,Y\n"},
    )
    dataset = load_dataset(str(tmp_path))
    assert dataset.users.columns == ["user", "raw_user"]
    assert dataset.triples is None
    assert dataset.items["year"].to_list() == [None, None]
    assert dataset.items["genres"].to_list() == [[], []]


def test_excels_byte_order_mark_is_no_part_of_a_name(folder: Path) -> None:
    write_files(folder, {"interactions.csv": FILES["interactions.csv"]}, "utf-8-sig")
    assert load_dataset(str(folder)).interactions.height == 3


def test_rating_range_is_the_readers(folder: Path) -> None:
    interactions = FILES["interactions.csv"].replace("x,5,30", "x,10,30")
    write_files(folder, {"interactions.csv": interactions})
    with pytest.raises(DataError, match=r"line 2: rating 10 is out of range; allowed are 1 to 5"):
        load_dataset(str(folder))
    write_files(folder, {"dataset.json": '{"rating_range": [0, 10]}'})
    assert load_dataset(str(folder)).rating_range == (0.0, 10.0)


@pytest.mark.parametrize("text", ['{"rating_range": 10}', "{}", "[1", '{"rating_range": [5, 1]}'])
def test_bad_rating_range_is_named(folder: Path, text: str) -> None:
    write_files(folder, {"dataset.json": text})
    with pytest.raises(DataError, match=r"dataset\.json: .*use"):
        load_dataset(str(folder))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("interactions.csv", "rating", "stars",
         r"interactions\.csv, line 1: column 'rating' is missing; needed are user, item, rating, "
         r"timestamp; found user, item, stars, timestamp"),
        ("items.csv", "title", "name", r"items\.csv, line 1: column 'title' is missing"),
        ("users.csv", "user,", "person,", r"users\.csv, line 1: column 'user' is missing"),
        ("triples.csv", "tail", "object", r"triples\.csv, line 1: column 'tail' is missing"),
        ("interactions.csv", "ann,y", "ann,z",
         r"interactions\.csv, line 3: unknown item 'z'; allowed are the 2 of items\.csv"),
        ("interactions.csv", "bob,x", "eve,x",
         r"interactions\.csv, line 4: unknown user 'eve'; allowed are the 2 of users\.csv"),
        ("interactions.csv", "1.5", "0.5",
         r"interactions\.csv, line 3: rating 0\.5 is out of range; allowed are 1 to 5"),
        ("interactions.csv", "1.5", "good",
         r"interactions\.csv, line 3: rating 'good' is not allowed; use a number from 1 to 5"),
        ("interactions.csv", "1.5", "",
         r"interactions\.csv, line 3: rating None is not allowed; use a number from 1 to 5"),
        ("interactions.csv", "1.5,10", "1.5,2020-01-01",
         r"interactions\.csv, line 3: timestamp '2020-01-01' is not allowed; use whole seconds"),
        ("interactions.csv", "1.5,10", "1.5,1e300",
         r"interactions\.csv, line 3: timestamp '1e300' is not allowed"),
        ("interactions.csv", "ann,y", "ann,x",
         r"interactions\.csv, line 3: user 'ann' and item 'x' were given at line 2 already; "
         r"allowed is one row a pair"),
        ("interactions.csv", "ann,y", ",y",
         r"interactions\.csv, line 3: user is empty; every row needs one"),
        ("items.csv", "y,Plain", "x,Plain",
         r"items\.csv, line 4: item 'x' is given twice; allowed is one row each"),
        ("items.csv", "y,Plain,,,", "y,Plain,soon,,",
         r"items\.csv, line 4: year 'soon' is not allowed; use four digits or leave it empty"),
        ("users.csv", "bob", "ann", r"users\.csv, line 3: user 'ann' is given twice"),
        ("interactions.csv", "1.5,10", "1.5,10,9",
         r"interactions\.csv, line 3: 5 fields, the first too many is '9'; every line may have 4"),
    ],
)  # fmt: skip
def test_bad_input_is_named(folder: Path, file: str, old: str, new: str, message: str) -> None:
    assert old in FILES[file]
    write_files(folder, {file: FILES[file].replace(old, new, 1)})
    with pytest.raises(DataError, match=message):
        load_dataset(str(folder))


def test_blank_lines_do_not_move_the_line_numbers(folder: Path) -> None:
    text = FILES["interactions.csv"].replace("\nann,x", "\n\n\nann,x").replace("bob,x,3", "bob,x,9")
    write_files(folder, {"interactions.csv": text})
    with pytest.raises(DataError, match=r"interactions\.csv, line 6: rating 9"):
        load_dataset(str(folder))


def test_wrong_encoding_is_named(folder: Path) -> None:
    text = FILES["items.csv"].replace("Plain", "Café")
    write_files(folder, {"items.csv": text}, "latin-1")
    with pytest.raises(DataError, match=r"items\.csv, line 4: byte 0xe9 is not UTF-8; save the"):
        load_dataset(str(folder))


@pytest.mark.parametrize("text", ["", "user,item,rating,timestamp\n", "\n\n"])
def test_empty_file_is_named(folder: Path, text: str) -> None:
    write_files(folder, {"interactions.csv": text})
    with pytest.raises(DataError, match=r"interactions\.csv, line 1: the file is empty"):
        load_dataset(str(folder))


def test_missing_file_is_named(folder: Path) -> None:
    (folder / "items.csv").unlink()
    with pytest.raises(DataError, match=r"neither items\.parquet nor items\.csv is there"):
        load_dataset(str(folder))


def test_bad_row_of_parquet_is_named(folder: Path) -> None:
    frame = pl.read_csv(folder / "interactions.csv").with_columns(rating=pl.Series([5, 7, 3]))
    frame.write_parquet(folder / "interactions.parquet")
    with pytest.raises(DataError, match=r"interactions\.parquet, row 2: rating 7 is out of range"):
        load_dataset(str(folder))


@pytest.mark.parametrize("kept", [0, 50])
def test_truncated_parquet_is_named(folder: Path, kept: int) -> None:
    path = folder / "interactions.parquet"
    pl.read_csv(folder / "interactions.csv").write_parquet(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"interactions\.parquet: not a complete parquet file"):
        load_dataset(str(folder))
