"""The sealer of a worker: about a second after an event it seals what is queued, whoever wrote it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from hushtag_server.errors import RefusedError
from hushtag_server.keyfile import KeyRing
from hushtag_server.pool import Pool
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.chain import Checkpoint, Head
from hushtag_server.security_log.checkpoint_file import append_checkpoint
from hushtag_server.security_log.sealing import read_head, seal_everything, store_checkpoint

__all__ = ["CHECKPOINT_EVERY", "LOOK_EVERY", "SEAL_AFTER", "Sealer"]

SEAL_AFTER: Final = 1.0
"""Seconds from an event until it is sealed, unless many wait."""
LOOK_EVERY: Final = 30.0
"""Seconds after which a worker without events looks for what others left behind."""
CHECKPOINT_EVERY: Final = 60.0
"""Seconds between the checkpoints of a worker, while the chain grows."""

_log = logging.getLogger("hushtag.security")


class Sealer:
    """Seals, and signs how far the chain has come: into the database, the log and the file of checkpoints."""

    def __init__(self, ring: KeyRing, checkpoints: Path | None = None) -> None:
        self._ring = ring
        self._file = checkpoints
        self._kicked = asyncio.Event()
        self._stopping = asyncio.Event()
        self._seen: Head | None = None
        self._signed: tuple[Head | None, float] = (None, 0.0)

    def kick(self) -> None:
        """Say that something is queued."""
        self._kicked.set()

    @asynccontextmanager
    async def running(self, pool: Pool) -> AsyncIterator[None]:
        """Seal while the context lasts, and once more at its end."""
        task = asyncio.create_task(self._run(pool))
        try:
            yield
        finally:
            self._stopping.set()
            self._kicked.set()
            await task

    async def _run(self, pool: Pool) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), LOOK_EVERY)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SEAL_AFTER)
            if not self._stopping.is_set():
                self._kicked.clear()
                await self.seal(pool)
        await self.seal(pool)

    async def seal(self, pool: Pool) -> None:
        """Seal what is queued; whatever goes wrong is tried again in a second."""
        keys = audit_keys(self._ring.current)
        try:
            async with pool.connection() as connection:
                head, _ = await seal_everything(connection, keys)
                if head is None:
                    self._kicked.set()  # somebody else's transaction may not see what is queued since it began
                    return
                await self._compare(connection)
                self._seen = head
                if self._is_due(head):
                    await self._sign(await store_checkpoint(connection, keys, head), head)
        except (psycopg.Error, RefusedError, OSError) as error:
            self._kicked.set()
            _log.error("the security log could not be sealed", extra={"error": [type(error).__name__]})

    async def _compare(self, connection: Any) -> None:
        """Say at once if the chain is shorter, or another one, than this worker left it."""
        if self._seen is None or self._seen.seq == 0:
            return
        found = await connection.execute("SELECT link FROM security_audit_links WHERE seq = %s", [self._seen.seq])
        row = await found.fetchone()
        if row is None and (await read_head(connection)).seq >= self._seen.seq:
            cut = await connection.execute(
                "SELECT FROM security_audit_checkpoints WHERE kind = 'cut' AND last_seq >= %s", [self._seen.seq]
            )
            if cut.rowcount:
                return  # maintenance removed it
        if row is None or bytes(row[0]) != self._seen.link:
            _log.error("the security log was changed; run `hushtag-server audit verify`")

    def _is_due(self, head: Head) -> bool:
        last, when = self._signed
        return (
            head.seq > 0 and head != last and (time.monotonic() - when >= CHECKPOINT_EVERY or self._stopping.is_set())
        )

    async def _sign(self, checkpoint: Checkpoint, head: Head) -> None:
        _log.info("checkpoint", extra={"checkpoint": checkpoint.as_line()})
        try:
            if self._file is not None:
                await asyncio.to_thread(append_checkpoint, self._file, checkpoint)
        except OSError as error:
            self._signed = (None, time.monotonic())  # the next one, in a minute, says the same or more
            _log.error("the file of checkpoints could not be written", extra={"error": [error.strerror]})
        else:
            self._signed = (head, time.monotonic())
