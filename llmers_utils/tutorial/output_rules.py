"""Rules on stored outputs: they must be there, be whole, and be equal when made again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llmers_utils.tutorial.notebooks import Notebook
from llmers_utils.tutorial.records import MIME

MOST_BYTES = 600_000
ALLOWED_MIME = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", MIME}
# What another run, machine or hour would print differently.
CHANGING = {
    "a date": re.compile(r"\b20(?:2[4-9]|[3-9]\d)-\d\d-\d\d\b|\b\d\d:\d\d:\d\d\b"),
    # "1990s" is a decade, "3.2s" and "3 s" are durations.
    "a duration": re.compile(
        r"(?<![\w.])(?:\d+\.\d+\s?|\d+\s|\d+(?=ms))(?:ms|s|secs?|seconds?)\b(?!\.\w)"
    ),
    "a path of this machine": re.compile(
        r"(?<![\w.:/<])/(?:home|root|Users|tmp|work|mnt|usr|opt|var|private)/|\b[A-Z]:\\\\"
    ),
    "an address in memory": re.compile(r"\bat 0x[0-9a-fA-F]{6,}"),
    "a progress bar": re.compile(r"\d+(?:\.\d+)?(?:it/s|s/it)|\d%\|"),
    "a warning": re.compile(r"\b\w*Warning: "),
}


class Finding(NamedTuple):
    """A cell, counted from 1 (0: the notebook), and what to do about it."""

    cell: int
    remedy: str


Rule = Callable[[Notebook], Iterator[Finding]]


def executed_in_order(notebook: Notebook) -> Iterator[Finding]:
    """Counts 1..n over the non-empty code cells: run top to bottom in a fresh kernel."""
    for expected, (number, cell) in enumerate(notebook.code_cells(), 1):
        if cell.execution_count != expected:
            got = cell.execution_count
            yield Finding(
                number, f"execution count is {got}, must be {expected}: `llmers run --update`"
            )
            return


def no_errors_or_noise(notebook: Notebook) -> Iterator[Finding]:
    """Neither tracebacks nor standard error are stored."""
    for number, output in _outputs(notebook):
        if output.output_type == "error":
            yield Finding(number, f"stored error {output.ename}: mend the cell")
        elif output.get("name") == "stderr":
            yield Finding(number, "output to standard error: silence it in setup()")


def known_kinds(notebook: Notebook) -> Iterator[Finding]:
    """Pictures are PNG; no widgets, scripts or vector graphics."""
    for number, output in _outputs(notebook):
        for kind in sorted(set(output.get("data", {})) - ALLOWED_MIME):
            yield Finding(number, f"output of kind {kind}: show text, a table or a PNG picture")
        if "<script" in _text(output, "text/html"):
            yield Finding(number, "output holds a script: show text, a table or a PNG picture")


def repeatable(notebook: Notebook) -> Iterator[Finding]:
    """No dates, durations, paths, addresses, bars or warnings in stored text."""
    for number, output in _outputs(notebook):
        text = output.get("text", "") + _text(output, "text/plain") + _text(output, "text/html")
        for what, pattern in CHANGING.items():
            if match := pattern.search(text):
                yield Finding(number, f"stored output holds {what} ({match[0]!r}): do not print it")


def small(notebook: Notebook) -> Iterator[Finding]:
    """The file can be looked at in a browser and compared in a review."""
    size = notebook.path.stat().st_size
    if size >= MOST_BYTES:
        yield Finding(
            0, f"file has {size} bytes, must be below {MOST_BYTES}: fewer, smaller pictures"
        )


def _outputs(notebook: Notebook) -> Iterator[tuple[int, Any]]:
    return ((number, output) for number, cell in notebook.code_cells() for output in cell.outputs)


def _text(output: Any, kind: str) -> str:
    value = output.get("data", {}).get(kind, "")
    return value if isinstance(value, str) else "".join(value)


OUTPUT_RULES: dict[str, Rule] = {
    "executed": executed_in_order,
    "errors": no_errors_or_noise,
    "outputs": known_kinds,
    "repeatable": repeatable,
    "size": small,
}
