"""Records: what one notebook found, as a line to read and as JSON to collect."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llmers_utils.paths import DATA
from llmers_utils.tutorial.comparison import Comparison
from llmers_utils.tutorial.notebooks import Notebook, read_notebook, write_atomically

if TYPE_CHECKING:
    from llmers_utils.data import Dataset, Split
    from llmers_utils.language import Ledger

MIME = "application/vnd.llmers.record+json"
RECORDS = DATA / "records"


class Arm(BaseModel):
    """One arm: values of each metric and slice are lists, one element a seed."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["backbone", "metadata", "llm", "shuffled", "ablation"]
    parameters: int = Field(ge=0)
    embedding_bytes: int = Field(ge=0)
    metrics: dict[str, list[float | None]]
    slices: dict[str, dict[str, list[float | None]]]

    def mean(self, metric: str, part: str | None = None) -> float | None:
        """Mean over seeds, on a slice where `part` names one; None where there is no value."""
        values = (self.metrics if part is None else self.slices.get(part, {})).get(metric)
        return float(np.mean(values)) if values and None not in values else None


class Contrast(BaseModel):
    """A paired difference arm - other of the record's metric, 95 % interval, Holm's p-value."""

    model_config = ConfigDict(extra="forbid")

    arm: str
    other: str
    mean: float
    low: float
    high: float
    p_value: float
    p_holm: float
    n: int


