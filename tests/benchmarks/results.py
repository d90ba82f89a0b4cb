"""Results: ratios with their spread, kept as JSON, shown as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmers_utils.paths import DATA, ROOT
from llmers_utils.tutorial.notebooks import write_atomically

RESULTS = DATA / "records" / "benchmarks.json"
README = ROOT / "README.md"
FIGURE = ROOT / "notebooks" / "img" / "benchmarks.png"
MARKERS = ("<!-- benchmarks -->", "<!-- /benchmarks -->")
KEY = ("what", "model", "data", "peer")
GROWTH = "growth"
RISING = "the peer was still improving when it was stopped"
NAMES = {
    "recbole": "RecBole",
    "torch_rechub": "torch-rechub",
    "cornac": "Cornac",
    "implicit": "implicit",
}
# Columns of the table of models: heading, what is measured, data set.
COLUMNS = (
    ("training, 100K", "training", "ml-100k"),
    ("training, 1M", "training", "ml-1m"),
    ("to equal quality", "to equal quality", "ml-100k"),
    ("evaluation, 100K", "evaluation", "ml-100k"),
    ("evaluation, 1M", "evaluation", "ml-1m"),
    ("memory", "memory", "ml-100k"),
    ("quality", "quality", "ml-100k"),
)
Row = dict[str, Any]


def row(
    what: str,
    peer: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    data: str,
    unit: str,
    model: str = "",
    higher_is_better: bool = False,
    note: str = "",
) -> Row:
    """One comparison; ``ratio`` says how many times better ours is, repetition by repetition.

    ``ours`` and ``theirs`` are values of the same repetitions; their medians stay beside the ratio.
    ValueError where there is none or a value is not positive.
    """
    pairs = np.array([ours, theirs], dtype=float)  # (2, R)
    if not pairs.size or not (pairs > 0).all():
        raise ValueError(f"{what}, {model}, {peer}: needs positive values, got {ours} and {theirs}")
    ratio = pairs[0] / pairs[1] if higher_is_better else pairs[1] / pairs[0]
    spread = {"min": ratio.min(), "median": np.median(ratio), "max": ratio.max()}
    return {
        "what": what,
        "model": model,
        "data": data,
        "peer": peer,
        "unit": unit,
        "repetitions": len(ratio),
        "ratio": {name: _digits(value) for name, value in spread.items()},
        "ours": _digits(np.median(pairs[0])),
        "theirs": _digits(np.median(pairs[1])),
        "note": note,
    }


def load(path: Path = RESULTS) -> list[Row]:
    """The rows that are kept, or none."""
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def save(rows: Iterable[Row], path: Path = RESULTS) -> list[Row]:
    """Keep rows in the place of those with the same key, beside all others; returns all."""
    kept = {tuple(one[name] for name in KEY): one for one in [*load(path), *rows]}
    found = [kept[key] for key in sorted(kept)]
    write_atomically(path, json.dumps({"rows": found}, indent=1, ensure_ascii=False) + "\n")
    return found


def readme_text(rows: Sequence[Row], figure: str) -> str:
    """The two tables and the figure, as Markdown; what has not been measured is left out."""
    rest = [one for one in rows if not one["model"] and one["what"] != GROWTH]
    others = [f"| {o['what']} | {o['data']} | {o['peer']} | {_ratio(o)} |" for o in rest]
    parts = []
    if models := _model_lines(rows):
        heads = " | ".join(heading for heading, *_ in COLUMNS)
        parts.append(
            [f"| model | against | {heads} |", f"|---|---|{'---:|' * len(COLUMNS)}", *models]
        )
    if others:
        parts.append(["| what | on | against | times as fast |", "|---|---|---|---:|", *others])
    if models:
        text = "How many times as fast as its peers, and how time grows with the data"
        parts.append([f"![{text}]({figure})"])
    return "\n\n".join("\n".join(lines) for lines in parts)


def _model_lines(rows: Sequence[Row]) -> list[str]:
    found = {(o["model"], o["peer"], o["what"], o["data"]): o for o in rows if o["model"]}
    pairs = dict.fromkeys((model, peer) for model, peer, *_ in found)
    lines = []
    for model, peer in sorted(pairs, key=lambda pair: (MODELS.index(pair[0]), pair[1])):
        cells = [_ratio(found.get((model, peer, what, data))) for _, what, data in COLUMNS]
        if RISING in found.get((model, peer, *COLUMNS[-1][1:]), {}).get("note", ""):
            cells[-1] += " †"
        lines.append(f"| {model} | {NAMES.get(peer, peer)} | {' | '.join(cells)} |")
    return lines


MODELS = ("SASRec", "GRU4Rec", "BERT4Rec", "LightGCN", "MF-BPR", "DeepFM", "DCNv2")


def update_readme(rows: Sequence[Row], path: Path = README, figure: Path = FIGURE) -> None:
    """Write the tables between the markers. ValueError where these are not there once each."""
    text = path.read_text(encoding="utf-8")
    begin, end = MARKERS
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"{path}: must hold {begin} and then {end}, once each")
    inside = readme_text(rows, figure.relative_to(path.parent).as_posix())
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    write_atomically(path, pattern.sub(lambda _: f"{begin}\n{inside}\n{end}", text))


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The power with which values grow over the last tenfold: 1 is in proportion."""
    return float(np.log(values[-1] / values[-2]) / np.log(sizes[-1] / sizes[-2]))


def _ratio(one: Row | None) -> str:
    if one is None:
        return ""
    low, middle, high = (_short(one["ratio"][name]) for name in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low}–{high})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def _digits(value: float, digits: int = 4) -> float:
    return float(f"{value:.{digits}g}")
