"""What a vault may store, what becomes of uploads that nobody goes on with, and of vaults that are destroyed."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached
from hushtag_server.settings import Settings
from hushtag_server.streams.removing import Remover
from tests.operation.conftest import Silent
from tests.server.vault_support import open_vault, run_sql, until_waiting
from tests.streams.support import MIB, Streams, random_bytes

pytestmark = pytest.mark.anyio


@pytest.fixture
async def limited(settings, keys, serve_in_process, sign_in) -> AsyncIterator[Streams]:
    """A vault that may have 3 MiB of large objects."""
    async with serve_in_process(replace(settings, vault_bytes=3 * MIB), keys) as client:
        yield Streams(await open_vault(client, await sign_in(client)))


def maintained(database: Any) -> dict[str, int]:
    return maintain(Settings(database_url=database.owner_url), Reached(database.owner_url), Silent()).steps


def later(database: Any) -> None:
    """Let two days pass."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        for table, column in (("vault_streams", "last_activity"), ("segment_parts", "created_at")):
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_touch")
            connection.execute(f"UPDATE {table} SET {column} = {column} - interval '2 days'")
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_touch")


def rows(database: Any) -> list[int]:
    tables = ("vault_streams", "vault_segments", "segment_parts")
    return [run_sql(database, f"SELECT count(*) FROM {table}")[0][0] for table in tables]


async def test_a_vault_stores_so_many_bytes_and_no_more(limited, database) -> None:
    stream_id, object_id = await limited.upload(random_bytes(MIB), random_bytes(2 * MIB)), uuid4()
    full = await limited.put(stream_id, 2, b"x")
    assert (full.status_code, full.json()["code"]) == (413, "vault_full")
    assert (await limited.commit(stream_id, 2, 3 * MIB, object_id=object_id)).status_code == 201
    assert (await limited.put(uuid4(), 0, b"x")).status_code == 413
    assert (await limited.vault.delete(object_id, revision=1)).status_code == 200
    services = limited.client.app.application.application.state["services"]
    await services.remover.remove(services.pool, limited.vault.user_id)
    assert (await limited.put(uuid4(), 0, b"x")).status_code == 201
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(1,)]


async def test_a_full_vault_fills_no_other_of_the_account(limited, sign_in) -> None:
    other = Streams(await open_vault(limited.client, await sign_in(limited.client)))
    await other.upload(random_bytes(3 * MIB))
    assert (await other.put(uuid4(), 0, b"x")).json()["code"] == "vault_full"
    await limited.upload(random_bytes(3 * MIB))


