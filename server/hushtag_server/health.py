"""Liveness, readiness and metrics."""

import hmac
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg
from litestar import MediaType, Request, Response, get

from hushtag_server.database import missing_migrations
from hushtag_server.errors import NotFoundError, RefusedError
from hushtag_server.keyfile import KeyRing
from hushtag_server.operation.database_metrics import render_database
from hushtag_server.peer import parsed_address
from hushtag_server.services import Services, services_of
from hushtag_server.settings import Settings

__all__ = ["HEALTH_ROUTES", "Readiness"]

_KEY_SETS: Final = "SELECT id, fingerprint, retired_at IS NOT NULL FROM server_keys"
_PASSED_ON: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # what proxies add to the requests of others


class Readiness(msgspec.Struct, frozen=True):
    """Whether this worker can serve, part by part."""

    ready: bool
    database: bool
    migrations: bool
    keys: bool
    segments: bool
    """Whether the directory of new segments is there; True where they go into the database or over the network."""


class Liveness(msgspec.Struct, frozen=True):
    """The worker answers."""

    live: bool = True


@get("/health/live", tags=["operations"], summary="Whether the worker answers")
async def health_live() -> Liveness:
    """Answer without touching anything."""
    return Liveness()


def _are_ours(ring: KeyRing, rows: Iterable[tuple[UUID, bytes, bool]]) -> bool:
    """Tell whether these keys are those of the database: every set in use is here, and the current was not retired."""
    ours = {keys.id: keys.fingerprint for keys in ring.by_id.values()}
    return all(
        ours.get(key_id, fingerprint if retired else b"") == fingerprint and not (retired and key_id == ring.current.id)
        for key_id, fingerprint, retired in rows
    )


async def _readiness(services: Services) -> Readiness:
    try:
        async with services.transaction(None) as connection:
            migrated = not await missing_migrations(connection)
            rows = await (await connection.execute(_KEY_SETS)).fetchall() if migrated else []
        directory = await services.segments.has_directory(services.pool)
    except (RefusedError, psycopg.Error):
        return Readiness(ready=False, database=False, migrations=False, keys=False, segments=False)
    keys_match = bool(rows) and _are_ours(services.keys, rows)
    ready = migrated and keys_match and directory
    return Readiness(ready=ready, database=True, migrations=migrated, keys=keys_match, segments=directory)


@get("/health/ready", tags=["operations"], summary="Whether the worker can serve: database, migrations, keys, segments")
async def health_ready(request: Request[Any, Any, Any]) -> Response[Readiness]:
    """Answer 200 when everything a request needs is there, else 503 with the part that is missing."""
    state = await _readiness(services_of(request))
    return Response(state, status_code=200 if state.ready else 503)


def _may_watch(request: Request[Any, Any, Any], settings: Settings) -> bool:
    # Counted unlocks tell that somebody has a secret phrase: that is for the operator alone.
    token = settings.metrics_token
    if token is not None:
        given = request.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, f"Bearer {token}".encode("ascii"))
    # What looks like this host may be anybody of whom a proxy on it tells nothing: only if the operator knows better.
    if not settings.metrics_loopback or any(name in request.headers for name in _PASSED_ON):
        return False
    address = None if request.client is None else parsed_address(request.client.host)
    return address is not None and address.is_loopback


@get(
    "/metrics",
    tags=["operations"],
    summary="Metrics in the Prometheus text format; with the metrics token, or for this host where that is set",
    media_type=MediaType.TEXT,
    opt={"problems": ["not_found"]},
)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the metrics of all workers of this host and of the database. To anybody else it does not exist."""
    if not _may_watch(request, services_of(request).settings):
        raise NotFoundError("metrics")
    services = services_of(request)
    content = services.metrics.render() + await render_database(services)
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


HEALTH_ROUTES = [health_live, health_ready, metrics]
