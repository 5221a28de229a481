"""The open vault of the blocking client."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from hushtag.client.archive_file import Place
from hushtag.client.callbacks import guarded
from hushtag.client.contents import (
    FailedAttempts,
    FetchedObject,
    NewObject,
    Restoration,
    StoredObject,
    VaultEntry,
    VaultObject,
    VaultPhrase,
)
from hushtag.client.drivers import SyncDriver
from hushtag.client.ids import uuid_of
from hushtag.client.object_file import ObjectFile
from hushtag.client.pinning import PinnedState
from hushtag.client.resealing_steps import Progress
from hushtag.client.row_steps import FoundObject
from hushtag.client.storing_steps import groups_of
from hushtag.client.stream_files import ContentTarget, Source
from hushtag.client.threads import OneAtATime
from hushtag.client.vault_steps import OpenTag, VaultSteps
from hushtag.client.writing_steps import deletions_of
from hushtag.phrase import FLOOR_BITS, DrawnPhrase
from hushtag.recovery import RecoveryCode
from hushtag.types import DeviceSecret

__all__ = ["Vault"]


class Vault:
    """An open vault. Leaving its context locks it and forgets its keys, whatever happened inside.

    If the phrase opens several vaults, `vaults` holds them all, this one among them; they are locked together.

    Every call may raise what every call of `Client` may, `VaultLockedError`, and what tells that the server does not
    keep its part: `IntegrityError` (something is not authentic) and `RollbackError` (something is older than, or
    missing from, what this session has seen or the vault head sums up).
    """

    def __init__(self, driver: SyncDriver, tag: OpenTag, steps: VaultSteps, vaults: "Sequence[Vault]") -> None:
        self._driver = driver
        self._tag = tag
        self._steps = steps
        self._vaults = vaults
        # One change or listing of a vault at a time; gets go beside them.
        self._turn = OneAtATime()

    @property
    def vault_id(self) -> UUID:
        """The id of this vault."""
        return self._steps.witness.vault_id

    @property
    def tag_id(self) -> UUID:
        """The id of the tag that opened it."""
        return self._steps.tag_id

    @property
    def vaults(self) -> "tuple[Vault, ...]":
        """Every vault the phrase opened."""
        return tuple(self._vaults)

    @property
    def candidate(self) -> int:
        """Which of the transcripts given to `unlock` opened it."""
        return self._tag.candidate

    @property
    def token(self) -> str:
        """The vault token, for an export. It opens nothing: what it fetches is ciphertext.

        Raises:
            VaultLockedError: the vault was locked.
        """
        return self._steps.token

    @property
    def object_count(self) -> int:
        """How many objects the newest head seen counts."""
        return self._steps.witness.head.object_count

    @property
    def expires_at(self) -> datetime:
        """When the server ends this vault session."""
        return self._tag.expires_at

    @property
    def failed_attempts(self) -> FailedAttempts:
        """What opened nothing since the account's last unlock, without what this unlock itself tried."""
        return self._tag.failed_attempts

    @property
    def locked(self) -> bool:
        """Whether its keys are forgotten."""
        return self._tag.locked

    @property
    def pinned(self) -> PinnedState | None:
        """What this device had pinned of the vault before it was opened; `None` if nothing, or without `vault_pins`.

        Without it, only an epoch code from another device tells whether this state is the newest.
        """
        return self._steps.before

    def put(
        self,
        source: Source,
        *,
        name: str | None = None,
        content_type: str | None = None,
        replace: UUID | None = None,
        on_progress: Progress | None = None,
    ) -> StoredObject:
        """Store bytes, a file (`pathlib.Path`) or what an open binary file gives, up to 64 GiB, as a new object or as
        the next revision of `replace`. Names need not be unique.

        Up to 256 KiB lie in the object's own row. More goes in segments, several at a time, in constant memory; it
        becomes visible when all of it is stored. A connection that breaks is waited for; a file whose put broke off,
        also by the end of the program if the client has `upload_pages`, is gone on with by putting it again.
        `on_progress(done, total)` counts bytes; `total` is 0 as long as it is not known.

        Raises:
            LimitError: content or name is too long; nothing was stored.
            MisuseError: content without a name, or of no such kind; `SourceChangedError`: a file changed meanwhile.
            NotFoundError: there is nothing to replace.
            ConflictError: somebody else changed the object since this session saw it; list, then decide.
            LimitReachedError: the vault is full.
            OutcomeUnknownError: the connection broke and stayed broken; the object may or may not be stored.
            PinStoreError: the pins of this device cannot be read or written; `StoredNotPinnedError`: all is stored.
        """
        with self._turn:
            putting = self._driver.run(self._steps.begin_put(source, name, content_type, replace))
        try:
            while True:
                self._driver.run(self._steps.send_put(putting, guarded(on_progress)))
                with self._turn:
                    stored = self._driver.run(self._steps.finish_put(putting))
                if stored is not None:
                    return stored
        finally:
            self._driver.run(self._steps.release(putting))

    def put_many(
        self, objects: Iterable[NewObject], *, on_stored: Callable[[StoredObject], None] | None = None
    ) -> tuple[StoredObject, ...]:
        """Store any number of objects in their order, small ones many at a time, which over a network takes a fraction
        of the time of a put for each.

        Up to 64 of them, of about 128 KiB, are one change: they are stored together, or none of them. `objects` may be
        an iterator, which is drawn from as it is stored; `on_stored` is told of each object that is, and may not raise.

        Raises:
            MisuseError: something that is no NewObject of bytes, or has no name, or would be replaced twice.
            As `put`; of the change at which it happened nothing is stored, and of what was told of before, all.
        """
        told = guarded(on_stored)
        stored: list[StoredObject] = []
        for group in groups_of(objects):
            done: tuple[StoredObject, ...]
            if len(group) == 1:
                content, name, content_type, replace = group[0]
                done = (self.put(content, name=name, content_type=content_type, replace=replace),)
            else:
                with self._turn:
                    done = self._driver.run(self._steps.put_group(group))
            stored += done
            if told is not None:
                for each in done:
                    told(each)
        return tuple(stored)

    def get(self, object_id: UUID) -> VaultObject:
        """Return an object as the vault's newest head has it; if that is not known yet, the vault is listed first.

        Raises:
            NotFoundError: the vault has no such object.
            LimitError: it is over 64 MiB; see `get_to` and `open`.
            ConflictError: a large object was replaced or deleted while it was read.
            ContentLostError: the server has lost bytes of a large object.
        """
        return self._driver.run(self._steps.whole(self._find(object_id)))

    def get_to(
        self, object_id: UUID, place: Place, *, on_progress: Progress | None = None, force: bool = False
    ) -> FetchedObject:
        """Write an object to a path (mode 0600) or into an open binary file, in constant memory.

        At a path there is all of it, verified, or nothing; `force` lets it replace what is there. Into an open file it
        is written as it comes, each part verified before; only the return of this call says that all of it is there.
        `on_progress(done, total)` counts bytes.

        Raises:
            MisuseError: something is at the path already; nothing was asked for.
            NotFoundError: the vault has no such object.
            ConflictError: it was replaced or deleted while it was read; nothing is left at the path.
            ContentLostError: the server has lost bytes of it; nothing is left at the path.
        """
        target = ContentTarget(place, force=force)
        target.check()
        return self._driver.run(self._steps.get_to(self._find(object_id), target, on_progress))

    def open(self, object_id: UUID) -> ObjectFile:
        """Return an object as a file that can be read and searched through; of a large one only segments that are read
        are fetched. It reads the revision that the vault has now.

        Raises:
            NotFoundError: the vault has no such object.
        """
        return ObjectFile(self._driver, self._steps.reader(self._find(object_id)))

    def _find(self, object_id: UUID) -> FoundObject:
        object_id = uuid_of(object_id)
        found = self._driver.run(self._steps.get_known(object_id))
        if found is None:
            with self._turn:
                found = self._driver.run(self._steps.get(object_id))
        return found

    def get_by_name(self, name: str) -> VaultObject:
        """Return the object of that name; reads the listing first, as `find` does."""
        return self.get(self.find(name).object_id)

    def find(self, name: str) -> VaultEntry:
        """Return the entry of the one object of that name.

        Raises:
            NotFoundError: no object has the name.
            AmbiguousNameError: several have it.
        """
        with self._turn:
            return self._driver.run(self._steps.find(name))

    def list(self) -> tuple[VaultEntry, ...]:
        """Return every object by id, verified against the vault head.

        Names are inside the sealed rows, so every row that was not read before is fetched.
        """
        with self._turn:
            return self._driver.run(self._steps.list())

    def delete(self, object_id: UUID) -> None:
        """Delete an object.

        Raises:
            NotFoundError: the vault has no such object.
            ConflictError, OutcomeUnknownError, PinStoreError: as for `put`.
        """
        with self._turn:
            self._driver.run(self._steps.delete(object_id))

    def delete_many(
        self, object_ids: Iterable[UUID], *, on_deleted: Callable[[UUID], None] | None = None
    ) -> tuple[UUID, ...]:
        """Delete any number of objects in their order, many at a time, which over a network takes a fraction of the
        time of a deletion for each; returns which there were. What is not there, or not any more, is passed over.

        Up to 64 of them are one change: they are deleted together, or none of them. `on_deleted` is told of each object
        that is deleted, and may not raise.

        Raises:
            MisuseError: something that is no id; nothing is deleted.
            As `delete`, but for NotFoundError; of the change at which it happened nothing is deleted, and of what was
            told of before, all.
        """
        told = guarded(on_deleted)
        deleted: list[UUID] = []
        for group in deletions_of(object_ids):
            with self._turn:
                done = self._driver.run(self._steps.delete_group(group))
            deleted += done
            if told is not None:
                for each in done:
                    told(each)
        return tuple(deleted)

    def phrases(self) -> tuple[VaultPhrase, ...]:
        """Return the phrases that open this vault, exactly those its head counts."""
        with self._turn:
            return self._driver.run(self._steps.phrases())

    def add_phrase(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str = "",
        device_secret: DeviceSecret | bytes | None = None,
        floor_bits: float = FLOOR_BITS,
    ) -> VaultPhrase:
        """Let a further phrase open this vault; costs one guess. Needs the account session that unlocked it.

        Raises:
            WeakPhraseError, PhraseError: the phrase is refused; nothing was sent.
            LimitError: the vault has 50 phrases, or the label is over 252 bytes.
            ConflictError: the phrase opens a vault of this account already, or the vault's key was rotated.
            BudgetError: no guesses are left.
            OutcomeUnknownError: the connection broke and stayed broken; list the phrases to find out.
        """
        with self._turn:
            steps = self._steps.add(phrase, label=label, device_secret=device_secret, floor_bits=floor_bits)
            return self._driver.run(steps)

    def revoke_phrase(self, tag_id: UUID) -> None:
        """Let a phrase open this vault no more; it need not be known. The data key is replaced.

        The phrase's open sessions end at once. What is written from now on is out of its reach, whatever copies of the
        database somebody has; what is there already must be re-sealed (`reseal`). Revoking the phrase that is open ends
        this session. All orders that phrases of this vault bear (`set_duress`) end with it: give them again.

        Raises:
            NotFoundError: no phrase of the vault has this id.
            MisuseError: it is the last one; see `destroy`.
            ConflictError: the vault's key was rotated by somebody else.
            OutcomeUnknownError: the connection broke and stayed broken; unlock and list the phrases to find out.
            StoredNotPinnedError: the phrase is revoked, and that could not be pinned on this device.
        """
        with self._turn:
            self._driver.run(self._steps.revoke_phrase(tag_id))

    def change_phrase(
        self,
        tag_id: UUID,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str | None = None,
        device_secret: DeviceSecret | bytes | None = None,
        floor_bits: float = FLOOR_BITS,
    ) -> VaultPhrase:
        """Put a new phrase in the place of one, which need not be known and is revoked with it, in one step.

        Without a label it takes over the old one's. If it is the phrase that is open, this session goes on with the new
        one.

        Raises:
            As `add_phrase` and `revoke_phrase`; nothing was changed, but after an OutcomeUnknownError it may be.
        """
        with self._turn:
            steps = self._steps.change(tag_id, phrase, label=label, device_secret=device_secret, floor_bits=floor_bits)
            return self._driver.run(steps)

    def set_duress(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        tag_id: UUID | None = None,
        phrase_only: bool = False,
        lock_days: int | None = None,
        place: int = 1,
        device_secret: DeviceSecret | bytes | None = None,
    ) -> None:
        """Make another phrase of this account a duress phrase: its next unlock opens its own vault and shreds this one.

        `phrase_only` shreds one phrase instead (`tag_id`; the one that is open if not given): the others go on opening
        the vault. `lock_days` (1, 7 or 30) does not shred but lets nothing open for that long. The order is borne by
        that phrase in one of four places (`place`): it replaces what stood there, and ends when any phrase of the vault
        is revoked or changed. Nobody can look it up, here or on the server. Costs one guess, which is not given back.

        A phrase that an earlier version enrolled must have been unlocked once by this one before its first order: until
        then the server knows no release of it, and it can be opened without carrying anything out.

        Raises:
            AuthenticationError: the phrase opens nothing in this account.
            MisuseError: it opens this vault itself, or a lock or place that is not one of those.
            NotFoundError: no phrase of the vault has this id.
            BudgetError: no guesses are left.
        """
        with self._turn:
            steps = self._steps.set_duress(
                phrase,
                tag_id=tag_id,
                phrase_only=phrase_only,
                lock_days=lock_days,
                place=place,
                device_secret=device_secret,
            )
            self._driver.run(steps)

    def clear_duress(self, tag_id: UUID | None = None, *, place: int | None = None) -> None:
        """Take the orders back that a phrase of this vault bears, in one place or in all; by default the open one's.

        Raises:
            NotFoundError: no phrase of the vault has this id.
            MisuseError: no such place.
        """
        with self._turn:
            self._driver.run(self._steps.clear_duress(tag_id, place))

    def reseal(self, progress: Progress | None = None) -> int:
        """Seal anew, after a phrase was revoked, whatever is still under an old data key; returns how many objects.

        `progress` is told how many are done and how many there are; it cannot use the vault meanwhile. It may be broken
        off at any point and called again, by any phrase; at the end the old data keys are forgotten.

        Raises:
            MisuseError: `progress` used the vault.
            ConflictError: the vault's key was rotated, or the vault changes too fast.
            OutcomeUnknownError: the connection broke; call again.
        """
        with self._turn:
            return self._driver.run(self._steps.reseal(progress))

    def old_streams(self) -> Sequence[VaultEntry]:
        """Return the large objects whose segments are under a key of before a revocation; re-sealing leaves them so.

        Who was revoked may have kept that key, and reads such an object's segments, if the server or a copy of the
        database gives them; they cannot put others in their place. Putting the content anew (`replace`) ends that.
        """
        with self._turn:
            return self._driver.run(self._steps.old_streams())

    def destroy(self, *, confirm: UUID | str) -> None:
        """Destroy this vault with its last phrase, for good: its keys first, then every object. `confirm`: its id.

        Raises:
            MisuseError: the confirmation is another; nothing was sent.
            ConflictError: other phrases open it, or somebody has changed it meanwhile.
            OutcomeUnknownError: the connection broke; if the phrase opens nothing any more, it is done.
        """
        with self._turn:
            self._driver.run(self._steps.destroy(confirm))

    def epoch_code(self) -> str:
        """Return five words that stand for the vault's present state, to compare or type on another device.

        They tell nothing to whoever does not know a phrase of the vault, and change with every change of it.
        """
        return self._driver.run(self._steps.epoch_code())

    def check_epoch(self, code: str) -> int:
        """Return how many changes were made since another device showed this code; 0 if none.

        A later state is not older than the code's; what was changed between the two, the code cannot tell.

        Raises:
            EpochCodeError: that is no epoch code; the message says which word.
            EpochError: the vault is older or other than the code says, or the code is of another vault or key.
        """
        return self._driver.run(self._steps.check_epoch(code))

    def restoration(self) -> Restoration | None:
        """Return what is lost if this vault is accepted as it is; `None` if it takes back nothing that was pinned.

        For a vault that was opened with `review_restored`. Show it to the person before `accept_restored`.
        """
        with self._turn:
            return self._driver.run(self._steps.restoration())

    def accept_restored(self, confirmation: str) -> None:
        """Give up what `restoration` names, for good: pin this state, and tell the other devices by a note inside.

        `confirmation` must be what `restoration` asks for, given by the person. Never do this unasked: it is right only
        if the operator has restored a backup.

        Raises:
            MisuseError: it is not those words, or there is nothing to accept; nothing was changed.
        """
        with self._turn:
            self._driver.run(self._steps.accept_restored(confirmation))

    def lock(self) -> None:
        """Forget the keys of every vault of the phrase, then end the session on the server.

        Raises:
            TransportError, ServerError: the server could not be told; the keys are forgotten all the same.
        """
        self._driver.run(self._tag.lock())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.run(self._tag.leave())
