"""Rows of accounts, as queries return them."""

from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

__all__ = ["AccountRow", "ConsentRow", "Credentials", "LoginRow", "NewUser", "OpenedSession", "SessionRow"]


@dataclass(frozen=True, slots=True)
class NewUser:
    """What sign-up stores."""

    user_id: UUID
    email: str
    password_hash: str = field(repr=False)
    first_name: str | None
    last_name: str | None
    phrase_salt: bytes
    opaque_credential_id: bytes
    guesses: int
    terms_version: str | None = None
    privacy_version: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a user logs in with."""

    email: str
    password_hash: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoginRow:
    """What a login looks at."""

    id: UUID
    password_hash: str = field(repr=False)
    may_log_in: bool


@dataclass(frozen=True, slots=True)
class AccountRow:
    """The plain profile."""

    id: UUID
    email: str
    first_name: str | None
    last_name: str | None
    created_at: datetime
    last_login: datetime | None
    phrase_salt: bytes


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A session that has just begun."""

    id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session in a listing."""

    id: UUID
    created_at: datetime
    last_activity: datetime
    expires_at: datetime
    ip_address: IPv4Address | IPv6Address | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """One recorded consent."""

    id: UUID
    document: str
    version: str
    ip_address: IPv4Address | IPv6Address | None
    user_agent: str | None
    created_at: datetime
