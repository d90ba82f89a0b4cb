"""Many prompts to a server: ours against one call after the other, and the server's limit.

The limit is measured too, by bare sockets that send the same bytes over and over: a slot is free
again a little later than its latency says.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai

from llmers_utils.data import load_dataset
from llmers_utils.language import Request, tasks
from llmers_utils.language.openai_client import OpenAIClient
from llmers_utils.language.responses import ResponseStore
from tests.benchmarks.results import Row, row

LATENCY, SLOTS, CONCURRENCY = 0.05, 16, 32
PROMPTS, SEQUENTIAL = 2000, 60
BARE = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own; yields its address."""
    command = [sys.executable, "-m", "tests.benchmarks.slots_server", str(LATENCY), str(SLOTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def prompts(count: int) -> list[Request]:
    """Real prompts about films, all to be answered in one schema."""
    real = tasks.item_knowledge(load_dataset("ml-100k"))
    return [
        Request("candidate_ranking", 1, str(n), real[n % len(real)].messages, "CandidateRanking")
        for n in range(count)
    ]


def annotate(address: str, requests: list[Request]) -> float:
    """Seconds of ``complete`` with an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        store = ResponseStore(Path(folder))
        client = OpenAIClient("m", store, base_url=address, api_key="x", concurrency=CONCURRENCY)
        started = time.perf_counter()
        answers = client.complete(requests)
        seconds = time.perf_counter() - started
    assert all(answer.error is None for answer in answers)
    return seconds


def one_by_one(address: str, requests: list[Request]) -> float:
    """Seconds of the plain loop that everybody writes first, nothing stored."""
    api = openai.OpenAI(base_url=address, api_key="x")
    started = time.perf_counter()
    for request in requests:
        api.chat.completions.create(
            model="m", messages=list(request.messages), max_tokens=request.max_tokens
        )
    return time.perf_counter() - started


def bare(address: str, count: int) -> float:
    """Seconds of the same number of calls by sockets that do nothing else."""
    host, port = address.removeprefix("http://").removesuffix("/v1").split(":")
    calls = iter(range(count))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in calls:
            writer.write(BARE)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
        writer.close()

    async def all_connections() -> None:
        await asyncio.gather(*(connection() for _ in range(CONCURRENCY)))

    started = time.perf_counter()
    asyncio.run(all_connections())
    return time.perf_counter() - started


def measure(repetitions: int, scale: float = 1.0) -> list[Row]:
    """Speed against sequential calls, and the share of the server's limit."""
    count, few = round(PROMPTS * scale), round(SEQUENTIAL * scale)
    requests = prompts(count)
    ours, theirs, limit = [], [], []
    with server() as address:
        annotate(address, requests[:CONCURRENCY])  # connections, imports, schemas
        for _ in range(repetitions):
            ours.append(annotate(address, requests))
            theirs.append(one_by_one(address, requests[:few]) * count / few)
            limit.append(bare(address, count))
    setting = f"{count} prompts, {LATENCY * 1e3:.0f} ms, {SLOTS} slots"
    note = f"measured with bare sockets; by arithmetic it is {count * LATENCY / SLOTS:.2f} s"
    return [
        row("annotation", "sequential calls", ours, theirs, data=setting, unit="s"),
        row("annotation", "the server's limit", ours, limit, data=setting, unit="s", note=note),
    ]
