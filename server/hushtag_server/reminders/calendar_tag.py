"""The ETag of a calendar: of what it is made, so that one that did not change need not be written."""

import hashlib
from collections.abc import Iterable

from hushtag import __version__
from hushtag_server.reminders.schemas import ReminderRow

__all__ = ["calendar_tag"]


def calendar_tag(rows: Iterable[ReminderRow]) -> str:
    """Return the strong ETag of the calendar of these reminders: it changes exactly when one of them does."""
    digest = hashlib.blake2s(__version__.encode(), digest_size=16)
    for row in rows:
        digest.update(row.id.bytes + row.version.to_bytes(8, "big") + row.updated_at.isoformat().encode())
    return f'"{digest.hexdigest()}"'
