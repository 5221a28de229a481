"""Messages of accounts and their audit trail (SPEC.md, section "The plain side")."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from hushtag.messages import END, MAX_PASSWORD, DocumentVersion, Email, Message, PersonName

__all__ = [
    "MAX_CONSENTS",
    "MAX_LANGUAGE",
    "MAX_TIME_ZONE",
    "AccountSettings",
    "AuditEntry",
    "AuditPage",
    "ChangeAccount",
    "ChangeEmail",
    "ChangeSettings",
    "Consent",
    "ConsentList",
    "DeletionScheduled",
    "EmailChangeAccepted",
    "GiveConsent",
    "ProvePassword",
    "ReopenAccepted",
    "ReopenAccount",
]

MAX_TIME_ZONE: Final = 64
MAX_LANGUAGE: Final = 32
MAX_CONSENTS: Final = 1000
"""Consents one account may record."""

CurrentPassword = Annotated[str, Meta(min_length=1, max_length=MAX_PASSWORD)]
TimeZone = Annotated[str, Meta(min_length=1, max_length=MAX_TIME_ZONE, pattern="^[A-Za-z0-9_+/-]+" + END)]
Language = Annotated[str, Meta(min_length=1, max_length=MAX_LANGUAGE, pattern="^[a-z_]+" + END)]
Theme = Annotated[str, Meta(pattern="^(system|light|dark)" + END)]
Document = Annotated[str, Meta(pattern="^(terms|privacy)" + END)]


class ChangeAccount(Message, frozen=True):
    """`PATCH /v1/account`: what is absent stays, null clears."""

    first_name: PersonName | UnsetType | None = UNSET
    last_name: PersonName | UnsetType | None = UNSET


class AccountSettings(Message, frozen=True):
    """`GET /v1/account/settings`; the defaults are those of an account that has never set any."""

    time_zone: str = "UTC"
    language: str = "simple"
    theme: str = "system"


class ChangeSettings(Message, frozen=True):
    """`PATCH /v1/account/settings`: what is absent stays. IANA time zone; text search configuration of PostgreSQL."""

    time_zone: TimeZone | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    theme: Theme | UnsetType = UNSET


class ChangeEmail(Message, frozen=True):
    """`POST /v1/account/email`."""

    current_password: CurrentPassword
    email: Email


class EmailChangeAccepted(Message, frozen=True):
    """Answer to `ChangeEmail`: the same whether or not somebody else has that email (then nothing changed)."""

    next: str = "log in with the new email"


class ProvePassword(Message, frozen=True):
    """`POST /v1/account/deactivation` and `POST /v1/account/deletion`."""

    current_password: CurrentPassword


class DeletionScheduled(Message, frozen=True):
    """Answer to a deletion: from then on nothing brings the account back. Its secret tags are gone already."""

    deletion_at: datetime


class ReopenAccount(Message, frozen=True):
    """`POST /v1/accounts/reactivation` and `POST /v1/accounts/restoration`."""

    email: Email
    password: CurrentPassword


class ReopenAccepted(Message, frozen=True):
    """Answer to `ReopenAccount`: the same whether or not there was such an account and the password was its own."""

    next: str = "log in"


class GiveConsent(Message, frozen=True):
    """`POST /v1/account/consents`."""

    document: Document
    version: DocumentVersion


class Consent(Message, frozen=True, kw_only=True):
    """One recorded consent."""

    id: UUID
    document: str
    version: str
    ip_address: str | None = None
    user_agent: str | None = None
    created_at: datetime


class ConsentList(Message, frozen=True):
    """`GET /v1/account/consents`: newest first; `next` is the cursor of the following page."""

    consents: list[Consent]
    next: str | None = None


class AuditEntry(Message, frozen=True, kw_only=True):
    """One entry of the audit trail: what changed, from where. Values are those of the columns that are recorded."""

    id: UUID
    action: str
    table_name: str
    record_id: UUID | None = None
    old_values: dict[str, Any] | None = None
    new_values: dict[str, Any] | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    created_at: datetime


class AuditPage(Message, frozen=True):
    """`GET /v1/account/audit`: newest first; `next` is the cursor of the following page."""

    entries: list[AuditEntry]
    next: str | None = None
