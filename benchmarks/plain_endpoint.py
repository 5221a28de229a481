"""The floor of objects: the same server, the same framework, the same pool and table, and nothing of a vault.

`PUT /plain/{vault}/{object}` stores a body as one row of `vault_blobs`, `GET` streams it back. Whose row it is stands
in a header: no token is checked, no revision compared, no digest taken, no event recorded, no head replaced. Row-level
security binds it as it binds everything in this table. Only `benchmarks.bench_server` serves this.
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Litestar, Request, Response, delete, get, put
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream

from benchmarks.callbacks import Watch, watch_callbacks
from benchmarks.steps_alone import steps_alone
from hushtag_server.asgi import Application, Receive, Scope, Send
from hushtag_server.database import Pool, transaction
from hushtag_server.worker import from_environment as real_from_environment

CHUNK: Final = 256 * 1024
_INSERT: Final = """
    INSERT INTO vault_blobs (user_id, vault_id, object_id, wrapped_key_id, iv, ciphertext, auth_tag, content_size,
                             key_version, revision, row_digest)
    SELECT %(user)s, %(vault)s, %(object)s, k.id, %(iv)s, %(body)s, %(tag)s, %(size)s, 1, 1, %(digest)s
    FROM wrapped_keys k WHERE k.user_id = %(user)s AND k.vault_id = %(vault)s LIMIT 1
"""
_SELECT: Final = "SELECT ciphertext FROM vault_blobs WHERE user_id = %s AND vault_id = %s AND object_id = %s"
Owner = Annotated[UUID, HeaderParameter(name="Bench-User")]


def _pool(request: Request[Any, Any, Any]) -> Pool:
    pool: Pool = request.app.state["application"].state["services"].pool
    return pool


@put("/plain/{vault:uuid}/{row:uuid}", status_code=201)
async def store(vault: FromPath[UUID], row: FromPath[UUID], owner: Owner, request: Request[Any, Any, Any]) -> None:
    """Store the body as one row."""
    body = b"".join([chunk async for chunk in request.stream()])
    place = {"user": owner, "vault": vault, "object": row, "iv": bytes(12), "tag": bytes(16), "digest": bytes(32)}
    async with transaction(_pool(request), owner) as connection:
        await connection.execute(_INSERT, place | {"body": body, "size": len(body) - 32}, binary=True)


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), CHUNK):
        yield body[begin : begin + CHUNK]


@get("/plain/{vault:uuid}/{row:uuid}", media_type="application/octet-stream")
async def fetch(vault: FromPath[UUID], row: FromPath[UUID], owner: Owner, request: Request[Any, Any, Any]) -> Stream:
    """Stream the row's body."""
    async with (
        transaction(_pool(request), owner) as connection,
        connection.cursor(binary=True) as cursor,
    ):
        found = await (await cursor.execute(_SELECT, [owner, vault, row])).fetchone()
    assert found is not None
    return Stream(_chunks(found[0]), headers={"Content-Length": str(len(found[0]))})


@get("/plain/callbacks")
async def callbacks(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """Return which callbacks held the event loop, and how long."""
    watch: Watch | None = request.app.state["watch"]
    return Response({} if watch is None else watch.summary())


@delete("/plain/callbacks")
async def forget_callbacks(request: Request[Any, Any, Any]) -> None:
    """Begin to watch anew."""
    watch: Watch | None = request.app.state["watch"]
    if watch is not None:
        watch.forget()


def from_environment() -> Application:
    """Return the real application with the plain endpoint beside it (granian's factory)."""
    watch = watch_callbacks() if "BENCH_CALLBACKS" in os.environ else None
    real = real_from_environment()
    handlers = [store, fetch, callbacks, forget_callbacks]
    beside: Any = Litestar(handlers, request_max_body_size=None, openapi_config=None, logging_config=None)
    beside.state["application"] = real.application.application  # type: ignore[attr-defined]  # known as ASGI applications only
    beside.state["watch"] = watch

    served = steps_alone(real) if "BENCH_STEPS" in os.environ else real

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = beside if scope.get("path", "").startswith("/plain/") else served
        await chosen(scope, receive, send)

    return application
