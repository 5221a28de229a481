"""What the server sees: every request and answer of the demonstration, with its size and time."""

import time
from typing import Final, NamedTuple

import httpx

__all__ = ["Exchange", "Recorder"]

_TEMPLATES: Final = (
    "segments",
    "locate",
    "start",
    "finish",
    "registrations",
    "tags",
    "objects",
    "accounts",
    "sessions",
    "vault-session",
)


class Exchange(NamedTuple):
    """One request and its answer as they crossed the wire."""

    method: str
    path: str
    status: int
    sent: bytes
    received: bytes
    seconds: float

    @property
    def step(self) -> str:
        """The request without its ids: what a person wants to read."""
        last = next((part for part in reversed(self.path.split("/")) if part in _TEMPLATES), self.path)
        return f"{self.method} … {last}" if last in _TEMPLATES else f"{self.method} {self.path}"


class Recorder(httpx.BaseTransport):
    """A transport that keeps a copy of all bytes it carries."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.exchanges: list[Exchange] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        told = request.read()  # before it is sent: a segment is given away piece by piece
        started = time.perf_counter()
        response = self._inner.handle_request(request)
        body = response.read()
        seconds = time.perf_counter() - started
        sent = b"\r\n".join(name + b": " + value for name, value in request.headers.raw) + b"\r\n\r\n" + told
        head = b"\r\n".join(name + b": " + value for name, value in response.headers.raw)
        self.exchanges.append(
            Exchange(request.method, request.url.path, response.status_code, sent, head + b"\r\n\r\n" + body, seconds)
        )
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(body),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()
