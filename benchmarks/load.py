"""A load generator that costs little: kept-alive HTTP/1.1 connections, requests encoded beforehand, no HTTP library.

Each connection keeps one request under way and sends the next as soon as the answer is complete (a closed loop). What
an answer costs here is one `find`, one `int` and one clock reading; `floor_server` tells how many a second that allows.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, cast

from benchmarks.figures import quantile

HEAD_END = b"\r\n\r\n"
CHUNKS_END = b"\r\n0\r\n\r\n"


class Answer(NamedTuple):
    """One whole answer: its status code, and its body as it came (a chunked one with its chunk lines)."""

    status: int
    body: bytes


class Window(NamedTuple):
    """What happened in a window of time."""

    requests: int
    seconds: float
    latencies_us: list[float]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    def quantile_us(self, per_cent: int) -> float:
        """Return the latency, in microseconds, that `per_cent` of the requests did not exceed."""
        return quantile(self.latencies_us, per_cent)


def encode_request(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """Return a request as it goes over the wire; a body is JSON."""
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", "Accept: application/json"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + HEAD_END + body


def answer_length(received: bytes) -> int | None:
    """Return how many bytes the first answer in `received` has; None while it is not complete.

    Raises:
        ValueError: it has neither a Content-Length nor chunks.
    """
    head = received.find(HEAD_END)
    if head < 0:
        return None
    fields = received[: head + 2].lower()
    at = fields.find(b"\r\ncontent-length:")
    if at >= 0:
        whole = head + 4 + int(fields[at + 17 : fields.index(b"\r\n", at + 2)])
    elif b"\r\ntransfer-encoding: chunked" in fields:
        last = received.find(CHUNKS_END, head + 2)  # JSON escapes line ends: no chunk can hold these bytes
        if last < 0:
            return None
        whole = last + len(CHUNKS_END)
    elif fields.startswith((b"http/1.1 204", b"http/1.1 304")):
        whole = head + 4  # such an answer has no body (RFC 9112, section 6.3)
    else:
        raise ValueError(f"an answer without a length: {fields!r}")
    return whole if len(received) >= whole else None


class KeptAlive(asyncio.Protocol):
    """One connection. It takes its requests from `requests`, which must not end while a window is open."""

    def __init__(self, requests: Iterator[bytes], expected: int) -> None:
        self._requests = requests
        self._expected = str(expected).encode()
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._sent = self._until = 0.0
        self._latencies: list[float] = []
        self._asked: asyncio.Future[Answer] | None = None
        self._finished: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance

    async def ask(self, request: bytes) -> Answer:
        """Send one request outside a window and return its answer, whatever its status.

        Raises:
            ConnectionError: the server closed the connection, before or meanwhile.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        self._asked = asyncio.get_running_loop().create_future()
        self._write(request)
        return await self._asked

    async def run_until(self, moment: float, latencies: list[float]) -> None:
        """Send request after request until `moment` of the monotonic clock; add their latencies in seconds.

        Raises:
            RuntimeError: an answer had another status than expected.
            ConnectionError: the server closed the connection.
        """
        self._until, self._latencies = moment, latencies
        self._finished = asyncio.get_running_loop().create_future()
        self._send_next()
        await self._finished

    def _write(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def _send_next(self) -> None:
        request = next(self._requests)
        self._sent = time.monotonic()
        self._write(request)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer; when it is whole, count it and send the next request."""
        received = self._received + data if self._received else data
        length = answer_length(received)
        if length is None:
            self._received = received
            return
        self._received = received[length:]
        if self._asked is not None:
            self._answer_asked(received[:length])
        elif received[9:12] != self._expected:
            self._fail(RuntimeError(f"expected status {self._expected.decode()}, got {received[:length][:500]!r}"))
        else:
            self._count()

    def _answer_asked(self, answer: bytes) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_result(Answer(int(answer[9:12]), answer.partition(HEAD_END)[2]))

    def _count(self) -> None:
        now = time.monotonic()
        self._latencies.append(now - self._sent)
        if now < self._until:
            self._send_next()
        elif self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _fail(self, error: Exception) -> None:
        for waiting in (self._finished, self._asked):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer gets none."""
        self._fail(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class Load:
    """Connections to one server that all send the same kind of request."""

    def __init__(self, connections: Sequence[KeptAlive]) -> None:
        self.connections = connections

    @classmethod
    async def connect(
        cls, place: tuple[str, int], requests: Sequence[Iterable[bytes]], *, expected: int = 200
    ) -> "Load":
        """Open one connection for each endless series of requests; every answer must have the status `expected`."""
        loop = asyncio.get_running_loop()

        def protocol(series: Iterable[bytes]) -> Callable[[], KeptAlive]:
            return lambda: KeptAlive(iter(series), expected)

        opened = [await loop.create_connection(protocol(series), *place) for series in requests]
        return cls([connection for _, connection in opened])

    async def window(self, seconds: float) -> Window:
        """Keep every connection busy for `seconds`; the window ends with the last answer."""
        latencies: list[float] = []
        begun = time.monotonic()
        await asyncio.gather(*(each.run_until(begun + seconds, latencies) for each in self.connections))
        return Window(len(latencies), time.monotonic() - begun, [latency * 1e6 for latency in latencies])

    def close(self) -> None:
        """Close every connection."""
        for connection in self.connections:
            connection.close()
