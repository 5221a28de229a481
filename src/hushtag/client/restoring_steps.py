"""Steps that hold a vault against what was seen of it elsewhere: pins of this device, epoch codes, restored backups."""

import functools
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from hushtag.client.contents import LostObject, Restoration
from hushtag.client.effects import Steps, compute, gather
from hushtag.client.errors import EpochError, VaultRolledBackError
from hushtag.client.fetching_steps import FetchingSteps
from hushtag.client.pinning import Pages, PinnedState, shown
from hushtag.client.reading_steps import ROWS_AT_ONCE
from hushtag.client.row_steps import row_key
from hushtag.epoch import EpochCode, Verdict, changes_since, epoch_code, judge_code, parse_code
from hushtag.errors import MisuseError
from hushtag.messages import ObjectEntry, decode_binary
from hushtag.objects import ObjectMeta
from hushtag.pins import HeadPin, RowsPin

__all__ = ["RestoringSteps", "check_codes"]

_NOTE_NAME: Final = "Restored from a backup"
_NOTE_TYPE: Final = "text/plain; charset=utf-8"
_BELIEVED: Final = (Verdict.SAME, Verdict.NEWER)


def check_codes(verdicts: list[Verdict]) -> None:
    """Refuse vaults none of which is in a code's state or a later one.

    Raises:
        EpochError: with the verdict that tells most.
    """
    if any(verdict in _BELIEVED for verdict in verdicts):
        return
    raise EpochError(next((verdict for verdict in verdicts if verdict is not Verdict.UNKNOWN), Verdict.UNKNOWN))


class _Doubt(NamedTuple):
    """Why a vault opened for a review only."""

    error: VaultRolledBackError
    pin: HeadPin
    rows: RowsPin | None

    def revision(self, object_id: UUID) -> int:
        """Return the pinned revision of an object."""
        return 0 if self.rows is None else self.rows.rows[object_id][0]


