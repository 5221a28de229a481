"""Who is at the other end of a request: the address and the name a client gives itself."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from litestar.connection import ASGIConnection

from hushtag_server.settings import Settings

__all__ = ["MAX_USER_AGENT", "client_address", "client_agent", "scope_address", "shown_agent"]

MAX_USER_AGENT: Final = 200


@lru_cache(maxsize=4096)
def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None


def scope_address(scope: Mapping[str, Any], settings: Settings) -> str | None:
    """Return the client's address: the connection's, or the last one a trusted proxy did not make up."""
    client = scope.get("client")
    address = _parsed(client[0]) if client else None
    if address is None:
        return None  # a Unix socket has no address
    if settings.trusted_proxies:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = ",".join(given).split(",")
        while hops and any(address in network for network in settings.trusted_proxies):
            hop = _parsed(hops.pop().strip())
            if hop is None:
                break
            address = hop
    return str(address)


def client_address(connection: ASGIConnection[Any, Any, Any, Any], settings: Settings) -> str | None:
    """Return the client's address, as `scope_address`."""
    return scope_address(connection.scope, settings)


def shown_agent(agent: str | None) -> str | None:
    """Return the printable start of what a client calls itself, at most 200 characters."""
    if not agent:
        return None
    shown = agent if agent.isprintable() else "".join(sign for sign in agent if sign.isprintable())
    return shown[:MAX_USER_AGENT]


def client_agent(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Return the printable start of the `User-Agent` header, at most 200 characters."""
    return shown_agent(connection.headers.get("user-agent"))
