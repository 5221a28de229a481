"""Steps of re-sealing: after a rotation every object comes under the new data key, many small ones in one change.

It can be broken off between any two changes and begun again. The old data keys are forgotten last.
"""

import functools
from collections.abc import Callable, Sequence

from hushtag.client.answers import expect_nothing
from hushtag.client.callbacks import guarded
from hushtag.client.calls import fetch
from hushtag.client.effects import Pause, Request, Steps, compute
from hushtag.client.errors import ConflictError, IntegrityError, NotFoundError
from hushtag.client.restoring_steps import RestoringSteps
from hushtag.client.row_steps import UNREADABLE, VAULT_DENIED, row_key
from hushtag.client.writing_steps import Change, together
from hushtag.errors import MalformedError, RollbackError
from hushtag.messages import ObjectEntry, decode_binary
from hushtag.objects import ROW_OVERHEAD

__all__ = ["Progress", "ResealingSteps"]

Progress = Callable[[int, int], None]
"""Told how many objects are done, and how many there are."""


class ResealingSteps(RestoringSteps):
    """The objects of one open vault whose data key was replaced."""

    def reseal(self, progress: Progress | None) -> Steps[int]:
        """Seal every object under the present data key that is not yet; returns how many were sealed now.

        It can be broken off between any two changes and begun again; only when nothing is left are the old data keys
        forgotten, here and by the server.

        Raises:
            ConflictError: the vault's key was rotated, or the vault changes too fast.
            OutcomeUnknownError: the connection is gone; begin again later.
            MalformedError: all that is left is what breaks the rules and cannot be read; the message names one.
        """
        progress = guarded(progress)
        done = 0
        for attempt in range(self.retry.changes):
            entries = yield from self.listing()
            left = [each for each in entries if each.key_version < self.witness.head.key_version]
            total = done + len(left)
            _tell(progress, done, total)
            for group in together(left, lambda entry: None if entry.stream_id else entry.content_size + ROW_OVERHEAD):
                for _ in range((yield from self._reseal_group(group))):
                    done += 1
                    _tell(progress, done, total)
            if not left and (yield from self._forget_old_keys()):
                return done
            stuck = [each for each in left if self._is_unreadable(each)]
            if stuck and len(stuck) == len(left):
                raise MalformedError(f"{UNREADABLE}: {stuck[0].object_id} ({len(stuck)} in all); then re-seal again")
            if attempt:
                yield Pause(self.retry.pause(attempt - 1))
        raise ConflictError("the vault changes faster than it can be re-sealed; try again", code="busy")

    def _is_unreadable(self, entry: ObjectEntry) -> bool:
        read = self._metas.get(row_key(entry))
        return read is not None and read.meta is None

    def _reseal_group(self, group: Sequence[ObjectEntry]) -> Steps[int]:
        changes = []
        for entry in group:
            change = yield from self._resealed(entry)
            if change is not None:
                changes.append(change)
        if not changes:
            return 0
        if (yield from self._commit_resealed(changes)):
            return len(changes)
        if len(changes) == 1:
            return 0
        # One of them was changed meanwhile, hardly all.
        now = yield from self.listed([each.object_id for each in changes])
        left = [each for each, found in zip(changes, now, strict=True) if found == each.before]
        return len(left) if left and (yield from self._commit_resealed(left)) else 0

    def _resealed(self, entry: ObjectEntry) -> Steps[Change | None]:
        """Seal an object under the present data key; `None` if it was changed meanwhile, or is unreadable."""
        object_id = entry.object_id
        if self.witness.rows is None:
            yield from self.listing()
        before = (self.witness.rows or {}).get(object_id)
        try:
            row, opened = yield from self._open_row(object_id)
        except NotFoundError:
            return None
        except ConflictError as error:
            if error.code != "revision_conflict":
                raise
            return None
        if row != before or row != (entry.revision, decode_binary(entry.digest)):
            return None  # changed or deleted meanwhile: the next look tells what is left
        read = self._metas[row_key(entry)]
        if (read.key_version, read.content_size) != (entry.key_version, entry.content_size):
            raise IntegrityError("listing of an object")  # which also says how many rows are held at once
        if opened is None:
            return None  # it is told of once nothing else is left
        if entry.stream_id != (opened.meta.stream and opened.meta.stream.id):
            raise IntegrityError("listing of an object")  # put together with others, the stream would end
        sealed = functools.partial(self._seal, object_id, before, before.revision + 1, opened.meta, opened.body)
        return (yield from compute(sealed))

    def _commit_resealed(self, changes: Sequence[Change]) -> Steps[bool]:
        """Store what was sealed anew; tell whether it is, and not what somebody has changed meanwhile."""
        not_shown = [each.object_id for each in changes if self.shown.get(each.object_id) != each.before]
        try:
            yield from self._commit(changes)
        except NotFoundError:
            return False
        except ConflictError as error:
            if error.code != "revision_conflict":
                raise
            return False
        for object_id in not_shown:
            self.shown.pop(object_id, None)  # nobody was shown what was only sealed anew
        return True

    def _forget_old_keys(self) -> Steps[bool]:
        response = yield from fetch(Request("DELETE", f"{self.path}/old-keys", self.token), self.retry)
        try:
            expect_nothing(response)
        except NotFoundError:
            raise RollbackError(VAULT_DENIED) from None
        except ConflictError as error:
            if error.code != "reseal_unfinished":
                raise
            yield from self.refresh()
            self.witness.rows = None
            return False
        self.witness.forget_old_keys()
        return True


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
