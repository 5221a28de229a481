"""A worker that writes events on many connections at once: python -m tests.security_log.writer URL KEYS WRITERS ROWS.

It says `ready` when every connection is open, and writes when it is told to by a line.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
import psycopg

from hushtag_server.keyfile import read_key_ring
from hushtag_server.security_log.audit_keys import AuditKeys, audit_keys
from hushtag_server.security_log.recording import INSERT
from tests.security_log.support import signed_row


async def _write(connection: "psycopg.AsyncConnection[tuple[object, ...]]", keys: AuditKeys, rows: int) -> None:
    for _ in range(rows):  # each in a transaction of its own, as the server does
        await connection.execute(INSERT, [msgspec.json.encode(signed_row(keys)).decode()])


async def main(url: str, keys: str, writers: int, rows: int) -> None:
    audit = audit_keys(read_key_ring(Path(keys).read_bytes(), keys).current)
    connections = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(writers)]
    print("ready", flush=True)
    sys.stdin.readline()
    await asyncio.gather(*(_write(connection, audit, rows) for connection in connections))
    for connection in connections:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
