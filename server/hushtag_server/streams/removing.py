"""What ended goes: soon after it did by the worker that ended it, and whatever is left by maintenance."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

from hushtag_server.database import Pool, call
from hushtag_server.settings import Settings
from hushtag_server.streams import queries
from hushtag_server.streams.object_store import ObjectStore
from hushtag_server.streams.stores import SegmentStores
from hushtag_server.vault.phrase_queries import remove_destroyed

__all__ = [
    "BATCH",
    "CLAIM",
    "CLAIM_REMOVALS",
    "FORGET_REMOVALS",
    "OBJECTS",
    "RETURN_REMOVALS",
    "STORES_OF_REMOVALS",
    "Remover",
    "remove_all",
]

BATCH: Final = 16
"""Segments removed in one transaction."""
_USERS: Final = 10_000  # remembered at most; maintenance finds the others
OBJECTS: Final = 10
"""Objects claimed at once, and removed side by side."""
CLAIM: Final = timedelta(minutes=10)
"""How long a claimed removal is left to who claimed it."""
STORES_OF_REMOVALS: Final = "SELECT DISTINCT r.store_id FROM segment_removals r WHERE r.due_at <= now()"
# Three steps, of which each is committed before the next: claim, remove from the store, forget. No transaction is open
# while the store works. Nobody else removes the same objects meanwhile, nor waits for them; should this worker end in
# between, somebody claims them again: to remove an object twice does no harm, for its name is never used again.
CLAIM_REMOVALS: Final = """
    UPDATE segment_removals r SET claimed_at = now(), due_at = now() + $3
    WHERE (r.store_id, r.id) IN (
        SELECT o.store_id, o.id FROM segment_removals o WHERE o.due_at <= now() AND o.store_id = $1
        ORDER BY o.due_at LIMIT $2::integer FOR UPDATE SKIP LOCKED)
    RETURNING r.id
"""
# Only what is still claimed: the row of a segment that took its note away before the claim stays untouched.
FORGET_REMOVALS: Final = """
    DELETE FROM segment_removals r WHERE r.store_id = $1 AND r.id = ANY ($2::uuid[]) AND r.claimed_at IS NOT NULL
"""
# At once due again, and claimed for ever: the object may be gone.
RETURN_REMOVALS: Final = """
    UPDATE segment_removals r SET due_at = now()
    WHERE r.store_id = $1 AND r.id = ANY ($2::uuid[]) AND r.claimed_at IS NOT NULL
"""
_log = logging.getLogger("hushtag.server")


class Removed(NamedTuple):
    """What became of claimed removals: ids of segments, and the first failure if there was one."""

    gone: list[UUID]
    failed: list[UUID]
    error: BaseException | None


async def remove_all(store: ObjectStore, claimed: Sequence[UUID]) -> Removed:
    """Remove objects of a store, side by side; raises nothing."""
    removals = [store.remove(segment_id) for segment_id in claimed]
    outcomes = await asyncio.gather(*removals, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    ended: dict[bool, list[UUID]] = {False: [], True: []}
    for segment_id, outcome in zip(claimed, outcomes, strict=True):
        ended[isinstance(outcome, BaseException)].append(segment_id)
    return Removed(ended[False], ended[True], errors[0] if errors else None)


class Remover:
    """Removes what the requests of this worker ended."""

    def __init__(self, settings: Settings, stores: SegmentStores) -> None:
        self._age = timedelta(hours=settings.stream_hours)
        self._stores = stores
        self._users: dict[UUID, None] = {}
        self._kicked = asyncio.Event()

    def kick(self, user_id: UUID) -> None:
        """Say that a stream of this user may have ended."""
        if len(self._users) < _USERS:
            self._users[user_id] = None
            self._kicked.set()

    @asynccontextmanager
    async def running(self, pool: Pool) -> AsyncIterator[None]:
        """Remove while the context lasts; what is left at its end is maintenance's."""
        task = asyncio.create_task(self._run(pool))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self, pool: Pool) -> None:
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            while self._users:
                user_id = next(iter(self._users))
                del self._users[user_id]
                try:
                    await self.remove(pool, user_id)
                except Exception as error:  # whatever it is, the next one's are removed all the same
                    _log.error("segments could not be removed", extra={"error": [type(error).__name__]})

    async def remove(self, pool: Pool, user_id: UUID) -> None:
        """Remove all that the user's streams left behind, batch by batch."""
        while await queries.remove_segments(pool, user_id, self._age, BATCH):
            pass
        await remove_destroyed(pool, user_id)
        await self.remove_objects(pool)

    async def remove_objects(self, pool: Pool) -> int:
        """Remove the objects that are due; returns how many. A store that fails holds up no other's.

        Raises:
            ObjectStoreError, StartError: one of the stores failed; what it was to remove is due again.
        """
        due = [self._remove_from(pool, row[0]) for row in await call(pool, STORES_OF_REMOVALS, ())]
        total = 0
        for outcome in await asyncio.gather(*due, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
            total += outcome
        return total

    async def _remove_from(self, pool: Pool, store_id: UUID) -> int:
        store = await self._stores.of(pool, store_id)
        total = 0
        while claimed := [row[0] for row in await call(pool, CLAIM_REMOVALS, (store_id, OBJECTS, CLAIM))]:
            removed = await remove_all(store, claimed)
            if removed.gone:
                await call(pool, FORGET_REMOVALS, (store_id, removed.gone))
            if removed.error is not None:
                await call(pool, RETURN_REMOVALS, (store_id, removed.failed))
                raise removed.error
            total += len(claimed)
        return total
