"""The man in the server's place: passes every request on, and alters, withholds, repeats or invents any answer.

He works on `httpx` requests and responses, so the same attack runs in memory (`transport`, over the fake server) and on
the wire (`proxy.py`, before a real server).
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

MAX_REQUESTS = 60
"""What one operation of the client may send at most, whatever it is answered. An honest run needs at most 9."""

_NUMBER = re.compile(r"/[0-9]+$")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class EndlessError(AssertionError):
    """The client sends request after request."""


def route(request: httpx.Request) -> str:
    """Return method and path of a request, with `*` for each id and number."""
    return f"{request.method} {_NUMBER.sub('/*', _ID.sub('*', request.url.path))}"


@dataclass(frozen=True)
class Exchange:
    """A request, and what the client was answered; `None` if it got no answer."""

    request: httpx.Request
    response: httpx.Response | None

    @property
    def route(self) -> str:
        return route(self.request)


Act = Callable[["Man", httpx.Request], httpx.Response]
"""What the man does with a request: most acts pass it on and alter what comes back."""


@dataclass
class Man:
    """Lets everything through until he strikes.

    `act` takes the place of the exchange number `strike` (from 0, counted from `arm`), and if `again`, of every later
    one of the same route.
    """

    server: Any
    act: Act | None = None
    strike: int = 0
    again: bool = False
    struck: int = 0
    exchanges: list[Exchange] = field(default_factory=list)
    limit: int = MAX_REQUESTS
    _target: str | None = None
    _turn: threading.RLock = field(default_factory=threading.RLock)

    def arm(self, act: Act | None, strike: int = 0, *, again: bool = False) -> None:
        """Strike from now on; exchanges are counted anew."""
        self.act, self.strike, self.again = act, strike, again
        self.struck, self._target = 0, None
        self.exchanges = []

    def forward(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on to the honest server."""
        response: httpx.Response = self.server.respond(request)
        return response

    def serve(self, request: httpx.Request) -> httpx.Response:
        with self._turn:
            if len(self.exchanges) >= self.limit:
                raise EndlessError(f"more than {self.limit} requests; last {route(request)}")
            number = len(self.exchanges)
            self.exchanges.append(Exchange(request, None))
            response = self._answer(number, request)
            self.exchanges[number] = Exchange(request, response)
            return response

    def _answer(self, number: int, request: httpx.Request) -> httpx.Response:
        if self.act is None or not self._strikes(number, request):
            return self.forward(request)
        self.struck += 1
        return self.act(self, request)

    def _strikes(self, number: int, request: httpx.Request) -> bool:
        if number == self.strike:
            self._target = route(request)
            return True
        return self.again and route(request) == self._target

    def transport(self) -> httpx.MockTransport:
        """The man without a network."""
        return httpx.MockTransport(lambda request: streamed(self.serve(request)))


def streamed(response: httpx.Response) -> httpx.Response:
    """Return the response as it comes from a socket: not read yet."""
    if response.is_closed and hasattr(response, "_content"):
        return httpx.Response(
            response.status_code, headers=response.headers.raw, stream=httpx.ByteStream(response.content)
        )
    return response


def respond(
    status: int, body: bytes, headers: httpx.Headers | list[tuple[bytes, bytes]] | dict[str, str]
) -> httpx.Response:
    """Return a response with exactly these headers, also if they contradict the body."""
    raw = headers.raw if isinstance(headers, httpx.Headers) else headers
    made = httpx.Response(status, headers=raw)
    made._content = body
    made.is_closed = True
    return made
