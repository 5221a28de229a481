"""Login, and every other proof of a password: the same steps and the same work for every email, known or not."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from psycopg.errors import ForeignKeyViolation

from hushtag.messages import LogIn
from hushtag_server.accounts import queries
from hushtag_server.accounts.passwords import dummy_hash, hash_password, needs_rehash, verify_password
from hushtag_server.accounts.schemas import LoginRow
from hushtag_server.accounts.throttle import Charge, charge_attempt, know_address, refund_attempt
from hushtag_server.audit.queries import record_event
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import LoginFailedError, UnavailableError
from hushtag_server.peer import Peer
from hushtag_server.services import Services
from hushtag_server.tokens import new_account_token

__all__ = ["NewSession", "authenticate", "charged", "open_session", "record_failure", "unless_erased"]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just opened; the token is nowhere else."""

    token: str
    session_id: UUID
    expires_at: datetime
    phrase_salt: bytes

    def __repr__(self) -> str:
        return f"NewSession({self.session_id}, token not shown)"


@asynccontextmanager
async def charged(
    services: Services, email: str | None, address: str | None, *, at_home: bool = False
) -> AsyncIterator[Charge]:
    """Charge an attempt for what happens inside, see `charge_attempt`; one that was not even looked at costs nothing.

    Raises:
        TooManyAttemptsError: the email or the address is spent.
    """
    charge = await charge_attempt(services, email, address, at_home=at_home)
    try:
        yield charge
    except UnavailableError:
        await refund_attempt(services, charge)
        raise


def unless_erased() -> AbstractContextManager[None]:
    """Let go of what is written for an account that was erased since it was found: its trail went with it."""
    return suppress(ForeignKeyViolation)


async def record_failure(services: Services, user_id: UUID | None, peer: Peer) -> None:
    """Write a failed login into the trail: of the user, or of nobody, so that both cost the same. Never the email."""
    with unless_erased():
        async with services.transaction(user_id, peer=peer) as connection:
            await record_event(connection, user_id, "FAILED_LOGIN", "users", user_id)


async def authenticate(services: Services, message: LogIn, peer: Peer) -> LoginRow:
    """Return the account whose email and password these are, with the password hash it has now.

    Raises:
        LoginFailedError: unknown email, wrong password or inactive account, all after one verification.
        TooManyAttemptsError: the email or the address is spent.
        UnavailableError: too many passwords wait to be looked at; this one did not count.
    """
    async with charged(services, message.email, peer.address, at_home=True) as charge:
        async with services.transaction(None, login_email=message.email) as connection:
            found = await queries.find_login(connection, message.email)
        try:
            proven = await _prove(services, found, message.password)
        except LoginFailedError:
            await record_failure(services, found.id if found else None, peer)
            raise
    await refund_attempt(services, charge)
    await know_address(services, message.email, peer.address)
    return await _renew_hash(services, proven, message.password)


async def _prove(services: Services, found: LoginRow | None, password: str) -> LoginRow:
    # No connection is held while Argon2id computes.
    await verify_password(found.password_hash if found else dummy_hash(), password, services.passwords)
    if found is None or not found.may_log_in:
        raise LoginFailedError("no such active account")
    return found


async def _renew_hash(services: Services, account: LoginRow, password: str) -> LoginRow:
    if needs_rehash(account.password_hash):
        renewed = await hash_password(password, services.passwords)
        async with services.transaction(account.id) as connection:
            if await queries.update_password(connection, account.id, old=account.password_hash, new=renewed):
                return replace(account, password_hash=renewed)
    return account


async def open_session(services: Services, account: LoginRow, peer: Peer) -> NewSession:
    """Open a session for an account whose password was just proven.

    Raises:
        LoginFailedError: the password changed meanwhile, or the account was closed; a session of the old password must
            not outlive the change.
    """
    user_id = account.id
    token, hashed = new_account_token(user_id)

    async def open_one() -> NewSession:
        async with services.transaction(user_id, peer=peer) as connection:
            opened = await queries.insert_session(
                connection,
                user_id,
                hashed,
                password_hash=account.password_hash,
                lifetime=services.settings.session_lifetime,
                idle=services.settings.session_idle,
                most=services.settings.max_sessions,
                ip_address=peer.address,
                user_agent=peer.agent,
            )
            profile = await queries.find_account(connection, user_id)
            if opened is None or profile is None:
                raise LoginFailedError("the password changed, or the account vanished")
            await record_event(connection, user_id, "LOGIN", "user_sessions", opened.id)
        return NewSession(token, opened.id, opened.expires_at, profile.phrase_salt)

    return await retry_conflicts(open_one)
