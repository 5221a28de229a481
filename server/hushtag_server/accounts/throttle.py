"""How often one may try: a token bucket per email and one per client address, in the database, so that all workers
and hosts count together. An attempt is charged before the password is looked at; a success gives it back. An address
from which an email has logged in before has a bucket of its own for it."""

import hashlib
import unicodedata
from typing import Final

from hushtag_server.accounts import queries
from hushtag_server.errors import TooManyAttemptsError
from hushtag_server.peer import address_group
from hushtag_server.services import Services

__all__ = ["Charge", "charge_attempt", "know_address", "refund_attempt"]

Charge = tuple[tuple[str, bytes, int], ...]
"""The buckets one attempt was taken from: scope, keyed hash(32), capacity."""

_HOUR: Final = 3600.0


def _email(email: str) -> str:
    # wider than the database's idea of equal emails, so no spelling of one account has a bucket of its own
    return unicodedata.normalize("NFKC", email).casefold()


def _bucket(services: Services, scope: str, value: str, key: bytes | None = None) -> bytes:
    # Keyed, so that the table tells nobody which addresses or unknown emails were tried.
    key = services.keys.current.audit_key if key is None else key
    return hashlib.blake2s(f"{scope}\0{value}".encode("utf-8", "surrogatepass"), key=key).digest()


def _buckets(services: Services, email: str | None, address: str | None) -> list[tuple[str, bytes, int]]:
    settings = services.settings
    buckets = []
    if email is not None:
        key = _bucket(services, "account", _email(email))
        buckets.append(("account", key, settings.login_attempts_per_account))
    if address is not None:
        key = _bucket(services, "address", address_group(address))
        buckets.append(("address", key, settings.login_attempts_per_address))
    return buckets


def _pair(email: str, address: str) -> str:
    return f"{_email(email)}\0{address_group(address)}"


def _known_bucket(services: Services, email: str, address: str) -> tuple[str, bytes, int]:
    return "known", _bucket(services, "known", _pair(email, address)), services.settings.login_attempts_per_account


def _known_before(services: Services, email: str, address: str) -> list[bytes]:
    # What the same bucket was called under the other keys of the ring: an address stays known when keys are rotated.
    ring, pair = services.keys, _pair(email, address)
    others = [keys.audit_key for key_id, keys in ring.by_id.items() if key_id != ring.current.id]
    return [_bucket(services, "known", pair, key) for key in (*others, *ring.retired_audit_keys.values())]


async def charge_attempt(
    services: Services, email: str | None, address: str | None, *, at_home: bool = False
) -> Charge:
    """Charge one attempt to the email (if given) and to the address (if known), or to neither; return what was charged.

    With `at_home`, and where the email is spent, an address from which it logged in within the last 90 days has a
    bucket of its own: strangers who fail log-ins for ever do not keep the owner out.

    Raises:
        TooManyAttemptsError: one of them is spent; told the same for unknown emails.
    """
    charged = []
    async with services.transaction(None) as connection:
        for scope, key, capacity in _buckets(services, email, address):
            wait = await queries.charge_attempt(connection, scope, key, capacity, capacity / _HOUR)
            taken = (scope, key, capacity)
            if wait is not None and at_home and scope == "account" and email is not None and address is not None:
                taken = _known_bucket(services, email, address)
                if earlier := _known_before(services, email, address):
                    await queries.remember_address(connection, taken[1], earlier)
                if await queries.charge_known(connection, taken[1], capacity, capacity / _HOUR):
                    wait = None
            if wait is not None:
                raise TooManyAttemptsError(wait)
            charged.append(taken)
    return tuple(charged)


async def refund_attempt(services: Services, charge: Charge) -> None:
    """Give back what `charge_attempt` took, after a success or where no password was looked at."""
    async with services.transaction(None) as connection:
        for scope, key, capacity in charge:
            await queries.refund_attempt(connection, scope, key, capacity)


async def know_address(services: Services, email: str, address: str | None) -> None:
    """Remember that this email has logged in from this address."""
    if address is not None:
        _, key, capacity = _known_bucket(services, email, address)
        async with services.transaction(None) as connection:
            await queries.know_address(connection, key, capacity)
