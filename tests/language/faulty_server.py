"""A chat-completions server that misbehaves on purpose."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOOD = {"ranking": ["1", "2"], "dislike": "2", "reason": "because"}


class FaultyServer(ThreadingHTTPServer):
    """``fault(entity, attempt)`` names what goes wrong with that try of that entity, or None."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fault: Callable[[str, int], str | None], delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault = fault
        self.delay = delay
        self.tries: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """Clients that gave up are no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        entity = re.search(r"entity (\w+)", body["messages"][0]["content"])[1]
        with self.server.lock:
            attempt = self.server.tries[entity]
            self.server.tries[entity] += 1
            self.server.bodies.append(body)
        time.sleep(self.server.delay)
        fault = self.server.fault(entity, attempt)
        if fault == "no schema" and "response_format" not in body:
            fault = None
        getattr(self, "fault_" + fault.replace(" ", "_") if fault else "answer")(entity)

    def answer(self, entity: str, content: str | None = None) -> None:
        with self.server.lock:
            self.server.answered[entity] += 1
        self._send(200, _completion(content or json.dumps(GOOD | {"reason": f"about {entity}"})))

    def fault_busy(self, entity: str) -> None:
        self._send(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0.05"})

    def fault_broken(self, entity: str) -> None:
        self._send(500, b"oops")

    def fault_hang(self, entity: str) -> None:
        time.sleep(1.5)
        self.close_connection = True

    def fault_cut(self, entity: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b'{"id": "x"')
        self.close_connection = True

    def fault_half(self, entity: str) -> None:
        self._send(200, _completion("x")[:60])

    def fault_schema(self, entity: str) -> None:
        self.answer(entity, '{"ranking": "all of them"}')

    def fault_large(self, entity: str) -> None:
        self._send(200, _completion("x" * 4_000_000))

    def fault_refused(self, entity: str) -> None:
        self._send(400, b'{"error": {"message": "no"}}')

    def fault_no_schema(self, entity: str) -> None:
        self._send(400, b'{"error": {"message": "response_format is not supported"}}')

    def fault_wrong_key(self, entity: str) -> None:
        self._send(401, b'{"error": {"message": "wrong key"}}')

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


def _completion(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
    ).encode()
