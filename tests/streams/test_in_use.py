"""A body that is on its way keeps its vault session in use, and what went with an ended session is not denied."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from hushtag_server.streams import queries as stream_queries
from hushtag_server.streams.queries import Measured, SegmentPage
from hushtag_server.vault import phrase_queries, vault_queries
from hushtag_server.vault.schemas import FoundObject
from tests.server.vault_support import comparable, open_vault, run_sql
from tests.streams.support import MIB, Streams, random_bytes

pytestmark = pytest.mark.anyio

IDLE = timedelta(seconds=3)
USED = "SELECT extract(epoch FROM max(last_activity))::float8 FROM opaque_sessions WHERE session_state = 'unlocked'"


class Waiting:
    """Waits until the only vault session was noted as used after it would have fallen idle."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._began = time.time()

    async def __call__(self) -> None:
        deadline = time.monotonic() + 30
        while run_sql(self._database, USED)[0][0] < self._began + IDLE.total_seconds():
            assert time.monotonic() < deadline, "the session fell idle"
            await asyncio.sleep(0.05)

    async def between(self, first: bytes, second: bytes) -> AsyncIterator[bytes]:
        yield first
        await self()
        yield second


@pytest.fixture
async def impatient(settings, keys, serve_in_process, sign_in) -> AsyncIterator[Streams]:
    async with serve_in_process(replace(settings, vault_idle=IDLE), keys) as client:
        yield Streams(await open_vault(client, await sign_in(client)))


async def test_a_segment_may_take_longer_to_come_than_a_session_may_lie_idle(impatient, database) -> None:
    body, stream_id = random_bytes(2 * MIB), uuid4()
    pieces = Waiting(database).between(body[:MIB], body[MIB:])
    assert (await impatient.put(stream_id, 0, pieces, Content_Length=str(len(body)))).status_code == 201
    assert (await impatient.read(stream_id, 0)).content == body


async def test_a_row_may_take_longer_to_come_than_a_session_may_lie_idle(impatient, database) -> None:
    vault, waiting = impatient.vault, Waiting(database)

    class Slow(httpx.AsyncClient):
        async def put(self, url: Any, *, content: Any = None, **options: Any) -> httpx.Response:
            pieces = waiting.between(content[:10], content[10:])
            options["headers"] = options["headers"] | {"Content-Length": str(len(content))}
            return await super().put(url, content=pieces, **options)

    transport = vault.client._transport
    async with Slow(transport=transport, base_url="http://hushtag.test") as vault.client:
        assert (await vault.put(uuid4(), b"body")).status_code == 201


async def test_a_stream_may_take_longer_to_be_read_than_a_session_may_lie_idle(
    impatient, database, monkeypatch
) -> None:
    bodies = [random_bytes(MIB), random_bytes(MIB)]
    stream_id = await impatient.upload(*bodies)
    read_part, waiting = stream_queries.read_part, Waiting(database)

    async def slow(*arguments: Any) -> bytes | None:
        await waiting()
        return await read_part(*arguments)

    monkeypatch.setattr(stream_queries, "read_part", slow)
    assert (await impatient.read_all(stream_id)).content == b"".join(bodies)


@pytest.fixture
def revoked(database) -> Callable[[], None]:
    def revoke() -> None:
        run_sql(database, "DELETE FROM secret_tags")

    return revoke


Get = Callable[[Streams, UUID], Awaitable[httpx.Response]]
ASKED: dict[str, tuple[Any, str, Any, Get]] = {
    "head": (vault_queries, "find_vault", None, lambda s, _: s.vault.get(s.vault.url())),
    "phrases": (vault_queries, "list_tags", None, lambda s, _: s.vault.get(s.vault.url() + "/tags")),
    "old keys": (phrase_queries, "list_old_keys", None, lambda s, _: s.vault.get(s.vault.url() + "/old-keys")),
    "objects": (vault_queries, "list_objects", (), lambda s, _: s.vault.get(s.vault.url() + "/objects")),
    "object": (
        vault_queries,
        "get_object",
        FoundObject(uuid4(), None, None, None),
        lambda s, _: s.vault.get(s.vault.url(uuid4())),
    ),
    "segments": (
        stream_queries,
        "list_segments",
        SegmentPage(uuid4(), None, []),
        lambda s, stream_id: s.vault.get(s.url(stream_id, listing=True)),
    ),
    "stream": (
        stream_queries,
        "measure_stream",
        Measured(uuid4(), None, None, None),
        lambda s, stream_id: s.read_all(stream_id),
    ),
}


@pytest.mark.parametrize("what", ASKED)
async def test_a_phrase_that_is_revoked_meanwhile_is_an_ended_session_and_no_denied_vault(
    settings, keys, serve_in_process, sign_in, monkeypatch, revoked, what
) -> None:
    module, name, answer, ask = ASKED[what]
    async with serve_in_process(settings, keys) as client:
        streams = Streams(await open_vault(client, await sign_in(client)))
        stream_id = await streams.upload(b"bytes")
        asked = getattr(module, name)

        async def late(*arguments: Any, **options: Any) -> Any:
            # What a function of the database finds in its second statement, if the phrase goes after the first.
            revoked()
            return await asked(*arguments, **options) if answer is None else (answer or None)

        monkeypatch.setattr(module, name, late)
        status, told = comparable(await ask(streams, stream_id))
        assert (status, told["code"]) == (401, "unauthenticated")


async def test_what_is_not_there_is_not_found_as_long_as_the_session_stands(
    settings, keys, serve_in_process, sign_in
) -> None:
    async with serve_in_process(settings, keys) as client:
        streams = Streams(await open_vault(client, await sign_in(client)))
        for _, _, _, ask in [ASKED["object"], ASKED["segments"], ASKED["stream"]]:
            assert (await ask(streams, uuid4())).status_code == 404
        assert (await streams.vault.get(streams.vault.url(vault_id=uuid4()))).status_code == 404
