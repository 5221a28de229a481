"""Steps that look at one thing of an open vault: its head, or one object."""

import functools
from typing import Final, NamedTuple
from uuid import UUID

from hushtag.client.answers import expect, number_header, problem_of
from hushtag.client.calls import fetch
from hushtag.client.effects import Request, Response, Steps, compute
from hushtag.client.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    StateFileError,
    StoredNotPinnedError,
)
from hushtag.client.pinning import PinnedVault
from hushtag.client.policy import MAX_LIST_BYTES, RetryPolicy
from hushtag.client.witness import Seen, Witness
from hushtag.errors import AuthenticationError, MalformedError, RollbackError, StateError
from hushtag.head import VaultHead
from hushtag.messages import MAX_GENERATION, MAX_KEY_VERSION, ObjectEntry, OldKeys, VaultState, decode_binary
from hushtag.objects import MAX_ROW_BYTES, ObjectMeta, ObjectRow, OpenedObject, open_object, row_digest
from hushtag.pins import HeadPin
from hushtag.ring import Member
from hushtag.rotation import open_old_key
from hushtag.stream_messages import STREAM_HEADER
from hushtag.types import DataKey

__all__ = ["UNREADABLE", "VAULT_DENIED", "FoundObject", "Read", "RowGoneError", "RowSteps", "row_key"]

VAULT_DENIED: Final = "server denies a vault that it has just opened"
"""A token of a deleted tag or vault is refused as such; so "no such vault" under a living token is never honest."""

UNREADABLE: Final = (
    "object was sealed in this vault and breaks the rules: it can only be deleted or replaced, by its id"
)


class RowGoneError(ConflictError):
    """Everything was re-sealed since a row was asked for, and the key it was under is forgotten; look at it again.

    This client alone says so: no answer of a server makes one.
    """


class FoundObject(NamedTuple):
    """An object as its row tells of it; the body of a large one lies in the stream that `meta` names.

    `generation` is that of the head that vouched for the row.
    """

    object_id: UUID
    meta: ObjectMeta
    row: Seen
    generation: int
    body: bytes

    @property
    def revision(self) -> int:
        """The row's revision."""
        return self.row.revision


class Read(NamedTuple):
    """What a row told of its object, and what a listing must tell of the row. No `meta`: it cannot be read."""

    meta: ObjectMeta | None
    key_version: int
    content_size: int


def row_key(entry: ObjectEntry) -> tuple[UUID, bytes]:
    """Return what the row of a listed entry is remembered by."""
    return entry.object_id, decode_binary(entry.digest)


