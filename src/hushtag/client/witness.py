"""What this session has seen of one vault, and so will not let the server take back.

The head only moves forward; two heads of one generation are one head; a listing is believed when its elements are
exactly those the head sums up; a row is believed when it opens and is not older than what was seen before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from hushtag.client.errors import ConflictError, IntegrityError, VaultLockedError, VaultRolledBackError
from hushtag.errors import AuthenticationError, MalformedError, RollbackError
from hushtag.head import VaultHead, open_head, seal_head, set_element, set_key
from hushtag.messages import ObjectEntry, VaultState, decode_binary
from hushtag.types import DataKey, forget_all
from hushtag.unlock import OpenVault

__all__ = ["Replaced", "Sealed", "Seen", "Witness"]


class Seen(NamedTuple):
    """One object's revision and row digest (32 bytes)."""

    revision: int
    digest: bytes


class Replaced(NamedTuple):
    """One object's entry before a change and after it; `None` where there is none."""

    object_id: UUID
    before: Seen | None
    after: Seen | None


class Sealed(NamedTuple):
    """A head that a change would lead to, and its sealed form (112 bytes)."""

    head: VaultHead
    sealed: bytes


class Witness:
    """The keys of one open vault and the newest state seen of it.

    `rows` is the whole set of objects at the generation of `head`, verified; `None` if that is not known. Without it,
    our own changes that led to `head` are still known.
    """

    def __init__(self, opened: OpenVault) -> None:
        self.vault_id = opened.vault_id
        self.head = opened.head
        self.rows: dict[UUID, Seen] | None = {} if opened.head.object_count == 0 else None
        self._data_key = opened.data_key
        self._seen: dict[UUID, Seen] = {}
        self._changed: dict[UUID, Seen | None] = {}  # by our changes since a head that was not ours
        self._set_key = set_key(opened.data_key, opened.vault_id, opened.head.key_version)
        self.locked = False
        self._opened = opened
        self._expected: Mapping[UUID, tuple[int, bytes]] = {}  # pinned in an earlier session, of an older head
        self.suspicion: VaultRolledBackError | None = None
        self.next_restorations: int | None = None  # what our next change makes of the head's count
        self._old_keys: dict[int, DataKey] = {}

    @property
    def data_key(self) -> DataKey:
        """The vault's data key.

        Raises:
            VaultLockedError: it is forgotten.
        """
        self.check_open()
        return self._data_key

    @property
    def unreviewed_key(self) -> DataKey:
        """The data key also of a vault under suspicion: to judge its head, not to read it."""
        return self._data_key

    def key_of(self, key_version: int) -> DataKey | None:
        """Return the data key of a version that an object may be sealed under, as far as it is known.

        Raises:
            VaultLockedError: the keys are forgotten.
        """
        self.check_open()
        return self._data_key if key_version == self.head.key_version else self._old_keys.get(key_version)

    def remember_old_key(self, key_version: int, data_key: DataKey) -> None:
        """Keep an old data key as long as the vault is open, or until `forget_old_keys`."""
        if self.locked or key_version in self._old_keys:
            data_key.forget()
            return
        self._old_keys[key_version] = data_key

    def forget_old_keys(self) -> None:
        """Forget every old data key: nothing is sealed under one any more."""
        forget_all(self._old_keys.values())
        self._old_keys.clear()

    def check_open(self) -> None:
        """Refuse to go on with a locked vault.

        Raises:
            VaultLockedError: it is locked.
            VaultRolledBackError: it takes back what this device has pinned, and nobody has accepted that here.
        """
        if self.locked:
            raise VaultLockedError("the vault is locked; unlock it again")
        if self.suspicion is not None:
            raise self.suspicion.with_traceback(None)

    def apart(self) -> "Witness":
        """Return a witness of the same vault that knows nothing of the suspicion against this one: for a review."""
        return Witness(self._opened)

    def expect(self, rows: Mapping[UUID, tuple[int, bytes]]) -> None:
        """Hold later listings against rows (revision, beginning of the digest) that an older head had."""
        self._expected = rows

    def accept(self, head: VaultHead) -> None:
        """Take a head that a person has accepted in spite of the suspicion."""
        self.suspicion = None
        self.head = head
        self.rows = None
        self._changed.clear()

    def forget(self) -> None:
        """Forget the keys, and everything that was seen."""
        self.locked = True
        self._data_key.forget()
        self.forget_old_keys()
        self._set_key = b""
        self._seen.clear()
        self._changed.clear()
        self._expected = {}
        self.rows = None

    def floor(self, object_id: UUID) -> Seen | None:
        """Return the newest revision seen of an object: no later answer may be older."""
        return self._seen.get(object_id)

    def knows(self, object_id: UUID) -> bool:
        """Tell whether the vault's entry of this object, or that there is none, is known for the newest head."""
        return self.rows is not None or object_id in self._changed

    def entry(self, object_id: UUID) -> Seen | None:
        """Return the entry of an object that `knows` knows; `None` if the vault has no such object."""
        rows = self.rows
        return self._changed.get(object_id) if rows is None else rows.get(object_id)

    def observe(self, state: VaultState, floor: VaultHead) -> None:
        """Take the server's head, if it is authentic and not older than `floor`, the head when it was asked for.

        Raises:
            MalformedError: it names another vault.
            ConflictError: the vault's key was rotated.
            IntegrityError: it is not authentic.
            RollbackError: it is older than, or other than, a head already seen.
        """
        if state.vault_id != self.vault_id:
            raise MalformedError("answer names another vault")
        if state.generation < floor.generation:
            raise RollbackError(f"server shows generation {state.generation}, {floor.generation} was seen before")
        if state.key_version > self.head.key_version:
            raise ConflictError("the vault has a new key; unlock it again", code="key_rotated")
        head = self._open(state)
        if head.restorations not in (self.head.restorations, self.next_restorations):
            raise RollbackError("the vault was restored from a backup while it was open; unlock it again")
        if head.generation < self.head.generation:
            return  # another step has already seen a newer one
        if head.generation == self.head.generation:
            if head != self.head:
                raise RollbackError("server shows another head of a generation that was seen before")
            return
        self.head = head
        self.rows = None
        self._changed.clear()

    def _open(self, state: VaultState) -> VaultHead:
        sealed = decode_binary(state.head)
        generation, version = state.generation, state.key_version
        ring = None if state.ring is None else decode_binary(state.ring)
        try:
            return open_head(
                self.data_key, self.vault_id, sealed, generation=generation, key_version=version, ring=ring
            )
        except AuthenticationError:
            raise IntegrityError("vault head") from None

    def settle(self, entries: list[ObjectEntry]) -> None:
        """Take a complete listing of the head's generation.

        Raises:
            RollbackError: it is not what the head sums up.
        """
        self.check_open()
        head = self.head
        rows = {entry.object_id: Seen(entry.revision, decode_binary(entry.digest)) for entry in entries}
        head.verify(self._element(object_id, seen) for object_id, seen in rows.items())
        self._check_expected(rows)
        if self.head is head:  # a newer one that was seen meanwhile, by whoever does not wait for this, has other rows
            self.rows = rows
        self._seen |= rows

    def _check_expected(self, rows: Mapping[UUID, Seen]) -> None:
        # Revisions only grow and ids are never used again, so an honest later head lists no earlier revision. What
        # was pinned and is not listed may have been deleted since.
        for object_id, (revision, beginning) in self._expected.items():
            row = rows.get(object_id)
            if row is None:
                continue
            if row.revision < revision or (row.revision == revision and not row.digest.startswith(beginning)):
                raise RollbackError(f"server lists revision {row.revision} of an object, not the one pinned before")

    def see_row(self, object_id: UUID, row: Seen, floor: Seen | None) -> None:
        """Take an authentic row of an object, unless it is older than `floor`, what was seen when it was asked for.

        Raises:
            RollbackError: the server shows an older revision, or another row of the same one.
        """
        if floor is not None and (row.revision < floor.revision or (row.revision == floor.revision and row != floor)):
            raise RollbackError(f"server shows revision {row.revision} of an object, not the one seen before")
        seen = self._seen.get(object_id)
        if seen is None or seen.revision < row.revision:
            self._seen[object_id] = row

    def propose(self, entries: Sequence[Replaced]) -> Sealed:
        """Return the next head, in which `after` stands where `before` stood, of each of these objects."""
        removed = [self._element(each.object_id, each.before) for each in entries if each.before is not None]
        added = [self._element(each.object_id, each.after) for each in entries if each.after is not None]
        head = self.head.with_changes(removed=removed, added=added)
        if self.next_restorations is not None:
            head = replace(head, restorations=self.next_restorations)
        return Sealed(head, seal_head(self.data_key, self.vault_id, head))

    def adopt(self, head: VaultHead, entries: Sequence[Replaced]) -> None:
        """Take over a change of ours that is stored: `head` was proposed on the head before it."""
        if self.locked:
            return  # meanwhile: what was seen is forgotten, and nothing is remembered in its place
        gone = [each.object_id for each in entries if each.after is None]
        there = {each.object_id: each.after for each in entries if each.after is not None}
        if head.generation == self.head.generation + 1:
            self.head = head
            self.next_restorations = None
            rows = self.rows  # which whoever sees a newer head meanwhile forgets
            if rows is not None:
                for object_id in gone:
                    rows.pop(object_id, None)
                rows |= there
            self._changed |= {each.object_id: each.after for each in entries}
        # Otherwise a newer head was seen meanwhile, and the listing that belongs to it is fetched when needed.
        for object_id in gone:
            self._seen.pop(object_id, None)
        for object_id, after in there.items():
            seen = self._seen.get(object_id)
            if seen is None or seen.revision <= after.revision:  # somebody may have gone on from ours since
                self._seen[object_id] = after

    def adopt_ring(self, head: VaultHead) -> None:
        """Take over a head of ours that is stored, of the same objects: of another ring, or of a tag that moved."""
        if head.generation == self.head.generation + 1:
            self.head = head

    def adopt_rotation(self, data_key: DataKey, head: VaultHead) -> None:
        """Take over a rotation of ours that is stored; objects are the same until they are re-sealed.

        Raises:
            VaultLockedError: it is locked; the new key stays the caller's.
        """
        self.check_open()
        self.remember_old_key(self.head.key_version, self._data_key)
        self._data_key = data_key
        self._set_key = set_key(data_key, self.vault_id, head.key_version)
        self.head = head

    def _element(self, object_id: UUID, seen: Seen) -> bytes:
        self.check_open()
        return set_element(self._set_key, object_id, seen.revision, seen.digest)
