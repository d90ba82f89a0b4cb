"""Benchmarks run on demand only: ``pytest tests/benchmarks -m benchmark -s``."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "benchmark" in config.option.markexpr:
        return
    benchmarks = [item for item in items if item.get_closest_marker("benchmark")]
    config.hook.pytest_deselected(items=benchmarks)
    items[:] = [item for item in items if item not in benchmarks]
