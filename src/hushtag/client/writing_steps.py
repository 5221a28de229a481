"""Steps that change an open vault: puts and deletes, each with the head that sums up the vault after it.

A change is sent for one generation and either wins it or does not. When the answer is lost, the next look at the
vault tells: the head we proposed can stand at our generation only if our change is stored, because nobody else can
make a head that sums up our row. A row is sealed once for its revision, so a first attempt that arrives late is the
same change as the second.
"""

import enum
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from hushtag.client.answers import encode, expect, problem_of
from hushtag.client.calls import UNTOLD, outcome_unknown
from hushtag.client.effects import Pause, Request, Response, Steps, compute, exchange
from hushtag.client.errors import (
    ConflictError,
    NotFoundError,
    ServerError,
    TransportError,
)
from hushtag.client.ids import uuid_of
from hushtag.client.reading_steps import ReadingSteps
from hushtag.client.row_steps import VAULT_DENIED
from hushtag.client.witness import Replaced, Sealed, Seen
from hushtag.errors import MalformedError, RollbackError, StateError
from hushtag.messages import (
    MAX_OBJECTS_MESSAGE,
    MAX_OBJECTS_TOGETHER,
    DeleteObject,
    DeleteObjects,
    ObjectsDeleted,
    ObjectsStored,
    ObjectStored,
    PutObject,
    PutObjects,
    VaultState,
    encode_binary,
)
from hushtag.objects import CONTENT_TYPE, ObjectMeta, ObjectRow, row_digest, seal_object, shape_of
from hushtag.stream_messages import STREAM_HEADER, STREAM_SEGMENTS_HEADER, STREAM_SIZE_HEADER

__all__ = ["Change", "WritingSteps", "deletions_of", "together"]

_BESIDE_ROWS: Final = 512
"""Bytes of a message with several objects besides the objects: two numbers, a head of 150 characters, names."""
_BESIDE_ROW: Final = 128
"""Bytes of one of them besides its row: an id, a number, names."""
T = TypeVar("T")


class _Outcome(enum.Enum):
    """What is known after one attempt."""

    STORED = enum.auto()
    GENERATION_TAKEN = enum.auto()
    OBJECT_CHANGED = enum.auto()
    UNKNOWN = enum.auto()


class Change(NamedTuple):
    """One object's step from `before` to `after`: put if there is a row, delete if there is none."""

    object_id: UUID
    before: Seen | None
    after: Seen | None
    row: ObjectRow | None
    meta: ObjectMeta | None = None

    @property
    def entry(self) -> Replaced:
        """What becomes of the object's entry in the vault."""
        return Replaced(self.object_id, self.before, self.after)


def together(items: Iterable[T], row_length: Callable[[T], int | None]) -> Iterator[list[T]]:
    """Yield items in their order, as many at a time as one message takes; what it cannot take, alone.

    `row_length` tells the bytes of an item's row; `None`: it must go alone.
    """
    group: list[T] = []
    size = _BESIDE_ROWS
    for item in items:
        length = row_length(item)
        more = MAX_OBJECTS_MESSAGE if length is None else length * 4 // 3 + 1 + _BESIDE_ROW
        if group and size + more > MAX_OBJECTS_MESSAGE:
            yield group
            group, size = [], _BESIDE_ROWS
        group.append(item)
        size += more
        if len(group) == MAX_OBJECTS_TOGETHER or size >= MAX_OBJECTS_MESSAGE:  # what comes next may be long in coming
            yield group
            group, size = [], _BESIDE_ROWS
    if group:
        yield group


def deletions_of(object_ids: Iterable[UUID]) -> Iterator[list[UUID]]:
    """Yield what is to be deleted in its order, each object once, as many at a time as one change takes.

    Raises:
        MisuseError: something that is no id; nothing was deleted.
    """
    return together(dict.fromkeys(uuid_of(each) for each in object_ids), lambda _: 0)


