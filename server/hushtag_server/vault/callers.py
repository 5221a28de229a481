"""Vault tokens of the routes whose one statement authenticates; `auth` has those of accounts."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from hushtag_server.services import Services, touch_interval
from hushtag_server.tokens import VAULT, parse_bearer
from hushtag_server.vault.schemas import VaultCaller
from hushtag_server.wire import WireRequest

__all__ = ["require_vault_token", "vault_caller"]


async def require_vault_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the header holds a vault token; whether it is known, the route's statement finds out.

    Raises:
        UnauthenticatedError: it does not.
    """
    connection.scope["auth"] = parse_bearer(connection.headers.get("authorization"), VAULT)


def vault_caller(request: WireRequest, services: Services) -> VaultCaller:
    """Return what a statement needs to authenticate the vault token of this request."""
    token = parse_bearer(request.headers.get("authorization"), VAULT)
    idle = services.settings.vault_idle
    return VaultCaller(token.user_id, token.secret_hash.hex(), idle, touch_interval(idle))
