"""Who is at the other end of a request: the address and the name a client gives itself."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, NamedTuple, Protocol

from hushtag_server.asgi import first_headers
from hushtag_server.settings import Settings

__all__ = [
    "MAX_USER_AGENT",
    "NO_PEER",
    "Peer",
    "address_group",
    "client_peer",
    "parsed_address",
    "scope_address",
    "scope_peer",
]

MAX_USER_AGENT: Final = 200


class Peer(NamedTuple):
    """Who is at the other end: address and agent, as far as they are known."""

    address: str | None = None
    agent: str | None = None


NO_PEER: Final = Peer()


@lru_cache(maxsize=4096)
def parsed_address(address: str) -> IPv4Address | IPv6Address | None:
    """Return an address, or None if that is none: a Unix socket has no address.

    A listener for both families gives an IPv4 client as `::ffff:192.0.2.1` (RFC 4291, section 2.5.5.2). That client is
    192.0.2.1 here, or all of IPv4 would be one /64, and no IPv4 network would hold it. The zone of a link-local address
    (RFC 4007, section 11) means something on one host only, and is left out.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv4Address):
        return parsed
    return parsed.ipv4_mapped or (parsed if parsed.scope_id is None else IPv6Address(int(parsed)))


@lru_cache(maxsize=4096)
def _spelt_address(address: str) -> str | None:
    parsed = parsed_address(address)
    return None if parsed is None else str(parsed)


def address_group(address: str) -> str:
    """Return what stands for a client where addresses are counted: one IPv6 customer has a /64 of them.

    What is no address stands for itself.
    """
    parsed = parsed_address(address)
    return parsed.exploded[:19] if isinstance(parsed, IPv6Address) else str(parsed or address)


def _hops(scope: Mapping[str, Any]) -> list[str]:
    given = (value.decode("latin-1") for header, value in scope["headers"] if header == b"x-forwarded-for")
    return ",".join(given).split(",")


def scope_address(scope: Mapping[str, Any], settings: Settings) -> str | None:
    """Return the connection's address, or the last one that a trusted proxy did not make up."""
    client = scope.get("client")
    if not client:
        return None
    if not settings.trusted_proxies:
        return _spelt_address(client[0])
    address = parsed_address(client[0])
    if address is None:
        return None
    hops = _hops(scope)
    while hops and any(address in network for network in settings.trusted_proxies):
        hop = parsed_address(hops.pop().strip())
        if hop is None:
            break
        address = hop
    return str(address)


def _agent(scope: Mapping[str, Any]) -> str | None:
    # The printable start of the header, at most MAX_USER_AGENT characters.
    agent = first_headers(scope).get(b"user-agent", b"").decode("latin-1")
    shown = agent if agent.isprintable() else "".join(sign for sign in agent if sign.isprintable())
    return shown[:MAX_USER_AGENT] or None


def scope_peer(scope: Mapping[str, Any], settings: Settings) -> Peer:
    """Return who sent the request of an ASGI scope."""
    return Peer(scope_address(scope, settings), _agent(scope))


class _Connection(Protocol):
    # A request of Litestar, which commands that serve nothing need not load.
    @property
    def scope(self) -> Any: ...


def client_peer(connection: _Connection, settings: Settings) -> Peer:
    """Return who sent a request."""
    return scope_peer(connection.scope, settings)