class RestoringSteps(FetchingSteps):
    """One open vault and its past."""

    before: PinnedState | None = None
    _doubt: _Doubt | None = None

    def admit(self, pages: Pages, *, review: bool) -> Steps[None]:
        """Hold the head of the unlock against the pins that were read before it.

        Raises:
            VaultRolledBackError: it takes back what was pinned, and this is no review.
        """
        if self.pinned is None:
            return
        pins = yield from compute(functools.partial(self.pinned.heads, pages.heads))
        rows = yield from compute(functools.partial(self.pinned.rows, pages.objects))
        if not pins:
            return
        self.before = shown(pins[0])
        head = self.witness.head
        try:
            self.pinned.check(pins, head)
        except VaultRolledBackError as error:
            if not review:
                raise
            self._doubt = _Doubt(error, pins[0], rows)
            self.witness.suspicion = error
            return
        if rows is not None and rows.restorations == head.restorations and rows.generation <= head.generation:
            self.witness.expect(rows.rows)

    def judge(self, code: EpochCode) -> Verdict:
        """Tell what an epoch code says of the newest head seen."""
        return judge_code(self.witness.unreviewed_key, self.witness.vault_id, self.witness.head, code)

    def epoch_code(self) -> Steps[str]:
        """Return the code of the vault as it is now."""
        yield from self.refresh()
        return epoch_code(self.witness.data_key, self.witness.vault_id, self.witness.head)

    def check_epoch(self, code: str) -> Steps[int]:
        """Return how many changes the vault has seen since a code; 0 if it is in the very state.

        Raises:
            EpochCodeError: that is no code; nothing was asked.
            EpochError: the vault is in an older or another state, or the code is not of this vault and key.
        """
        parsed = parse_code(code)
        yield from self.refresh()
        check_codes([self.judge(parsed)])
        return changes_since(parsed, self.witness.head)

    def restoration(self) -> Steps[Restoration | None]:
        """Return what would be lost by accepting the vault as it is; `None` if it takes nothing back."""
        doubt = self._doubt
        if doubt is None:
            self.witness.check_open()
            return None
        review = self._review()
        entries = {entry.object_id: entry for entry in (yield from review.listing())}
        missing, older = _losses(doubt, entries)
        names = yield from gather([review.name_of(entries[object_id]) for object_id in older], ROWS_AT_ONCE)
        error, rows = doubt.error, doubt.rows
        lost = [LostObject(object_id, None, doubt.revision(object_id), None) for object_id in missing]
        lost += [
            LostObject(object_id, name, doubt.revision(object_id), entries[object_id].revision)
            for object_id, name in zip(older, names, strict=True)
        ]
        return Restoration(
            vault_id=error.vault_id,
            change=error.change,
            pinned_generation=error.pinned_generation,
            served_generation=error.served_generation,
            pinned_objects=error.pinned_objects,
            served_objects=error.served_objects,
            pinned_at=error.pinned_at,
            listed_generation=None if rows is None else rows.generation,
            lost=tuple(lost),
            confirmation=_confirmation(error),
        )

    def accept_restored(self, confirmation: str) -> Steps[None]:
        """Take the vault as it is for its state from now on, and tell every other device.

        The change that says so adds a note to the vault and counts in its head, sealed: other devices see that a
        restored state was accepted by somebody inside, whatever generation it reaches later.

        Raises:
            MisuseError: there is nothing to accept, or the confirmation does not name what is lost.
        """
        doubt = self._doubt
        if doubt is None:
            raise MisuseError("the vault takes nothing back; there is nothing to accept")
        wanted = _confirmation(doubt.error)
        if " ".join(confirmation.split()).casefold() != wanted:
            raise MisuseError(f"to accept what is lost, confirm with the words: {wanted}")
        review = self._review()
        if doubt.error.change != "restored":  # otherwise another device has told it already
            review.witness.next_restorations = max(review.witness.head.restorations, doubt.pin.restorations) + 1
            body = _note(doubt.error)
            meta = ObjectMeta(f"{_NOTE_NAME} {_today()}.txt", _NOTE_TYPE, int(time.time()), len(body))
            yield from review.put(uuid4(), meta, body, replace=False)
        self._doubt = None
        self.witness.accept(review.witness.head)
        yield from self.pin()

    def name_of(self, entry: ObjectEntry) -> Steps[str | None]:
        """Return the name inside a listed row; `None` if the row is another one by now, or cannot be read."""
        still = yield from self._read_meta(entry)
        read = self._metas.get(row_key(entry)) if still else None
        return None if read is None or read.meta is None else read.meta.name

    def _review(self) -> "RestoringSteps":
        """Return steps on the same vault that may look at it, and that nobody else holds."""
        if self.witness.locked:
            self.witness.check_open()  # says so
        return RestoringSteps(self.witness.apart(), self.own, self._token, self.retry)


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def _losses(doubt: _Doubt, entries: dict[UUID, ObjectEntry]) -> tuple[list[UUID], list[UUID]]:
    """Return the pinned objects that are missing, and those that are not the pinned revision or a later one."""
    rows, error = doubt.rows, doubt.error
    if rows is None or (error.change == "older" and rows.generation <= error.served_generation):
        return [], []  # nothing is known of what came after the served state
    missing = [object_id for object_id in rows.rows if object_id not in entries]
    older = [object_id for object_id, row in rows.rows.items() if _is_older(entries.get(object_id), *row)]
    return missing, older


def _is_older(entry: ObjectEntry | None, revision: int, beginning: bytes) -> bool:
    if entry is None or entry.revision > revision:
        return False
    return entry.revision < revision or not decode_binary(entry.digest).startswith(beginning)


def _confirmation(error: VaultRolledBackError) -> str:
    """Return the words that accept this loss and no other."""
    if error.change == "older":
        return f"give up generation {error.pinned_generation} for {error.served_generation}"
    return f"give up my generation {error.pinned_generation} for another {error.served_generation}"


def _note(error: VaultRolledBackError) -> bytes:
    text = (
        f"On {_today()} this vault was accepted as restored from a backup, at generation {error.served_generation} "
        f"with {error.served_objects} objects.\nGiven up: what had been seen at generation "
        f"{error.pinned_generation} with {error.pinned_objects} objects ({error.pinned_at:%Y-%m-%d %H:%M} UTC).\n"
    )
    return text.encode()
