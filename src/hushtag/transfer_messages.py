"""What stands in the archive of an account, and the answer to its import (SPEC.md, section 21).

The archive is a ZIP; these are its JSON members and the lines of its NDJSON members. Export and import use the same
Structs, so what is written is what is read: strictly, unknown fields refused.
"""

from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import Meta, field

from hushtag.account_messages import AccountSettings
from hushtag.journal_messages import Color, Content, Moment, Mood, TagName, TagNames
from hushtag.journal_messages import Title as JournalTitle
from hushtag.messages import B16, B32, B40, B112, B316, Email, Message, OldKey, PersonName, SuiteId
from hushtag.reminder_messages import Description, Priority, RepeatPattern, TimeZone
from hushtag.reminder_messages import Title as ReminderTitle

ARCHIVE_FORMAT: Final = "hushtag-archive/1"
MEMBERS_HEADER: Final = "Hushtag-Archive-Members"
VAULT_TOKEN_HEADER: Final = "Hushtag-Vault-Token"  # noqa: S105 - the name of a header
MAX_TRANSFERS: Final = 1
"""Exports, and imports, of one user at a time."""
MAX_IMPORTS_PER_WORKER: Final = 8
MAX_TRANSFER_SECONDS: Final = 3600
MAX_ARCHIVE_MEMBERS: Final = 1_000_000
MAX_ARCHIVE_PARTS: Final = 20_000
"""Members of an archive that an import reads: all but Markdown and vaults."""
MAX_ARCHIVE_NAME: Final = 400
"""Bytes of a member's name."""
MAX_ARCHIVE_PART_BYTES: Final = 64 * 1024 * 1024
"""Bytes of one part, inflated."""
MAX_ARCHIVE_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Bytes of all parts together, inflated."""
MAX_ARCHIVE_SEGMENT_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Bytes of the segments of large objects in one archive: whole streams, as long as they fit."""
MAX_ARCHIVE_RATIO: Final = 250
"""Inflated bytes of the parts for each byte of the archive, above the first 64 MiB."""
MAX_ARCHIVE_LINE: Final = 1024 * 1024
"""Bytes of one line."""
MAX_ARCHIVE_SUMS_BYTES: Final = 512 * 1024 * 1024
MAX_ARCHIVE_PROBLEMS: Final = 20
"""Faults of an archive that one answer names."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
WallClock = Annotated[datetime, Meta(tz=False)]
Text = Annotated[str, Meta(max_length=4096)]


class Counts(Message, frozen=True, omit_defaults=True):
    """How many rows of each kind an archive holds."""

    consents: Count
    tags: Count
    journals: Count
    reminders: Count
    audit: Count
    vaults: Count
    objects: Count
    segments: Count = 0


class Manifest(Message, frozen=True):
    """`manifest.json`, the last member. `members` counts those before it; the hash is that of SHA256SUMS, in hex."""

    format: Annotated[str, Meta(max_length=64)]
    product_version: Annotated[str, Meta(max_length=64)]
    created_at: Moment
    members: Count
    sums_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", min_length=64, max_length=64)]
    counts: Counts


class ArchivedConsent(Message, frozen=True):
    """A consent as it was recorded."""

    id: UUID
    document: Text
    version: Text
    ip_address: Text | None
    user_agent: Text | None
    created_at: Moment


class ArchivedAccount(Message, frozen=True):
    """`account.json`: no password, salt, credential, token or session."""

    email: Email
    first_name: PersonName | None
    last_name: PersonName | None
    created_at: Moment
    last_login: Moment | None
    settings: AccountSettings | None
    consents: Annotated[list[ArchivedConsent], Meta(max_length=10_000)]


class ArchivedTag(Message, frozen=True):
    """A line of `tags.ndjson`."""

    id: UUID
    name: TagName
    color: Color | None
    created_at: Moment
    updated_at: Moment


class ArchivedJournal(Message, frozen=True):
    """A line of `journals/NNNNN.ndjson`; its tags by name."""

    id: UUID
    title: JournalTitle
    content: Content | None
    mood_rating: Mood | None
    is_private: bool
    entry_date: date
    word_count: Count
    tags: TagNames
    version: Number
    published_at: Moment | None
    deleted_at: Moment | None
    created_at: Moment
    updated_at: Moment


class ArchivedReminder(Message, frozen=True):
    """A line of `reminders/NNNNN.ndjson`: one occurrence of its series."""

    id: UUID
    title: ReminderTitle
    description: Description | None
    reminder_time: Moment
    snoozed_until: Moment | None
    is_completed: bool
    completed_at: Moment | None
    priority: Priority
    repeat_pattern: RepeatPattern | None
    time_zone: TimeZone
    series_id: UUID
    series_start: WallClock
    occurrence_time: WallClock
    occurrence_number: Number
    follows: UUID | None
    version: Number
    created_at: Moment
    updated_at: Moment


class ArchivedEvent(Message, frozen=True):
    """A line of `audit/NNNNN.ndjson`."""

    id: UUID
    action: str
    table_name: str
    record_id: UUID | None
    old_values: dict[str, Any] | None
    new_values: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


class ArchivedKey(Message, frozen=True):
    """A wrapped data key of the tag that was unlocked."""

    wrapped_key_id: UUID
    wrapped_key: B40
    key_purpose: str
    key_version: Number
    created_at: datetime


class ArchivedVault(Message, frozen=True, omit_defaults=True):
    """`vault/ID/vault.json`: head, ring and generation as the export found them, and the keys of the one tag.

    `old_keys` are those that objects may still need, each sealed under the next, newest first.

    `unchanged`: the vault stood still while its rows were read, so the head sums up exactly these rows.
    """

    vault_id: UUID
    generation: Number
    key_version: Number
    head: B112
    unchanged: bool
    tag_id: UUID
    suite: SuiteId
    salt: B16
    sealed_label: B316
    wrapped_keys: list[ArchivedKey]
    ring: B32 | None = None
    old_keys: list[OldKey] = field(default_factory=list)


class ArchivedObject(Message, frozen=True, omit_defaults=True):
    """A line of `vault/ID/objects.ndjson`; its bytes are the member `vault/ID/rows/OBJECT_ID`.

    `stream_id`: the stream of a large object, whose segments are the members `vault/ID/segments/STREAM_ID/NNNNN`.
    """

    object_id: UUID
    revision: Count
    key_version: Number
    content_size: Count
    digest: B32
    created_at: datetime
    updated_at: datetime
    stream_id: UUID | None = None


class ArchivedSegment(Message, frozen=True):
    """A line of `vault/ID/segments.ndjson`: a segment of a large object; `digest` is BLAKE3-256 of its bytes.

    `archived`: the member has exactly these bytes. Otherwise there is none, for the archive has as many bytes of
    segments as it may, or one that is not whole, for the object went while it was read.
    """

    stream_id: UUID
    seq: Count
    size: Number
    digest: B32
    archived: bool


class Imported(Message, frozen=True):
    """What became of one kind of rows: made, there already (and left as they were), or not taken over."""

    created: int = 0
    already_there: int = 0
    skipped: int = 0


class ImportDone(Message, frozen=True):
    """Answer to `POST /v1/me/import`."""

    profile: Imported
    settings: Imported
    consents: Imported
    tags: Imported
    journals: Imported
    reminders: Imported
    audit: Imported
    vault_objects: Imported
