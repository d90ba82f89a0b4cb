"""The rules of `llmers check` for a single notebook: its shape here, code and outputs beside."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import unquote

from pydantic import ValidationError

from llmers_utils.tutorial.code_rules import CODE_RULES
from llmers_utils.tutorial.notebooks import (
    FILE_NAME,
    SECTION_NAME,
    TRANSIENT_METADATA,
    TRANSIENT_TAGS,
    Notebook,
    tags,
)
from llmers_utils.tutorial.output_rules import OUTPUT_RULES, Finding, Rule
from llmers_utils.tutorial.parameters import declared_parameters, visible_parameters
from llmers_utils.tutorial.records import Record, find_records
from llmers_utils.tutorial.sources import calls, parse_cell

TAGS = {
    "method": ("imports", "parameters", "setup", "checks", "record"),
    "chapter": ("imports", "parameters", "setup", "checks"),
}
# Section headings of a method's notebook, in order; others may stand between them.
HEADINGS = (
    "What you will be able to do",
    "The problem and the idea",
    "Set-up",
    "The data",
    "What the language model is asked",
    "The backbone",
    "The method",
    "Checks",
    "The arms side by side",
    "What if",
    "The paper's numbers and ours",
    "Limits, cost and value",
    "Exercises",
    "The record",
    "To remember",
)
LEAST_EXERCISES = 2
FOLLOWERS = {"parameters", "setup", "solution"}  # code cells that may follow a code cell
CHECKS_LINE = re.compile(r"checks hold: (\d+)/(\d+)")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)\s#]+)")


def named(notebook: Notebook) -> Iterator[Finding]:
    """NN_slug.ipynb in a folder N_section."""
    if not FILE_NAME.fullmatch(notebook.name) or not SECTION_NAME.fullmatch(notebook.section):
        yield Finding(0, "must be N_section/NN_slug.ipynb, in small letters and underscores")


def described(notebook: Notebook) -> Iterator[Finding]:
    """The metadata block is complete and says what the header says."""
    facts = notebook.facts
    if facts.section != notebook.section:
        yield Finding(
            0, f"metadata.llmers.section is {facts.section!r}, folder {notebook.section!r}"
        )
    header = notebook.node.cells[0].source if notebook.node.cells else ""
    if not header.startswith(f"# {facts.title}\n"):
        yield Finding(1, f"first line must be `# {facts.title}`, as in metadata.llmers.title")
    wanted = [facts.promise, f"{facts.minutes:g} min", facts.needs]
    wanted += [facts.paper, facts.backbone] if facts.kind == "method" else []
    for text in wanted:
        if text not in header:
            yield Finding(1, f"header must hold {text!r}, as metadata.llmers does")


def no_leftovers(notebook: Notebook) -> Iterator[Finding]:
    """No metadata of papermill, widgets or a front end; kernel python3; no attachments."""
    metadata = notebook.node.metadata
    remedy = "run `llmers check --clean`"
    for key in TRANSIENT_METADATA:
        if key in metadata:
            yield Finding(0, f"metadata.{key}: {remedy}")
    if "version" in metadata.get("language_info", {}):
        yield Finding(0, f"metadata.language_info.version: {remedy}")
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield Finding(0, "kernel must be python3")
    for number, cell in enumerate(notebook.node.cells, 1):
        if TRANSIENT_TAGS & set(tags(cell)) or any(
            key in cell.metadata for key in TRANSIENT_METADATA
        ):
            yield Finding(number, f"left by an execution: {remedy}")
        if cell.get("attachments"):
            yield Finding(number, "attachment: draw the picture by code")


def tagged(notebook: Notebook) -> Iterator[Finding]:
    """The special cells are there, once each and in order; no cell escapes nbval."""
    wanted = TAGS[notebook.facts.kind]
    places = []
    for tag in wanted:
        cells = notebook.tagged(tag)
        if len(cells) != 1:
            yield Finding(0, f"{len(cells)} cells are tagged {tag}, must be 1")
        places += [number for number, _ in cells[:1]]
    if places != sorted(places):
        yield Finding(0, f"tagged cells must come in the order {', '.join(wanted)}")
    for number, cell in notebook.code_cells():
        if {"nbval-skip", "nbval-raises-exception"} & set(tags(cell)):
            yield Finding(number, "nbval must run every cell and no cell may fail")
        excused = cell.metadata.get("llmers", {}).get("reason")
        if "nbval-ignore-output" in tags(cell) and not excused:
            yield Finding(number, "nbval-ignore-output needs a reason in metadata.llmers.reason")


def text_before_code(notebook: Notebook) -> Iterator[Finding]:
    """A line of text before every code cell but parameters, setup and solutions."""
    cells = notebook.node.cells
    for number, (before, cell) in enumerate(pairwise(cells), 2):
        if before.cell_type == cell.cell_type == "code" and not FOLLOWERS & set(tags(cell)):
            yield Finding(number, "code after code: say in a line what it is for")
    if cells and cells[0].cell_type == "code":
        yield Finding(1, "must start with text")


def headings(notebook: Notebook) -> Iterator[Finding]:
    """Methods share their sections and the order of them."""
    if notebook.facts.kind != "method":
        return
    found = [
        line.removeprefix("## ").strip()
        for cell in notebook.node.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("## ")
    ]
    for heading in HEADINGS:
        if found.count(heading) != 1:
            yield Finding(0, f"{found.count(heading)} headings `## {heading}`, must be 1")
    shared = [heading for heading in found if heading in HEADINGS]
    if shared != sorted(shared, key=HEADINGS.index):
        yield Finding(0, f"headings must come in the order {'; '.join(HEADINGS)}")


def parameters(notebook: Notebook) -> Iterator[Finding]:
    """papermill sees what Python sees, and setup validates all of it."""
    declared = declared_parameters(notebook)
    ((number, _),) = notebook.tagged("parameters")
    visible = visible_parameters(notebook)
    for name, parameter in declared.items():
        kind, default = visible.get(name, ("", ""))
        if kind != parameter.type or ast.literal_eval(default) != parameter.default:
            yield Finding(number, f"papermill does not see {name}: no second `=` on its line")
    if extra := sorted(set(visible) - set(declared)):
        yield Finding(number, f"papermill sees {', '.join(extra)}, which is no parameter")
    for place, cell in notebook.tagged("setup"):
        tree = parse_cell(cell.source)
        found = [call for name, call in calls(tree) if name == "setup"] if tree else []
        passed = {k.arg for call in found for k in call.keywords} - {"choices", "ranges"}
        if passed != set(declared):
            odd = ", ".join(sorted(map(str, passed ^ set(declared))))
            yield Finding(place, f"setup() must be given exactly the parameters; look at {odd}")


def claims(notebook: Notebook) -> Iterator[Finding]:
    """The checks cell asserts, and says that all checks hold."""
    for number, cell in notebook.tagged("checks"):
        text = "".join(o.get("text", "") for o in cell.get("outputs", []))
        match = CHECKS_LINE.search(text)
        if not match or match[1] != match[2] or match[1] == "0":
            yield Finding(number, "must print `checks hold: k/k`")
    code = [parse_cell(cell.source) for _, cell in notebook.code_cells()]
    if not any(isinstance(node, ast.Assert) for tree in code if tree for node in ast.walk(tree)):
        yield Finding(0, "asserts nothing: turn each claim of the text into an assert")


def exercises(notebook: Notebook) -> Iterator[Finding]:
    """At least two exercises, each a runnable stub followed by its collapsed solution."""
    cells = list(notebook.code_cells())
    stubs = [i for i, (_, cell) in enumerate(cells) if "exercise" in tags(cell)]
    if notebook.facts.kind == "method" and len(stubs) < LEAST_EXERCISES:
        yield Finding(0, f"{len(stubs)} exercises, at least {LEAST_EXERCISES}")
    for i in stubs:
        number, stub = cells[i]
        place, solution = cells[i + 1] if i + 1 < len(cells) else (number, None)
        if solution is None or "solution" not in tags(solution):
            yield Finding(number, "exercise must be followed by a cell tagged solution")
            continue
        if not solution.metadata.get("jupyter", {}).get("source_hidden"):
            yield Finding(place, "solution must be collapsed (metadata.jupyter.source_hidden)")
        if _signatures(stub.source) != _signatures(solution.source):
            yield Finding(place, "solution must define the same functions as the exercise")
        for cell, at, word in ((stub, number, "not attempted"), (solution, place, "passed")):
            if word not in "".join(o.get("text", "") for o in cell.outputs):
                yield Finding(at, f"must call check_exercise(), which prints {word!r}")


def _signatures(source: str) -> list[tuple[str, str]]:
    tree = parse_cell(source)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)] if tree else []
    return sorted((function.name, ast.dump(function.args)) for function in functions)


def recorded(notebook: Notebook) -> Iterator[Finding]:
    """A method has exactly one record, in the cell for it; a chapter has none."""
    found = find_records(notebook)
    wanted = 1 if notebook.facts.kind == "method" else 0
    if len(found) != wanted:
        yield Finding(0, f"{len(found)} records are stored, must be {wanted}")
    for value in found:
        try:
            record = Record.model_validate(value)
        except ValidationError as error:
            yield Finding(0, f"record: {error.errors()[0]['msg']}")
            continue
        facts = notebook.facts
        for name, wanted_value in (
            ("notebook", notebook.slug),
            ("section", facts.section),
            ("method", facts.method),
        ):
            if getattr(record, name) != wanted_value:
                got = getattr(record, name)
                yield Finding(0, f"record's {name} is {got!r}, must be {wanted_value!r}")


def finished(notebook: Notebook) -> Iterator[Finding]:
    """Nothing of the template is left to fill in."""
    for number, cell in enumerate(notebook.node.cells, 1):
        if "TODO" in cell.source:
            yield Finding(number, "fill in the TODO")
    if "TODO" in str(notebook.node.metadata.get("llmers", "")):
        yield Finding(0, "fill in the TODO in metadata.llmers")


def linked(notebook: Notebook) -> Iterator[Finding]:
    """Links to files of the project lead somewhere."""
    for number, cell in enumerate(notebook.node.cells, 1):
        for target in LINK.findall(cell.source) if cell.cell_type == "markdown" else []:
            if not (notebook.path.parent / unquote(target)).exists():
                yield Finding(number, f"link to {target}, which does not exist")


RULES: dict[str, Rule] = {
    "name": named,
    "metadata": described,
    "leftovers": no_leftovers,
    "tags": tagged,
    "text": text_before_code,
    "headings": headings,
    "parameters": parameters,
    "checks": claims,
    "exercises": exercises,
    "record": recorded,
    "unfinished": finished,
    "links": linked,
    **CODE_RULES,
    **OUTPUT_RULES,
}
