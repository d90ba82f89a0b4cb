from __future__ import annotations

import json

import pytest
from nbformat.v4 import new_output

from llmers_utils.tutorial.records import (
    MIME,
    Record,
    load_records,
    read_record,
    record,
    save_records,
)

from .support import SECTION, code, comparison, make, write


def stored(path, *records):
    cell = code("record()", "record")
    cell.outputs = [new_output("display_data", {"text/plain": "x", MIME: r}) for r in records]
    return write(path, [cell])


def test_what_a_record_holds():
    made = make()
    assert made.dataset == "ml-100k"
    assert made.split == "0123456789abcdef"
    assert made.seeds == [0, 1]
    assert made.parameters == {"seeds": [0, 1], "epochs": 3}
    assert {name: arm.role for name, arm in made.arms.items()}["+ llm"] == "llm"
    assert len(made.arms["+ llm"].metrics["NDCG@10"]) == 2
    assert len(made.arms["+ llm"].slices["tail items"]["HR@10"]) == 2
    assert len(made.differences) == 5
    # What measures the machine is kept apart, under the one key that is never compared.
    assert made.seconds == {"language model": 1.2} | dict.fromkeys(made.arms, 1.3)
    assert "seconds" not in made.ledger
    assert made.ledger["prompt_tokens"] == 70


def test_numbers_have_four_decimals():
    def floats(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [f for one in value for f in floats(one)]
        return [value] if isinstance(value, float) else []

    found = floats(make().as_json())
    assert len(found) > 50
    assert all(f == round(f, 4) for f in found)


def test_files_of_texts_are_recorded_without_their_folders():
    llm = "file:item_comprehension=/home/me/items.json,user_preference=users.json"
    made = make(parameters={"llm": llm, "seeds": [0, 1]})
    assert made.parameters["llm"] == "file:item_comprehension=items.json,user_preference=users.json"


def test_undefined_values_have_a_json_form():
    made = comparison()
    made.arms["base"][0].evaluation.metrics["HR@10"] = float("nan")
    one = make(comparison=made)
    assert one.arms["base"].metrics["HR@10"][0] is None
    assert one.arms["base"].mean("HR@10") is None
    assert json.loads(json.dumps(one.as_json(), allow_nan=False))["schema_version"] == 1


def test_the_line_a_reader_sees():
    line = make().line()
    assert line.startswith("KAR on ml-100k: NDCG@10 0.")
    assert ", base 0." in line
    assert "difference +0." in line
    assert "%" not in line  # a share moves too much on another CPU


def test_record_displays_line_and_json(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append((data, raw)))
    made = make()
    facts = {
        "notebook": "kar",
        "method": "KAR",
        "section": SECTION,
        "comparison": comparison(),
        "split": type("S", (), {"hash": made.split}),
        "dataset": type("D", (), {"name": "ml-100k"}),
        "parameters": made.parameters,
    }
    assert record(**facts) is None
    ((data, raw),) = shown
    assert raw is True
    assert data["text/plain"] == made.line()
    assert Record.model_validate(data[MIME]).arms == made.arms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "extra"),
        ({"reference": "other"}, "reference 'other' is no arm"),
        ({"seeds": [0]}, "needs NDCG@10 for each of the seeds"),
        ({"metric": "AUC"}, "needs AUC"),
        ({"notebook": "Not A Slug"}, "pattern"),
    ],
)
def test_broken_records_are_refused(tmp_path, change, message):
    path = stored(tmp_path / "01_x.ipynb", make().as_json() | change)
    with pytest.raises(ValueError, match=f"01_x.ipynb: .*{message}"):
        read_record(path)


def test_a_record_needs_the_method():
    value = make().as_json()
    value["arms"]["+ llm"]["role"] = "ablation"
    with pytest.raises(ValueError, match="no arm has the role llm"):
        Record.model_validate(value)


def test_exactly_one_record(tmp_path):
    value = make().as_json()
    assert read_record(stored(tmp_path / "01_x.ipynb", value)).notebook == "kar"
    for records in ([], [value, value]):
        with pytest.raises(ValueError, match=f"holds {len(records)} records"):
            read_record(stored(tmp_path / "01_x.ipynb", *records))


def test_records_of_a_run_and_of_a_folder(tmp_path):
    run, folder = tmp_path / "run", tmp_path / "records"
    stored(run / SECTION / "03_kar.ipynb", make().as_json())
    stored(run / SECTION / "00_overview.ipynb")
    stored(run / SECTION / "01_lane.failed.ipynb", make(notebook="lane").as_json())
    (run / SECTION / "03_kar.json").write_text('{"hash": "x"}')
    found = load_records(run)
    assert [one.notebook for one in found] == ["kar"]
    paths = save_records([*found, make(notebook="avatar")], folder)
    assert [path.name for path in paths] == ["kar.ml-100k.json", "avatar.ml-100k.json"]
    assert [one.notebook for one in load_records(folder)] == ["avatar", "kar"]
    (folder / "benchmarks.json").write_text("{}")  # lies beside them, and is no record
    assert [one.notebook for one in load_records(folder)] == ["avatar", "kar"]
    text = paths[0].read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
    save_records(found, folder)
    assert paths[0].read_text() == text
    with pytest.raises(ValueError, match="is no folder of records"):
        load_records(tmp_path / "none")
    paths[0].write_text("{}")
    with pytest.raises(ValueError, match=r"kar.ml-100k\.json: "):
        load_records(folder)
