"""CORS: which pages of other origins a browser lets read answers. None, unless the operator names them.

No cookie is ever taken or set, so nothing here guards against requests that a browser sends on its own; it decides who
may use the interface from a page. No answer ever says `Access-Control-Allow-Credentials` or `*`.
"""

from collections.abc import Iterable
from typing import Final

from hushtag_server.asgi import Scope, first_headers

__all__ = ["PREFLIGHT_SECONDS", "Origins"]

PREFLIGHT_SECONDS: Final = 600
"""How long a browser may remember a preflight's answer."""

_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
_TAKEN: Final = (
    b"Authorization, Content-Type, If-Match, If-None-Match, If-Range, Last-Event-ID, Range, Hushtag-Confirm,"
    b" Hushtag-Generation, Hushtag-Head, Hushtag-Key-Version, Hushtag-Request-Id, Hushtag-Revision,"
    b" Hushtag-Segment-Digest, Hushtag-Stream, Hushtag-Stream-Segments, Hushtag-Stream-Size, Hushtag-Vault-Token"
)
_SHOWN: Final = (
    b"Content-Disposition, Content-Range, ETag, Location, Retry-After, Hushtag-Archive-Members, Hushtag-Key-Version,"
    b" Hushtag-Request-Id, Hushtag-Revision, Hushtag-Segments, Hushtag-Stream"
)
_VARY: Final = (b"vary", b"Origin")

Headers = tuple[tuple[bytes, bytes], ...]


class Origins:
    """The origins whose pages may read answers."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(origin.encode("ascii") for origin in allowed)

    def __bool__(self) -> bool:
        return bool(self._allowed)

    def headers(self, scope: Scope) -> Headers:
        """Return what an answer says to the page that asks; without allowed origins nothing, whoever asks."""
        if not self._allowed:
            return ()
        origin = first_headers(scope).get(b"origin", b"")
        if origin not in self._allowed:
            return (_VARY,)
        return (_VARY, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", _SHOWN))

    def preflight(self, scope: Scope) -> Headers | None:
        """Return the answer's headers if this is an allowed page's preflight request, else None."""
        if scope["method"] != "OPTIONS" or not self._allowed:
            return None
        if not first_headers(scope).get(b"access-control-request-method"):
            return None
        origin = first_headers(scope).get(b"origin", b"")
        if origin not in self._allowed:
            return None
        return (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _TAKEN),
            (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        )
