"""A row of the security log, as it is signed and as it is stored."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from hushtag_server.security_log.audit_keys import AuditKeys

__all__ = ["COLUMNS", "Beginning", "EventRow", "encode_row", "encode_values", "is_signed", "row_of", "stamp"]

_NULL: Final = b"\xff\xff\xff\xff"  # no value is that long


class Beginning(msgspec.Struct, gc=False):
    """The columns of a row that are known before it is known how its event ends."""

    id: str
    key_id: str | None
    user_id_hash: str | None
    session_id_hash: str | None
    correlation_id: str | None
    request_id: str | None
    ip_address_hash: str | None
    user_agent_hash: str | None
    event_data: str | None
    timestamp: str
    processing_time_ms: int | None


class EventRow(Beginning, gc=False):
    """The columns of `security_audit_logs`, as JSON has them; the signature covers all the others."""

    event_type: str
    event_category: str
    severity: str
    event_message: str
    is_sensitive: bool
    success: bool | None
    error_code: str | None
    log_signature: str | None = None


COLUMNS: Final = EventRow.__struct_fields__
"""Every column, in the order in which they are signed; the last is the signature."""


def stamp(moment: datetime) -> str:
    """Return a time as it is signed: UTC, to the microsecond, which is what PostgreSQL keeps."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def encode_values(values: Iterable[object]) -> bytes:
    """Return values as they are signed: each behind its length; NULL is u32(2^32 - 1)."""
    parts = []
    for value in values:
        if value is None:
            parts.append(_NULL)
            continue
        if value is True or value is False:
            value = "t" if value else "f"  # noqa: PLW2901
        text = str(value).encode()
        parts += (len(text).to_bytes(4, "big"), text)
    return b"".join(parts)


def encode_row(row: EventRow) -> bytes:
    """Return what is signed: every column but the signature."""
    return encode_values(getattr(row, name) for name in COLUMNS[:-1])


def _as_signed(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    return str(value) if isinstance(value, UUID) else value


def row_of(columns: Iterable[Any]) -> EventRow:
    """Return the row of `COLUMNS` as the database returned them."""
    values: list[Any] = [_as_signed(value) for value in columns]
    return EventRow(*values)


def is_signed(row: EventRow, keys: AuditKeys) -> bool:
    """Tell whether a row's signature is of these keys and covers every column as it is."""
    import hmac

    # As bytes: what an intruder wrote may be no ASCII, which would be an error here.
    return hmac.compare_digest(keys.sign_row(encode_row(row)).encode(), (row.log_signature or "").encode())
