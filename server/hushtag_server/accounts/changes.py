"""Changes that a session alone may not make: the password is proven once more, under the throttle of a login.

Each takes two transactions and the work of one verification between them. The second one finds the session and the
password as they were, or changes nothing.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from litestar import Request

from hushtag.account_messages import ChangeEmail, ReopenAccount
from hushtag.messages import ChangePassword, FieldProblem
from hushtag_server.accounts import credential_queries, queries
from hushtag_server.accounts.login import charged, record_failure, unless_erased
from hushtag_server.accounts.passwords import dummy_hash, hash_password, verify_password
from hushtag_server.accounts.throttle import Charge, refund_attempt
from hushtag_server.audit.queries import record_event
from hushtag_server.auth import AccountTransaction, account_transaction
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import LoginFailedError, UnauthenticatedError
from hushtag_server.peer import Peer, client_peer
from hushtag_server.services import Services

__all__ = ["change_email", "change_password", "deactivate", "delete_account", "reopen"]

AccountRequest = Request[Any, Any, Any]
_NOT_PROVEN: Final = [FieldProblem(field="$.current_password", rule="must be the present password of the account")]


@dataclass(frozen=True, slots=True)
class _Proven:
    """An account whose present password was proven: its email and password hash at that moment."""

    email: str
    password_hash: str = field(repr=False)
    charge: Charge


async def _prove(request: AccountRequest, services: Services, password: str) -> _Proven:
    """Prove the password of the account that asks; the attempt stays charged.

    Whoever holds a session must not be able to guess the password, so a wrong one counts like a failed login.
    """
    peer = client_peer(request, services.settings)
    async with account_transaction(request, services) as (connection, user_id, _):
        found = await credential_queries.find_credentials(connection, user_id)
    if found is None:
        raise UnauthenticatedError("the account vanished")
    async with charged(services, found.email, peer.address) as charge:
        try:
            await verify_password(found.password_hash, password, services.passwords)
        except LoginFailedError:
            await record_failure(services, user_id, peer)
            raise LoginFailedError("not the present password", _NOT_PROVEN) from None
    return _Proven(found.email, found.password_hash, charge)


async def _prove_for_free(request: AccountRequest, services: Services, password: str) -> _Proven:
    proven = await _prove(request, services, password)
    await refund_attempt(services, proven.charge)
    return proven


@asynccontextmanager
async def _closing(request: AccountRequest, services: Services) -> AsyncIterator[AccountTransaction]:
    async with account_transaction(request, services) as entered:
        yield entered
        await queries.end_sessions(entered.connection, entered.user_id)


def _require(still_proven: object) -> None:
    if not still_proven:
        raise LoginFailedError("the password was changed meanwhile", _NOT_PROVEN)


async def change_password(request: AccountRequest, services: Services, message: ChangePassword) -> None:
    """Replace the password and end every session but this one, with the vault sessions that hang on them.

    Raises:
        LoginFailedError: the current password is wrong, or was changed meanwhile.
        TooManyAttemptsError: the email or the address is spent.
    """
    proven = await _prove_for_free(request, services, message.current_password)
    renewed = await hash_password(message.new_password, services.passwords)

    async def change() -> None:
        async with account_transaction(request, services) as (connection, user_id, session_id):
            # The row lock of the update holds back logins with the old password until they can see that it is old.
            _require(await queries.update_password(connection, user_id, old=proven.password_hash, new=renewed))
            await queries.end_sessions(connection, user_id, but=session_id)
            # The trigger writes no row: of what it may record, nothing has changed.
            await record_event(connection, user_id, "UPDATE", "users", user_id, {"password": "changed"})

    await retry_conflicts(change)


async def change_email(request: AccountRequest, services: Services, message: ChangeEmail) -> None:
    """Change the email, unless somebody else has it, and end every session but this one in either case.

    The attempt stays charged, as that of a sign-up does: both can be followed by a login that tells whether the email
    was free, so both must not be had without end.

    Raises:
        LoginFailedError: the current password is wrong, or was changed meanwhile.
        TooManyAttemptsError: the email or the address is spent.
    """
    proven = await _prove(request, services, message.current_password)

    async def change() -> None:
        async with account_transaction(request, services) as (connection, user_id, session_id):
            _require(
                await credential_queries.change_email(
                    connection, user_id, proven=proven.password_hash, email=message.email
                )
            )
            await queries.end_sessions(connection, user_id, but=session_id)

    await retry_conflicts(change)


async def deactivate(request: AccountRequest, services: Services, password: str) -> None:
    """Close the account and end all its sessions; its rows stay.

    Raises:
        LoginFailedError: the current password is wrong, or was changed meanwhile.
        TooManyAttemptsError: the email or the address is spent.
    """
    proven = await _prove_for_free(request, services, password)

    async def close() -> None:
        async with _closing(request, services) as (connection, user_id, _):
            _require(await credential_queries.deactivate(connection, user_id, proven=proven.password_hash))

    await retry_conflicts(close)


async def delete_account(request: AccountRequest, services: Services, password: str) -> datetime:
    """Delete the account and return when it can no longer be restored.

    Its credential id is overwritten at once: every OPRF evaluation for it now comes out differently, so no phrase opens
    any of its tags again, whether or not the account is restored.

    Raises:
        LoginFailedError: the current password is wrong, or was changed meanwhile.
        TooManyAttemptsError: the email or the address is spent.
    """
    proven = await _prove_for_free(request, services, password)

    async def close() -> datetime:
        async with _closing(request, services) as (connection, user_id, _):
            deletion_at = await credential_queries.schedule_deletion(
                connection,
                user_id,
                proven=proven.password_hash,
                grace=services.settings.deletion_grace,
                credential_id=secrets.token_bytes(32),
            )
            if deletion_at is None:
                raise LoginFailedError("the password was changed meanwhile", _NOT_PROVEN)
        return deletion_at

    return await retry_conflicts(close)


async def reopen(
    services: Services, message: ReopenAccount, peer: Peer, change: Callable[..., Awaitable[bool]]
) -> None:
    """Reactivate or restore an account (`change`) whose password is proven; else do the same work, in silence.

    The attempt stays charged in every case: what is given back only on success would tell of it.

    Raises:
        TooManyAttemptsError: the email or the address is spent.
    """
    async with charged(services, message.email, peer.address):
        async with services.transaction(None, login_email=message.email) as connection:
            found = await queries.find_login(connection, message.email)
        encoded = found.password_hash if found else dummy_hash()
        try:
            await verify_password(encoded, message.password, services.passwords)
        except LoginFailedError:
            encoded = ""  # no account's hash: nothing changes
        user_id = found.id if found else None
        with unless_erased():
            async with services.transaction(user_id, peer=peer) as connection:
                if not await change(connection, user_id or uuid4(), proven=encoded):
                    await record_event(connection, user_id, "FAILED_LOGIN", "users", user_id)
