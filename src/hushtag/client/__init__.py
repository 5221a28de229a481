"""Clients of a Hushtag server: `Client` blocks, `AsyncClient` awaits, both do the same (SPEC.md, "Client").

Needs the extra `hushtag[client]`.
"""

from hushtag.client.archive_file import Exported
from hushtag.client.async_client import AsyncClient
from hushtag.client.async_vault import AsyncVault
from hushtag.client.client import Client
from hushtag.client.contents import EnrolledTag, StoredObject, VaultEntry, VaultObject, VaultPhrase
from hushtag.client.errors import (
    AmbiguousNameError,
    ArchiveRefusedError,
    BudgetError,
    CeremonyError,
    ConflictError,
    InsecureServerError,
    IntegrityError,
    LimitReachedError,
    LoginError,
    NotFoundError,
    NotLoggedInError,
    OutcomeUnknownError,
    PinChangedError,
    ServerError,
    SessionExpiredError,
    StateFileError,
    TimedOutError,
    TransportError,
    UnavailableError,
    VaultLockedError,
)
from hushtag.client.policy import RetryPolicy, Timeouts
from hushtag.client.session import MemoryPins, Pin, Pins, Session
from hushtag.client.vault import Vault

__all__ = [
    "AmbiguousNameError",
    "ArchiveRefusedError",
    "AsyncClient",
    "AsyncVault",
    "BudgetError",
    "CeremonyError",
    "Client",
    "ConflictError",
    "EnrolledTag",
    "Exported",
    "InsecureServerError",
    "IntegrityError",
    "LimitReachedError",
    "LoginError",
    "MemoryPins",
    "NotFoundError",
    "NotLoggedInError",
    "OutcomeUnknownError",
    "Pin",
    "PinChangedError",
    "Pins",
    "RetryPolicy",
    "ServerError",
    "Session",
    "SessionExpiredError",
    "StateFileError",
    "StoredObject",
    "TimedOutError",
    "Timeouts",
    "TransportError",
    "UnavailableError",
    "Vault",
    "VaultEntry",
    "VaultLockedError",
    "VaultObject",
    "VaultPhrase",
]
