"""The outermost layer: request ids, limits before any parsing, the request's deadline, the access log, metrics.

It wraps the whole application, so routes that do not exist are limited, counted and logged like the others.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from hushtag.messages import Problem
from hushtag_server.answer_headers import answer_headers
from hushtag_server.asgi import Application, Message, Receive, Scope, Send
from hushtag_server.errors import MalformedRequestError
from hushtag_server.observability import AccessLog, Metrics, describe_exception
from hushtag_server.origins import Origins
from hushtag_server.peer import scope_address
from hushtag_server.problems import encode_problem, make_problem
from hushtag_server.settings import Settings
from hushtag_server.turns import Turns

__all__ = ["Edge", "prolong_deadline"]

MAX_URI: Final = 2048
MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16 * 1024
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_DEADLINE: Final = "hushtag.deadline"
_log = logging.getLogger("hushtag.server")


def prolong_deadline(scope: Any, seconds: float) -> None:
    """Give the request of `scope` this many seconds from now; for streams, which bound themselves."""
    exchange: _Exchange | None = scope.get(_DEADLINE)
    if exchange is not None:
        exchange.prolonged_until = time.perf_counter() + seconds


class _Exchange:
    """One request and how far it has come."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, ids: random.Random, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        self.started = time.perf_counter()
        self.scope = scope
        self.request_id = _request_id(scope, ids)
        self.status = 0
        self.body_complete = False
        self.task = asyncio.current_task()
        self.expired = False
        self.deadlines: Deadlines | None = None
        self.prolonged_until = 0.0
        self.listening_since = 0.0  # 0 while no piece of the body is waited for
        self.patience = 0.0  # seconds that may still be spent waiting for pieces; those that come give some back
        self._headers = headers
        self._receive = receive
        self._send = send
        scope["state"] = {**(scope.get("state") or {}), "request_id": self.request_id}

    async def receive(self) -> Message:
        if self.body_complete:  # what comes next is the end of the connection, and may take its time
            return await self._receive()
        began = self.listening_since = time.perf_counter()
        try:
            message = await self._receive()
        finally:
            self.patience -= time.perf_counter() - began
            self.listening_since = 0.0
        if self.deadlines is not None:
            self.deadlines.heard(self, len(message.get("body", b"")))
        if message["type"] == "http.disconnect":
            raise MalformedRequestError  # the client left in the middle of its body; nobody reads the answer
        if message["type"] == "http.request" and not message.get("more_body", False):
            self.body_complete = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            said = {name for name, _ in headers}
            headers += [pair for pair in self._headers if pair[0] not in said]
            headers.append((b"hushtag-request-id", self.request_id.encode("ascii")))
            message["headers"] = headers
        await self._send(message)

    async def send_problem(self, problem: Problem) -> None:
        if self.status:
            return  # the answer is under way; all that is left is to end it
        headers, body = encode_problem(problem)
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope, ids: random.Random) -> str:
    for name, value in scope["headers"]:
        if name == b"hushtag-request-id":
            try:
                return str(UUID(value.decode("ascii")))
            except ValueError:
                break
    # Told apart, not guessed: unique is enough, so no random bytes of the system are spent on it.
    number = f"{ids.getrandbits(124):031x}"
    return (
        f"{number[:8]}-{number[8:12]}-4{number[12:15]}-{'89ab'[int(number[30], 16) & 3]}{number[15:18]}-{number[18:30]}"
    )


def _over_limit(scope: Scope) -> str | None:
    if len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"]) > MAX_URI:
        return "uri_too_long"
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return "headers_too_large"
    return None


class Deadlines:
    """Cancels exchanges that have run too long: one timer for all of them instead of one for each.

    A request gets `seconds` from the last piece of its body on, and between two pieces `pause` seconds; and at most a
    twentieth more. A body may be waited for `seconds` more than `rate` bytes a second would take: a line may be slow
    all the time. What comes faster saves up no more than those `seconds`: no fast start pays for a trickle.
    """

    def __init__(self, seconds: float, pause: float, rate: int) -> None:
        self._seconds = seconds
        self._pause = pause
        self._rate = rate
        self._turn = min(seconds, pause) / 20
        self._running: dict[_Exchange, None] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, exchange: _Exchange) -> None:
        """Watch an exchange from now on."""
        self._running[exchange] = None
        exchange.deadlines, exchange.patience = self, self._seconds
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._turn, self._look)

    def heard(self, exchange: _Exchange, size: int) -> None:
        """Count a piece of a body in."""
        exchange.patience = min(exchange.patience + size / self._rate, self._seconds)
        exchange.prolonged_until = max(exchange.prolonged_until, time.perf_counter() + self._seconds)

    def end(self, exchange: _Exchange) -> None:
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
        self._access_log = AccessLog()
        self._ids = random.Random()  # noqa: S311  (made and seeded in each worker; request ids are no secret)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; lifespan events pass through, WebSockets are turned away."""
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = (*self._headers, *self._origins.headers(scope)) if self._origins else self._headers
        exchange = _Exchange(scope, receive, send, self._ids, headers)
        try:
            await self._serve(exchange)
        finally:
            self._record(exchange)

    async def _serve(self, exchange: _Exchange) -> None:
        refusal = _over_limit(exchange.scope)
        if refusal is not None:
            await self._refuse(exchange, refusal)
            return
        visitor, wait = self._turns.enter(scope_address(exchange.scope, self._settings))
        if wait is None:
            await self._refuse(exchange, "too_many_requests")
            return
        self._deadlines.begin(exchange)
        try:
            exchange.scope[_DEADLINE] = exchange
            if wait > 0.0:
                await asyncio.sleep(wait)
            await self._answer(exchange)
        except asyncio.CancelledError:
            # Somebody else's cancellation goes on; ours ends here (as in asyncio.timeout).
            if not exchange.expired or exchange.task is None or exchange.task.uncancel() > 0:
                raise
            await self._refuse(exchange, "unavailable" if exchange.body_complete else "request_timeout")
        except Exception as error:
            details = {"request_id": exchange.request_id, "error": list(describe_exception(error))}
            _log.error("internal error", extra=details)
            await self._refuse(exchange, "internal_error")
        finally:
            self._deadlines.end(exchange)
            self._turns.leave(visitor, exchange.status)

    async def _answer(self, exchange: _Exchange) -> None:
        preflight = self._origins.preflight(exchange.scope)
        if preflight is None:
            await self.application(exchange.scope, exchange.receive, exchange.send)
            return
        exchange.body_complete = True  # nobody reads it
        await exchange.send({"type": "http.response.start", "status": 204, "headers": preflight})
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _refuse(self, exchange: _Exchange, code: str) -> None:
        self._metrics.problems.labels(code).inc()
        retry_after = 1 if code in {"unavailable", "too_many_requests"} else None
        await exchange.send_problem(make_problem(code, exchange.request_id, retry_after=retry_after))

    def _record(self, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        method = exchange.scope["method"] if exchange.scope["method"] in _METHODS else "OTHER"
        # The template, never the path: an unknown path may be anything, even a phrase somebody typed.
        route = exchange.scope.get("path_template") or "unmatched"
        self._metrics.observe_request(method, route, exchange.status, seconds)
        self._access_log.write(exchange.request_id, method, route, exchange.status, seconds)
