"""Clients of a Hushtag server: `Client` blocks, `AsyncClient` awaits, both do the same (SPEC.md, "Client").

Needs the extra `hushtag[client]`.
"""

from hushtag.client.archive_file import Exported
from hushtag.client.async_client import AsyncClient
from hushtag.client.async_device import AsyncDevice
from hushtag.client.async_journal import AsyncJournals
from hushtag.client.async_object_file import AsyncObjectFile
from hushtag.client.async_profile import AsyncProfile
from hushtag.client.async_reminders import AsyncReminders
from hushtag.client.async_tags import AsyncJournalTags
from hushtag.client.async_vault import AsyncVault
from hushtag.client.client import Client
from hushtag.client.contents import (
    EnrolledTag,
    FailedAttempts,
    FeedAddress,
    FetchedObject,
    LostObject,
    NewObject,
    Restoration,
    StoredObject,
    VaultEntry,
    VaultObject,
    VaultPhrase,
)
from hushtag.client.device import Device
from hushtag.client.device_secrets import DeviceSecrets, DeviceSecretStore, MemoryDeviceSecrets
from hushtag.client.errors import (
    AmbiguousNameError,
    BudgetError,
    CeremonyError,
    ClientClosedError,
    ConflictError,
    ContentLostError,
    EpochError,
    ExposedFileError,
    InsecureServerError,
    IntegrityError,
    LimitReachedError,
    LoginError,
    MalformedOutcomeError,
    NotFoundError,
    NotLoggedInError,
    OutcomeUnknownError,
    PinChangedError,
    PinsNotWrittenError,
    PinStoreError,
    ServerError,
    SessionExpiredError,
    StateFileError,
    StoredNotPinnedError,
    TimedOutError,
    TransportError,
    UnavailableError,
    VaultLockedError,
    VaultRolledBackError,
    VersionConflictError,
)
from hushtag.client.given_file import SourceChangedError
from hushtag.client.journal import Journals
from hushtag.client.journal_steps import JournalFilter
from hushtag.client.object_file import ObjectFile
from hushtag.client.pin_file import MemoryPinStore, PinFile, PinStore
from hushtag.client.pinning import PinnedState
from hushtag.client.policy import RetryPolicy, Timeouts
from hushtag.client.profile import Profile
from hushtag.client.reminders import Reminders
from hushtag.client.session import MemoryPins, Pin, Pins, Session
from hushtag.client.tags import JournalTags
from hushtag.client.upload_pages import MemoryUploadPages, UploadPageFiles, UploadPages
from hushtag.client.vault import Vault

__all__ = [
    "AmbiguousNameError",
    "AsyncClient",
    "AsyncDevice",
    "AsyncJournalTags",
    "AsyncJournals",
    "AsyncObjectFile",
    "AsyncProfile",
    "AsyncReminders",
    "AsyncVault",
    "BudgetError",
    "CeremonyError",
    "Client",
    "ClientClosedError",
    "ConflictError",
    "ContentLostError",
    "Device",
    "DeviceSecretStore",
    "DeviceSecrets",
    "EnrolledTag",
    "EpochError",
    "Exported",
    "ExposedFileError",
    "FailedAttempts",
    "FeedAddress",
    "FetchedObject",
    "InsecureServerError",
    "IntegrityError",
    "JournalFilter",
    "JournalTags",
    "Journals",
    "LimitReachedError",
    "LoginError",
    "LostObject",
    "MalformedOutcomeError",
    "MemoryDeviceSecrets",
    "MemoryPinStore",
    "MemoryPins",
    "MemoryUploadPages",
    "NewObject",
    "NotFoundError",
    "NotLoggedInError",
    "ObjectFile",
    "OutcomeUnknownError",
    "Pin",
    "PinChangedError",
    "PinFile",
    "PinStore",
    "PinStoreError",
    "PinnedState",
    "Pins",
    "PinsNotWrittenError",
    "Profile",
    "Reminders",
    "Restoration",
    "RetryPolicy",
    "ServerError",
    "Session",
    "SessionExpiredError",
    "SourceChangedError",
    "StateFileError",
    "StoredNotPinnedError",
    "StoredObject",
    "TimedOutError",
    "Timeouts",
    "TransportError",
    "UnavailableError",
    "UploadPageFiles",
    "UploadPages",
    "Vault",
    "VaultEntry",
    "VaultLockedError",
    "VaultObject",
    "VaultPhrase",
    "VaultRolledBackError",
    "VersionConflictError",
]
