"""The outermost layer: request ids, limits before any parsing, the request's deadline, the access log, metrics.

It wraps the whole application, so routes that do not exist are limited, counted and logged like the others.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from uuid import UUID

from hushtag.messages import Problem
from hushtag_server.answer_headers import AnswerHeaders, answer_headers
from hushtag_server.asgi import EXCHANGE, HEADERS, Application, Message, Receive, Scope, Send, first_headers
from hushtag_server.errors import MalformedRequestError
from hushtag_server.observability import Ended, Metrics, RequestRecords, describe_exception
from hushtag_server.origins import Origins
from hushtag_server.peer import scope_address
from hushtag_server.problems import encode_problem, make_problem
from hushtag_server.settings import Settings
from hushtag_server.spelling import spelt_uuid
from hushtag_server.turns import Turns

__all__ = ["Edge", "Exchange", "prolong_deadline"]

MAX_URI: Final = 2048
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 * 1024
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
ANSWER_PIECE: Final = 256 * 1024
"""Bytes of a whole answer that are handed over at once: what waits for a reader who does not read is at most a few of
them, and the request that waits is still counted and timed."""
_IDS_AT_ONCE: Final = 64
_LISTENS: Final = 0.1  # seconds from the end of the start until the server around this listens, and more
_log = logging.getLogger("hushtag.server")


def prolong_deadline(scope: Any, seconds: float) -> None:
    """Give the request of `scope` this many seconds from now; for streams, which bound themselves."""
    exchange: Exchange | None = scope.get(EXCHANGE)
    if exchange is not None:
        exchange.prolonged_until = time.perf_counter() + seconds


class RequestIds:
    """Ids for requests that bring none: told apart, not guessed, so no random bytes of the system are spent on them.

    Made many at a time, which costs each a fraction of what making one between two requests does.
    """

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311  (made and seeded in each worker; request ids are no secret)
        self._made: list[str] = []

    def of(self, headers: dict[bytes, bytes]) -> str:
        """Return the id that a request brings, if it is a UUID, or the next one."""
        given = headers.get(b"hushtag-request-id")
        if given is not None:
            with contextlib.suppress(ValueError):
                return str(UUID(given.decode("ascii")))
        if not self._made:
            self._made = [self._make() for _ in range(_IDS_AT_ONCE)]
        return self._made.pop()

    def _make(self) -> str:
        chance = f"{self._random.getrandbits(120):030x}"
        return spelt_uuid(f"{chance[:12]}4{chance[12:15]}8{chance[15:]}")


class Exchange:
    """One request and how far it has come."""

    __slots__ = (
        "_receive",
        "_send",
        "answer_headers",
        "body_complete",
        "deadlines",
        "expired",
        "listening_since",
        "patience",
        "prolonged_until",
        "request_id",
        "scope",
        "started",
        "status",
        "task",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        request_id: str,
        answer_headers: AnswerHeaders,
        deadlines: "Deadlines",
    ) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.request_id = request_id
        self.answer_headers = answer_headers
        self.status = 0
        self.body_complete = False
        self.task = asyncio.current_task()
        self.expired = False
        self.deadlines = deadlines
        self.prolonged_until = 0.0
        self.listening_since = 0.0  # 0 while no piece of the body is waited for
        self.patience = 0.0  # seconds that may still be spent waiting for pieces; those that come give some back
        self._receive = receive
        self._send = send
        scope["state"] = {**(scope.get("state") or {}), "request_id": request_id}

    async def receive(self) -> Message:
        """Receive as ASGI does; a body that is waited for is timed."""
        if self.body_complete:  # what comes next is the end of the connection, and may take its time
            return await self._receive()
        began = self.listening_since = time.perf_counter()
        try:
            message = await self._receive()
        finally:
            now = time.perf_counter()
            self.patience -= now - began
            self.listening_since = 0.0
        self.deadlines.heard(self, len(message.get("body", b"")), now)
        if message["type"] == "http.disconnect":
            raise MalformedRequestError  # the client left in the middle of its body; nobody reads the answer
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.body_complete = True
        return message

    @property
    def body_expected(self) -> bool:
        """Whether a body was announced and has not come whole."""
        if self.body_complete:
            return False
        headers = self.scope[HEADERS]
        return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0 ") != b""

    def _completed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        completed = [*headers, (b"hushtag-request-id", self.request_id.encode("ascii"))]
        if self.body_expected:
            # The rest of the body is not read: no other request can follow on this connection (RFC 9112, section 9.3).
            completed.append((b"connection", b"close"))
        said = dict(completed)
        if said.keys().isdisjoint(self.answer_headers.names):
            completed += self.answer_headers.pairs
        else:
            completed += [pair for pair in self.answer_headers.pairs if pair[0] not in said]
        return completed

    async def send(self, message: Message) -> None:
        """Send as ASGI does; the headers of every answer are added."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message.get("headers", ()))
        elif len(message.get("body", b"")) > ANSWER_PIECE and not message.get("more_body", False):
            await self._send_in_pieces(message["body"])
            return
        await self._send(message)

    async def _send_in_pieces(self, body: bytes) -> None:
        # A piece is taken at the pace of who reads, and one that was taken puts off the deadline. What a server sends
        # whole it holds whole for whoever does not read, for ever and uncounted: for it the request has ended.
        last = (len(body) - 1) // ANSWER_PIECE * ANSWER_PIECE
        for start in range(0, last, ANSWER_PIECE):
            piece = body[start : start + ANSWER_PIECE]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            self.deadlines.taken(self)
        await self._send({"type": "http.response.body", "body": body[last:]})

    async def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer."""
        self.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": self._completed(headers)})
        if len(body) > ANSWER_PIECE:
            await self._send_in_pieces(body)
        else:
            await self._send({"type": "http.response.body", "body": body})

    async def send_problem(self, problem: Problem) -> None:
        """Send a problem, unless an answer is under way: all that is left then is to end it."""
        if not self.status:
            await self.answer(problem.status, *encode_problem(problem))


def _read_headers(scope: Scope) -> str | None:
    # The code of the limit that the head of the request is over; its headers are left in the scope.
    headers = first_headers(scope)
    scope[HEADERS] = headers
    if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > MAX_URI:
        return "uri_too_long"
    pairs = scope["headers"]
    if len(pairs) > MAX_HEADERS:
        return "headers_too_large"
    size = 0
    for name, value in pairs:
        size += len(name) + len(value)
    return "headers_too_large" if size > MAX_HEADER_BYTES else None


def _spelt_otherwise(scope: Scope) -> bool:
    # Whoever filters paths in front of the server reads them as they were sent; routes see them decoded and without
    # empty segments. No path that is served needs any of this, so that each has one spelling, and one with a slash, but
    # for the ids in it.
    path = scope.get("raw_path") or scope["path"].encode()
    return b"%" in path or b"//" in path or b"/." in path


class Deadlines:
    """Cancels exchanges that have run too long: one timer for all of them instead of one for each.

    A request gets `seconds` from the last piece of its body on, and between two pieces `pause` seconds; an answer that
    is sent in pieces gets `seconds` from the last one that was taken on; and all of them at most a twentieth more. A
    body may be waited for `seconds` more than `rate` bytes a second would take: a line may be slow all the time. What
    comes faster saves up no more than those `seconds`: no fast start pays for a trickle.
    """

    def __init__(self, seconds: float, pause: float, rate: int) -> None:
        self._seconds = seconds
        self._pause = pause
        self._rate = rate
        self._turn = min(seconds, pause) / 20
        self._running: dict[Exchange, None] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, exchange: Exchange) -> None:
        """Watch an exchange from now on."""
        self._running[exchange] = None
        exchange.patience = self._seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._turn, self._look)

    def heard(self, exchange: Exchange, size: int, now: float) -> None:
        """Count a piece of a body in that came now."""
        exchange.patience = min(exchange.patience + size / self._rate, self._seconds)
        exchange.prolonged_until = max(exchange.prolonged_until, now + self._seconds)

    def taken(self, exchange: Exchange) -> None:
        """Count a piece of an answer as taken now."""
        exchange.prolonged_until = max(exchange.prolonged_until, time.perf_counter() + self._seconds)

    def end(self, exchange: Exchange) -> None:
        """Stop watching it."""
        del self._running[exchange]

    def _look(self) -> None:
        now = time.perf_counter()
        for exchange in self._running:
            late = exchange.started < now - self._seconds and exchange.prolonged_until < now
            silent = 0.0 < exchange.listening_since < now - min(self._pause, max(0.0, exchange.patience))
            if (late or silent) and exchange.task is not None and not exchange.expired:
                exchange.expired = True
                exchange.task.cancel()
        # While nothing runs no timer does: the loop of an idle server sleeps.
        again = asyncio.get_running_loop().call_later
        self._timer = again(self._turn, self._look) if self._running else None


class Edge:
    """ASGI application around `application`; `deadline` in seconds covers the whole request."""

    def __init__(
        self, application: Application, metrics: Metrics, deadline: float, settings: Settings | None = None
    ) -> None:
        self.application = application
        self._metrics = metrics
        self._settings = settings = settings or Settings()
        self._deadlines = Deadlines(deadline, settings.body_pause.total_seconds(), settings.body_rate)
        self._headers = answer_headers(settings)
        self._origins = Origins(settings.allowed_origins)
        self._turns = Turns(settings)
        self._records = RequestRecords(metrics)
        self._ids = RequestIds()
        self.when_serving: Callable[[], None] | None = None
        """Called once when the server around this has begun to take connections."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; lifespan events pass through, WebSockets are turned away."""
        if scope["type"] == "http":
            return self._serve(scope, receive, send)
        if scope["type"] == "lifespan":
            return self._live(scope, receive, send)
        return send({"type": "websocket.close", "code": 1008})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete" and self.when_serving is not None:
                # Granian listens before its loop goes on: what it runs later than this turn, it runs while it listens.
                asyncio.get_running_loop().call_later(_LISTENS, self.when_serving)

        try:
            await self.application(scope, receive, watched)
        finally:
            self._records.flush()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _read_headers(scope)
        headers = self._headers.and_these(self._origins.headers(scope)) if self._origins else self._headers
        exchange = Exchange(scope, receive, send, self._ids.of(scope[HEADERS]), headers, self._deadlines)
        scope[EXCHANGE] = exchange
        visitor, wait = None, None
        self._deadlines.begin(exchange)
        try:
            if refusal is None:
                visitor, wait = self._turns.enter(scope_address(scope, self._settings))
            if wait is None:
                await self._refuse(exchange, refusal or "too_many_requests")
                return
            if wait > 0.0:
                await asyncio.sleep(wait)
            preflight = self._origins.preflight(scope) if self._origins else None
            if preflight is not None:
                exchange.body_complete = True  # nobody reads it
                await exchange.answer(204, preflight, b"")
            elif _spelt_otherwise(scope):
                await self._refuse(exchange, "not_found")
            else:
                await self.application(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # Somebody else's cancellation goes on; ours ends here (as in asyncio.timeout).
            if not exchange.expired or exchange.task is None or exchange.task.uncancel() > 0:
                raise
            await self._refuse(exchange, "request_timeout" if exchange.body_expected else "unavailable")
        except Exception as error:
            details = {"request_id": exchange.request_id, "error": list(describe_exception(error))}
            _log.error("internal error", extra=details)
            await self._refuse(exchange, "internal_error")
        finally:
            self._deadlines.end(exchange)
            if wait is not None:
                self._turns.leave(visitor, exchange.status)
            self._record(exchange)
            del scope[EXCHANGE]  # which has the scope: what refers to itself is left to the garbage collector

    async def _refuse(self, exchange: Exchange, code: str) -> None:
        self._metrics.problems.labels(code).inc()
        retry_after = 1 if code in {"unavailable", "too_many_requests"} else None
        await exchange.send_problem(make_problem(code, exchange.request_id, retry_after=retry_after))

    def _record(self, exchange: Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        method = exchange.scope["method"] if exchange.scope["method"] in _METHODS else "OTHER"
        # The template, never the path: an unknown path may be anything, even a phrase somebody typed.
        route = exchange.scope.get("path_template") or "unmatched"
        self._records.add(Ended(time.time(), exchange.request_id, method, route, exchange.status, seconds))
