"""Vault tokens of the routes whose one statement authenticates; `auth` has those of accounts."""

from typing import Any
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from hushtag.messages import FieldProblem
from hushtag_server.errors import MalformedRequestError, UnauthenticatedError
from hushtag_server.security_log.events import Event
from hushtag_server.security_log.recording import EventSource, RecordedPool, Subject
from hushtag_server.services import Services, services_of, touch_interval
from hushtag_server.tokens import VAULT, parse_bearer
from hushtag_server.vault.schemas import VaultCaller
from hushtag_server.vault.vault_queries import tag_of
from hushtag_server.wire import WireRequest

__all__ = [
    "check_tag_id",
    "recorded_pool",
    "require_open_vault",
    "require_vault_token",
    "vault_caller",
    "vault_subject",
]


async def require_vault_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the header holds a vault token; whether it is known, the route's statement finds out.

    Raises:
        UnauthenticatedError: it does not.
    """
    connection.scope["auth"] = parse_bearer(connection.headers.get("authorization"), VAULT)


async def require_open_vault(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: a vault token that is valid, found out in one round trip; for a route that must read a long body first.

    Raises:
        UnauthenticatedError: it is none, unknown, locked or expired.
    """
    services = services_of(connection)
    if await tag_of(services.pool, vault_caller(connection, services)) is None:
        raise UnauthenticatedError("no such vault session")


def vault_caller(request: ASGIConnection[Any, Any, Any, Any], services: Services) -> VaultCaller:
    """Return what a statement needs to authenticate the vault token of this request."""
    token = parse_bearer(request.headers.get("authorization"), VAULT)
    idle = services.settings.vault_idle
    return VaultCaller(token.user_id, token.secret_hash.hex(), idle, touch_interval(idle))


def check_tag_id(tag_id: UUID, user_id: UUID, field: str) -> None:
    """Let no tag have its user's id: where there is no tag, its seal is looked up under that (migration 0019).

    Raises:
        MalformedRequestError: it is that id.
    """
    if tag_id == user_id:
        raise MalformedRequestError([FieldProblem(field=field, rule="must not be the account's id")])


def vault_subject(
    events: EventSource, user_id: UUID, session_id: str, vault_id: UUID | None = None, **particulars: Any
) -> Subject:
    """Return whom an event inside a vault is about; ids among the particulars are hashed, each as its own kind."""

    def told_of(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [told_of(name, each) for each in value]
        return events.hashed(name.encode("ascii"), value.bytes) if isinstance(value, UUID) else value

    given = {"vault": vault_id} | particulars
    told = {name: told_of(name, value) for name, value in given.items() if value is not None}
    return Subject(user_id, bytes.fromhex(session_id), None, told or None)


def recorded_pool(
    request: WireRequest, services: Services, event: Event, vault_id: UUID, **particulars: UUID | int | list[UUID]
) -> RecordedPool:
    """Return a pool whose next call stores an event about a vault, by the vault token of this request."""
    token = parse_bearer(request.headers.get("authorization"), VAULT)
    events = services.events_of(request.scope)
    subject = vault_subject(events, token.user_id, token.secret_hash.hex(), vault_id, **particulars)
    return events.through(services.pool, event, subject)
