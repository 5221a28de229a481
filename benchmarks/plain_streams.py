"""The least a server can do with a segment: body in, rows in; rows out, body out. No token, no check, no hash.

The same granian as the server's, the same table, the same rows of 1 MiB. `python -m benchmarks.plain_streams PORT URL`
listens on 127.0.0.1; `PUT /USER/VAULT/STREAM/SEGMENT` stores, `GET` of the same path reads.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from psycopg_pool import AsyncConnectionPool

PART = 1024 * 1024
_INSERT = """
    INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes) VALUES (%s, %s, %s, %s, %s, %b)
"""
_SELECT = """
    SELECT bytes FROM segment_parts
    WHERE user_id = %s AND vault_id = %s AND stream_id = %s AND segment_id = %s AND part = %s
"""
_AS = "SELECT set_config('app.user_id', %s, true)"
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]
_pool: AsyncConnectionPool[Any] | None = None


async def _opened() -> AsyncConnectionPool[Any]:
    global _pool  # noqa: PLW0603  (one worker, one pool)
    if _pool is None:
        _pool = AsyncConnectionPool(os.environ["PLAIN_DATABASE"], min_size=4, max_size=8, open=False)
        await _pool.open(wait=True)
    return _pool


async def _store(ids: list[str], receive: Receive) -> None:
    """Write each row while the next one arrives, all in one transaction."""
    async with (await _opened()).connection() as connection:
        await connection.execute(_AS, [ids[0]])
        writing: asyncio.Task[Any] | None = None
        number, held, size, more = 0, [], 0, True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            held.append(message.get("body", b""))
            size += len(held[-1])
            if size < PART and more:
                continue
            whole = b"".join(held)
            ready = size - size % PART if more else size
            for start in range(0, ready, PART):
                if writing is not None:
                    await writing
                row = [*ids, number, whole[start : min(start + PART, ready)]]
                writing = asyncio.create_task(connection.execute(_INSERT, row, prepare=True))
                number += 1
            held, size = [whole[ready:]], size - ready
        if writing is not None:
            await writing


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request."""
    if scope["type"] != "http":
        return
    ids = scope["path"].strip("/").split("/")
    if len(ids) != 4:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["method"] == "PUT":
        await _store(ids, receive)
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    length = str(16 * PART).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    async with (await _opened()).connection() as connection:
        await connection.execute(_AS, [ids[0]])
        for number in range(16):
            row = await (await connection.execute(_SELECT, [*ids, number], prepare=True, binary=True)).fetchone()
            await send({"type": "http.response.body", "body": row[0] if row else b"", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve until SIGTERM."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    os.environ["PLAIN_DATABASE"] = sys.argv[2]
    Granian(
        "benchmarks.plain_streams:application",
        interface=Interfaces.ASGI,
        loop=Loops.asyncio,
        address="127.0.0.1",
        port=int(sys.argv[1]),
        workers=1,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(max_buffer_size=64 * 1024),
        log_enabled=False,
        websockets=False,
    ).serve()


if __name__ == "__main__":
    main()
