"""Direct routes: a request in, one step, JSON out, without a framework's general machinery in between.

The three messages of an unlock cost OPAQUE a quarter of a millisecond; the general way of a request through Litestar
costs as much again for each of them. A direct route answers exactly as its Litestar handler would (tests compare the
two), and that handler stays: it documents the route, and it answers every method, spelling of the path and query that
the direct route does not know.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from litestar import Litestar

from hushtag_server.asgi import EXCHANGE, HEADERS, Receive, Scope, Send
from hushtag_server.edge import Exchange
from hushtag_server.errors import MalformedRequestError, TooLargeError
from hushtag_server.problems import describe_problem, encode_problem
from hushtag_server.services import Services
from hushtag_server.tokens import ACCOUNT, BearerToken, parse_bearer
from hushtag_server.wire import MAX_JSON_BYTES, check_json_type, decode_message

__all__ = ["DirectAnswer", "DirectCall", "DirectRoute", "DirectRoutes", "answer_json", "answer_made", "no_query"]

_JSON: Final = (b"content-type", b"application/json")
_WITHOUT_CONTENT: Final = frozenset({204, 304})
_LENGTH_DIGITS: Final = 19  # of a number that still is a 64-bit one
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_UUID_LENGTH: Final = 36
_encoder: Final = msgspec.json.Encoder()


class DirectCall(NamedTuple):
    """One request on a direct route; `headers` holds the first of each name, in lower case."""

    services: Services
    token: BearerToken
    scope: Scope
    headers: dict[bytes, bytes]
    row_id: UUID | None
    query: Any
    message: Any


class DirectAnswer(NamedTuple):
    """What a step answers; content type and length are added."""

    status: int
    content: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()


def answer_json(message: msgspec.Struct) -> DirectAnswer:
    """Return the answer that holds a message."""
    return DirectAnswer(200, _encoder.encode(message))


def answer_made(answer: DirectAnswer) -> DirectAnswer:
    """Return the answer that a step has made itself."""
    return answer


def no_query(query: bytes) -> object:
    """Read the query of a route that takes none: one that is not empty, the Litestar handler refuses."""
    return None if query else ()


class DirectRoute(NamedTuple):
    """A route with an account token, answered by `step`.

    `path` may end in one `{…}`, which stands for the id of a row in its usual spelling. `message` is the type of the
    JSON body, or None where none is read. `read_query` returns what the step gets as `query`, or None for a query that
    only the Litestar handler knows. `answer` makes the answer of what the step comes to.
    """

    method: str
    path: str
    step: Callable[[DirectCall], Awaitable[Any]]
    message: type[msgspec.Struct] | None = None
    max_body: int = MAX_JSON_BYTES
    read_query: Callable[[bytes], Any] = no_query
    answer: Callable[[Any], DirectAnswer] = answer_json


async def _read_body(receive: Receive, headers: dict[bytes, bytes], most: int) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or len(announced) > _LENGTH_DIGITS:
        raise MalformedRequestError
    if int(announced) > most:
        raise TooLargeError(most)
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise MalformedRequestError  # the client left
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length > most:
            raise TooLargeError(most)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunk if len(chunks) == 1 else b"".join(chunks)


class DirectRoutes:
    """ASGI application inside the edge: serves the direct routes and hands everything else to `application`."""

    def __init__(self, application: Litestar, routes: Sequence[DirectRoute]) -> None:
        self.application = application
        self._routes = {(route.method, route.path.partition("{")[0]): route for route in routes}

    def _find(self, method: str, path: str) -> tuple[DirectRoute, UUID | None] | None:
        route = self._routes.get((method, path))
        if route is not None:
            return None if route.path != path else (route, None)
        row_id = path[-_UUID_LENGTH:]
        route = self._routes.get((method, path[:-_UUID_LENGTH]))
        if route is None or route.path[-1] != "}" or not _UUID.fullmatch(row_id):
            return None
        return route, UUID(row_id)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request."""
        found = self._find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        query = None if found is None else found[0].read_query(scope["query_string"])
        if found is None or query is None:
            served: Any = self.application  # Litestar narrows the types of ASGI to its own
            litestar: Awaitable[None] = served(scope, receive, send)
            return litestar
        return self._answer(*found, query, scope, receive)

    async def _answer(
        self, route: DirectRoute, row_id: UUID | None, query: Any, scope: Scope, receive: Receive
    ) -> None:
        scope["path_template"] = route.path
        services: Services = self.application.state["services"]
        exchange: Exchange = scope[EXCHANGE]
        try:
            headers: dict[bytes, bytes] = scope[HEADERS]
            # The token before the body: whoever has none must not make the server read.
            token = parse_bearer(headers.get(b"authorization", b"").decode("latin-1"), ACCOUNT)
            message = None
            if route.message is not None:
                body = await _read_body(receive, headers, route.max_body)
                if body:  # an empty one is refused as such
                    check_json_type(headers.get(b"content-type", b"").decode("latin-1"))
                message = decode_message(route.message, body)
            found = await route.step(DirectCall(services, token, scope, headers, row_id, query, message))
            status, content, more = route.answer(found)
            if status in _WITHOUT_CONTENT:
                content, said = b"", [*more]
            else:
                said = [_JSON, (b"content-length", b"%d" % len(content)), *more]
        except Exception as error:
            problem = describe_problem(error, exchange.request_id, services.metrics)
            status = problem.status
            said, content = encode_problem(problem)
        await exchange.answer(status, said, content)
