"""Events for operators: read from the log, each checked against its signature, found by what they are about."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.security_log.recording import identifier, named
from hushtag_server.security_log.rows import COLUMNS, EventRow, is_signed, row_of
from hushtag_server.security_log.verify import Keys

__all__ = ["Sought", "list_events"]

_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_LIST: Final = f"""
    SELECT {_NAMES} FROM security_audit_logs
    WHERE (%(users)s::text[] IS NULL OR user_id_hash = ANY (%(users)s))
      AND (%(requests)s::uuid[] IS NULL OR request_id = ANY (%(requests)s))
      AND (%(addresses)s::text[] IS NULL OR ip_address_hash = ANY (%(addresses)s))
      AND (%(since)s::timestamptz IS NULL OR "timestamp" >= %(since)s)
      AND (NOT %(failed)s OR success IS NOT TRUE)
    ORDER BY "timestamp" DESC, id DESC LIMIT %(most)s
"""  # noqa: S608  (constants)


class Sought(NamedTuple):
    """Which events: of a user, a request or an address, since a time, only those that failed; the newest `most`."""

    user: UUID | None = None
    request: UUID | None = None
    address: str | None = None
    since: datetime | None = None
    failed: bool = False
    most: int = 100


def list_events(connection: Connection, keys: Keys, sought: Sought) -> Iterator[tuple[EventRow, bool]]:
    """Yield events, the newest first, and whether each is as it was signed.

    Who is sought is hashed with every key set, for rows were written under the one of their time.

    Raises:
        OperationError: the role may not step into the maintainer's.
    """
    user, request, address = sought.user, sought.request, sought.address
    values = {
        "users": None if user is None else [identifier(each, b"user", user.bytes) for each in keys.values()],
        "requests": None if request is None else [named(k, b"request", str(request).encode()) for k in keys.values()],
        "addresses": None if address is None else [identifier(k, b"address", address.encode()) for k in keys.values()],
        "since": sought.since,
        "failed": sought.failed,
        "most": sought.most,
    }
    with as_maintainer(connection):
        rows = connection.execute(_LIST, values).fetchall()
    for columns in rows:
        row = row_of(columns)
        known = keys.get(UUID(row.key_id)) if row.key_id else None
        yield row, known is not None and is_signed(row, known)
