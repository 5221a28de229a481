"""What a vault holds, as a person sees it, and what else a client returns that is no message of the wire."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from hushtag.objects import ObjectMeta

__all__ = [
    "EnrolledTag",
    "FailedAttempts",
    "FeedAddress",
    "FetchedObject",
    "LostObject",
    "NewObject",
    "Restoration",
    "StoredObject",
    "VaultEntry",
    "VaultObject",
    "VaultPhrase",
    "created_at",
]


@dataclass(frozen=True, slots=True)
class FeedAddress:
    """Where a calendar program finds the reminders. Whoever has the URL reads them, so it prints without it."""

    url: str = field(repr=False)
    created_at: datetime


class EnrolledTag(NamedTuple):
    """The ids an enrolment made."""

    tag_id: UUID
    vault_id: UUID


class FailedAttempts(NamedTuple):
    """Guesses that opened nothing, of whoever made them, since this account's last unlock.

    Each candidate of an attempt is one guess. `last_at` is when the last of them was made; None if there was none. The
    server counts, and nobody can check it.
    """

    guesses: int
    last_at: datetime | None


class VaultEntry(NamedTuple):
    """One object of a listing. `size` is the true length in bytes, `stored_size` what the server sees.

    `readable` is false of an object that was sealed in the vault and does not open, or breaks the rules of what it may
    hold: a client is at fault, or somebody inside. It can be deleted and replaced, by its id alone: its name and type
    are empty, its size is 0, and `created_at` is the server's word, as `updated_at` always is.
    """

    object_id: UUID
    name: str
    content_type: str
    size: int
    stored_size: int
    revision: int
    created_at: datetime
    updated_at: datetime
    readable: bool = True


class VaultObject(NamedTuple):
    """One object, decrypted and authentic. Prints without its name and content."""

    object_id: UUID
    name: str
    content_type: str
    created_at: datetime
    revision: int
    body: bytes

    def __repr__(self) -> str:
        return f"VaultObject({self.object_id}, revision={self.revision}, {len(self.body)} bytes not shown)"


class NewObject(NamedTuple):
    """One of several objects to put: a new one, or the next revision of `replace`. Prints without name and content."""

    content: bytes
    name: str
    content_type: str | None = None
    replace: UUID | None = None

    def __repr__(self) -> str:
        return f"NewObject({len(self.content)} bytes not shown)"


class StoredObject(NamedTuple):
    """What a put stored. `size` is the true length in bytes."""

    object_id: UUID
    name: str
    content_type: str
    size: int
    revision: int


class FetchedObject(NamedTuple):
    """What a get wrote somewhere. `size` is the length in bytes."""

    object_id: UUID
    name: str
    content_type: str
    created_at: datetime
    size: int
    revision: int


class VaultPhrase(NamedTuple):
    """One phrase that opens the vault; `current` is the one this session used."""

    tag_id: UUID
    label: str
    created_at: datetime
    current: bool


class LostObject(NamedTuple):
    """An object that a restored vault lacks, or has only in an older revision. A missing one has no name any more."""

    object_id: UUID
    name: str | None
    pinned_revision: int
    served_revision: int | None


class Restoration(NamedTuple):
    """What is lost by accepting a vault that takes back what this device has seen.

    `change`: `older`, `forked` or `restored` (see `VaultRolledBackError`). `lost` names what is known: this device had
    listed the vault at `listed_generation`, at most 125 objects of it. `confirmation`: the words to accept it with.
    """

    vault_id: UUID
    change: str
    pinned_generation: int
    served_generation: int
    pinned_objects: int
    served_objects: int
    pinned_at: datetime
    listed_generation: int | None
    lost: tuple[LostObject, ...]
    confirmation: str


def created_at(meta: ObjectMeta) -> datetime:
    """Return when an object that was opened was made, as its maker noted: 1970 to 9999."""
    return datetime.fromtimestamp(meta.created_at, UTC)
