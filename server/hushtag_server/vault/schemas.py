"""What the vault side's queries take and return."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from hushtag.types import Release

__all__ = [
    "NO_STREAM",
    "Begun",
    "Budget",
    "DeletedObject",
    "FoundObject",
    "MoveOffer",
    "ObjectChange",
    "ObjectListing",
    "ObjectSummary",
    "ObjectsChange",
    "OldKeyRow",
    "OpenedTag",
    "OpenedVault",
    "RegistrationCheck",
    "RingChange",
    "Rotation",
    "StreamNamed",
    "TagSummary",
    "Taken",
    "VaultCaller",
    "VaultSummary",
]


class VaultCaller(NamedTuple):
    """A vault token as it came, not yet checked: whose, the id of its session (64 hex), and how long it may lie."""

    user_id: UUID
    session_id: str
    idle: timedelta
    touch: timedelta


class Budget(NamedTuple):
    """The guess budget: at most `capacity` tokens, `rate` of them coming back per second; `lockout` is the longest."""

    capacity: float
    rate: float
    lockout: timedelta


class Begun(NamedTuple):
    """How a ceremony began. No session: not authenticated. `retry_after`: seconds until there are enough guesses."""

    account_session_id: UUID | None
    retry_after: int | None
    credential_id: bytes | None


class Taken(NamedTuple):
    """A state that was taken away. No session: not authenticated. Nothing kept: there was no state to take.

    `records` holds what is stored behind every phrase hash asked for that is enrolled, still sealed (`vault.seals`).
    """

    account_session_id: UUID | None
    kept: bytes | None
    credential_id: bytes | None
    records: bytes | None


class RegistrationCheck(NamedTuple):
    """A registration's step. No session: not authenticated. No key sets (16 bytes each): there is no such step."""

    account_session_id: UUID | None
    key_ids: bytes | None
    enrolled: bool | None


class MoveOffer(NamedTuple):
    """From which key set a tag may move to which, its phrase hash and release before: what a client carries, sealed."""

    source: UUID
    target: UUID
    phrase_hash: bytes
    release: Release

    def encode(self) -> bytes:
        """Return 80 bytes."""
        return self.source.bytes + self.target.bytes + self.phrase_hash + self.release.expose()

    @classmethod
    def decode(cls, encoded: bytes) -> "MoveOffer":
        """Inverse of `encode`, of 80 bytes."""
        ids = UUID(bytes=encoded[:16]), UUID(bytes=encoded[16:32])
        return cls(*ids, encoded[32:48], Release(encoded[48:80]))


class OpenedVault(NamedTuple):
    """One vault of a tag: its wrapped key (40 bytes), head (112 bytes) and ring (32 bytes, if it ever had two phrases).

    `steps` is sealed key(80) || proof(32) for each rotation since the wrapped key.
    """

    vault_id: UUID
    wrapped_key_id: UUID
    wrapped_key: bytes
    key_purpose: str
    key_version: int
    generation: int
    head: bytes
    ring: bytes | None
    steps: bytes | None


class OpenedTag(NamedTuple):
    """A tag whose vault session has begun, and the guesses that nobody proved since the last time one did."""

    suite: str
    tag_id: UUID
    salt: bytes
    expires_at: datetime
    vaults: list[OpenedVault]
    failed_guesses: int
    last_failed_at: datetime | None


class VaultSummary(NamedTuple):
    """A vault as those inside see it; head: 112 bytes, ring: 32."""

    generation: int
    key_version: int
    head: bytes
    ring: bytes | None


class TagSummary(NamedTuple):
    """A phrase that opens a vault; label: 316 bytes, public key: 32."""

    tag_id: UUID
    sealed_label: bytes
    public_key: bytes
    created_at: datetime


class ObjectSummary(NamedTuple):
    """One object; digest: 32 bytes. `row` is iv || ciphertext || auth_tag, where that was asked for and is short."""

    object_id: UUID
    revision: int
    key_version: int
    content_size: int
    digest: bytes
    created_at: datetime
    updated_at: datetime
    stream_id: UUID | None = None
    row: bytes | None = None


class StreamNamed(NamedTuple):
    """The stream an object's row is the descriptor of, its segments and their bytes together; or none."""

    stream_id: UUID | None
    segments: int | None
    size: int | None


NO_STREAM = StreamNamed(None, None, None)


class ObjectListing(NamedTuple):
    """A page of objects and the generation it was read at."""

    generation: int
    objects: list[ObjectSummary]


class ObjectChange(NamedTuple):
    """Which object of which vault becomes or loses which revision, and the head (112 bytes) that says so."""

    vault_id: UUID
    object_id: UUID
    revision: int
    generation: int
    head: bytes


class ObjectsChange(NamedTuple):
    """Which vault comes to which generation by several objects at once, and the head (112 bytes) that says so."""

    vault_id: UUID
    key_version: int
    generation: int
    head: bytes


class ObjectsDeletion(NamedTuple):
    """Which vault comes to which generation as several objects go, and the head (112 bytes) that says so."""

    vault_id: UUID
    generation: int
    head: bytes


class RingChange(NamedTuple):
    """The vault's next generation, and the head (112 bytes) and ring (32 bytes) it has then."""

    vault_id: UUID
    generation: int
    head: bytes
    ring: bytes


class Rotation(NamedTuple):
    """Who is revoked, and the next data key: its proof (32 bytes) and the old one sealed under it (92 bytes).

    `members` is tag id(16) || sealed key(80) || sealed label(316) of every tag that stays.
    """

    revoked: UUID
    key_version: int
    proof: bytes
    old_key: bytes
    members: bytes


class OldKeyRow(NamedTuple):
    """The data key before `key_version`, sealed under the one of that version: 92 bytes."""

    key_version: int
    old_key: bytes


class FoundObject(NamedTuple):
    """An object's row. No tag: not authenticated. No body (iv || ciphertext || auth_tag): no such object."""

    tag_id: UUID | None
    revision: int | None
    key_version: int | None
    body: bytes | None
    stream_id: UUID | None = None


class DeletedObject(NamedTuple):
    """What became of a delete, and the vault's key version and ring."""

    outcome: str
    key_version: int | None
    ring: bytes | None