class Record(BaseModel):
    """What `record` emits. ``seconds`` measures the machine; nothing compares it."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    notebook: str = Field(pattern=r"^[a-z0-9_]+$")
    method: str
    section: str
    dataset: str
    protocol: str
    split: str
    metric: str
    lower_is_better: list[str]
    reference: str
    seeds: list[int]
    parameters: dict[str, Any]
    arms: dict[str, Arm]
    differences: list[Contrast]
    ledger: dict[str, int | float]
    seconds: dict[str, float]

    @model_validator(mode="after")
    def _hangs_together(self) -> Record:
        if self.reference not in self.arms:
            raise ValueError(f"reference {self.reference!r} is no arm")
        if not self.arm("llm"):
            raise ValueError("no arm has the role llm")
        for name, arm in self.arms.items():
            if len(arm.metrics.get(self.metric, [])) != len(self.seeds):
                raise ValueError(f"arm {name!r}: needs {self.metric} for each of the seeds")
        return self

    def arm(self, role: str) -> Arm | None:
        """The (first) arm with this role."""
        return next((arm for arm in self.arms.values() if arm.role == role), None)

    def line(self) -> str:
        """One readable line: the method against its reference."""
        llm = next(name for name, arm in self.arms.items() if arm.role == "llm")
        parts = [f"{self.metric} {_show(self.arms[llm].mean(self.metric))}"]
        if llm != self.reference:
            parts.append(f"{self.reference} {_show(self.arms[self.reference].mean(self.metric))}")
        for d in self.differences:
            if (d.arm, d.other) == (llm, self.reference):
                parts.append(f"difference {d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}]")
        return f"{self.method} on {self.dataset}: {', '.join(parts)}"

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return self.model_dump(mode="json")


def make_record(
    *,
    notebook: str,
    method: str,
    section: str,
    comparison: Comparison,
    split: Split,
    dataset: Dataset,
    parameters: Mapping[str, Any],
    ledger: Ledger | None = None,
) -> Record:
    """Build a record; numbers are rounded to four decimals, seconds to one."""
    costs = {k: _number(v) for k, v in (ledger.as_dict() if ledger else {}).items()}
    seconds = {"language model": round(float(costs.pop("seconds", 0.0)), 1)}
    for name, runs in comparison.arms.items():
        seconds[name] = round(float(np.mean([run.seconds for run in runs])), 1)
    differences = comparison.differences()
    return Record(
        notebook=notebook,
        method=method,
        section=section,
        dataset=dataset.name,
        protocol=comparison.arms[comparison.reference][0].evaluation.protocol,
        split=split.hash,
        metric=comparison.metric,
        lower_is_better=list(comparison.lower_is_better),
        reference=comparison.reference,
        seeds=list(comparison.seeds),
        parameters={name: _portable(value) for name, value in parameters.items()},
        arms={name: _arm(comparison, name) for name in comparison.arms},
        differences=[
            {k: _rounded(v) if isinstance(v, float) else v for k, v in row.items()}
            for row in differences.to_dicts()
        ],
        ledger=costs,
        seconds=seconds,
    )


def record(**facts: Any) -> None:
    """Emit the record of a notebook, once, in its own cell; arguments as of `make_record`.

    The reader sees one line; beside it lies the JSON form, under the MIME type `MIME`.
    """
    from IPython.display import display

    made = make_record(**facts)
    display({"text/plain": made.line(), MIME: made.as_json()}, raw=True)


record.__signature__ = inspect.signature(make_record)  # for help() and `llmers check`


def _portable(value: Any) -> Any:
    """A parameter without the folders of ``file:TASK=PATH,...``, which say where it was run."""
    if not (isinstance(value, str) and value.startswith("file:")):
        return value
    files = (part.partition("=") for part in value.removeprefix("file:").split(","))
    return "file:" + ",".join(f"{task}={Path(path).name}" for task, _, path in files)


def _arm(comparison: Comparison, name: str) -> Arm:
    runs = comparison.arms[name]
    evaluations = [run.evaluation for run in runs]
    first = evaluations[0]
    return Arm(
        role=comparison.roles[name],
        parameters=runs[0].parameters,
        embedding_bytes=runs[0].embedding_bytes,
        metrics={m: [_rounded(e.metrics[m]) for e in evaluations] for m in first.metrics},
        slices={
            part: {m: [_rounded(e.slices[part][m]) for e in evaluations] for m in values}
            for part, values in first.slices.items()
        },
    )


def find_records(notebook: Notebook) -> list[Any]:
    """JSON values of all record outputs stored in a notebook."""
    return [
        output.data[MIME]
        for _, cell in notebook.code_cells()
        for output in cell.outputs
        if MIME in output.get("data", {})
    ]


def read_record(path: Path | str) -> Record:
    """The record stored in an executed notebook; ValueError where there is not exactly one."""
    found = find_records(read_notebook(path))
    if len(found) != 1:
        raise ValueError(f"{path}: holds {len(found)} records, must be 1")
    return _validated(found[0], path)


def load_records(folder: Path | str = RECORDS) -> list[Record]:
    """Records of a folder, by section and notebook.

    Either a run (executed notebooks, in sub-folders; those without a record are passed over) or
    a folder of files ``NOTEBOOK.DATASET.json`` such as ``data/records``. ValueError naming the
    file of a broken one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: is no folder of records")
    executed = [p for p in folder.glob("*/*.ipynb") if not p.name.endswith(".failed.ipynb")]
    records = [read_record(path) for path in executed if find_records(read_notebook(path))]
    if not executed:
        files = sorted(folder.glob("*.*.json"))  # others, as of the benchmarks, are no records
        records = [_validated(json.loads(f.read_text(encoding="utf-8")), f) for f in files]
    return sorted(records, key=lambda r: (r.section, r.notebook, r.dataset))


def save_records(records: list[Record], folder: Path = RECORDS) -> list[Path]:
    """Write each record to ``NOTEBOOK.DATASET.json``; returns the paths."""
    paths = []
    for one in records:
        path = folder / f"{one.notebook}.{Path(one.dataset).name}.json"
        text = json.dumps(one.as_json(), indent=1, sort_keys=True, ensure_ascii=False)
        write_atomically(path, text + "\n")
        paths.append(path)
    return paths


def _validated(value: Any, path: Path | str) -> Record:
    try:
        return Record.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "record"
        raise ValueError(f"{path}: {where}: {first['msg']}") from error


def _number(value: Any) -> int | float:
    return value if isinstance(value, int) else round(float(value), 4)


def _rounded(value: float) -> float | None:
    # nan has no JSON form; a user group without both classes has no AUC.
    return None if np.isnan(value) else round(float(value), 4)


def _show(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
