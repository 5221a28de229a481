"""What httpx logs of every request at INFO: its address, with what is searched for and the ids of vaults.

An application that logs at INFO would keep on its device what everything else here keeps off it. So the lines of our
own requests are dropped; those of the application's own requests are its own.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["keep_unlogged", "unlogged"]

_ours: Final[ContextVar[bool]] = ContextVar("hushtag_request", default=False)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


_not_ours: Final = _NotOurs()


def keep_unlogged() -> None:
    """Let httpx say nothing of what is asked within `unlogged`. May be called again and again."""
    logging.getLogger("httpx").addFilter(_not_ours)


@contextmanager
def unlogged() -> Iterator[None]:
    """Ask within this context."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
