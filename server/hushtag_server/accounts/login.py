"""Login: the same steps and the same work for every email, known or not."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from hushtag.messages import ChangePassword, LogIn
from hushtag_server.accounts import queries
from hushtag_server.accounts.passwords import dummy_hash, hash_password, needs_rehash, verify_password
from hushtag_server.accounts.schemas import LoginRow
from hushtag_server.accounts.throttle import charge_attempt, refund_attempt
from hushtag_server.errors import LoginFailedError
from hushtag_server.services import Services
from hushtag_server.tokens import new_account_token

__all__ = ["NewSession", "authenticate", "change_password", "open_session"]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was just opened; the token is nowhere else."""

    token: str
    session_id: UUID
    expires_at: datetime
    phrase_salt: bytes

    def __repr__(self) -> str:
        return f"NewSession({self.session_id}, token not shown)"


async def authenticate(services: Services, message: LogIn, address: str | None) -> LoginRow:
    """Return the account whose email and password these are, with the password hash it has now.

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
            if await queries.update_password(connection, found.id, old=found.password_hash, new=renewed):
                return replace(found, password_hash=renewed)
    return found


async def open_session(
    services: Services, account: LoginRow, address: str | None, user_agent: str | None
) -> NewSession:
    """Open a session for an account whose password was just proven.

    Raises:
        LoginFailedError: the password changed meanwhile; a session of the old one must not outlive the change.
    """
    user_id = account.id
    token, hashed = new_account_token(user_id)
    async with services.transaction(user_id) as connection:
        opened = await queries.insert_session(
            connection,
            user_id,
            hashed,
            password_hash=account.password_hash,
            lifetime=services.settings.session_lifetime,
            idle=services.settings.session_idle,
            ip_address=address,
            user_agent=user_agent,
        )
        profile = await queries.find_account(connection, user_id)
    if opened is None or profile is None:
        raise LoginFailedError("the password changed, or the account vanished")
    return NewSession(token, opened.id, opened.expires_at, profile.phrase_salt)


async def change_password(
    services: Services, user_id: UUID, session_id: UUID, message: ChangePassword, address: str | None
) -> None:
    """Replace the password and end every session but this one, with the vault sessions that hang on them.

    A wrong current password counts like a failed login: whoever holds a session must not be able to guess it.

    Raises:
        LoginFailedError: the current password is wrong, or was changed meanwhile.
        TooManyAttemptsError: the email or the address is spent.
    """
    async with services.transaction(user_id) as connection:
        found = await queries.find_credentials(connection, user_id)
    if found is None:
        raise LoginFailedError("the account vanished")
    await charge_attempt(services, found.email, address)
    await verify_password(found.password_hash, message.current_password, services.passwords)
    await refund_attempt(services, found.email, address)
    renewed = await hash_password(message.new_password, services.passwords)
    async with services.transaction(user_id) as connection:
        # The row lock of the update holds back logins with the old password until they can see that it is old.
        if not await queries.update_password(connection, user_id, old=found.password_hash, new=renewed):
            raise LoginFailedError("the password was changed meanwhile")
        await queries.delete_other_sessions(connection, user_id, session_id)
