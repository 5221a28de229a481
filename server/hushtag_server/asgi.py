"""The types of ASGI, as wide as the specification has them, and the headers of a request."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

__all__ = ["EXCHANGE", "HEADERS", "Application", "Message", "Receive", "Scope", "Send", "first_headers"]

HEADERS: Final = "hushtag.headers"
"""Where the edge leaves in the scope what `first_headers` returns: it reads every header once, for all."""

EXCHANGE: Final = "hushtag.exchange"
"""Where the edge leaves in the scope, until the answer is sent, its `Exchange`."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def first_headers(scope: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the headers of a request by name, in lower case; of one that is sent twice the first."""
    known: dict[bytes, bytes] | None = scope.get(HEADERS)
    return dict(reversed(scope["headers"])) if known is None else known
