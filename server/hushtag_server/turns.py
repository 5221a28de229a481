"""Whose turn it is: how many requests of one client address this worker serves at once, and how many a second.

A client that asks faster than its rate is not refused but paced: its requests wait for their turn, which costs the
worker a timer each, and a sequential client merely becomes slower. What could not have its turn in time is refused.
A request that was refused, whatever for, counts as many: who asks properly hardly ever is, and a flood is nothing else.
Addresses of this host are not counted: a proxy that is not named as one (`HUSHTAG_TRUSTED_PROXIES`) would be taken for
one client, and all its clients would wait for each other.
"""

import time
from collections import OrderedDict
from functools import lru_cache
from typing import Final

from hushtag_server.peer import address_group, parsed_address
from hushtag_server.settings import Settings

__all__ = ["MAX_WAIT", "REFUSED_TURNS", "REMEMBERED", "SECONDS_AT_ONCE", "Turns", "Visitor"]

MAX_WAIT: Final = 5.0
"""Seconds a request waits for its turn at most."""
SECONDS_AT_ONCE: Final = 10.0
"""The burst: how many seconds' worth of requests an address that was quiet may send at once."""
REFUSED_TURNS: Final = 20
"""As how many requests a refused one counts."""
REMEMBERED: Final = 10_000
"""Addresses remembered by one worker; the one heard of longest ago is forgotten first."""


_REFUSALS: Final = frozenset({400, 401, 404, 405, 408, 413, 414, 415, 422, 429, 431})


class Visitor:
    """What a worker remembers of one address: requests under way, and when the next one's turn is."""

    __slots__ = ("running", "turn")

    def __init__(self) -> None:
        self.running = 0
        self.turn = 0.0


@lru_cache(maxsize=4096)
def _group(address: str | None) -> str | None:
    if address is None:
        return None
    parsed = parsed_address(address)
    if parsed is not None and parsed.is_loopback:
        return None
    return address_group(address)


class Turns:
    """The visitors of one worker. A rate or number of 0 is no limit."""

    def __init__(self, settings: Settings) -> None:
        self._at_once = settings.requests_at_once_per_address
        self._pause = 1 / settings.requests_per_address if settings.requests_per_address else 0.0
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()

    def enter(self, address: str | None) -> tuple[Visitor | None, float | None]:
        """Count a request in. Returns the visitor, to be given to `leave`, and the seconds until the request's turn.

        The seconds are None for a request that is refused: it is not counted and must not leave. The visitor is None
        for whoever is not counted.
        """
        group = _group(address)
        if group is None:
            return None, 0.0
        visitor = self._visitors.get(group)
        if visitor is None:
            visitor = self._visitors[group] = Visitor()
            if len(self._visitors) > REMEMBERED:
                self._visitors.popitem(last=False)
        else:
            self._visitors.move_to_end(group)
        wait = self._wait(visitor)
        if wait is not None:
            visitor.running += 1
        return visitor, wait

    def _wait(self, visitor: Visitor) -> float | None:
        if self._at_once and visitor.running >= self._at_once:
            return None
        if not self._pause:
            return 0.0
        now = time.monotonic()
        turn = max(visitor.turn, now - SECONDS_AT_ONCE) + self._pause
        if turn - now > MAX_WAIT:
            return None
        visitor.turn = turn
        return max(0.0, turn - now)

    def leave(self, visitor: Visitor | None, status: int) -> None:
        """Count a request out again, with the status it was answered."""
        if visitor is not None:
            visitor.running -= 1
            if status in _REFUSALS:
                visitor.turn += self._pause * (REFUSED_TURNS - 1)
