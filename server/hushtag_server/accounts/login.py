"""Login: the same steps and the same work for every email, known or not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from hushtag.messages import LogIn
from hushtag_server.accounts import queries
from hushtag_server.accounts.passwords import dummy_hash, hash_password, needs_rehash, verify_password
from hushtag_server.accounts.throttle import charge_attempt, refund_attempt
from hushtag_server.errors import LoginFailedError
from hushtag_server.services import Services
from hushtag_server.tokens import new_account_token

__all__ = ["NewSession", "authenticate", "open_session"]

_MAX_USER_AGENT: Final = 200


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just opened; the token is nowhere else."""

    token: str
    session_id: UUID
    expires_at: datetime
    phrase_salt: bytes

    def __repr__(self) -> str:
        return f"NewSession({self.session_id}, token not shown)"


async def authenticate(services: Services, message: LogIn, address: str | None) -> UUID:
    """Return the user whose email and password these are.

    Raises:
        LoginFailedError: unknown email, wrong password or inactive account, all after one verification.
        TooManyAttemptsError: the email or the address is spent.
    """
    await charge_attempt(services, message.email, address)
    async with services.transaction(None, login_email=message.email) as connection:
        found = await queries.find_login(connection, message.email)
    # No connection is held while Argon2id computes.
    await verify_password(found.password_hash if found else dummy_hash(), message.password, services.passwords)
    if found is None or not found.may_log_in:
        raise LoginFailedError("no such active account")
    await refund_attempt(services, message.email, address)
    if needs_rehash(found.password_hash):
        renewed = await hash_password(message.password, services.passwords)
        async with services.transaction(found.id) as connection:
            await queries.update_password(connection, found.id, renewed)
    return found.id


async def open_session(services: Services, user_id: UUID, address: str | None, user_agent: str | None) -> NewSession:
    """Open a session for a user who has just proven the password."""
    token, hashed = new_account_token(user_id)
    shown_agent = "".join(sign for sign in user_agent if sign.isprintable())[:_MAX_USER_AGENT] if user_agent else None
    async with services.transaction(user_id) as connection:
        opened = await queries.insert_session(
            connection,
            user_id,
            hashed,
            lifetime=services.settings.session_lifetime,
            idle=services.settings.session_idle,
            ip_address=address,
            user_agent=shown_agent,
        )
        account = await queries.find_account(connection, user_id)
    if account is None:
        raise LoginFailedError("the account vanished")
    return NewSession(token, opened.id, opened.expires_at, account.phrase_salt)
