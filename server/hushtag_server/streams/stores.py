"""Which object stores there are: rows name them by id, the table `segment_stores` has their addresses."""

import asyncio
from typing import Final
from uuid import UUID

from hushtag_server.database import Pool, call
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import ObjectStore, ObjectStoreError, open_store

__all__ = ["IN_DATABASE", "SegmentStores"]

IN_DATABASE: Final = "postgres"
"""The setting that keeps segments in PostgreSQL."""
_NOTE: Final = """
    INSERT INTO segment_stores (url) SELECT $1 WHERE NOT EXISTS (SELECT FROM segment_stores s WHERE s.url = $1)
    ON CONFLICT DO NOTHING
"""
_BY_URL: Final = "SELECT s.id FROM segment_stores s WHERE s.url = $1"
_BY_ID: Final = "SELECT s.url FROM segment_stores s WHERE s.id = $1"


class SegmentStores:
    """The stores of one worker, each opened when it is first needed; `current` is where new segments go."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.segment_store
        self._open: dict[UUID, ObjectStore] = {}
        self.current: UUID | None = None
        """None: into the database."""

    async def start(self, pool: Pool) -> None:
        """Open the store of the settings and note it in the database.

        Raises:
            StartError: it cannot be opened.
        """
        if self._url == IN_DATABASE:
            return
        store = open_store(self._url)
        await call(pool, _NOTE, (self._url,))
        self.current = (await call(pool, _BY_URL, (self._url,)))[0][0]
        self._open[self.current] = store

    async def of(self, pool: Pool, store_id: UUID) -> ObjectStore:
        """Return the store of that id.

        Raises:
            ObjectStoreError: there is none.
            StartError: it cannot be opened.
        """
        store = self._open.get(store_id)
        if store is None:
            found = await call(pool, _BY_ID, (store_id,))
            if not found:
                raise ObjectStoreError("no such store")
            # In a thread: the library is imported with the first store, and a directory may be on a slow disk.
            opened = await asyncio.to_thread(open_store, found[0][0])
            store = self._open.setdefault(store_id, opened)
        return store
