"""The headers every answer carries, whatever made it."""

from typing import Final

from hushtag_server.settings import Settings

__all__ = ["answer_headers"]

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


def answer_headers(settings: Settings) -> tuple[tuple[bytes, bytes], ...]:
    """Return what is added to an answer that does not say otherwise itself (RFC 9110, RFC 6797, CSP, Fetch)."""
    seconds = int(settings.strict_transport.total_seconds())
    if not seconds:
        return _ALWAYS
    return (*_ALWAYS, (b"strict-transport-security", b"max-age=%d; includeSubDomains" % seconds))
