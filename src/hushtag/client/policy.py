"""Limits of time, repetition and size that a client keeps, and the URLs it will talk to."""

import ipaddress
import random
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Final

import httpx

from hushtag.client.errors import InsecureServerError
from hushtag.errors import MisuseError

__all__ = ["MAX_LIST_BYTES", "MAX_PAGE_BYTES", "RetryPolicy", "Timeouts", "is_loopback", "server_url"]

MAX_LIST_BYTES: Final = 1024 * 1024
"""Bytes of one page of a listing, and of the answer that ends an unlock."""
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of one page of a listing of the plain side, whose entries are long texts."""
_MAX_PORT: Final = 65535

# Jitter only spreads clients apart; it needs no secret randomness, and this source is not seeded by anyone.
_jitter = random.SystemRandom()


def _check_numbers(policy: "Timeouts | RetryPolicy") -> None:
    for name, value in asdict(policy).items():
        if not (isinstance(value, int | float) and isfinite(value) and value >= 0):
            raise MisuseError(f"{name} of a {type(policy).__name__} is a finite number of 0 or more")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection, for the next bytes, and for a whole exchange.

    Raises:
        MisuseError: not a finite number of 0 or more.
    """

    connect: float = 5.0
    read: float = 30.0
    overall: float = 120.0

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a safe request is sent at most, how often a change is tried at most, and the first pause between.

    `reconnects` and `longest_wait` are for a stream of events that broke after it had once been open.

    Raises:
        MisuseError: pauses that are not finite numbers of 0 or more, or a number of attempts below 1.
    """

    reads: int = 4
    changes: int = 10
    first_pause: float = 0.1
    longest_pause: float = 2.0
    reconnects: int = 100
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        _check_numbers(self)
        if min(self.reads, self.changes) < 1:
            raise MisuseError("reads and changes of a RetryPolicy are 1 or more: the first attempt counts")

    def pause(self, attempt: int) -> float:
        """Return the seconds before attempt number `attempt` + 1: doubling, bounded, of random length."""
        return self._pause(attempt, self.longest_pause)

    def wait(self, attempt: int) -> float:
        """Return the seconds before a broken stream is opened again, as `pause` does."""
        return self._pause(attempt, self.longest_wait)

    def wait_for(self, attempt: int, error: Exception) -> float:
        """As `wait`, but no shorter than a server asked for, as far as that is within `longest_wait`."""
        asked = getattr(error, "retry_after", None) or 0
        return max(self.wait(attempt), min(float(asked), self.longest_wait))

    def _pause(self, attempt: int, longest: float) -> float:
        ceiling = min(longest, self.first_pause * 2.0 ** min(attempt, 32))
        return ceiling * (0.5 + _jitter.random() / 2)


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine: `localhost` or a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def server_url(server: str, *, allow_insecure: bool = False) -> httpx.URL:
    """Return the URL, without a slash at its end.

    Raises:
        InsecureServerError: not http(s), plain http to another machine (unless `allow_insecure`), or with a user
            name, a query, a fragment or a port that is none.
    """
    try:
        url = httpx.URL(server.rstrip("/"))
    except (httpx.InvalidURL, TypeError, ValueError):
        raise InsecureServerError("server is not a URL; give one like https://vault.example.org") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InsecureServerError("server must be an https:// URL (or http:// on this machine)")
    if url.userinfo or url.query or url.fragment:
        raise InsecureServerError("server URL must not hold a user name, query or fragment")
    if url.port is not None and not 1 <= url.port <= _MAX_PORT:
        # Resolvers take it modulo 65536: credentials would go to whoever listens there.
        raise InsecureServerError(f"server URL has a port outside 1 to {_MAX_PORT}")
    if url.scheme == "http" and not (allow_insecure or is_loopback(url.host)):
        raise InsecureServerError(
            f"plain http to {url.host} would show tokens to the network; use https://, or allow it explicitly"
        )
    return url
