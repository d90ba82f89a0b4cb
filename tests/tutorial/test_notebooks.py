from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from llmers_utils.tutorial.notebooks import (
    all_notebooks,
    clean_notebook,
    find_notebooks,
    read_notebook,
    write_atomically,
)

from .support import SECTION, code, text, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in [
        "1_introduction/00_introduction",
        f"{SECTION}/00_overview",
        f"{SECTION}/03_kar",
        "4_1_model_enhancement/00_overview",
        "4_2_model_enhancement/04_llm_esr",
    ]:
        write(tmp_path / f"{name}.ipynb", [text("# x")])
    write(tmp_path / SECTION / "scratch.ipynb", [text("# x")])
    write(tmp_path / ".cache" / "03_kar.ipynb", [text("# x")])
    return tmp_path


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        ([], ["00_introduction", "00_overview", "03_kar", "00_overview", "04_llm_esr"]),
        (["kar"], ["03_kar"]),
        (["03_kar", "kar"], ["03_kar"]),
        (["llm-esr"], ["04_llm_esr"]),
        (["kar", "introduction"], ["00_introduction", "03_kar"]),
        ([SECTION], ["00_overview", "03_kar"]),
        (["2"], ["00_overview", "03_kar"]),
        (["knowledge_enhancement"], ["00_overview", "03_kar"]),
        (["4"], ["00_overview", "04_llm_esr"]),
        (["4_2"], ["04_llm_esr"]),
        (["2/overview"], ["00_overview"]),
        ([f"{SECTION}/kar"], ["03_kar"]),
    ],
)
def test_names(root, names, stems):
    assert [path.stem for path in find_notebooks(names, root)] == stems


def test_a_path_is_a_name(root):
    path = root / SECTION / "03_kar.ipynb"
    assert find_notebooks([str(path)], root) == [path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("karr", "did you mean"),
        ("zzz", "there are the sections"),
        ("overview", f"ambiguous: say one of {SECTION}/00_overview, 4_1_model_enhancement"),
        ("4_2/kar", "no section or notebook"),
        ("scratch", "no section or notebook"),
    ],
)
def test_unknown_and_ambiguous_names(root, name, message):
    with pytest.raises(ValueError, match=message):
        find_notebooks([name], root)


def test_empty_folder_is_an_error(tmp_path):
    assert all_notebooks(tmp_path) == []
    with pytest.raises(ValueError, match="holds no notebook"):
        find_notebooks([], tmp_path)


def test_broken_file_is_named(tmp_path):
    path = tmp_path / "01_x.ipynb"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"01_x\.ipynb: not a readable notebook"):
        read_notebook(path)


FACTS = {
    "kind": "method",
    "title": "T",
    "promise": "P",
    "section": SECTION,
    "minutes": 2,
    "needs": "nothing",
    "method": "M",
    "idea": "I",
    "paper": "A",
    "backbone": "B",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "other"}, "kind"),
        ({"minutes": 0}, "minutes"),
        ({"colour": "red"}, "colour"),
        ({"idea": "", "paper": ""}, "must also state idea, paper"),
    ],
)
def test_facts_are_validated(tmp_path, change, message):
    path = write(tmp_path / "01_x.ipynb", [text("# x")], **(FACTS | change))
    with pytest.raises(ValueError, match=f"01_x.ipynb: metadata.llmers: .*{message}"):
        _ = read_notebook(path).facts


def test_chapters_need_less(tmp_path):
    few = {k: v for k, v in FACTS.items() if k not in ("method", "idea", "paper", "backbone")}
    path = write(tmp_path / "01_x.ipynb", [text("# x")], **(few | {"kind": "chapter"}))
    assert read_notebook(path).facts.idea == ""


def test_clean_drops_what_executions_leave_and_nothing_else(tmp_path):
    injected = code("epochs = 5", "injected-parameters")
    kept = code("print(1)\nprint(2)", "record")
    kept.metadata["papermill"] = {"duration": 1.0}
    kept.metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00"}
    kept.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="1\n"),
        nbformat.v4.new_output("stream", name="stdout", text="2\n"),
        nbformat.v4.new_output("stream", name="stderr", text="e\n"),
    ]
    path = write(tmp_path / "01_x.ipynb", [text("# x"), injected, kept], title="T")
    node = read_notebook(path).node
    identity = node.cells[2].id
    node.metadata["papermill"] = {"version": "2"}
    node.metadata["widgets"] = {}
    node.metadata["language_info"]["version"] = "3.11.7"
    node.cells[0].metadata["tags"] = []
    nbformat.write(node, path)

    assert clean_notebook(path) is True
    stored = json.loads(path.read_text())
    assert stored["metadata"].keys() == {"kernelspec", "language_info", "llmers"}
    assert stored["metadata"]["language_info"] == {"name": "python"}
    first, second = stored["cells"]
    assert first["metadata"] == {}
    assert second["metadata"] == {"tags": ["record"]}
    assert second["id"] == identity
    assert second["execution_count"] == 2
    assert ["".join(o["text"]) for o in second["outputs"]] == ["1\n2\n", "e\n"]
    assert clean_notebook(path) is False


def test_atomic_write_keeps_the_old_file_on_failure(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
