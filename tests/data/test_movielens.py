"""Every published form of MovieLens, and what is wrong in each gets a line."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from llmers_utils import paths
from llmers_utils.data import DataError, Dataset, fetch, global_time, load_dataset
from llmers_utils.data.movielens import (
    load_grouplens_1m,
    load_grouplens_100k,
    load_order_only_1m,
    load_recbole_100k,
)

from .support import (
    RECBOLE,
    FileServer,
    grouplens_files,
    register,
    url_source,
    write_files,
    zipped,
)

ML_1M = {
    "ratings.dat": "1::20::5::100\n1::3::4::100\n2::3::1::50\n",
    "movies.dat": "3::Café Noir (1995)::Drama|War\n20::Alone (2000)::Comedy\n21::No (1990)::War\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
}
ORDER_ONLY = {
    "movies.dat": ML_1M["movies.dat"],
    "users.dat": ML_1M["users.dat"],
}


def _assert_same(one: Dataset, other: Dataset) -> None:
    assert one.fingerprint == other.fingerprint
    assert_frame_equal(one.interactions, other.interactions)
    assert_frame_equal(one.users, other.users)
    assert_frame_equal(one.items.drop("entity", strict=False), other.items)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_both_sources_of_a_small_100k_give_the_same_frames(
    recbole_folder: Path, tmp_path: Path, encoding: str
) -> None:
    dataset = load_recbole_100k(recbole_folder)
    write_files(tmp_path / "grouplens", grouplens_files(dataset), encoding)
    other = load_grouplens_100k(tmp_path / "grouplens")
    _assert_same(dataset, other)
    assert other.triples is None
    assert "entity" not in other.items.columns


def test_both_sources_of_the_whole_100k_give_the_same_frames(
    ml_100k: Dataset, registry: Path, server: FileServer
) -> None:
    files = {name: text.encode("latin-1") for name, text in grouplens_files(ml_100k).items()}
    archive = zipped({f"toy/{name}": content for name, content in files.items()})
    server.files["/ml-100k.zip"] = archive
    source = url_source(f"{server.address}/ml-100k.zip", archive, files)
    register(registry, source, name="ml-100k")
    _assert_same(ml_100k, load_dataset("ml-100k"))


def test_recbole_form(recbole_folder: Path) -> None:
    dataset = load_recbole_100k(recbole_folder)
    # 300 has no rating, user 3 gave none
    assert dataset.items["raw_item"].to_list() == ["9", "10", "267"]
    assert dataset.users["raw_user"].to_list() == ["1", "2"]
    assert dataset.items["title"].to_list() == [
        "Misérables, Les",
        "Help! (Oh) III (1995)",
        "unkonwn",
    ]
    assert dataset.items["year"].to_list() == [1995, None, None]
    assert dataset.items["genres"].to_list() == [["Drama", "Musical"], ["Comedy"], ["unknown"]]
    assert dataset.items["entity"].to_list() == ["m.0gjk1d", "m.01hjxv", None]
    # at 100 seconds the tie goes to raw id 9 before 10
    assert dataset.interactions["item"].to_list() == [2, 0, 1, 0]
    assert dataset.triples.rows() == [("m.09", "film.genre", "m.1")]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("ml-100k.inter", "9\t3\t50", "9\t6\t50",
         r"ml-100k\.inter, line 3: rating 6 is out of range; allowed are 1 to 5"),
        ("ml-100k.inter", "9\t3\t50", "9\tgood\t50",
         r"ml-100k\.inter, line 3: rating 'good' is not allowed; use a number from 1 to 5"),
        ("ml-100k.inter", "9\t3\t50", "9\t3\tnan",
         r"ml-100k\.inter, line 3: timestamp 'nan' is not allowed; use whole seconds"),
        ("ml-100k.inter", "2\t9\t3", "2\t77\t3",
         r"ml-100k\.inter, line 3: unknown item '77'; allowed are the 4 of ml-100k\.item"),
        ("ml-100k.inter", "2\t9\t3", "8\t9\t3",
         r"ml-100k\.inter, line 3: unknown user '8'; allowed are the 3 of ml-100k\.user"),
        ("ml-100k.inter", "1\t267\t1", "1\t9\t1",
         r"ml-100k\.inter, line 5: user '1' and item '9' were given at line 4 already"),
        ("ml-100k.inter", "rating:float", "stars:float",
         r"ml-100k\.inter, line 1: column 'rating' is missing; needed are user_id, item_id"),
        ("ml-100k.item", "9\tMis", "10\tMis",
         r"ml-100k\.item, line 3: item_id '10' is given twice; allowed is one row each"),
        ("ml-100k.user", "2\t53", "2\told",
         r"ml-100k\.user, line 3: age 'old' is not allowed; use whole years"),
        ("ml-100k.inter", "2\t9\t3\t50", "2\t9\t3\t50\t7",
         r"ml-100k\.inter, line 3: 5 fields, the first too many is '7'; every line may have 4"),
        ("ml-100k.inter", "2\t9\t3\t50", "2\t9\t3",
         r"ml-100k\.inter, line 3: timestamp None is not allowed"),
    ],
)  # fmt: skip
def test_bad_recbole_input_is_named(
    recbole_folder: Path, file: str, old: str, new: str, message: str
) -> None:
    assert old in RECBOLE[file]
    write_files(recbole_folder, {file: RECBOLE[file].replace(old, new, 1)})
    with pytest.raises(DataError, match=message):
        load_recbole_100k(recbole_folder)


def test_wrong_encoding_of_recbole_is_named(recbole_folder: Path) -> None:
    write_files(recbole_folder, {"ml-100k.item": RECBOLE["ml-100k.item"]}, "latin-1")
    with pytest.raises(
        DataError, match=r"ml-100k\.item, line 2: byte 0xe9 is not UTF-8; save the file as UTF-8"
    ):
        load_recbole_100k(recbole_folder)


def test_missing_field_of_grouplens_is_named(recbole_folder: Path, tmp_path: Path) -> None:
    files = grouplens_files(load_recbole_100k(recbole_folder))
    write_files(tmp_path, files | {"u.data": "1\t9\t3\n"})
    with pytest.raises(DataError, match=r"u\.data, line 1: 3 fields; needed are 4: user, item"):
        load_grouplens_100k(tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_1m_with_times(tmp_path: Path, encoding: str) -> None:
    write_files(tmp_path, ML_1M, encoding)
    dataset = load_grouplens_1m(tmp_path)
    assert dataset.name == "ml-1m"
    assert dataset.items["title"].to_list() == ["Café Noir", "Alone"]
    assert dataset.items["year"].to_list() == [1995, 2000]
    assert dataset.items["genres"].to_list() == [["Drama", "War"], ["Comedy"]]
    assert dataset.interactions["item"].to_list() == [0, 1, 0]
    assert dataset.users["occupation"].to_list() == ["K-12 student", "self-employed"]
    assert dataset.users["age"].to_list() == [1, 56]
    assert not dataset.order_only


def test_unknown_occupation_of_1m_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, ML_1M | {"users.dat": ML_1M["users.dat"].replace("::16::", "::21::")})
    with pytest.raises(
        DataError, match=r"users\.dat, line 2: occupation 21 is not allowed; use a code from 0 to"
    ):
        load_grouplens_1m(tmp_path)


def _write_order_only(folder: Path, sequences: str) -> None:
    write_files(folder, ORDER_ONLY)
    (folder / "sequences_chrono.tsv.xz").write_bytes(lzma.compress(sequences.encode()))


def test_1m_by_order_only(tmp_path: Path) -> None:
    _write_order_only(tmp_path, "1\t20 3\t54\n2\t3\t1\n")
    dataset = load_order_only_1m(tmp_path)
    assert dataset.order_only
    assert dataset.interactions.rows() == [(0, 1, 5.0, 0), (0, 0, 4.0, 1), (1, 0, 1.0, 0)]
    with pytest.raises(ValueError, match="only the order within each user"):
        global_time(dataset)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("1\t20 3\t54\n2\t3\t11\n", r"line 2: as many items as rating digits are needed"),
        ("1\t20 3\t54\n2\t3\t7\n", r"row 3: rating 7 is out of range; allowed are 1 to 5"),
        ("1\t20 3\t54\n2\t99\t4\n", r"row 3: unknown item '99'; allowed are the 3 of movies\.dat"),
    ],
)
def test_bad_order_only_input_is_named(tmp_path: Path, sequences: str, message: str) -> None:
    _write_order_only(tmp_path, sequences)
    with pytest.raises(DataError, match=message):
        load_order_only_1m(tmp_path)


def test_truncated_xz_archive_is_named(tmp_path: Path) -> None:
    _write_order_only(tmp_path, "1\t20 3\t54\n2\t3\t1\n")
    path = tmp_path / "sequences_chrono.tsv.xz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"sequences_chrono\.tsv\.xz: truncated or damaged xz"):
        load_order_only_1m(tmp_path)


def test_order_of_looking(
    registry: Path, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: text.encode("latin-1") for name, text in ML_1M.items()}
    archive = zipped({f"toy/{name}": content for name, content in files.items()})
    server.files["/ml-1m.zip"] = archive
    register(registry, url_source(f"{server.address}/ml-1m.zip", archive, files), name="ml-1m")
    shared, own = tmp_path / "shared", tmp_path / "own"
    _write_order_only(shared / "ml-1m", "1\t20 3\t54\n")
    more = ML_1M["ratings.dat"] + "2::21::2::60\n"
    write_files(own / "ml-1m", ML_1M | {"ratings.dat": more}, "latin-1")

    monkeypatch.setenv("LLMERS_SHARED", str(shared))
    assert load_dataset("ml-1m").order_only  # before any network
    assert server.requests == []
    fetch("ml-1m")
    assert load_dataset("ml-1m").interactions.height == 3  # fetched before shared
    monkeypatch.setenv("LLMERS_DATA", str(own))
    assert load_dataset("ml-1m").interactions.height == 4  # the reader's own before all


def test_the_shared_1m_has_its_known_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = paths.shared_dir()
    if shared is None or not (shared / "ml-1m").is_dir():
        pytest.skip("LLMERS_SHARED with ml-1m is not set")
    dataset = load_order_only_1m(shared / "ml-1m")
    assert dataset.interactions.height == 999_611
    assert (dataset.n_users, dataset.n_items) == (6040, 3416)