class WritingSteps(ReadingSteps):
    """Reading and changing one open vault."""

    def put(self, object_id: UUID, meta: ObjectMeta, body: bytes, *, replace: bool) -> Steps[int]:
        """Store an object, as a new one or as the next revision; returns the revision.

        Raises:
            LimitError: it is too large; nothing was sent.
            NotFoundError: there is nothing to replace.
            ConflictError: somebody else changed the object, or the vault changes too fast.
            OutcomeUnknownError: the connection is gone and what became of the change is not known.
            StoredNotPinnedError: it is stored, and could not be pinned on this device.
        """
        self.witness.check_open()
        before = (yield from self._current(object_id)) if replace else None
        revision = 1 if before is None else before.revision + 1
        change = yield from compute(functools.partial(self._seal, object_id, before, revision, meta, body))
        yield from self._commit((change,))
        return revision

    def delete(self, object_id: UUID) -> Steps[None]:
        """Delete an object; one that somebody else deletes meanwhile is deleted as well.

        Raises:
            NotFoundError, ConflictError, OutcomeUnknownError: as for `put`.
        """
        object_id = uuid_of(object_id)
        before = yield from self._current(object_id)
        yield from self._commit((Change(object_id, before, None, None),))

    def delete_group(self, object_ids: Sequence[UUID]) -> Steps[tuple[UUID, ...]]:
        """Delete those of these objects that the vault has, all or none; returns which it had.

        Raises:
            ConflictError, OutcomeUnknownError: as for `put`.
        """
        self.witness.check_open()
        found = zip(object_ids, (yield from self._entries_of(object_ids)), strict=True)
        changes = [Change(each, self._as_shown(each, seen), None, None) for each, seen in found if seen is not None]
        if changes:
            yield from self._commit(changes)
        return tuple(change.object_id for change in changes)

    def _seal(self, object_id: UUID, before: Seen | None, revision: int, meta: ObjectMeta, body: bytes) -> Change:
        row = seal_object(
            self.witness.data_key,
            vault_id=self.witness.vault_id,
            object_id=object_id,
            key_version=self.witness.head.key_version,
            revision=revision,
            meta=meta,
            body=body,
        )
        return Change(object_id, before, Seen(revision, row_digest(row)), row, meta)

    def _current(self, object_id: UUID) -> Steps[Seen]:
        found = (yield from self._entries_of([object_id]))[0]
        if found is None:
            raise NotFoundError("the vault has no such object", code="not_found")
        return self._as_shown(object_id, found)

    def _entries_of(self, object_ids: Sequence[UUID]) -> Steps[list[Seen | None]]:
        rows = self.witness.rows
        if rows is not None and any(each not in rows for each in object_ids):
            yield from self.refresh()  # somebody else may have stored it since the vault was listed
            rows = self.witness.rows
        return (yield from self.listed(object_ids)) if rows is None else [rows.get(each) for each in object_ids]

    def _as_shown(self, object_id: UUID, found: Seen) -> Seen:
        if self.shown.setdefault(object_id, found) != found:
            raise ConflictError("the object was changed by somebody else since it was read", code="revision_conflict")
        return found

    def _commit(self, changes: Sequence[Change]) -> Steps[None]:
        """Try until the changes are stored, all at once, or somebody else's change of one object makes them void.

        All of them are puts, or all are deletions; what somebody else deletes of those is left out of the next attempt.
        """
        yield from self.catch_up()
        lost: TransportError | None = None
        for attempt in range(self.retry.changes):
            try:
                entries = [change.entry for change in changes]
                proposed = self.witness.propose(entries)
                outcome = yield from self._attempt(changes, proposed)
            except BaseException as error:
                self.witness.rows = None  # what the vault holds now is for the next listing to say
                if lost is not None and isinstance(error, StateError):
                    raise lost from None  # locked or closed meanwhile: what was sent before may be stored
                raise
            if outcome is _Outcome.STORED:
                yield from self._take(entries, proposed)
                return
            if outcome is _Outcome.UNKNOWN:
                lost = outcome_unknown()
            doubtful = lost is not None or outcome is _Outcome.OBJECT_CHANGED
            changes = yield from self._left(changes, proposed, lost, doubtful=doubtful)
            if not changes:
                yield from self._take(entries, proposed)
                return
            yield Pause(self.retry.pause(attempt))
        raise lost or ConflictError("the vault changes faster than it can be written; try again", code="busy")

    def _take(self, entries: Sequence[Replaced], proposed: Sealed) -> Steps[None]:
        self.witness.adopt(proposed.head, entries)
        for object_id, _, after in entries:
            if after is None:
                self.shown.pop(object_id, None)
            else:
                self.shown[object_id] = after
        if len(entries) > 1:
            done = "deleted" if entries[0].after is None else "stored"
            yield from self.pin_stored(f"{len(entries)} objects are {done}")
            return
        object_id, _, after = entries[0]
        revision = None if after is None else after.revision
        done = "the object is deleted" if revision is None else f"the object is stored (revision {revision})"
        yield from self.pin_stored(done, object_id, revision)

    def _left(
        self, changes: Sequence[Change], proposed: Sealed, lost: TransportError | None, *, doubtful: bool
    ) -> Steps[Sequence[Change]]:
        """Look at the vault and return which of the changes are not in it."""
        before = self.witness.head
        try:
            yield from self.refresh()
            if self.witness.head == proposed.head:
                return ()
            moved = self.witness.head != before
            # New objects that were merely late need no listing: nobody else can have touched them.
            if not moved or not (doubtful or any(each.before is not None for each in changes)):
                return changes
            now = yield from self.listed([each.object_id for each in changes])
        except (*UNTOLD, ConflictError):  # somebody has replaced the key: what came before that, cannot be told
            if lost is not None:
                raise lost from None
            raise
        left = [each for found, each in zip(now, changes, strict=True) if found != each.after]
        if len(left) < len(changes) and changes[0].after is not None:
            return ()  # stored together: nobody else can make such a row, so as one of them is there, so were all
        if any(found not in (each.before, each.after) for found, each in zip(now, changes, strict=True)):
            raise ConflictError("the object was changed by somebody else", code="revision_conflict")
        return left

    def _attempt(self, changes: Sequence[Change], proposed: Sealed) -> Steps[_Outcome]:
        request = self._request(changes[0], proposed) if len(changes) == 1 else self._request_of(changes, proposed)
        try:
            response = yield from exchange(request)
        except TransportError:
            return _Outcome.UNKNOWN
        if response.status >= 500 or response.status == 408:
            return _Outcome.UNKNOWN  # it may have failed before or after it was stored
        if response.status in (200, 201):
            if len(changes) == 1:
                self._check_answer(changes[0], proposed, response)
            else:
                self._check_answer_of(changes, proposed, response)
            return _Outcome.STORED
        error = problem_of(response)
        code = error.code if isinstance(error, ServerError) else None
        if code == "generation_conflict":
            return _Outcome.GENERATION_TAKEN
        if code == "revision_conflict" or (code == "not_found" and changes[0].after is None):
            return _Outcome.OBJECT_CHANGED
        if code == "not_found":
            raise RollbackError(VAULT_DENIED)
        raise error

    def _request_of(self, changes: Sequence[Change], proposed: Sealed) -> Request:
        if changes[0].after is None:
            going = [DeleteObject(each.object_id, each.before.revision) for each in changes if each.before is not None]
            asked = encode(DeleteObjects(proposed.head.generation, encode_binary(proposed.sealed), going))
            return Request("POST", f"{self.path}/objects/deletion", self.token, asked, "application/json")
        rows = [(each.object_id, each.row) for each in changes if each.row is not None]
        message = PutObjects(
            generation=proposed.head.generation,
            key_version=rows[0][1].key_version,
            head=encode_binary(proposed.sealed),
            objects=[PutObject(object_id, row.revision, encode_binary(bytes(row.encoded))) for object_id, row in rows],
        )
        body = encode(message, MAX_OBJECTS_MESSAGE)
        return Request("POST", f"{self.path}/objects", self.token, body, "application/json")

    def _check_answer_of(self, changes: Sequence[Change], proposed: Sealed, response: Response) -> None:
        if changes[0].after is None:
            deleted = expect(response, (200,), ObjectsDeleted)
            if deleted != ObjectsDeleted(proposed.head.generation, len(changes)):
                raise MalformedError("answer to a deletion of several objects names another generation or number")
        elif expect(response, (200,), ObjectsStored) != ObjectsStored(proposed.head.generation, len(changes)):
            raise MalformedError("answer to a put of several objects names another generation or number")

    def _request(self, change: Change, proposed: Sealed) -> Request:
        path = f"{self.path}/objects/{change.object_id}"
        revision = (change.after or change.before or Seen(0, b"")).revision
        headers = {
            "Hushtag-Revision": str(revision),
            "Hushtag-Generation": str(proposed.head.generation),
            "Hushtag-Head": encode_binary(proposed.sealed),
        }
        if change.row is None:
            return Request("DELETE", path, self.token, headers=headers)
        headers["Hushtag-Key-Version"] = str(change.row.key_version)
        if change.meta is not None and change.meta.stream is not None:
            shape = shape_of(change.meta)
            headers[STREAM_HEADER] = str(change.meta.stream.id)
            headers[STREAM_SEGMENTS_HEADER] = str(shape.places)
            headers[STREAM_SIZE_HEADER] = str(shape.sealed_size)
        return Request("PUT", path, self.token, change.row.encoded, CONTENT_TYPE, headers)

    def _check_answer(self, change: Change, proposed: Sealed, response: Response) -> None:
        generation = proposed.head.generation
        if change.after is None:
            state = expect(response, (200,), VaultState)
            expected = VaultState(
                self.witness.vault_id,
                generation,
                proposed.head.key_version,
                encode_binary(proposed.sealed),
                None if proposed.head.ring is None else encode_binary(proposed.head.ring),
            )
            if state != expected:
                raise MalformedError("answer to a delete names another state than it was to make")
            return
        stored = expect(response, (201 if change.before is None else 200,), ObjectStored)
        if stored != ObjectStored(change.object_id, change.after.revision, generation):
            raise MalformedError("answer to a put names another object, revision or generation")
