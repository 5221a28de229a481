"""Moments and UUIDs as lines of the log and rows of the security log spell them."""

import time
from functools import lru_cache

__all__ = ["spelt_second", "spelt_uuid"]


@lru_cache(maxsize=2)
def spelt_second(second: int) -> str:
    """Return a second of the epoch in UTC, without its zone; remembered, as many moments share one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def spelt_uuid(digits: str) -> str:
    """Return what str(UUID(hex=…)) does of the first 32 hex digits, in lower case, for a quarter of its price."""
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
