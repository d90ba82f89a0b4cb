"""The setup cell: every parameter is validated, every source of chance and noise is fixed."""

from __future__ import annotations

import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

# Progress bars and notices of libraries would be stored in the notebook.
QUIET_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # deterministic matrix products on a GPU
}
LOUD_LOGGERS = (
    "transformers",
    "sentence_transformers",
    "huggingface_hub",
    "httpx",
    "openai",
    "peft",
)
LLM_FORMS = "recorded, recorded:<model>, openai:<model>, hf:<model or folder> or file:<task>=<path>"

STUDENT_FORMS = "recorded, or hf:<model or folder> (hf:tiny is the project's own) to teach one now"


class Settings(Mapping[str, Any]):
    """Accepted parameters: a frozen mapping, each also an attribute (``settings.epochs``).

    ``settings.seed`` is the first of ``seeds``.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_values", MappingProxyType(dict(values)))

    @property
    def seed(self) -> int:
        """The seed of everything that is not run once for each seed."""
        return self._values["seeds"][0] if "seeds" in self._values else 0

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"no parameter {name!r}: there are {', '.join(self._values)}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"settings are frozen: cannot set {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return " | ".join(f"{name} {_shown(value)}" for name, value in self._values.items())


def setup(
    *,
    choices: Mapping[str, Sequence[Any]] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    **parameters: Any,
) -> Settings:
    """Validate a notebook's parameters and make the kernel quiet and repeatable.

    The shared parameters (`SHARED`) have rules of their own. `choices` gives the possible values of
    the notebook's own parameters and of ``backbone``, `ranges` the least and greatest value of
    numbers (inclusive; whole numbers where both bounds are ints); both may also narrow a shared
    parameter, and hold for each element of a list. Prints the accepted values on one line.

    Raises ValueError, before anything else is done, that names every wrong parameter, its value
    and what is possible.
    """
    choices, ranges = dict(choices or {}), dict(ranges or {})
    problems = []
    for name in (*choices, *ranges):
        if name not in parameters:
            problems.append(f"{name!r} has choices or a range but no value")
    for name, value in parameters.items():
        rules = _rules_for(name, choices, ranges)
        problem = (
            next(filter(None, (rule(value) for rule in rules)), None)
            if rules
            else _unknown(name, {*SHARED, *choices, *ranges})
        )
        if problem:
            problems.append(f"{name}={value!r} {problem}" if rules else problem)
    if problems:
        raise ValueError("; ".join(problems))
    settings = Settings(parameters)
    _calm_libraries()
    seed_everything(settings.seed)
    _fix_arithmetic()
    print(settings)
    return settings


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's (the old global one, which libraries use) and torch's generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _fix_arithmetic() -> None:
    """One thread unless OMP_NUM_THREADS says otherwise: sums in one order, equal digits."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_deterministic_debug_mode("warn")  # the other door imports the compiler: 3 s


def _calm_libraries() -> None:
    from llmers_utils.tutorial import plots

    os.environ.update({k: v for k, v in QUIET_ENVIRONMENT.items() if k not in os.environ})
    warnings.filterwarnings("ignore")
    for name in LOUD_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    plots.use_style()


Rule = Callable[[Any], "str | None"]  # what is wrong with a value, or None


def _rules_for(name: str, choices: Mapping[str, Any], ranges: Mapping[str, Any]) -> list[Rule]:
    rules = [SHARED[name]] if name in SHARED else []
    if name in choices:
        rules.append(lambda value: _not_among(value, choices[name]))
    if name in ranges:
        rules.append(lambda value: _outside(value, *ranges[name]))
    # Which backbones there are only the notebook knows.
    return [] if name == "backbone" and name not in choices else rules


def _unknown(name: str, known: set[str]) -> str:
    near = get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown parameter {name!r}: {hint}give its choices or its range to setup()"


def _not_among(value: Any, possible: Sequence[Any]) -> str | None:
    for one in value if isinstance(value, list) else [value]:
        if not any(type(one) is type(p) and one == p for p in possible):
            near = get_close_matches(str(one), [str(p) for p in possible], n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            return f"must be one of {', '.join(map(str, possible))}{hint}"
    return None


def _outside(value: Any, low: float, high: float) -> str | None:
    kinds = (int,) if type(low) is type(high) is int else (int, float)
    for one in value if isinstance(value, list) else [value]:
        if type(one) not in kinds or not low <= one <= high:
            noun = "a whole number" if kinds == (int,) else "a number"
            return f"must be {noun} from {low} to {high}"
    return None


def _dataset(value: Any) -> str | None:
    from llmers_utils.data.loading import FORMS as DATASETS

    if isinstance(value, str) and (value in DATASETS or (value and Path(value).is_dir())):
        return None
    near = get_close_matches(str(value), list(DATASETS), n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"must be {', '.join(DATASETS)} or an existing folder{hint}"


def _seeds(value: Any) -> str | None:
    is_list = isinstance(value, list) and value and all(type(s) is int and s >= 0 for s in value)
    if is_list and len(set(value)) == len(value):
        return None
    return "must be a list of different whole numbers >= 0, such as [0, 1, 2]"


def _epochs(value: Any) -> str | None:
    return None if type(value) is int and value >= 1 else "must be a whole number >= 1"


def _name(value: Any) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a name"


def _llm(value: Any) -> str | None:
    engine, colon, model = value.partition(":") if isinstance(value, str) else ("", "", "")
    complete = bool(model.strip()) if colon else engine == "recorded"
    return (
        None
        if engine in ("recorded", "openai", "hf", "file") and complete
        else f"must be {LLM_FORMS}"
    )


def _student(value: Any) -> str | None:
    form = value.partition(":") if isinstance(value, str) else ("", "", "")
    known = value == "recorded" or (form[0] == "hf" and form[2].strip())
    return None if known else f"must be {STUDENT_FORMS}"


def _control(value: Any) -> str | None:
    from llmers_utils.language import CONTROLS

    return _not_among(value, list(CONTROLS))


def _device(value: Any) -> str | None:
    import torch

    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if value in available:
        return None if available[value] else "is not available on this machine"
    return f"must be one of {', '.join(available)}"


# The parameters that have one meaning in every notebook, with what makes a value impossible.
SHARED: dict[str, Rule] = {
    "dataset": _dataset,
    "seeds": _seeds,
    "epochs": _epochs,
    "backbone": _name,
    "encoder": _name,
    "llm": _llm,
    "student": _student,
    "control": _control,
    "device": _device,
    "results": _name,
}


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
