"""Direct routes: JSON in, one step, JSON out, without a framework's general machinery in between.

The three messages of an unlock cost OPAQUE a quarter of a millisecond; the general way of a request through Litestar
costs as much again for each of them. A direct route answers exactly as its Litestar handler would (tests compare the
two), and that handler stays: it documents the route, and it answers other methods and spellings of the path.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Litestar

from hushtag_server.asgi import Message, Receive, Scope, Send
from hushtag_server.errors import MalformedRequestError, TooLargeError
from hushtag_server.problems import describe_problem, encode_problem
from hushtag_server.services import Services
from hushtag_server.tokens import ACCOUNT, BearerToken, parse_bearer
from hushtag_server.wire import MAX_JSON_BYTES, check_json_type, decode_message

__all__ = ["DirectRoute", "DirectRoutes"]

_JSON: Final = (b"content-type", b"application/json")
_LENGTH_DIGITS: Final = 19  # of a number that still is a 64-bit one
_encoder: Final = msgspec.json.Encoder()


class DirectRoute(NamedTuple):
    """`POST path` with an account token and one JSON message; `step` answers it with status 200."""

    path: str
    message: type[msgspec.Struct]
    step: Callable[[Services, BearerToken, Any], Awaitable[msgspec.Struct]]


async def _read_body(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    announced = headers.get(b"content-length", b"0")
    if not announced.isdigit() or len(announced) > _LENGTH_DIGITS:
        raise MalformedRequestError
    if int(announced) > MAX_JSON_BYTES:
        raise TooLargeError("announced body")
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise MalformedRequestError  # the client left
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise TooLargeError("received body")
        if not message.get("more_body", False):
            return body


class DirectRoutes:
    """ASGI application: serves the direct routes and hands everything else to `application`."""

    def __init__(self, application: Litestar, routes: Sequence[DirectRoute]) -> None:
        self.application = application
        self._routes = {route.path: route for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if route is None:
            served: Any = self.application  # Litestar narrows the types of ASGI to its own
            await served(scope, receive, send)
            return
        scope["path_template"] = route.path
        status, headers, body = await self._answer(route, scope, receive)
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, route: DirectRoute, scope: Scope, receive: Receive
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        services: Services = self.application.state["services"]
        try:
            headers: dict[bytes, bytes] = {}
            for name, value in scope["headers"]:
                headers.setdefault(name, value)  # of a header sent twice the first counts
            # The token before the body: whoever has none must not make the server read.
            token = parse_bearer(headers.get(b"authorization", b"").decode("latin-1"), ACCOUNT)
            body = await _read_body(receive, headers)
            if body:  # an empty one is refused as such
                check_json_type(headers.get(b"content-type", b"").decode("latin-1"))
            content = _encoder.encode(await route.step(services, token, decode_message(route.message, body)))
            return 200, [_JSON, (b"content-length", b"%d" % len(content))], content
        except Exception as error:
            problem = describe_problem(error, scope["state"]["request_id"], services.metrics)
            return problem.status, *encode_problem(problem)
