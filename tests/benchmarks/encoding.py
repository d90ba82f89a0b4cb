"""Item texts to vectors: ours against sentence-transformers' own ``encode`` and a plain loop."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch

from llmers_utils.data import fetch, load_dataset
from llmers_utils.language import TextEncoder, answer_texts, open_client, tasks
from tests.benchmarks.results import Row, row

TEXTS, NEW = 320, 0.1


def item_texts(count: int) -> list[str]:
    """What the recorded language model says of films."""
    dataset = load_dataset("ml-100k")
    answers = open_client("recorded", dataset="ml-100k").complete(tasks.item_knowledge(dataset))
    entities = [answer.entity for answer in answers]
    return [text for text in answer_texts(answers, entities) if text][:count]


def measure(repetitions: int, scale: float = 1.0) -> list[Row]:
    """Seconds for all texts: none known, all known, all but a tenth known."""
    texts = item_texts(round(TEXTS * scale))
    known = texts[: -max(1, round(len(texts) * NEW))]
    folder = str(fetch("all-MiniLM-L6-v2"))
    model = TextEncoder(folder).model
    seconds: dict[str, list[float]] = {}
    torch.set_num_threads(1)
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as cold, tempfile.TemporaryDirectory() as partly:
            vectors = _timed(seconds, "cold", cold, folder, lambda e: e.encode(texts))
            _timed(seconds, "warm", cold, folder, lambda e: e.encode(texts))
            _timed({}, "", partly, folder, lambda e: e.encode(known))
            _timed(seconds, "10 % new", partly, folder, lambda e: e.encode(texts))
        library = _timed(seconds, "library", None, folder, lambda _: model.encode(texts))
        _timed(seconds, "loop", None, folder, lambda _: [model.encode(text) for text in texts])
        assert np.abs(vectors - library).max() < 1e-5
    return [
        row("encoding", peer, seconds[ours], seconds[theirs], data=f"ml-100k, {ours}", unit="s")
        for ours in ("cold", "10 % new", "warm")
        for peer, theirs in (("sentence-transformers", "library"), ("one by one", "loop"))
    ]


def _timed(
    seconds: dict[str, list[float]],
    name: str,
    cache: str | None,
    folder: str,
    work: Callable[[TextEncoder], np.ndarray],
) -> np.ndarray:
    """Do the work with an encoder whose cache is in ``cache``; the network is loaded before."""
    before = os.environ.get("LLMERS_CACHE")
    encoder = TextEncoder(folder)
    if cache is not None:
        os.environ["LLMERS_CACHE"] = cache
        _ = encoder.model
    started = time.perf_counter()
    result = work(encoder)
    seconds.setdefault(name, []).append(time.perf_counter() - started)
    if before is None:
        os.environ.pop("LLMERS_CACHE", None)
    else:
        os.environ["LLMERS_CACHE"] = before
    return result
