from __future__ import annotations

import pytest

from llmers_utils.tutorial.board import board, board_text, gain, readme_table, update_readme

from .support import FACTS, ROLES, SECTION, comparison, make, text, write


def test_gains_are_shares_of_the_backbone():
    record = make()
    (row,) = board([record]).to_dicts()
    means = {name: arm.mean("NDCG@10") for name, arm in record.arms.items()}

    def share(a, b):
        return pytest.approx(100 * (means[a] - means[b]) / means["base"], abs=0.006)

    assert row["lift"] == share("+ llm", "base")
    assert row["knowledge_gain"] == share("+ llm", "+ metadata")
    assert row["semantic_gain"] == share("+ llm", "+ shuffled")
    assert row["tail_lift"] == pytest.approx(row["lift"], abs=0.1)  # the fake tail is half of all
    assert row["tokens"] == 100
    assert row["embedding_bytes"] == 64
    assert row["added_parameters"] == len("+ llm") - len("base")
    assert row["p"] == record.differences[1].p_holm


def test_lower_is_better():
    one = make(comparison=comparison(metric="LogLoss", lower_is_better=["LogLoss"]))
    assert one.arms["+ llm"].mean("LogLoss") < one.arms["base"].mean("LogLoss")
    assert gain(one, "base") > 0


def test_missing_arms_are_null_and_rows_are_sorted():
    levels = {"base": 0.3, "+ llm": 0.5}
    roles = {name: ROLES[name] for name in levels}
    better = make(notebook="better", comparison=comparison(levels, roles=roles))
    frame = board([make(), better])
    assert frame["notebook"].to_list() == ["better", "kar"]
    assert frame["knowledge_gain"].to_list()[0] is None
    assert board([]).is_empty()
    assert "KAR" in board_text(frame)
    assert len(board_text(frame).splitlines()) == 4


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "notebooks"
    write(root / SECTION / "03_kar.ipynb", [text("# x")], **FACTS)
    chapter = {k: FACTS[k] for k in ("title", "promise", "minutes", "needs")}
    chapter |= {"kind": "chapter", "section": "4_1_model_enhancement", "title": "A | B"}
    write(root / "4_1_model_enhancement" / "00_overview.ipynb", [text("# x")], **chapter)
    return root


def test_readme_table(root):
    head, _, kar, overview = readme_table([make()], root).splitlines()
    assert head.count("|") == kar.count("|")
    link = f"[{FACTS['title']}](notebooks/{SECTION}/03_kar.ipynb)"
    lift = f"{gain(make(), 'base'):+.1f} %"
    assert kar.startswith(f"| 2.3 | {link} | {FACTS['idea']} | {FACTS['paper']} | 2 | {lift} | +")
    assert overview.startswith("| 4.1.0 | [A \\| B](")
    assert overview.endswith("| 2 |  |  |  |")


def test_readme_is_rewritten_between_its_markers(tmp_path, root):
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- notebooks -->\nold\n<!-- /notebooks -->\nafter\n")
    assert update_readme([make()], path, root) is True
    content = path.read_text()
    assert content.startswith("before\n<!-- notebooks -->\n| | notebook")
    assert content.endswith("|\n<!-- /notebooks -->\nafter\n")
    assert "old" not in content
    assert update_readme([make()], path, root) is False


@pytest.mark.parametrize(
    "content", ["", "<!-- notebooks -->", "<!-- /notebooks --><!-- notebooks -->"]
)
def test_readme_without_markers(tmp_path, root, content):
    path = tmp_path / "README.md"
    path.write_text(content)
    with pytest.raises(ValueError, match="must hold"):
        update_readme([], path, root)
