"""What ended goes: soon after it did by the worker that ended it, and whatever is left by maintenance."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

from hushtag_server.database import Pool, call, transaction
from hushtag_server.settings import Settings
from hushtag_server.streams import queries
from hushtag_server.streams.object_store import ObjectStore
from hushtag_server.streams.stores import SegmentStores
from hushtag_server.vault.phrase_queries import remove_destroyed

__all__ = ["BATCH", "CLAIM_REMOVALS", "OBJECTS", "STORES_OF_REMOVALS", "Remover", "remove_all"]

BATCH: Final = 16
"""Segments removed in one transaction."""
_USERS: Final = 10_000  # remembered at most; maintenance finds the others
OBJECTS: Final = 10
"""Objects removed in one transaction, which lasts as long as the store takes."""
STORES_OF_REMOVALS: Final = "SELECT DISTINCT r.store_id FROM segment_removals r WHERE r.due_at <= now()"
# Deleted, and given back should the removal fail: nobody else removes the same objects meanwhile, nor waits for them.
# Of stores that are open already: nothing else is looked up while the transaction is held.
CLAIM_REMOVALS: Final = """
    DELETE FROM segment_removals r WHERE (r.store_id, r.id) IN (
        SELECT o.store_id, o.id FROM segment_removals o WHERE o.due_at <= now() AND o.store_id = ANY (%s)
        ORDER BY o.due_at LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING r.store_id, r.id
"""
_log = logging.getLogger("hushtag.server")


async def remove_all(stores: Mapping[UUID, ObjectStore], claimed: Iterable[tuple[UUID, UUID]]) -> None:
    """Remove objects of stores, all at once: the transaction that claimed them waits for the slowest alone.

    Raises:
        ObjectStoreError: one of the stores failed; the others did what they were asked.
    """
    removals = [stores[store_id].remove(segment_id) for store_id, segment_id in claimed]
    for outcome in await asyncio.gather(*removals, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


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
        while await self.remove_objects(pool):
            pass

    async def remove_objects(self, pool: Pool) -> int:
        """Remove up to ten objects that are due; the notes go in the transaction that is committed after it."""
        due = [row[0] for row in await call(pool, STORES_OF_REMOVALS, ())]
        if not due:
            return 0
        stores = {store_id: await self._stores.of(pool, store_id) for store_id in due}
        async with transaction(pool, None) as connection:
            claimed = await (await connection.execute(CLAIM_REMOVALS, [list(stores), OBJECTS])).fetchall()
            await remove_all(stores, claimed)
        return len(claimed)
