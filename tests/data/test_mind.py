"""MIND: the two files, what is left out, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmers_utils import paths
from llmers_utils.data import DataError
from llmers_utils.data.mind import description_texts, is_mind, load_mind

NEWS = """\
N1\tsports\tgolf\tA "hole in one\tAn abstract\turl\t[]\t[]
N2\ttv\ttunedin\tLast night\t\turl\t[]\t[]
N3\tsports\tgolf\tA bunker\t\turl\t[]\t[]
"""
BEHAVIORS = """\
1\tU2\t11/12/2019 2:14:46 PM\tN1 N9 N2\tN3-1 N2-0 N8-0
2\tU1\t11/12/2019 9:00:00 AM\t\tN1-0 N2-1 N3-1
3\tU1\t11/13/2019 9:00:00 AM\tN1\tN2-0 N3-0
4\tU3\t11/13/2019 9:00:00 AM\tN1\tN2-1 N9-0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "news.tsv").write_text(NEWS, encoding="utf-8")
    (tmp_path / "behaviors.tsv").write_text(BEHAVIORS, encoding="utf-8")
    return tmp_path


def test_impressions_in_order_of_time_with_dense_ids(folder):
    assert is_mind(folder)
    mind = load_mind(folder)
    assert mind.name == folder.name
    assert mind.n_users == 2
    assert mind.news["title"].to_list() == ['A "hole in one', "Last night", "A bunker"]
    assert mind.impressions["user"].to_list() == [0, 1]
    assert mind.impressions["history"].to_list() == [[], [0, 1]]
    assert mind.impressions["candidates"].to_list() == [[0, 1, 2], [2, 1]]
    assert mind.impressions["labels"].to_list() == [[0, 1, 1], [1, 0]]
    afternoon = 1573568086  # 2019-11-12 14:14:46
    assert mind.impressions["timestamp"].to_list() == [afternoon - 18886, afternoon]


def test_what_is_left_out_is_counted(folder):
    assert load_mind(folder).skipped == {
        "mentions of unknown news": 3,
        "impressions without a click": 1,
        "impressions without a non-click": 1,
    }


def test_the_fingerprint_sees_a_label(folder):
    before = load_mind(folder).fingerprint
    assert load_mind(folder).fingerprint == before
    changed = BEHAVIORS.replace("N1-0 N2-1", "N1-1 N2-0")
    (folder / "behaviors.tsv").write_text(changed, encoding="utf-8")
    assert load_mind(folder).fingerprint != before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("N2-0 N8-0", "N2 N8-0", r"behaviors.tsv, line 1: candidate 'N2' is not allowed"),
        (
            "9:00:00 AM\tN1\tN2-0",
            "21:00\tN1\tN2-0",
            r"line 3: time '11/13/2019 21:00' is not allowed",
        ),
        ("3\tU1", "3\t", r"line 3: raw_user is empty"),
    ],
)
def test_wrong_lines_are_named(folder, old, new, said):
    assert old in BEHAVIORS
    (folder / "behaviors.tsv").write_text(BEHAVIORS.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=said):
        load_mind(folder)


def test_a_repeated_id_and_a_missing_file_are_refused(folder):
    (folder / "news.tsv").write_text(NEWS.replace("N3\t", "N1\t"), encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3: raw_news 'N1' is given twice"):
        load_mind(folder)
    (folder / "news.tsv").unlink()
    assert not is_mind(folder)
    with pytest.raises(DataError, match=r"news.tsv is not there"):
        load_mind(folder)


def test_published_descriptions_are_read(tmp_path):
    source = tmp_path / "list.json"
    rows = [{"category": "golf", "description": "Fairways.", "score": "3"}]
    source.write_text(json.dumps(rows), encoding="utf-8")
    assert description_texts(source) == {"golf": "Fairways."}
    source.write_text(json.dumps(rows * 2), encoding="utf-8")
    with pytest.raises(DataError, match="1 categories are given twice"):
        description_texts(source)
    source.write_text('{"golf": "Fairways."}', encoding="utf-8")
    with pytest.raises(DataError, match="a list must be"):
        description_texts(source)


def shared(name: str) -> Path:
    root = paths.shared_dir()
    if root is None or not (root / name).is_dir():
        pytest.skip(f"LLMERS_SHARED has no {name}")
    return root / name


def test_a_sample_of_the_real_files():
    mind = load_mind(shared("mind-sample"))
    assert mind.news.height == 2000
    assert mind.news["subcategory"].n_unique() == 143
    kept = mind.impressions.height
    assert kept + sum(n for name, n in mind.skipped.items() if "impressions" in name) == 5000
    assert mind.impressions["timestamp"].is_sorted()


@pytest.mark.parametrize("writer", ["gpt4", "gpt35", "llama2_13b"])
def test_what_three_language_models_wrote_of_all_categories(writer):
    texts = description_texts(shared("llm-gptaugnews") / f"category_description_{writer}.json")
    assert len(texts) == 270
    assert all(len(text) > 50 for text in texts.values())
    covered = set(load_mind(shared("mind-sample")).news["subcategory"]) & set(texts)
    assert len(covered) >= 140
