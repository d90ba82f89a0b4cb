"""Last-FM: lists without times, the released cut, and what is wrong in each file gets a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmers_utils import paths
from llmers_utils.data import DataError, leave_last_out, load_dataset
from llmers_utils.data.lastfm import load_lastfm, released

from .support import pairs, write_files

FILES = {
    "train.txt": "0 0 1 2\n1 2 10\n",
    "test.txt": "0 10\n1 0 1\n",
    "item_map.txt": "51 0\n52 1\n53 2\n60 10\n",
    "artists.dat": "id\tname\turl\tpictureURL\n51\tDuran Duran\tu\tp\n52\t\"Weird Al\"\tu\tp\n"
    "53\tBjörk\tu\t\n60\tAir\tu\tp\n99\tNobody\tu\tp\n",
}  # fmt: skip


def _folder(tmp_path: Path) -> Path:
    write_files(tmp_path, FILES)
    return tmp_path


def test_ids_are_the_releases_own_and_names_come_through_the_map(tmp_path: Path) -> None:
    dataset = load_lastfm(_folder(tmp_path))
    assert dataset.items["raw_item"].to_list() == ["0", "1", "2", "10"]
    assert dataset.items["title"].to_list() == ["Duran Duran", '"Weird Al"', "Björk", "Air"]
    assert dataset.items["genres"].to_list() == [[], [], [], []]
    assert dataset.users["raw_user"].to_list() == ["0", "1"]
    assert dataset.order_only
    assert dataset.triples is None


def test_the_released_part_tests(tmp_path: Path) -> None:
    split = released(load_lastfm(_folder(tmp_path)), share=0.5)
    assert pairs(split.test) == [(0, 3), (1, 0), (1, 1)]
    seen = pairs(split.train) + pairs(split.valid)
    assert sorted(seen) == [(0, 0), (0, 1), (0, 2), (1, 2), (1, 3)]
    # half of three rows is two of them, half of two is one; nobody gives all
    assert [sum(user == u for user, _ in pairs(split.valid)) for u in (0, 1)] == [2, 1]
    assert split.prompt.equals(split.train)


def test_the_draw_follows_its_seed(tmp_path: Path) -> None:
    text = "".join(f"{user} {' '.join(map(str, range(40)))}\n" for user in range(20))
    held_out = "".join(f"{user} {40 + user % 2}\n" for user in range(20))
    ids = "".join(f"{i} {i}\n" for i in range(42))
    names = "id\tname\n" + "".join(f"{i}\tBand {i}\n" for i in range(42))
    write_files(
        tmp_path,
        {"train.txt": text, "test.txt": held_out, "item_map.txt": ids, "artists.dat": names},
    )
    dataset = load_lastfm(tmp_path)
    one, again, other = released(dataset), released(dataset), released(dataset, seed=1)
    assert one.hash == again.hash != other.hash
    assert one.valid["user"].value_counts()["count"].to_list() == [4] * 20
    assert one.valid["item"].n_unique() > 30  # not the same artists of everybody


def test_prefixed_names_are_the_same_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load_lastfm(_folder(tmp_path / "plain"))
    lists = ("train.txt", "test.txt", "item_map.txt")
    named = {f"colakg_{name}" if name in lists else name: text for name, text in FILES.items()}
    write_files(tmp_path / "shared" / "lastfm", named)
    monkeypatch.delenv("LLMERS_DATA", raising=False)
    monkeypatch.setenv("LLMERS_SHARED", str(tmp_path / "shared"))
    assert load_dataset("lastfm").fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("train.txt", "1 2 10", "1 x 10",
         r"train\.txt, line 2: 'x' is not allowed; use whole numbers"),
        ("train.txt", "1 2 10", "1 2 2",
         r"train\.txt, line 2: user '1' and item '2' were given already"),
        ("test.txt", "1 0 1", "1 0 10",
         r"test\.txt, line 2: user '1' and item '10' were given already"),
        ("test.txt", "0 10\n1 0 1\n", "0\n", r"test\.txt, line 1: no items"),
        ("item_map.txt", "53 2", "53 3", r"unknown item '2'; allowed are the 4 of item_map\.txt"),
        ("item_map.txt", "53 2", "54 2",
         r"item_map\.txt, line 3: artist '54' is not in artists\.dat"),
        ("item_map.txt", "53 2", "53 1", r"item_map\.txt, line 3: item '1' is given twice"),
        ("artists.dat", "id\tname", "nr\tname", r"artists\.dat, line 1: column 'id' is missing"),
    ],
)  # fmt: skip
def test_bad_input_is_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    assert old in FILES[file]
    write_files(tmp_path, FILES | {file: FILES[file].replace(old, new, 1)})
    with pytest.raises(DataError, match=message):
        load_lastfm(tmp_path)


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_an_impossible_share_is_refused(tmp_path: Path, share: float) -> None:
    dataset = load_lastfm(_folder(tmp_path))
    with pytest.raises(ValueError, match="allowed are numbers between 0 and 1"):
        released(dataset, share)


def test_only_a_released_cut_can_be_made_again(ml_100k) -> None:
    with pytest.raises(ValueError, match="'ml-100k' has no released parts"):
        released(ml_100k)


def _shared_folder(name: str) -> Path:
    shared = paths.shared_dir()
    if shared is None or not (shared / name).is_dir():
        pytest.skip(f"LLMERS_SHARED with {name} is not set")
    return shared / name


def test_the_shared_release_has_its_known_size() -> None:
    dataset = load_lastfm(_shared_folder("lastfm"))
    assert (dataset.n_users, dataset.n_items) == (1859, 2813)
    split = released(dataset)
    assert len(split.test) == 13_508
    assert len(split.train) + len(split.valid) == 57_786
    assert 0.09 < len(split.valid) / 57_786 < 0.11
    assert split.train["user"].n_unique() == 1859
    assert leave_last_out(dataset).protocol == "leave_last_out"


def test_the_shared_texts_are_keyed_by_the_same_ids() -> None:
    dataset = load_lastfm(_shared_folder("lastfm"))
    folder = _shared_folder("llm-colakg")
    texts = json.loads((folder / "lastfm_llm_response_item.json").read_text("utf-8"))
    assert set(texts) == set(dataset.items["raw_item"])
    named = sum(
        title in texts[raw] for raw, title in dataset.items.select("raw_item", "title").iter_rows()
    )
    assert named > 0.9 * len(texts)  # a text tells of its own artist
    people = json.loads((folder / "lastfm_llm_response_user.json").read_text("utf-8"))
    assert set(people) == set(dataset.users["raw_user"])
