"""The index of a large object at a real server: one more segment, stored, counted, moved and removed as any other."""

import asyncio
import os
from dataclasses import replace
from typing import Any

import httpx
import pytest

from hushtag.client import AsyncClient, IntegrityError, LimitReachedError, storing_steps
from hushtag.client.errors import ServerError
from hushtag.phrase import draw_phrase
from hushtag.streams import StreamShape
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.operation.segment_checks import count_leftovers
from hushtag_server.operation.segment_moves import move_segments
from hushtag_server.settings import Settings
from tests.client.support import NO_PAUSE
from tests.operation.conftest import Silent
from tests.people import PASSWORD
from tests.server.vault_support import run_sql

pytestmark = pytest.mark.anyio

SEGMENT = 64 * 1024
BODY = os.urandom(5 * SEGMENT + 1234)
SHAPE = StreamShape(len(BODY), SEGMENT)
PHRASE = draw_phrase().text
SEGMENTS = "SELECT seq, byte_count FROM vault_segments ORDER BY seq"


class Moving(Silent):
    def begin(self, total: int) -> None:
        assert total == SHAPE.places


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing_steps, "SEGMENT_SIZE", SEGMENT)


async def opened(app_client: httpx.AsyncClient) -> Any:
    transport = httpx.ASGITransport(app_client.app)  # type: ignore[attr-defined]
    client = AsyncClient("http://localhost", transport=transport, retry=NO_PAUSE)
    await client.sign_up("ada@example.org", PASSWORD)
    await client.log_in("ada@example.org", PASSWORD)
    await client.enrol(PHRASE)
    return await client.unlock(PHRASE)


async def test_the_index_is_stored_counted_moved_and_removed(
    app_client: httpx.AsyncClient, database: Any, data_directory: Any
) -> None:
    owner = Settings(database_url=database.owner_url, data=data_directory)
    vault = await opened(app_client)
    stored = await vault.put(BODY, name="film")
    rows = run_sql(database, SEGMENTS)
    assert [seq for seq, _ in rows] == list(range(SHAPE.places)) == list(range(7))
    assert rows[6][1] == 56 + 32 * 6 + 16
    total = (7, SHAPE.sealed_size)
    assert run_sql(database, "SELECT segment_count, byte_count FROM vault_streams WHERE state = 'committed'") == [total]
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [total[1:]]
    assert (await vault.list())[0].stored_size == SHAPE.sealed_size

    def move(to: str) -> int:
        with connect(owner.database_url) as connection:
            assert not any(count_leftovers(connection, owner))
            return move_segments(connection, owner, to, Moving()).segments

    (data_directory / "objects").mkdir()
    for to in (f"file://{data_directory}/objects", "postgres"):
        assert await asyncio.to_thread(move, to) == 7
        assert (await vault.get(stored.object_id)).body == BODY
    await vault.delete(stored.object_id)
    await asyncio.to_thread(maintain, owner, Reached(database.owner_url), Silent())
    assert run_sql(database, SEGMENTS) == []
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(0,)]


async def test_an_object_whose_index_is_missing_is_not_stored(
    app_client: httpx.AsyncClient, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = await opened(app_client)
    commit = storing_steps.StoringSteps.put

    def without(self: Any, *given: Any, **named: Any) -> Any:
        run_sql(database, "DELETE FROM vault_segments WHERE seq = 6")
        run_sql(database, "UPDATE vault_streams SET segment_count = 6, byte_count = byte_count - 264")
        return commit(self, *given, **named)

    monkeypatch.setattr(storing_steps.StoringSteps, "put", without)
    with pytest.raises(ServerError) as refused:
        await vault.put(BODY, name="film")
    assert refused.value.code == "stream_incomplete"
    assert run_sql(database, "SELECT count(*) FROM vault_blobs") == [(0,)]


@pytest.mark.parametrize("room", [SHAPE.sealed_size, SHAPE.sealed_size - 1])
async def test_a_vault_has_room_for_the_index_or_the_object_is_not_stored(
    settings: Settings, keys: Any, serve_in_process: Any, room: int
) -> None:
    async with serve_in_process(replace(settings, vault_bytes=room), keys) as app_client:
        vault = await opened(app_client)
        if room == SHAPE.sealed_size:
            assert (await vault.get((await vault.put(BODY, name="film")).object_id)).body == BODY
        else:
            with pytest.raises(LimitReachedError):
                await vault.put(BODY, name="film")
            assert await vault.list() == ()


async def test_bytes_that_changed_in_the_database_are_not_read(app_client: httpx.AsyncClient, database: Any) -> None:
    vault = await opened(app_client)
    stored = await vault.put(BODY, name="film")
    run_sql(
        database,
        "UPDATE segment_parts p SET bytes = set_byte(bytes, 100, get_byte(bytes, 100) # 1) FROM vault_segments g"
        " WHERE g.id = p.segment_id AND g.seq = 6",
    )
    for _ in range(2):
        with pytest.raises(IntegrityError):
            await vault.get(stored.object_id)
