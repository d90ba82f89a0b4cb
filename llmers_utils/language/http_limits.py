"""Limits on what an HTTP server may send: bytes and seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2


class AnswerTooLarge(ValueError):
    """The body is larger than allowed."""


@dataclass
class _LimitedStream(httpx2.SyncByteStream):
    inner: httpx2.SyncByteStream
    max_bytes: int
    deadline: float

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self.inner:
            size += len(chunk)
            if size > self.max_bytes:
                raise AnswerTooLarge(f"the answer is larger than {self.max_bytes:,} bytes")
            if time.monotonic() > self.deadline:
                raise httpx2.ReadTimeout("the answer did not end in time")
            yield chunk

    def close(self) -> None:
        self.inner.close()


class LimitedTransport(httpx2.BaseTransport):
    """Transport that ends a response beyond ``max_bytes`` or ``seconds`` (a server may drip)."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        self._inner = httpx2.HTTPTransport(
            limits=httpx2.Limits(max_connections=256, max_keepalive_connections=64)
        )
        self.max_bytes = max_bytes
        self.seconds = seconds

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; the body's stream is limited."""
        deadline = time.monotonic() + self.seconds
        response = self._inner.handle_request(request)
        response.stream = _LimitedStream(response.stream, self.max_bytes, deadline)
        return response

    def close(self) -> None:
        """Close all connections."""
        self._inner.close()
