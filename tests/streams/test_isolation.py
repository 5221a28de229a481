"""Two users: no query of streams that mixes them finds or changes anything of either."""

import inspect
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from hushtag_server.settings import Settings
from hushtag_server.streams import queries
from hushtag_server.streams.queries import NewSegment, StreamPlace
from hushtag_server.tokens import parse_bearer
from hushtag_server.vault.schemas import VaultCaller
from tests.server.vault_support import OpenedVault, comparable, open_vault, run_sql
from tests.streams.support import Streams

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
QUERIES = {name for name in queries.__all__ if inspect.iscoroutinefunction(getattr(queries, name))}
TABLES = ("vaults", "vault_blobs", "vault_streams", "vault_segments", "segment_parts", "segment_removals")


def caller_of(vault: OpenedVault, user_id: UUID | None = None) -> VaultCaller:
    token = parse_bearer(f"Bearer {vault.token}", "htv_")
    return VaultCaller(user_id or token.user_id, token.secret_hash.hex(), HOUR, HOUR)


def everything(database: Any) -> dict[str, list[str]]:
    return {table: sorted(map(repr, run_sql(database, f"SELECT * FROM {table}"))) for table in TABLES}


async def _calls(pool: Any, caller: VaultCaller, hers: StreamPlace, segment_id: UUID) -> dict[str, Any]:
    """What each query finds for a caller that names somebody else's stream; empty or None where it found nothing."""
    refused = {"unauthenticated", "not_found"}
    theirs = StreamPlace(caller.user_id, hers.vault_id, hers.stream_id)
    new = NewSegment(uuid4(), None)
    begun = (await queries.begin_segment(pool, caller, hers, 7, 1, new, Settings())).outcome
    finished = await queries.finish_segment(pool, caller, hers, 7, NewSegment(segment_id, None), 5, bytes(32), 0)
    ended = await queries.end_stream(pool, caller, hers)
    page = await queries.list_segments(pool, caller, hers, after=-1, limit=10)
    measured = await queries.measure_stream(pool, caller, hers, first=0, count=10)
    await queries.drop_parts(pool, theirs, segment_id)
    return {
        "begin_segment": begun if begun not in refused else None,
        "finish_segment": finished if finished not in refused else None,
        "end_stream": ended if ended not in refused else None,
        "list_segments": page.segments or page.state,
        "measure_stream": measured.segments or measured.state,
        "read_part": await queries.read_part(pool, theirs, segment_id, 0),
        "remove_segments": await queries.remove_segments(pool, caller.user_id, HOUR, 10),
    }


async def test_a_query_that_mixes_two_users_finds_and_changes_nothing(app_client, sign_in, database) -> None:
    ada = await open_vault(app_client, await sign_in(app_client, "ada@example.org"))
    eve = await open_vault(app_client, await sign_in(app_client, "eve@example.org"))
    stream_id = await Streams(ada).upload(b"bytes")
    ((segment_id,),) = run_sql(database, "SELECT id FROM vault_segments")
    hers = StreamPlace(ada.user_id, ada.vault_id, stream_id)
    pool = app_client.app.application.application.state["services"].pool
    before = everything(database)
    callers = [caller_of(ada, eve.user_id), caller_of(eve, ada.user_id), caller_of(eve)]
    for number, caller in enumerate(callers):
        if number == 1:
            continue  # eve's token under ada's name: bytes are read by place, after a call that asked for the token
        found = await _calls(pool, caller, hers, segment_id)
        assert set(found) | {"put_part", "drop_parts"} == QUERIES
        assert not any(found.values()), found
    mixed = callers[1]
    assert (await queries.list_segments(pool, mixed, hers, after=-1, limit=10)).tag_id is None
    assert (await queries.measure_stream(pool, mixed, hers, first=0, count=1)).tag_id is None
    assert await queries.end_stream(pool, mixed, hers) == "unauthenticated"
    assert everything(database) == before
    assert (await queries.list_segments(pool, caller_of(ada), hers, after=-1, limit=10)).segments
    assert await queries.read_part(pool, hers, segment_id, 0) == b"bytes"


async def test_two_vaults_of_one_account_are_kept_apart_like_two_accounts(app_client, sign_in) -> None:
    account = await sign_in(app_client)
    first, second = Streams(await open_vault(app_client, account)), Streams(await open_vault(app_client, account))
    stream_id = await first.upload(b"bytes")
    there = first.url(stream_id, 0)
    foreign = await app_client.get(there, headers=second.vault.headers)
    unknown = await second.read(uuid4(), 0)
    assert comparable(foreign) == comparable(unknown)
    # The same id in another vault is another stream.
    assert (await second.put(stream_id, 0, b"others")).status_code == 201
    assert (await second.read(stream_id, 0)).content == b"others"
    assert (await first.read(stream_id, 0)).content == b"bytes"


async def test_a_locked_vault_takes_and_gives_nothing(streams) -> None:
    stream_id = await streams.upload(b"bytes")
    assert (await streams.client.delete("/v1/vault-session", headers=streams.vault.headers)).status_code == 204
    for answer in (
        await streams.put(stream_id, 1, b"x"),
        await streams.read(stream_id, 0),
        await streams.read_all(stream_id),
        await streams.end(stream_id),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_a_vault_that_is_locked_while_a_body_arrives_gets_no_segment(streams, database) -> None:
    stream_id = await streams.upload(b"bytes")

    async def pieces():
        yield b"x"
        await streams.client.delete("/v1/vault-session", headers=streams.vault.headers)
        yield b"y"

    answer = await streams.put(stream_id, 1, pieces(), Content_Length="2")
    assert answer.status_code == 401
    assert run_sql(database, "SELECT count(*) FROM vault_segments") == [(1,)]
    assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(1,)]


def test_every_query_names_its_user() -> None:
    for name in QUERIES:
        names = inspect.signature(getattr(queries, name)).parameters
        assert {"caller", "place", "user_id"} & set(names), name
