"""How often one may try: a token bucket per email and one per client address, in the database, so that all workers
and hosts count together. An attempt is charged before the password is looked at; a success gives it back."""

import hashlib
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from hushtag_server.accounts import queries
from hushtag_server.errors import TooManyAttemptsError
from hushtag_server.services import Services

__all__ = ["charge_attempt", "refund_attempt"]

_HOUR: Final = 3600.0


def _address_group(address: str) -> str:
    # One IPv6 customer has a /64 of addresses: count them as one.
    parsed: IPv4Address | IPv6Address = ip_address(address)
    return parsed.exploded[:19] if isinstance(parsed, IPv6Address) else str(parsed)


def _bucket(services: Services, scope: str, value: str) -> bytes:
    # Keyed, so that the table tells nobody which addresses or unknown emails were tried.
    key = services.keys.current.audit_key
    return hashlib.blake2s(f"{scope}\0{value}".encode("utf-8", "surrogatepass"), key=key).digest()


def _buckets(services: Services, email: str | None, address: str | None) -> list[tuple[str, bytes, int]]:
    settings = services.settings
    buckets = []
    if email is not None:
        # wider than the database's idea of equal emails, so no spelling of one account has a bucket of its own
        key = _bucket(services, "account", unicodedata.normalize("NFKC", email).casefold())
        buckets.append(("account", key, settings.login_attempts_per_account))
    if address is not None:
        key = _bucket(services, "address", _address_group(address))
        buckets.append(("address", key, settings.login_attempts_per_address))
    return buckets


async def charge_attempt(services: Services, email: str | None, address: str | None) -> None:
    """Charge one attempt to the email (if given) and to the address (if known), or to neither.

    Raises:
        TooManyAttemptsError: one of them is spent; told the same for unknown emails.
    """
    async with services.transaction(None) as connection:
        for scope, key, capacity in _buckets(services, email, address):
            wait = await queries.charge_attempt(connection, scope, key, capacity, capacity / _HOUR)
            if wait is not None:
                raise TooManyAttemptsError(wait)


async def refund_attempt(services: Services, email: str, address: str | None) -> None:
    """Give back what `charge_attempt` took, after a success."""
    async with services.transaction(None) as connection:
        for scope, key, capacity in _buckets(services, email, address):
            await queries.refund_attempt(connection, scope, key, capacity)
