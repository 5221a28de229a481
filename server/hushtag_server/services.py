"""What every request may use: settings, keys, pool, limiters; made once per worker, held in the application's state."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

import anyio
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from hushtag_server.database import Connection, Pool, transaction
from hushtag_server.hash_queue import HashQueue
from hushtag_server.journal.searches import Searches
from hushtag_server.keyfile import KeyRing
from hushtag_server.observability import Metrics
from hushtag_server.peer import NO_PEER, Peer
from hushtag_server.reminders.calendars import Calendars
from hushtag_server.security_log.audit_keys import AuditKeys
from hushtag_server.security_log.recording import EventSource
from hushtag_server.security_log.sealer import Sealer
from hushtag_server.settings import Settings
from hushtag_server.streams.bodies import Lanes
from hushtag_server.streams.removing import Remover
from hushtag_server.streams.stores import SegmentStores

__all__ = ["Services", "ServicesDep", "provide_services", "services_of", "touch_interval"]


@dataclass(frozen=True, slots=True)
class Services:
    """The worker's services. `audit` are the keys of the security log that are current, `threads` limits the
    threads that hash large rows and write or read archives, `rules` those that expand rules of reminders; `calendars`
    writes feeds, `passwords` runs Argon2id, `searches` lets few searches of the journal run at once.

    `segments` are the stores of large objects, `remover` removes what ended of them, `lanes` counts their bodies.
    """

    settings: Settings
    keys: KeyRing
    audit: AuditKeys
    pool: Pool
    metrics: Metrics
    threads: anyio.CapacityLimiter
    rules: anyio.CapacityLimiter
    calendars: Calendars
    passwords: HashQueue
    searches: Searches
    sealer: Sealer
    segments: SegmentStores
    remover: Remover
    lanes: Lanes

    def transaction(
        self, user_id: UUID | None, *, login_email: str | None = None, peer: Peer = NO_PEER
    ) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction that sees only this user's rows; see `database.transaction`."""
        return transaction(self.pool, user_id, login_email=login_email, peer=peer)

    def events_of(self, scope: Mapping[str, Any]) -> EventSource:
        """Return what writes the events of a request into the security log."""
        return EventSource(self.audit, self.settings, scope, self.sealer.kick)


ServicesDep = NamedDependency[SkipValidation[Services]]
"""Annotation of the parameter `services` of a route."""


def services_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Services:
    """Return the services of the application that serves this connection."""
    services: Services = connection.app.state["services"]
    return services


async def provide_services(request: Request[Any, Any, Any]) -> Services:
    """Dependency `services`."""
    return services_of(request)


@cache
def touch_interval(idle: timedelta) -> timedelta:
    """Return how stale `last_activity` may get before it is written again: a minute, less for short idle times."""
    return min(timedelta(minutes=1), idle / 4)
