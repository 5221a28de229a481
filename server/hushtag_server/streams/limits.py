"""The server's own limits of large objects; those of the wire stand in `hushtag.stream_messages`."""

from typing import Final

__all__ = ["MAX_BODIES", "MAX_BODIES_PER_SESSION", "MAX_UPLOADS", "PART_BYTES"]

PART_BYTES: Final = 1024 * 1024
"""Bytes of one row, and of one piece of a body: what a worker holds of a body is at most a few of them."""
MAX_UPLOADS: Final = 16
"""Streams a vault has under way at once: begun, and neither committed nor given up."""
MAX_BODIES_PER_SESSION: Final = 8
"""Bodies of segments of one vault session that a worker moves at once, up or down."""
MAX_BODIES: Final = 64
"""Bodies of segments that a worker moves at once."""
