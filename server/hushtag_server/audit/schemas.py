"""Rows of the audit trail, and what a listing of it may be narrowed to."""

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple
from uuid import UUID

__all__ = ["EntryRow", "Filters"]


class Filters(NamedTuple):
    """Which entries: of this action, of this table, from `since` on, before `until`."""

    action: str | None
    table_name: str | None
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry."""

    id: UUID
    action: str
    table_name: str
    record_id: UUID | None
    old_values: dict[str, Any] | None
    new_values: dict[str, Any] | None
    ip_address: IPv4Address | IPv6Address | None
    user_agent: str | None
    created_at: datetime
