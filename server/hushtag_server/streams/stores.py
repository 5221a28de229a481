"""Which object stores there are: rows name them by id, the table `segment_stores` has their addresses."""

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from hushtag_server.database import Pool, call
from hushtag_server.errors import StartError
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import ObjectStore, ObjectStoreError
from hushtag_server.streams.opening import claim_store, directory_of, open_store

__all__ = ["IN_DATABASE", "MARK_STORE", "STORE_BY_ID", "SegmentStores", "unusable"]

IN_DATABASE: Final = "postgres"
"""The setting that keeps segments in PostgreSQL."""
_NOTE: Final = """
    INSERT INTO segment_stores (url) SELECT $1 WHERE NOT EXISTS (SELECT FROM segment_stores s WHERE s.url = $1)
    ON CONFLICT DO NOTHING
"""
_BY_URL: Final = "SELECT s.id FROM segment_stores s WHERE s.url = $1"
STORE_BY_ID: Final = (
    "SELECT s.url, s.marked_at IS NOT NULL, i.id FROM segment_stores s, installations i WHERE s.id = $1"
)
MARK_STORE: Final = "UPDATE segment_stores SET marked_at = now() WHERE id = $1 AND marked_at IS NULL"
_log = logging.getLogger("hushtag.server")


def unusable(url: str, error: ObjectStoreError) -> StartError:
    """Return what to say of a store that cannot be used."""
    return StartError(
        f"HUSHTAG_SEGMENT_STORE: the store at {url} cannot be used: {error}; see that the address, its directory or "
        "bucket, and the provider's own variables for credentials are right"
    )


class SegmentStores:
    """The stores of one worker, each opened when it is first needed; `current` is where new segments go."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.segment_store
        self._open: dict[UUID, ObjectStore] = {}
        self.current: UUID | None = None
        """None: into the database."""

    async def start(self, pool: Pool, *, strict: bool = False) -> None:
        """Open the store of the settings, note it in the database and see whose it is.

        A store that does not answer is seen to when it is first needed, or, if `strict`, refused: a worker that starts
        again serves everything else meanwhile.

        Raises:
            StartError: it cannot be opened, or is another installation's.
        """
        if self._url == IN_DATABASE:
            return
        if not await call(pool, _BY_URL, (self._url,)):
            open_store(self._url, self._settings, make=True)  # before it is noted
            await call(pool, _NOTE, (self._url,))
        self.current = (await call(pool, _BY_URL, (self._url,)))[0][0]
        try:
            await self.of(pool, self.current)
        except ObjectStoreError as error:
            if strict:
                raise unusable(self._url, error) from None
            _log.error("the segment store failed", extra={"error": [str(error)]})

    async def of(self, pool: Pool, store_id: UUID) -> ObjectStore:
        """Return the store of that id.

        Raises:
            ObjectStoreError: there is none, or it failed.
            StartError: it cannot be opened, or is another installation's.
        """
        store = self._open.get(store_id)
        if store is None:
            found = await call(pool, STORE_BY_ID, (store_id,))
            if not found:
                raise ObjectStoreError("no such store")
            url, marked, installation = found[0]
            # In a thread: the library is imported with the first store, and a directory may be on a slow disk.
            opened = await asyncio.to_thread(partial(open_store, url, self._settings, make=not marked))
            await claim_store(opened, url, installation, marked=marked)
            await call(pool, MARK_STORE, (store_id,))
            store = self._open.setdefault(store_id, opened)
        return store

    @property
    def directory(self) -> Path | None:
        """The directory of new segments; None where they go elsewhere."""
        return directory_of(self._url)

    async def has_directory(self, pool: Pool) -> bool:
        """Tell whether the directory of new segments is this installation's still; True where they go elsewhere.

        That a disk is not mounted is this host's matter, and others may serve; a store on the network fails all alike.
        """
        if self.current is None or self.directory is None:
            return True
        try:
            return await (await self.of(pool, self.current)).mark() is not None
        except (ObjectStoreError, StartError):
            return False
