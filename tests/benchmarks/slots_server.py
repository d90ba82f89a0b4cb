"""An OpenAI-compatible server with a latency and a number of slots, on the loopback only.

``python -m tests.benchmarks.slots_server LATENCY SLOTS`` prints its address and then serves.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

CONTENT = json.dumps({"ranking": ["1", "2"], "dislike": "2", "reason": "because of its theme"})
COMPLETION = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": CONTENT},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}
BODY = json.dumps(COMPLETION).encode()
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"


async def answer(
    slots: asyncio.Semaphore,
    latency: float,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Serve one connection until the client closes it."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
            length = {name.lower(): value for name, value in fields.items()}["content-length"]
            await reader.readexactly(int(length))
            async with slots:
                await asyncio.sleep(latency)
            writer.write(HEAD.encode() + BODY)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(latency: float, slots: int) -> None:
    """Print the address and serve for ever."""
    handler = partial(answer, asyncio.Semaphore(slots), latency)
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