async def test_segments_at_once_do_not_pass_the_limit_together(limited, database) -> None:
    stream_id = await limited.upload(b"x")
    answers = await asyncio.gather(*(limited.put(stream_id, seq, random_bytes(MIB)) for seq in range(1, 6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 413, 413, 413]
    assert rows(database) == [1, 3, 3]


async def test_an_upload_nobody_goes_on_with_is_removed_and_one_that_goes_on_is_not(streams, database) -> None:
    left, kept = await streams.upload(random_bytes(2 * MIB), b"x"), await streams.upload(b"y")
    committed = await streams.upload(b"z")
    await streams.commit(committed, 1, 1)
    assert maintained(database)["streams"] == 0
    later(database)
    await streams.put(kept, 1, b"more")
    assert maintained(database)["streams"] == 3  # two segments and their stream
    assert rows(database) == [2, 3, 3]
    assert (await streams.read(left, 0)).status_code == 404
    assert (await streams.read_all(kept)).content == b"ymore"
    assert (await streams.read(committed, 0)).content == b"z"
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(6,)]
    assert maintained(database)["streams"] == 0


async def test_parts_that_no_segment_names_are_removed_a_day_later(streams, database) -> None:
    stream_id = await streams.upload(b"x")
    run_sql(
        database,
        "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes)"
        " SELECT user_id, vault_id, id, gen_random_uuid(), 0, 'x' FROM vault_streams",
    )
    await streams.commit(stream_id, 1, 1)
    assert maintained(database)["streams"] == 0
    assert rows(database) == [1, 1, 2]
    later(database)
    assert maintained(database)["streams"] == 1
    assert rows(database) == [1, 1, 1]
    assert (await streams.read(stream_id, 0)).content == b"x"


async def test_parts_of_which_a_slow_upload_makes_a_segment_at_this_moment_stay(streams, database) -> None:
    stream_id, slow = await streams.upload(b"x"), uuid4()
    run_sql(
        database,
        "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes)"
        " SELECT user_id, vault_id, id, %s, 0, 'y' FROM vault_streams",
        slow,
    )
    later(database)
    run_sql(database, "UPDATE vault_streams SET last_activity = now()")
    with psycopg.connect(database.admin_url) as finishing:
        finishing.execute("SELECT FROM vaults FOR NO KEY UPDATE")
        finishing.execute(
            "INSERT INTO vault_segments (user_id, vault_id, stream_id, id, seq, byte_count, digest)"
            " SELECT user_id, vault_id, id, %s, 1, 1, sha256('y') FROM vault_streams",
            [slow],
        )
        maintaining = asyncio.create_task(asyncio.to_thread(maintained, database))
        await until_waiting(database, maintaining)
        finishing.commit()
    assert (await maintaining)["streams"] == 0
    assert (await streams.read(stream_id, 1)).content == b"y"


async def test_a_destroyed_vault_leaves_no_segments(streams, database) -> None:
    stream_id = await streams.upload(random_bytes(MIB + 1), b"x")
    await streams.commit(stream_id, 2, MIB + 2)
    vault = streams.vault
    named = {"Hushtag-Generation": str(vault.head.generation), "Hushtag-Confirm": str(vault.vault_id)}
    gone = await streams.client.delete(vault.url(), headers=vault.headers | named)
    assert gone.status_code == 204, gone.text
    services = streams.client.app.application.application.state["services"]
    await services.remover.remove(services.pool, vault.user_id)
    assert rows(database) == [0, 0, 0]
    assert run_sql(database, "SELECT count(*) FROM vaults") == [(0,)]


async def test_what_a_dead_server_ended_maintenance_removes(streams, database, monkeypatch) -> None:
    services = streams.client.app.application.application.state["services"]
    monkeypatch.setattr(services.remover, "kick", lambda _: None)
    stream_id = await streams.upload(b"x", b"y")
    assert (await streams.end(stream_id)).status_code == 204
    assert (await streams.end(stream_id)).status_code == 404
    assert rows(database) == [1, 2, 2]
    refused = await streams.put(stream_id, 2, b"z")
    assert (refused.status_code, refused.json()["code"]) == (409, "stream_committed")
    assert maintained(database)["streams"] == 3
    assert rows(database) == [0, 0, 0]


async def test_a_worker_removes_what_it_ended_by_itself(streams, database, monkeypatch) -> None:
    remove, removed = Remover.remove, asyncio.Event()

    async def noted(self, *given):
        try:
            await remove(self, *given)
        finally:
            removed.set()

    monkeypatch.setattr(Remover, "remove", noted)
    stream_id = await streams.upload(b"x", b"y")
    await streams.end(stream_id)
    await asyncio.wait_for(removed.wait(), 10)
    assert rows(database) == [0, 0, 0]


@pytest.mark.parametrize(
    ("start", "size", "stored"),
    [(0, 10_000, True), (0, 10, False), (MIB, 10, False)],
    ids=["slow but honest", "trickling", "trickling after a fast start"],
)
async def test_a_body_has_as_long_as_it_brings_its_least_rate(
    settings, keys, serve_in_process, sign_in, database, start, size, stored
) -> None:
    hasty = replace(settings, request_timeout=timedelta(seconds=2), body_pause=timedelta(seconds=5), body_rate=4096)
    began = []

    async def pieces() -> AsyncIterator[bytes]:
        if start:
            yield bytes(start)
        began.append(time.monotonic())
        for _ in range(8):
            await asyncio.sleep(0.8)  # time is what this is about
            yield bytes(size)

    async with serve_in_process(hasty, keys) as client:
        streams = Streams(await open_vault(client, await sign_in(client)))
        stream_id = uuid4()
        answer = await streams.put(stream_id, 0, pieces(), Content_Length=str(start + 8 * size))
        if stored:
            assert answer.status_code == 201, answer.text
            assert time.monotonic() - began[0] > 4  # twice the time of a request
        else:
            # Before the last piece, and whatever came before at once.
            assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
        assert (await streams.put(stream_id, 1, b"x")).status_code == 201
        assert len((await streams.listed(stream_id)).segments) == 1 + stored


async def test_a_destroyed_vault_with_wrong_counts_leaves_no_segments(streams, database) -> None:
    stream_id = await streams.upload(b"x", b"y")
    await streams.commit(stream_id, 2, 2)
    wrong = await streams.upload(b"z", b"zz")
    run_sql(database, "UPDATE vault_streams SET segment_count = 0, byte_count = 0 WHERE id = %s", stream_id)
    run_sql(database, "UPDATE vault_streams SET segment_count = 5, byte_count = 1 WHERE id = %s", wrong)
    run_sql(database, "UPDATE vaults SET stream_bytes = 0")
    run_sql(database, "UPDATE vaults SET destroyed_at = now()")
    await streams.end(wrong)
    assert maintained(database)["streams"] >= 4
    assert rows(database) == [0, 0, 0]


async def test_a_worker_that_removes_reads_no_part_of_what_stays(streams, database) -> None:
    services = streams.client.app.application.application.state["services"]
    stream_id = await streams.upload(b"x")
    await streams.commit(stream_id, 1, 1)
    run_sql(
        database,
        "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes, created_at)"
        " SELECT user_id, vault_id, id, gen_random_uuid(), 0, 'x', now() - interval '2 days' FROM vault_streams",
    )
    await services.remover.remove(services.pool, streams.vault.user_id)
    assert rows(database) == [1, 1, 2]
    assert maintained(database)["streams"] == 1
    assert rows(database) == [1, 1, 1]
    assert (await streams.read(stream_id, 0)).content == b"x"


async def test_idle_uploads_are_ended_only_under_their_vaults_lock(streams, database) -> None:
    services = streams.client.app.application.application.state["services"]
    stream_id = await streams.upload(b"x")
    later(database)
    with psycopg.connect(database.admin_url) as connection:
        # Who has the vault takes its streams next: who had one already, and waited for the vault, would wait forever.
        connection.execute("SELECT FROM vaults FOR NO KEY UPDATE")
        removing = asyncio.create_task(services.remover.remove(services.pool, streams.vault.user_id))
        await until_waiting(database, removing)
        connection.execute("SELECT FROM vault_streams WHERE id = %s FOR NO KEY UPDATE NOWAIT", [stream_id])
    await removing
    assert rows(database) == [0, 0, 0]


async def test_a_worker_goes_on_removing_whatever_failed(streams, database, monkeypatch, caplog) -> None:
    services = streams.client.app.application.application.state["services"]
    remove = Remover.remove
    failed, removed = asyncio.Event(), asyncio.Event()

    async def failing(self, *given):
        if not failed.is_set():
            failed.set()
            raise KeyError("secret")
        try:
            await remove(self, *given)
        finally:
            removed.set()

    monkeypatch.setattr(Remover, "remove", failing)
    services.remover.kick(uuid4())
    await asyncio.wait_for(failed.wait(), 10)
    stream_id = await streams.upload(b"x", b"y")
    await streams.end(stream_id)
    await asyncio.wait_for(removed.wait(), 10)
    assert rows(database) == [0, 0, 0]
    assert [record.error for record in caplog.records if hasattr(record, "error")] == [["KeyError"]]


async def test_an_account_that_is_restored_at_this_moment_keeps_its_bytes(streams, database) -> None:
    stream_id = await streams.upload(b"x")
    await streams.commit(stream_id, 1, 1)
    run_sql(database, "UPDATE users SET deleted_at = now(), deletion_at = now()")
    with psycopg.connect(database.admin_url) as restoring:
        # As if the last moment of the grace were inside this transaction.
        restoring.execute("UPDATE users SET deleted_at = NULL, deletion_at = NULL")
        maintaining = asyncio.create_task(asyncio.to_thread(maintained, database))
        await until_waiting(database, maintaining)
        restoring.commit()
    assert (await maintaining)["accounts"] == 0
    assert rows(database) == [1, 1, 1]


async def test_the_bytes_of_an_account_go_in_batches_before_it_does(streams, database) -> None:
    stream_id = await streams.upload(b"x", b"y", b"z")
    await streams.commit(stream_id, 3, 3)
    run_sql(
        database,
        "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes)"
        " SELECT user_id, vault_id, id, gen_random_uuid(), 0, 'x' FROM vault_streams, generate_series(1, 20)",
    )
    user = streams.vault.user_id
    drain = "SELECT hushtag_drain_account(%s, 1)"
    assert run_sql(database, drain, user) == [(0,)]
    deleted = "UPDATE users SET deleted_at = now(), deletion_at = now() + %s::interval"
    run_sql(database, deleted, "1 day")
    assert run_sql(database, drain, user) == [(0,)]
    assert rows(database) == [1, 3, 23]
    run_sql(database, deleted, "0")
    assert run_sql(database, drain, user) == [(16,)]
    assert rows(database) == [1, 3, 7]
    run_sql(
        database,
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF EXISTS (SELECT FROM segment_parts) OR EXISTS (SELECT FROM vault_segments) THEN RAISE 'undrained'; END IF;"
        " RETURN OLD; END $$",
    )
    run_sql(database, "CREATE TRIGGER late BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION late()")
    assert maintained(database)["accounts"] == 1
    assert rows(database) == [0, 0, 0]
    assert run_sql(database, "SELECT count(*) FROM users") == [(0,)]
