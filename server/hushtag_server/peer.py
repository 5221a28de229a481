"""Who is at the other end of a request: the address and the name a client gives itself."""

from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from litestar.connection import ASGIConnection

from hushtag_server.settings import Settings

__all__ = ["MAX_USER_AGENT", "NO_PEER", "Peer", "client_address", "client_agent", "client_peer"]

MAX_USER_AGENT: Final = 200


class Peer(NamedTuple):
    """Who is at the other end: address and agent, as far as they are known."""

    address: str | None
    agent: str | None


NO_PEER: Final = Peer(None, None)


def client_address(connection: ASGIConnection[Any, Any, Any, Any], settings: Settings) -> str | None:
    """Return the client's address: the connection's, or the last one a trusted proxy did not make up."""
    try:
        address = ip_address(connection.client.host) if connection.client else None
    except ValueError:
        return None  # a Unix socket has no address
    if address is None:
        return None
    hops = ",".join(connection.headers.getall("x-forwarded-for", [])).split(",")
    while hops and any(address in network for network in settings.trusted_proxies):
        try:
            address = ip_address(hops.pop().strip())
        except ValueError:
            break
    return str(address)


def client_agent(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """Return the printable start of the `User-Agent` header, at most 200 characters."""
    agent = connection.headers.get("user-agent")
    return "".join(sign for sign in agent if sign.isprintable())[:MAX_USER_AGENT] if agent else None


def client_peer(connection: ASGIConnection[Any, Any, Any, Any], settings: Settings) -> Peer:
    """Return address and agent."""
    return Peer(client_address(connection, settings), client_agent(connection))
