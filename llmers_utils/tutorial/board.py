"""The leaderboard: every record as one row, and the README's table of notebooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from llmers_utils.paths import NOTEBOOKS, ROOT
from llmers_utils.tutorial.batch import run_folder
from llmers_utils.tutorial.notebooks import (
    FILE_NAME,
    SECTION_NAME,
    Notebook,
    all_notebooks,
    read_notebook,
    write_atomically,
)
from llmers_utils.tutorial.records import RECORDS, Record

COMMITTED = "committed"
TAIL = "tail items"
SCHEMA = {
    "notebook": pl.String,
    "method": pl.String,
    "section": pl.String,
    "dataset": pl.String,
    "protocol": pl.String,
    "split": pl.String,
    "metric": pl.String,
    "seeds": pl.Int64,
    "backbone": pl.Float64,
    "llm": pl.Float64,
    "lift": pl.Float64,
    "p": pl.Float64,
    "knowledge_gain": pl.Float64,
    "semantic_gain": pl.Float64,
    "tail_lift": pl.Float64,
    "calls": pl.Int64,
    "tokens": pl.Int64,
    "embedding_bytes": pl.Int64,
    "added_parameters": pl.Int64,
}
MARKERS = ("<!-- notebooks -->", "<!-- /notebooks -->")
HEADER = (
    "| | notebook | idea | paper | minutes | lift | knowledge gain | semantic gain |\n"
    "|---|---|---|---|---:|---:|---:|---:|"
)


def records_folder(run: str = COMMITTED) -> Path:
    """Where records lie: ``data/records`` for "committed", else a run's folder or name.

    ValueError where there is no such folder.
    """
    if run == COMMITTED:
        return RECORDS
    folder = Path(run) if Path(run).is_dir() else run_folder(run)
    if not folder.is_dir():
        raise ValueError(f"run {run!r}: must be {COMMITTED!r}, a folder, or the name of a run")
    return folder


def board(records: Sequence[Record]) -> pl.DataFrame:
    """One row a record, sorted by lift.

    The gains are in per cent of the backbone's value of the record's metric, positive is better:
    ``lift`` = LLM - backbone, ``knowledge_gain`` = LLM - metadata, ``semantic_gain`` = LLM -
    shuffled, ``tail_lift`` = LLM - backbone on tail items. ``p`` is Holm's of the first. Null where
    an arm or a value is missing. Rows compare only where dataset, split and protocol are equal.
    """
    frame = pl.DataFrame([_row(record) for record in records], schema=SCHEMA)
    return frame.sort("lift", descending=True, nulls_last=True, maintain_order=True)


def _row(record: Record) -> dict[str, object]:
    llm, backbone = record.arm("llm"), record.arms[record.reference]
    first = next((d for d in record.differences if record.arms[d.arm] is llm), None)
    return {
        **record.model_dump(include={"notebook", "method", "section", "dataset", "protocol"}),
        "split": record.split,
        "metric": record.metric,
        "seeds": len(record.seeds),
        "backbone": backbone.mean(record.metric),
        "llm": llm.mean(record.metric),
        "lift": gain(record, record.reference),
        "p": first.p_holm if first and first.other == record.reference else None,
        "knowledge_gain": gain(record, "metadata"),
        "semantic_gain": gain(record, "shuffled"),
        "tail_lift": gain(record, record.reference, TAIL),
        "calls": record.ledger.get("calls"),
        "tokens": record.ledger.get("prompt_tokens", 0) + record.ledger.get("completion_tokens", 0),
        "embedding_bytes": llm.embedding_bytes,
        "added_parameters": llm.parameters - backbone.parameters,
    }


def gain(record: Record, other: str, part: str | None = None) -> float | None:
    """LLM minus `other` (an arm's name or role) in per cent of the backbone, or None."""
    against = record.arms.get(other) or record.arm(other)
    if against is None:
        return None
    llm, base = (
        a.mean(record.metric, part) for a in (record.arm("llm"), record.arms[record.reference])
    )
    control = against.mean(record.metric, part)
    if llm is None or control is None or not base:
        return None
    sign = -1 if record.metric in record.lower_is_better else 1
    return round(sign * 100 * (llm - control) / base, 2)


def board_text(frame: pl.DataFrame) -> str:
    """The board for a terminal."""
    short = ["method", "dataset", "metric", "backbone", "llm", "lift", "p", "knowledge_gain"]
    short += ["semantic_gain", "tail_lift", "tokens", "added_parameters"]
    style = {
        "tbl_rows": -1,
        "tbl_cols": -1,
        "tbl_width_chars": 200,
        "tbl_hide_dataframe_shape": True,
    }
    with pl.Config(tbl_hide_column_data_types=True, tbl_formatting="MARKDOWN", **style):
        return str(frame.select(short))


def readme_table(records: Sequence[Record], root: Path = NOTEBOOKS) -> str:
    """Markdown table of all notebooks, with the gains of those that have a record.

    Where a notebook has records on several data sets, MovieLens-100K's counts, or else the first.
    """
    by_notebook: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: r.dataset != "ml-100k"):
        by_notebook.setdefault(record.notebook, record)
    rows = [
        _readme_row(notebook, by_notebook.get(notebook.slug), root)
        for notebook in map(read_notebook, all_notebooks(root))
    ]
    return "\n".join([HEADER, *rows])


def _readme_row(notebook: Notebook, record: Record | None, root: Path) -> str:
    facts = notebook.facts
    section = SECTION_NAME.fullmatch(notebook.section)["number"].replace("_", ".")
    number = int(FILE_NAME.fullmatch(notebook.name)["number"])
    link = notebook.path.relative_to(root.parent).as_posix()
    gains = ["", "", ""]
    if record:
        gains = [_percent(gain(record, who)) for who in (record.reference, "metadata", "shuffled")]
    cells = [
        f"{section}.{number}",
        f"[{facts.title}]({link})",
        facts.idea or facts.promise,
        facts.paper,
    ]
    cells += [f"{facts.minutes:g}", *gains]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f} %"


def update_readme(
    records: Sequence[Record], path: Path = ROOT / "README.md", root: Path = NOTEBOOKS
) -> bool:
    """Write the table between the markers of the README; whether that changed the file.

    ValueError where the markers are not there, once each and in order.
    """
    text = path.read_text(encoding="utf-8")
    begin, end = MARKERS
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{path}: must hold {begin} and then {end}, once each")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    table = f"{begin}\n{readme_table(records, root)}\n{end}"
    changed = pattern.sub(lambda _: table, text)
    if changed != text:
        write_atomically(path, changed)
    return changed != text


def draw_map(path: Path = NOTEBOOKS / "img" / "map.png") -> None:
    """Draw the README's picture: the taxonomy of methods."""
    from llmers_utils.tutorial.diagrams import draw_taxonomy
    from llmers_utils.tutorial.plots import use_style

    use_style()
    path.parent.mkdir(exist_ok=True)
    draw_taxonomy().savefig(path, dpi=150)
