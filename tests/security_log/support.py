"""The security log without a server in front of it: events written by hand, sealed, and verified."""

import asyncio
import os
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg

from hushtag_server.keyfile import KeyRing
from hushtag_server.operation.reach import connect
from hushtag_server.security_log.audit_keys import AuditKeys, audit_keys, ring_keys
from hushtag_server.security_log.chain import Checkpoint
from hushtag_server.security_log.events import OBJECT_READ, Event
from hushtag_server.security_log.recording import INSERT, EventSource, Subject
from hushtag_server.security_log.rows import EventRow
from hushtag_server.security_log.sealing import Sealed, seal_everything, store_checkpoint
from hushtag_server.security_log.verify import Verified, verify
from hushtag_server.settings import Settings


def source(keys: AuditKeys) -> EventSource:
    """What writes the events of a request that nobody sent."""
    scope = {"headers": [], "client": ("192.0.2.1", 1), "state": {"request_id": str(uuid4())}}
    return EventSource(keys, Settings(), scope, lambda: None)


def made_row(keys: AuditKeys, event: Event, subject: Subject, outcome: str = "done") -> EventRow:
    """Return the row of an event as the server makes it."""
    encoded = source(keys).rows(event, subject, [outcome])[outcome]
    return msgspec.json.decode(encoded, type=EventRow)


def signed_row(keys: AuditKeys) -> EventRow:
    return made_row(keys, OBJECT_READ, Subject(uuid4(), os.urandom(32), None, {"vault": os.urandom(32).hex()}))


def write(url: str, ring: KeyRing, count: int) -> None:
    """Write events as the server does, each in a transaction of its own."""
    keys = audit_keys(ring.current)
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(count):
            connection.execute(INSERT, [msgspec.json.encode(signed_row(keys)).decode()])


def store(url: str, row: EventRow) -> None:
    """Write one event."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(INSERT, [msgspec.json.encode(row).decode()])


async def _seal(url: str, keys: AuditKeys, signed: bool) -> tuple[Sealed, Checkpoint | None]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        done = await seal_everything(connection, keys)
        return done, await store_checkpoint(connection, keys, done.head) if signed and done.head else None


def seal(url: str, ring: KeyRing) -> Sealed:
    """Seal everything, as the server's role."""
    return asyncio.run(_seal(url, audit_keys(ring.current), False))[0]


def sign(url: str, ring: KeyRing) -> Checkpoint:
    """Seal everything and sign how far the chain reaches."""
    made = asyncio.run(_seal(url, audit_keys(ring.current), True))[1]
    assert made is not None
    return made


def verified(database: Any, ring: KeyRing, *given: Checkpoint) -> Verified:
    """Verify as the owner of the tables."""
    with connect(database.owner_url) as connection:
        return verify(connection, ring_keys(ring), given)


def kinds(database: Any, ring: KeyRing, *given: Checkpoint) -> list[tuple[str, int | None]]:
    """Return kind and place of what a verification finds."""
    return [(each.kind, each.seq) for each in verified(database, ring, *given).tampering]


def log_id(admin: Any, seq: int) -> UUID:
    found: UUID = admin.execute("SELECT log_id FROM security_audit_links WHERE seq = %s", [seq]).fetchone()[0]
    return found
