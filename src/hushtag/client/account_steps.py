"""Steps of the account: sign up, log in and out, profile, sessions."""

import functools
from typing import Final
from uuid import UUID

from hushtag.client.answers import encode, expect, expect_nothing
from hushtag.client.calls import fetch, post, send_quietly
from hushtag.client.changes import remove
from hushtag.client.effects import Request, Steps, compute, exchange
from hushtag.client.errors import NotLoggedInError, PinChangedError, SessionExpiredError
from hushtag.client.ids import uuid_of
from hushtag.client.paging import collect
from hushtag.client.policy import RetryPolicy
from hushtag.client.session import Pin, Pins, Session, account_key, check_pin, session_from
from hushtag.errors import MalformedError
from hushtag.messages import (
    Account,
    ChangePassword,
    LogIn,
    SessionInfo,
    SessionList,
    SessionOpened,
    SignUp,
    SignUpAccepted,
)

__all__ = ["AccountSteps"]

_PAGE: Final = 100
"""Sessions in one page: each may bring a long user agent."""


def _session_ids(page: SessionList) -> list[UUID]:
    return [session.session_id for session in page.sessions]


def _log_out_request(session: Session) -> Request:
    return Request("DELETE", "/v1/sessions/current", session.token)


class AccountSteps:
    """One account on one server. `session` is what a login left, and `None` before it and after a logout."""

    def __init__(self, server: str, session: Session | None, pins: Pins, retry: RetryPolicy) -> None:
        self.server = server
        self.session = session
        self.retry = retry
        self._pins = pins

    def current(self) -> Session:
        """Return the session.

        Raises:
            NotLoggedInError: there is none.
        """
        if self.session is None:
            raise NotLoggedInError("not logged in; log in first")
        return self.session

    def sign_up(self, message: SignUp) -> Steps[None]:
        """Make an account; a known email gets the same answer."""
        yield from post("/v1/accounts", message, None, 202, SignUpAccepted)

    def log_in(self, message: LogIn, *, accept_new_salt: bool) -> Steps[Session]:
        """Open a session, and hold the account against its pin before the session counts."""
        answer = yield from post("/v1/sessions", message, None, 201, SessionOpened, changes=False)
        session = session_from(self.server, answer)
        try:
            yield from self._pin(message.email, session, accept_new_salt=accept_new_salt)
        except PinChangedError:
            yield from send_quietly(_log_out_request(session))
            raise
        self.session = session
        return session

    def _pin(self, email: str, session: Session, *, accept_new_salt: bool) -> Steps[None]:
        key = account_key(self.server, email)
        found = Pin(user_id=session.user_id, phrase_salt=session.phrase_salt)
        pinned = yield from compute(functools.partial(self._pins.read, key))
        if not accept_new_salt:
            check_pin(pinned, found)
        if pinned != found:
            yield from compute(functools.partial(self._pins.write, key, found))

    def log_out(self) -> Steps[None]:
        """End the session here in any case, and on the server; one that has ended there already is fine."""
        session = self.current()
        self.session = None
        response = yield from exchange(_log_out_request(session))
        try:
            expect_nothing(response)
        except SessionExpiredError:
            return

    def account(self) -> Steps[Account]:
        """Return the profile, if it is that of the session."""
        session = self.current()
        response = yield from fetch(Request("GET", "/v1/account", session.token), self.retry)
        return self.check_mine(expect(response, (200,), Account))

    def check_mine(self, account: Account) -> Account:
        """Return a profile if it is that of the session.

        Raises:
            PinChangedError: it is another user's, or its phrase salt changed since the login.
        """
        session = self.current()
        mine = Pin(user_id=session.user_id, phrase_salt=session.phrase_salt)
        check_pin(mine, Pin(user_id=account.user_id, phrase_salt=account.phrase_salt))
        if account.suite != session.suite:
            raise MalformedError("account has another suite than at the login")
        return account

    def forget(self) -> None:
        """Forget the session: it has ended on the server."""
        self.session = None

    def remove(self, path: str) -> Steps[None]:
        """Delete what is at a path; that it is gone at a second attempt is what was wanted.

        Raises:
            NotFoundError: it was not there at the first.
        """
        request = Request("DELETE", path, self.current().token)

        def attempt() -> Steps[None]:
            expect_nothing((yield from exchange(request)))

        yield from remove(attempt, self.retry)

    def sessions(self) -> Steps[tuple[SessionInfo, ...]]:
        """Return every session of the account, by id."""
        token = self.current().token
        pages = yield from collect("/v1/sessions", token, SessionList, _session_ids, self.retry, limit=_PAGE)
        return tuple(session for page in pages for session in page.sessions)

    def change_password(self, message: ChangePassword) -> Steps[None]:
        """Replace the password. Never sent twice: after a lost answer, try to log in with the new one."""
        token = self.current().token
        request = Request("POST", "/v1/account/password", token, encode(message), "application/json")
        expect_nothing((yield from exchange(request)))

    def revoke_session(self, session_id: UUID) -> Steps[None]:
        """End one of the account's sessions."""
        request = Request("DELETE", f"/v1/sessions/{uuid_of(session_id)}", self.current().token)
        expect_nothing((yield from exchange(request)))
