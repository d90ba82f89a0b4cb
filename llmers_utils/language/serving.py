"""The guard of the definition: at serving time no language model is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


@contextmanager
def serving() -> Iterator[None]:
    """Inside this block every call of a language model's client raises RuntimeError.

    It holds for all threads of the process and may be nested. Evaluations run inside it.
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def refuse_while_serving(action: str) -> None:
    """Raise RuntimeError inside ``serving()``."""
    if _depth:
        raise RuntimeError(f"{action}: no language model at serving time; prepare answers before")
