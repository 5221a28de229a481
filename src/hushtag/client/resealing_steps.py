"""Steps of re-sealing: after a rotation every object comes under the new data key, one by one.

Each is one change of its own, so it can be broken off anywhere and begun again. The old data keys are forgotten last.
"""

import functools
from collections.abc import Callable

from hushtag.client.answers import expect_nothing
from hushtag.client.callbacks import guarded
from hushtag.client.calls import fetch
from hushtag.client.effects import Pause, Request, Steps, compute
from hushtag.client.errors import ConflictError, IntegrityError, NotFoundError
from hushtag.client.restoring_steps import RestoringSteps
from hushtag.client.row_steps import UNREADABLE, VAULT_DENIED, row_key
from hushtag.errors import MalformedError, RollbackError
from hushtag.messages import ObjectEntry, decode_binary

__all__ = ["Progress", "ResealingSteps"]

Progress = Callable[[int, int], None]
"""Told how many objects are done, and how many there are."""


class ResealingSteps(RestoringSteps):
    """The objects of one open vault whose data key was replaced."""

    def reseal(self, progress: Progress | None) -> Steps[int]:
        """Seal every object under the present data key that is not yet; returns how many were sealed now.

        Each is one change of its own, so it can be broken off anywhere and begun again; only when nothing is left
        are the old data keys forgotten, here and by the server.

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
            for entry in left:
                done += yield from self._reseal_one(entry)
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

    def _reseal_one(self, entry: ObjectEntry) -> Steps[int]:
        object_id = entry.object_id
        if self.witness.rows is None:
            yield from self.listing()
        before = (self.witness.rows or {}).get(object_id)
        try:
            row, opened = yield from self._open_row(object_id)
            if row != before or row != (entry.revision, decode_binary(entry.digest)):
                return 0  # changed or deleted meanwhile: the next look tells what is left
            if self._metas[row_key(entry)].key_version != entry.key_version:
                raise IntegrityError("listing of an object")
            if opened is None:
                return 0  # it is told of once nothing else is left
            shown = self.shown.get(object_id) == before
            sealed = functools.partial(self._seal, object_id, before, before.revision + 1, opened.meta, opened.body)
            yield from self._commit((yield from compute(sealed)))
        except NotFoundError:
            return 0
        except ConflictError as error:
            if error.code != "revision_conflict":
                raise
            return 0
        if not shown:
            self.shown.pop(object_id, None)  # nobody was shown what was only sealed anew
        return 1

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
