"""The headers every answer carries, whatever made it."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from hushtag_server.settings import Settings

__all__ = ["AnswerHeaders", "answer_headers"]

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # Nothing that is answered here may be kept by a cache; what may says so itself (the calendar feed: private).
    (b"cache-control", b"no-store"),
    # Answers are for programs: no browser may run, frame or embed anything of them. The docs page has its own.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class AnswerHeaders(NamedTuple):
    """Headers that are added to an answer which does not say them itself, and their names."""

    pairs: tuple[tuple[bytes, bytes], ...]
    names: frozenset[bytes]

    @classmethod
    def of(cls, pairs: Iterable[tuple[bytes, bytes]]) -> "AnswerHeaders":
        """Return these."""
        pairs = tuple(pairs)
        return cls(pairs, frozenset(dict(pairs)))

    def and_these(self, pairs: Iterable[tuple[bytes, bytes]]) -> "AnswerHeaders":
        """Return these and some more."""
        return self.of((*self.pairs, *pairs))


def answer_headers(settings: Settings) -> AnswerHeaders:
    """Return what is added to an answer that does not say otherwise itself (RFC 9110, RFC 6797, CSP, Fetch)."""
    seconds = int(settings.strict_transport.total_seconds())
    if not seconds:
        return AnswerHeaders.of(_ALWAYS)
    return AnswerHeaders.of((*_ALWAYS, (b"strict-transport-security", b"max-age=%d; includeSubDomains" % seconds)))
