"""Prompts as files: ``data/prompts/NAME.md``, a front matter, ``## system`` and ``## user``."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from llmers_utils.language.schemas import SCHEMAS
from llmers_utils.paths import DATA

PROMPTS = DATA / "prompts"
_FORM = re.compile(
    r"\A---\n(?P<front>.*?)\n---\n\s*## system\n(?P<system>.*?)\n## user\n(?P<user>.*)\Z", re.DOTALL
)
_FRONT = {"task", "version", "schema", "max_tokens"}


@dataclass(frozen=True)
class Template:
    """A prompt with gaps.

    Attributes:
        name: the task; also the stem of the file.
        version: raised with every change of the wording, so that old answers count as stale.
        system, user: text with ``str.format`` fields.
        schema: name of the answer's schema in ``schemas``, or None for free text.
        max_tokens: limit of the answer.
        path: the file, for errors.
    """

    name: str
    version: int
    system: str
    user: str
    schema: str | None
    max_tokens: int
    path: Path

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the gaps, in order."""
        found = [field for _, field, _, _ in string.Formatter().parse(self.system + self.user)]
        return tuple(dict.fromkeys(field for field in found if field is not None))

    def render(self, **fields: str) -> list[dict[str, str]]:
        """Chat messages with the gaps filled. Raises ValueError on unknown or missing fields."""
        unknown = [name for name in fields if name not in self.fields]
        missing = [name for name in self.fields if name not in fields]
        if unknown or missing:
            raise ValueError(
                f"{self.path}: unknown fields {unknown}, missing fields {missing}; "
                f"the template has {list(self.fields)}"
            )
        return [
            {"role": "system", "content": self.system.format(**fields)},
            {"role": "user", "content": self.user.format(**fields)},
        ]


@cache
def load_template(name: str, folder: Path = PROMPTS) -> Template:
    """Read a template. Raises KeyError on an unknown name, ValueError on a wrong form."""
    path = folder / f"{name}.md"
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.md") if p.stem != "README")
        raise KeyError(f"no template {name!r} in {folder}; there are {', '.join(known)}")
    form = _FORM.match(path.read_text(encoding="utf-8"))
    if form is None:
        raise ValueError(f"{path}: must be '---' front matter '---', '## system', '## user'")
    front = yaml.safe_load(form["front"])
    if not isinstance(front, dict) or set(front) != _FRONT:
        raise ValueError(f"{path}: the front matter must have the keys {sorted(_FRONT)}")
    if front["task"] != name:
        raise ValueError(f"{path}: task is {front['task']!r}, but the file is named {name!r}")
    if front["schema"] is not None and front["schema"] not in SCHEMAS:
        raise ValueError(
            f"{path}: unknown schema {front['schema']!r}; allowed: {', '.join(SCHEMAS)} or null"
        )
    return Template(
        name=name,
        version=int(front["version"]),
        system=form["system"].strip(),
        user=form["user"].strip(),
        schema=front["schema"],
        max_tokens=int(front["max_tokens"]),
        path=path,
    )