class RowSteps:
    """One open vault under one vault token."""

    def __init__(self, witness: Witness, own: Member, token: str, retry: RetryPolicy) -> None:
        self.witness = witness
        self.own = own  # the tag that this session unlocked
        self._token = token
        self.retry = retry
        self.path = f"/v1/vaults/{witness.vault_id}"
        self.shown: dict[UUID, Seen] = {}  # what the caller has been given, and so bases a change on
        self._metas: dict[tuple[UUID, bytes], Read] = {}  # by the object and the digest of its row
        self.pinned: PinnedVault | None = None  # on this device, across sessions
        self._pinned_head: VaultHead | None = None

    @property
    def tag_id(self) -> UUID:
        """The id of the tag that this session unlocked."""
        return self.own.tag_id

    @property
    def token(self) -> str:
        """The vault token.

        Raises:
            VaultLockedError: it is forgotten.
        """
        self.witness.check_open()
        return self._token

    def forget(self) -> None:
        """Forget keys, token and everything read."""
        self.witness.forget()
        self._token = ""
        self.shown.clear()
        self._metas.clear()
        if self.pinned is not None:
            self.pinned.forget()

    def _pins(self) -> Steps[list[HeadPin]]:
        if self.pinned is None:
            return []
        self.witness.check_open()  # its pins go with the keys
        return (yield from compute(self.pinned.heads))

    def pin(self) -> Steps[None]:
        """Pin the newest head seen, if there is a store of pins.

        Raises:
            VaultRolledBackError: another process has pinned another head of the same generation.
            PinStoreError: the pins cannot be read or written.
        """
        head = self.witness.head
        if self.pinned is not None and head != self._pinned_head:
            yield from compute(functools.partial(self.pinned.keep, head))
            self._pinned_head = head

    def pin_stored(self, done: str, object_id: UUID | None = None, revision: int | None = None) -> Steps[None]:
        """Pin the head that a change of ours has led to; `done` says what the server has done.

        Raises:
            StoredNotPinnedError: the pins cannot be read or written, or the vault was locked meanwhile.
        """
        try:
            if self.pinned is not None:
                self.witness.check_open()
            yield from self.pin()
        except (StateFileError, StateError, OSError) as error:
            if isinstance(error, StateError) and not self.witness.locked:
                raise
            why = "the vault was locked meanwhile" if self.witness.locked else str(error)
            raise StoredNotPinnedError(done, why, object_id=object_id, revision=revision) from error

    def catch_up(self) -> Steps[None]:
        """Ask for the head if another process of this device has seen a newer one: the server must have it too."""
        pins = yield from self._pins()
        if pins and pins[0].order > (self.witness.head.restorations, self.witness.head.generation):
            yield from self.refresh()

    def refresh(self) -> Steps[None]:
        """Ask for the vault's head and take it, if it takes back nothing that was pinned when it was asked for."""
        floor = self.witness.head
        pins = yield from self._pins()
        response = yield from fetch(Request("GET", self.path, self.token), self.retry)
        try:
            state = expect(response, (200,), VaultState)
        except NotFoundError:
            raise RollbackError(VAULT_DENIED) from None
        self.witness.observe(state, floor)
        if self.pinned is not None:
            self.pinned.check(pins, self.witness.head)
            yield from self.pin()

    def _expect_newer(self, what: str) -> Steps[None]:
        """Look at the head again: only a newer one explains that something of this one is gone."""
        before = self.witness.head.generation
        yield from self.refresh()
        if self.witness.head.generation == before:
            raise RollbackError(f"server {what}, and the vault did not change")

    def get_known(self, object_id: UUID) -> Steps[FoundObject | None]:
        """Return an object that is as the newest head has it; `None` if that cannot be told without another look.

        Raises:
            NotFoundError: the vault has no such object; its head says so as well.
            MalformedError: it was sealed in the vault, and it does not open or what it holds breaks the rules.
        """
        if not self.witness.knows(object_id):
            return None
        yield from self.pin()  # what could not be pinned when it was seen first is not shown before it is
        before, generation = self.witness.entry(object_id), self.witness.head.generation
        try:
            row, opened = yield from self._open_row(object_id)
        except NotFoundError:
            if before is None:
                raise
            return None
        except RowGoneError:
            return None
        # A change of ours may have come between question and answer; either state is as good as the other.
        if row not in (before, self.witness.entry(object_id)):
            return None
        if row != before:
            generation = self.witness.head.generation
        self.shown[object_id] = row
        if opened is None:
            raise MalformedError(UNREADABLE)
        return FoundObject(object_id, opened.meta, row, generation, opened.body)

    def _open_row(self, object_id: UUID) -> Steps[tuple[Seen, OpenedObject | None]]:
        """Return a row, and the object in it; `None`: it was sealed in the vault, and breaks the rules.

        Raises:
            RowGoneError, ConflictError: as for `_key_of`.
            IntegrityError: it does not open, and no listing that the head vouched for has it.
        """
        floor, head = self.witness.floor(object_id), self.witness.head
        request = Request("GET", f"{self.path}/objects/{object_id}", self.token, max_answer=MAX_ROW_BYTES)
        response = yield from fetch(request, self.retry)
        if response.status != 200:
            raise problem_of(response)
        if response.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/octet-stream":
            raise MalformedError("answer is not an object row")
        key = yield from self._key_of(number_header(response, "Hushtag-Key-Version", MAX_KEY_VERSION), head)
        row, opened, read = yield from compute(functools.partial(self._open_answer, object_id, response, key))
        self.witness.see_row(object_id, row, floor)
        self._metas[object_id, row.digest] = read
        return row, opened

    def _key_of(self, key_version: int, head: VaultHead) -> Steps[DataKey]:
        """Return the data key of a row: the present one, or an old one of a row that is not re-sealed yet.

        `head` is the newest one that was seen when the row was asked for.

        Raises:
            RowGoneError: the row is none of the vault any more.
            ConflictError: the vault's key was rotated.
            IntegrityError: the vault has no such key.
        """
        error = IntegrityError("key version of an object")
        if self.witness.key_of(key_version) is None and key_version < self.witness.head.key_version:
            try:
                yield from self._fetch_old_keys()
            except IntegrityError as found:
                error = found
        key = self.witness.key_of(key_version)
        if key is not None:
            return key
        yield from self.refresh()  # a rotation is told here
        if key_version > head.key_version or self.witness.head == head:
            raise error
        raise RowGoneError("the object was changed by somebody else", code="revision_conflict")

    def _fetch_old_keys(self) -> Steps[None]:
        """Open the old data keys, each with the one after it; what does not open is not believed."""
        request = Request("GET", f"{self.path}/old-keys", self.token, max_answer=MAX_LIST_BYTES)
        response = yield from fetch(request, self.retry)
        try:
            answer = expect(response, (200,), OldKeys)
        except NotFoundError:
            raise RollbackError(VAULT_DENIED) from None
        yield from compute(functools.partial(self._open_old_keys, answer))

    def _open_old_keys(self, answer: OldKeys) -> None:
        version = self.witness.head.key_version
        for each in answer.old_keys:
            newer = self.witness.key_of(version)
            if newer is None or each.key_version != version:
                raise IntegrityError("list of old keys")
            try:
                sealed = decode_binary(each.old_key)
                old = open_old_key(newer, sealed, vault_id=self.witness.vault_id, key_version=version)
            except AuthenticationError:
                raise IntegrityError("old key of the vault") from None
            version -= 1
            self.witness.remember_old_key(version, old)

    def _open_answer(self, object_id: UUID, response: Response, key: DataKey) -> tuple[Seen, OpenedObject | None, Read]:
        revision = number_header(response, "Hushtag-Revision", MAX_GENERATION)
        version = number_header(response, "Hushtag-Key-Version", MAX_KEY_VERSION)
        row = ObjectRow.decode(response.body, key_version=version, revision=revision)
        seen = Seen(revision, row_digest(row))
        return seen, *self._open(object_id, row, seen, response.headers.get(STREAM_HEADER.lower()), key)

    def _open(
        self, object_id: UUID, row: ObjectRow, seen: Seen, stream_id: str | None, key: DataKey
    ) -> tuple[OpenedObject | None, Read]:
        unreadable = None, Read(None, row.key_version, row.content_size)
        try:
            opened = open_object(key, row, vault_id=self.witness.vault_id, object_id=object_id)
        except AuthenticationError:
            # The head counts revision, key version and every byte of a row: whoever is inside sealed this very one.
            if self.witness.entry(object_id) == seen:
                return unreadable
            raise IntegrityError("object row") from None
        except MalformedError:  # its length was looked at before, so the row is authentic
            return unreadable
        if stream_id != (opened.meta.stream and str(opened.meta.stream.id)):
            raise IntegrityError(f"stream of the object {object_id}")
        return opened, Read(opened.meta, row.key_version, row.content_size)
