"""Moments as lines of the log and rows of the security log spell them."""

import time
from functools import lru_cache

__all__ = ["spelt_second"]


@lru_cache(maxsize=2)
def spelt_second(second: int) -> str:
    """Return a second of the epoch in UTC, without its zone; remembered, as many moments share one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
