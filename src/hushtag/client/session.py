"""What a login leaves behind, and what is pinned of it so that a later login cannot be given something else."""

import hashlib
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from hushtag.client.errors import PinChangedError
from hushtag.errors import MalformedError
from hushtag.messages import B16, SessionOpened, SuiteId, decode_binary

__all__ = ["ACCOUNT_TOKEN", "MemoryPins", "Pin", "Pins", "Session", "account_key", "check_pin", "session_from"]

ACCOUNT_TOKEN = "hta_"  # noqa: S105 - the public prefix of every account token, no token
_TOKEN_BYTES = 48


class Session(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account session: what a client needs to go on in another process. Holds the token; prints without it."""

    server: str
    token: str
    user_id: UUID
    session_id: UUID
    expires_at: datetime
    suite: SuiteId
    phrase_salt: B16

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what may be shown; msgspec's own would tell the token to who prints with rich."""
        return [("server", self.server), ("user_id", self.user_id)]

    def __repr__(self) -> str:
        return f"Session(server={self.server!r}, user_id={self.user_id}, token=<redacted>)"


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an account must look like at every login from here."""

    user_id: UUID
    phrase_salt: B16


class Pins(Protocol):
    """Where pins are kept; both methods may block and are called in a worker thread by `AsyncClient`."""

    def read(self, account: str) -> Pin | None:
        """Return the pin of an account, if there is one."""

    def write(self, account: str, pin: Pin) -> None:
        """Keep the pin of an account."""


class MemoryPins:
    """Pins that live as long as this object."""

    def __init__(self) -> None:
        self._pins: dict[str, Pin] = {}

    def read(self, account: str) -> Pin | None:
        """Return the pin of an account, if there is one."""
        return self._pins.get(account)

    def write(self, account: str, pin: Pin) -> None:
        """Keep the pin of an account."""
        self._pins[account] = pin


def account_key(server: str, email: str) -> str:
    """Return the name under which an account is pinned: a hash, so that the state names nobody."""
    named = f"{server}\0{email.casefold()}".encode("utf-8", "surrogatepass")
    return hashlib.blake2s(named, person=b"hushpin1").hexdigest()


def check_pin(pinned: Pin | None, found: Pin) -> None:
    """Refuse an account that is not the pinned one.

    A server that could change the salt unnoticed could give many accounts the same one, and so test one stretched
    guess against all of them.

    Raises:
        PinChangedError: user id or phrase salt differ.
    """
    if pinned is not None and pinned != found:
        what = "phrase salt" if pinned.user_id == found.user_id else "user id"
        raise PinChangedError(
            f"the server reports another {what} for this account than before; no phrase is sent to it "
            "unless you accept the new one explicitly"
        )


def session_from(server: str, answer: SessionOpened) -> Session:
    """Return the session of a login's answer.

    Raises:
        MalformedError: the token is not one of this user.
    """
    try:
        raw = decode_binary(answer.token.removeprefix(ACCOUNT_TOKEN), _TOKEN_BYTES)
    except UnicodeEncodeError:
        raise MalformedError("account token is not text of its kind") from None
    if not answer.token.startswith(ACCOUNT_TOKEN) or raw[:16] != answer.user_id.bytes:
        raise MalformedError("account token does not belong to the user")
    if answer.expires_at.tzinfo is None:
        raise MalformedError("answer holds a time without a zone")
    return Session(
        server=server,
        token=answer.token,
        user_id=answer.user_id,
        session_id=answer.session_id,
        expires_at=answer.expires_at,
        suite=answer.suite,
        phrase_salt=answer.phrase_salt,
    )
