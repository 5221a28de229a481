"""What maintenance does with the security log: seal what no server has sealed, sign how far it reaches, remove."""

import asyncio
from collections.abc import Iterator

import psycopg

from hushtag_server.key_stores import absent
from hushtag_server.keyfile import KeyRing, load_keys
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection
from hushtag_server.security_log.audit_keys import AuditKeys, audit_keys, ring_keys
from hushtag_server.security_log.chain import Checkpoint
from hushtag_server.security_log.checkpoint_file import append_checkpoint
from hushtag_server.security_log.retention import count_expired, remove_expired
from hushtag_server.security_log.sealing import Sealed, seal_everything, store_checkpoint
from hushtag_server.settings import Settings

__all__ = ["count_due", "count_unsealed", "load_ring", "remove_due", "seal_and_sign"]


def load_ring(settings: Settings, what: str) -> KeyRing:
    """Return the server's keys; `what` needs them.

    Raises:
        OperationError: there are none here. StartError: they are not usable.
    """
    ring = load_keys(settings)
    if ring is None:
        raise OperationError(
            f"{what} needs the server's keys, and {absent(settings)}; set HUSHTAG_KEY_FILE or HUSHTAG_KEY_STORE to them"
        )
    return ring


def count_unsealed(connection: Connection) -> int:
    """Return how many events wait for their place in the chain."""
    query = "SELECT (SELECT count(*) FROM security_audit_unsealed) + (SELECT count(*) FROM security_audit_ends)"
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


async def _seal(url: str, keys: AuditKeys) -> tuple[Sealed, Checkpoint | None]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=10) as connection:
        done = await seal_everything(connection, keys)
        if done.head is None or done.head.seq == 0:
            return done, None
        return done, await store_checkpoint(connection, keys, done.head)


def seal_and_sign(connection: Connection, settings: Settings) -> Iterator[int]:
    """Seal, and store and append a checkpoint; yield the rows. Without the key file here, only servers seal."""
    ring = load_keys(settings)
    if ring is None:
        return
    url = psycopg.conninfo.make_conninfo(connection.info.dsn, password=connection.info.password)
    done, checkpoint = asyncio.run(_seal(url, audit_keys(ring.current)))
    if checkpoint is not None and settings.audit_checkpoints is not None:
        _append(settings, checkpoint)
    if done.rows:
        yield done.rows


def _append(settings: Settings, checkpoint: Checkpoint) -> None:
    assert settings.audit_checkpoints is not None  # noqa: S101  (the caller has looked; for the type checker)
    try:
        append_checkpoint(settings.audit_checkpoints, checkpoint)
    except OSError as error:
        raise OperationError(f"cannot write {settings.audit_checkpoints}: {error.strerror}") from None


def count_due(connection: Connection, settings: Settings) -> int:
    """Return how many rows are past their retention."""
    return count_expired(connection, settings.security_audit_retention)


def remove_due(connection: Connection, settings: Settings) -> Iterator[int]:
    """Remove them, behind a signed statement; yield the rows of each transaction.

    Raises:
        OperationError: the keys are missing, or the rows are not as they were sealed.
    """
    ring = load_ring(settings, "removing rows of the security log")
    keys = ring_keys(ring)
    yield from remove_expired(connection, audit_keys(ring.current), keys, settings.security_audit_retention)
