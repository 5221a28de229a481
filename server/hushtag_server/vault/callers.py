"""Tokens of the hot routes. The guard only reads the token's shape; the route's one statement authenticates it.

That saves a round trip per request and leaves no moment between check and change. A token that is no token is refused
before the body is read; one that is well-formed and unknown is refused by the statement, in the same words.
"""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from hushtag_server.services import Services, touch_interval
from hushtag_server.tokens import ACCOUNT, VAULT, BearerToken, parse_bearer
from hushtag_server.vault.schemas import Caller, VaultCaller
from hushtag_server.wire import WireRequest

__all__ = ["account_caller", "require_account_token", "require_vault_token", "vault_caller"]


async def require_account_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the header holds an account token; whether it is known, the route's statement finds out.

    Raises:
        UnauthenticatedError: it does not.
    """
    connection.scope["auth"] = parse_bearer(connection.headers.get("authorization"), ACCOUNT)


async def require_vault_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the header holds a vault token; whether it is known, the route's statement finds out.

    Raises:
        UnauthenticatedError: it does not.
    """
    connection.scope["auth"] = parse_bearer(connection.headers.get("authorization"), VAULT)


def account_caller(token: BearerToken, services: Services) -> Caller:
    """Return what a statement needs to authenticate an account token."""
    idle = services.settings.session_idle
    return Caller(token.user_id, token.secret_hash, idle, touch_interval(idle))


def vault_caller(request: WireRequest, services: Services) -> VaultCaller:
    """Return what a statement needs to authenticate the vault token of this request."""
    token = parse_bearer(request.headers.get("authorization"), VAULT)
    idle = services.settings.vault_idle
    return VaultCaller(token.user_id, token.secret_hash.hex(), idle, touch_interval(idle))
