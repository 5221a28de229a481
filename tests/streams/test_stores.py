"""Segments in an object store: beside those in the database, moved both ways, and whole after every crash."""

import asyncio
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import obstore
import psycopg
import pytest
from obstore import exceptions

from hushtag_server.errors import StartError
from hushtag_server.operation.checks import Examined, Finding, segment_stores
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.maintain import Report, maintain
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.operation.segment_checks import StoreState, compare_store, count_leftovers, repair_segments
from hushtag_server.operation.segment_moves import Moved, _Move, move_segments
from hushtag_server.operation.segments import reach_store, stores_of
from hushtag_server.serve import check_store
from hushtag_server.settings import Settings, SettingsError, load_settings
from hushtag_server.streams import object_store, queries, removing, uploading
from hushtag_server.streams.object_store import MARK, ObjectStore, ObjectStoreError
from hushtag_server.streams.removing import OBJECTS
from tests.operation.conftest import Silent
from tests.server.vault_support import open_vault, run_sql, until_waiting
from tests.streams.support import MIB, Streams, random_bytes

pytestmark = pytest.mark.anyio


class Crash(BaseException):
    """The process is gone: nothing that comes after is done."""


class Counting(Silent):
    def begin(self, total):
        self.stages.append(f"begin {total}")


@pytest.fixture
def directory(data_directory) -> Path:
    return data_directory / "objects"


@pytest.fixture
def store_url(directory) -> str:
    return f"file://{directory}"


@pytest.fixture
def owner(database, data_directory, store_url) -> Settings:
    return Settings(database_url=database.owner_url, data=data_directory, segment_store=store_url)


@pytest.fixture
async def stored(settings, keys, store_url, serve_in_process, sign_in):
    """A server that keeps segments in a directory, and an open vault."""
    async with serve_in_process(replace(settings, segment_store=store_url), keys) as client:
        yield Streams(await open_vault(client, await sign_in(client)))


def objects(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.name != MARK]


async def compared(owner: Settings) -> StoreState:
    """Compare the store with the rows, in a thread: commands have event loops of their own."""

    def run() -> StoreState:
        with connect(owner.database_url) as connection:
            (store_id,) = stores_of(connection)
            return compare_store(connection, owner, store_id)

    return await asyncio.to_thread(run)


def leftovers(owner: Settings):
    with connect(owner.database_url) as connection:
        return count_leftovers(connection, owner)


def in_an_hour(database) -> None:
    """Let everything have happened two days ago."""
    run_sql(database, "UPDATE segment_removals SET due_at = now()")
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE segment_parts DISABLE TRIGGER segment_parts_touch")
        connection.execute("UPDATE segment_parts SET created_at = created_at - interval '2 days'")
        connection.execute("ALTER TABLE segment_parts ENABLE TRIGGER segment_parts_touch")


async def settle(streams: Streams) -> None:
    """Wait for what a request left to be removed."""
    services = streams.client.app.application.application.state["services"]
    for _ in range(50):  # the worker's own remover may be at it, and what it holds another one leaves to it
        await services.remover.remove(services.pool, streams.vault.user_id)
        async with services.transaction(streams.vault.user_id) as connection:
            left = await connection.execute(
                "SELECT EXISTS (SELECT FROM vault_streams WHERE state = 'ended')"
                " OR EXISTS (SELECT FROM segment_removals)"
            )
            if (await left.fetchone())[0] is False:
                return


async def report(owner: Settings, database) -> Report:
    """Run maintenance, in a thread: it has event loops of its own."""
    return await asyncio.to_thread(maintain, owner, Reached(database.owner_url), Silent())


async def maintained(owner: Settings, database) -> dict[str, int]:
    done = await report(owner, database)
    assert done.failed == {}
    return done.steps


async def move_to(owner: Settings, to: str, watcher: "Counting | None" = None) -> Moved:
    def run() -> Moved:
        with connect(owner.database_url) as connection:
            return move_segments(connection, owner, to, watcher or Counting())

    return await asyncio.to_thread(run)


async def test_segments_go_into_the_store_and_are_read_from_it(stored, database, directory) -> None:
    bodies = [random_bytes(6 * MIB + 5), random_bytes(3)]
    stream_id = await stored.upload(*bodies)
    assert [(await stored.read(stream_id, seq)).content for seq in range(2)] == bodies
    assert (await stored.read(stream_id, 0, Range="bytes=5000000-5000009")).content == bodies[0][5000000:5000010]
    assert (await stored.read_all(stream_id)).content == b"".join(bodies)
    assert (await stored.commit(stream_id, 2, len(bodies[0]) + 3)).status_code == 201
    names = {str(row[0]) for row in run_sql(database, "SELECT id FROM vault_segments")}
    assert {path.name for path in objects(directory)} == names
    assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(0,)]
    assert run_sql(database, "SELECT count(*) FROM segment_removals") == [(0,)]


async def test_a_deleted_object_leaves_neither_rows_nor_objects(stored, database, directory) -> None:
    object_id, stream_id = uuid4(), await stored.upload(b"one", b"two")
    await stored.commit(stream_id, 2, 6, object_id=object_id)
    replaced = await stored.upload(b"three")
    assert (await stored.commit(replaced, 1, 5, object_id=object_id, revision=2)).status_code == 200
    await settle(stored)
    assert [path.read_bytes() for path in objects(directory)] == [b"three"]
    assert (await stored.read(stream_id, 0)).status_code == 404
    assert (await stored.vault.delete(object_id, revision=2)).status_code == 200
    await settle(stored)
    assert objects(directory) == []
    for table in ("vault_streams", "vault_segments", "segment_removals"):
        assert run_sql(database, f"SELECT count(*) FROM {table}") == [(0,)]
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(0,)]


async def test_deleting_the_account_leaves_no_objects(stored, database, directory, owner) -> None:
    await stored.upload(b"one", b"two")
    run_sql(database, "DELETE FROM users WHERE id = %s", stored.vault.user_id)
    assert len(objects(directory)) == 2
    assert (await maintained(owner, database))["segment_objects"] == 2
    assert objects(directory) == []


@pytest.mark.parametrize("step", ["write", "finish", "answer"])
async def test_an_upload_that_crashes_at_a_step_is_whole_or_leaves_nothing(
    stored, database, directory, owner, monkeypatch, step
) -> None:
    services = stored.client.app.application.application.state["services"]

    async def crash(*_, **__):
        raise Crash

    async def crash_after(*given, **named):
        await finish(*given, **named)
        raise Crash

    finish = queries.finish_segment
    with monkeypatch.context() as patched:
        patched.setattr(uploading, "_drop", crash)
        if step == "write":
            patched.setattr(object_store, "_sync", lambda _: (_ for _ in ()).throw(OSError("gone")))
        else:
            patched.setattr(queries, "finish_segment", crash if step == "finish" else crash_after)
        stream_id = uuid4()
        with pytest.raises(Crash):
            await stored.put(stream_id, 0, b"bytes")
    assert services.lanes._of_session.total() == 0
    listed = (await stored.listed(stream_id)).segments
    assert len(listed) == (step == "answer")
    if step == "answer":
        assert (await stored.read(stream_id, 0)).content == b"bytes"
    assert len(objects(directory)) == 1
    assert (await maintained(owner, database))["segment_objects"] == 0  # it may still be under way
    in_an_hour(database)
    assert (await maintained(owner, database))["segment_objects"] == (step != "answer")
    assert len(objects(directory)) == (step == "answer")
    again = await stored.put(stream_id, 0, b"bytes")
    assert again.status_code == (200 if step == "answer" else 201)
    assert (await stored.read(stream_id, 0)).content == b"bytes"
    assert not any(leftovers(owner))


async def test_an_upload_whose_object_was_collected_meanwhile_is_not_a_segment(stored, database, monkeypatch) -> None:
    finish = queries.finish_segment

    async def late(*given, **named):
        run_sql(database, "DELETE FROM segment_removals")
        return await finish(*given, **named)

    monkeypatch.setattr(queries, "finish_segment", late)
    stream_id = uuid4()
    answer = await stored.put(stream_id, 0, b"bytes")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert (await stored.listed(stream_id)).segments == []


@pytest.mark.parametrize("step", ["object", "note"])
async def test_a_removal_that_crashes_at_a_step_is_done_by_the_next(
    stored, database, directory, owner, monkeypatch, step
) -> None:
    stream_id = await stored.upload(b"one", b"two")
    remove = ObjectStore.remove

    async def crash(self, segment_id):
        if step == "note":
            await remove(self, segment_id)
        raise ObjectStoreError("gone")

    monkeypatch.setattr(ObjectStore, "remove", crash)
    await stored.end(stream_id)
    with pytest.raises(ObjectStoreError):
        await settle(stored)
    assert run_sql(database, "SELECT count(*) FROM segment_removals") == [(2,)]
    assert (await report(owner, database)).failed.keys() == {"segment_objects"}
    monkeypatch.setattr(ObjectStore, "remove", remove)
    assert (await maintained(owner, database))["segment_objects"] == 2
    assert objects(directory) == []
    assert run_sql(database, "SELECT count(*) FROM segment_removals") == [(0,)]


async def test_doctor_finds_and_repairs_what_is_left_over(stored, database, directory, owner) -> None:
    stream_id = await stored.upload(b"one", b"two")
    stray = uuid4()
    place = directory / "segments" / stray.hex[:2] / str(stray)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"nobody's")
    (directory / "segments" / "README").write_text("not ours")
    run_sql(database, "UPDATE vault_streams SET byte_count = 7")
    run_sql(database, "UPDATE vaults SET stream_bytes = 9")
    run_sql(
        database,
        "INSERT INTO segment_parts (user_id, vault_id, stream_id, segment_id, part, bytes, created_at)"
        " SELECT user_id, vault_id, id, gen_random_uuid(), 0, 'x', now() - interval '2 days' FROM vault_streams",
    )
    soon = replace(owner, stream_hours=1)
    with connect(owner.database_url) as connection:
        young = await compared(soon)
        assert young == (3, [], 0, 0)  # neither the stray one, which is young, nor what is not ours
        os.utime(place, (1, 1))
        found = await compared(soon)
        assert (found.nobodys, found.missing) == ([stray], 0)
        left = count_leftovers(connection, owner)
        assert (left.rows, left.objects, left.miscounted, left.hollow) == (1, 0, 2, 0)
        await asyncio.to_thread(repair_segments, connection, owner)
        assert not any(count_leftovers(connection, owner))
        assert not place.exists()
        assert (directory / "segments" / "README").exists()
    assert run_sql(database, "SELECT segment_count, byte_count FROM vault_streams") == [(2, 6)]
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(6,)]
    assert run_sql(database, "SELECT count(*) FROM vault_segments WHERE stream_id = %s", stream_id) == [(2,)]


async def test_bytes_that_are_gone_are_told_as_such_and_reported(stored, directory, owner) -> None:
    stream_id, other = await stored.upload(b"one"), await stored.upload(b"other")
    (lost,) = [each for each in objects(directory) if each.read_bytes() == b"one"]
    lost.unlink()
    for answer in (await stored.read(stream_id, 0), await stored.read_all(stream_id)):
        assert (answer.status_code, answer.json()["code"]) == (410, "segment_lost")
    assert (await stored.read(other, 0)).content == b"other"
    assert (await compared(owner)).missing == 1


@pytest.mark.parametrize("way", ["maintain", "repair"])
async def test_what_a_killed_server_was_writing_is_found_and_removed_a_day_later(
    stored, directory, database, owner, way
) -> None:
    await stored.upload(b"one")
    (whole,) = objects(directory)
    old, young = whole.with_name(f"{whole.name}#1"), whole.with_name(f"{whole.name}#12")
    others = [whole.with_name("notes#1"), whole.with_name(f"{whole.name}#x"), directory / f"{whole.name}#1"]
    for path in (old, young, *others):
        path.write_bytes(b"half of ")
    yesterday = time.time() - 24 * 3600
    for path, when in ((old, yesterday - 5), (young, yesterday + 60), *((other, 1) for other in others)):
        os.utime(path, (when, when))
    assert (await compared(owner)).staged == 1
    with connect(owner.database_url) as connection:
        (finding,) = await asyncio.to_thread(
            lambda: list(segment_stores(Examined(connection, owner, Reached(owner.database_url))))
        )
        assert (finding.level, "has 1 unfinished files" in finding.says) == ("warning", True)
        if way == "repair":
            await asyncio.to_thread(repair_segments, connection, owner)
    if way == "maintain":
        assert (await maintained(owner, database))["segment_files"] == 1
    assert (old.exists(), young.exists(), all(path.exists() for path in others)) == (False, True, True)
    assert (await compared(owner)).staged == 0


async def test_a_directory_that_is_away_keeps_maintenance_from_nothing(stored, directory, database, owner) -> None:
    await stored.upload(b"one")
    directory.rename(directory.parent / "elsewhere")
    assert (await maintained(owner, database))["segment_files"] == 0


@pytest.mark.parametrize("left", [0, 4, 2 * MIB])
async def test_an_object_that_is_cut_short_is_told_as_lost_and_reported(stored, directory, owner, left) -> None:
    body = random_bytes(3 * MIB)
    stream_id, other = await stored.upload(body), await stored.upload(b"other")
    (cut,) = [each for each in objects(directory) if each.read_bytes() == body]
    os.truncate(cut, left)
    for answer in (
        await stored.read(stream_id, 0),
        await stored.read(stream_id, 0, Range=f"bytes={left}-"),
        await stored.read(stream_id, 0, Range=f"bytes={left + 5}-{left + 6}"),
        await stored.read_all(stream_id),
    ):
        assert (answer.status_code, answer.json()["code"]) == (410, "segment_lost")
    assert (await stored.read(other, 0)).content == b"other"
    assert (await compared(owner)).missing == 1
    with connect(owner.database_url) as connection:
        (finding,) = await asyncio.to_thread(
            lambda: list(segment_stores(Examined(connection, owner, Reached(owner.database_url))))
        )
    assert "lacks 1 segments, or bytes of them" in finding.says


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_part_that_is_cut_short_is_told_where_a_range_begins_with_it(
    streams_beside, database, owner, number
) -> None:
    stream_id = await streams_beside.upload(random_bytes(2 * MIB + 9))
    run_sql(database, "UPDATE segment_parts SET bytes = substr(bytes, 1, 8) WHERE part = %s", number)
    for start in (number * MIB, number * MIB + 5):
        answer = await streams_beside.read(stream_id, 0, Range=f"bytes={start}-")
        assert (answer.status_code, answer.json()["code"]) == (410, "segment_lost")
    if number:
        with pytest.raises(AssertionError):  # of the transport: the answer has no end
            await streams_beside.read(stream_id, 0)
    assert (await asyncio.to_thread(leftovers, owner)).hollow == 1


async def test_bytes_that_are_gone_in_the_middle_break_the_answer_off(stored, directory) -> None:
    stream_id = await stored.upload(b"one", b"two")
    (lost,) = [each for each in objects(directory) if each.read_bytes() == b"two"]
    lost.unlink()
    with pytest.raises(AssertionError):  # of the transport: the answer has no end
        await stored.read_all(stream_id)
    assert (await stored.read_all(stream_id, "?first=1")).json()["code"] == "segment_lost"


async def test_a_directory_that_disappears_takes_no_segment_and_is_not_made_anew(
    stored, database, directory, owner
) -> None:
    stream_id = await stored.upload(b"one")
    elsewhere = directory.rename(directory.parent / "elsewhere")
    for body in (b"two", random_bytes(6 * MIB)):
        answer = await stored.put(stream_id, 1, body)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    ready = await stored.client.get("/health/ready")
    assert (ready.status_code, ready.json()["segments"], ready.json()["keys"]) == (503, False, True)
    with connect(owner.database_url) as connection:
        (store_id,) = stores_of(connection)
        with pytest.raises(StartError, match=f"there is no directory {directory}; see that the disk is mounted"):
            reach_store(connection, owner, store_id)
    with pytest.raises(StartError, match=f"there is no directory {directory}"):
        await asyncio.to_thread(check_store, database.app_url, owner)
    assert not directory.exists()
    elsewhere.rename(directory)
    assert (await stored.client.get("/health/ready")).status_code == 200
    assert (await stored.put(stream_id, 1, b"two")).status_code == 201
    assert (await stored.read_all(stream_id)).content == b"onetwo"


async def test_a_full_disk_of_a_directory_is_named_in_the_log(stored, monkeypatch, caplog) -> None:
    async def full(*_: object, **__: object) -> None:
        # As obstore says it of a directory.
        raise exceptions.GenericError("Generic LocalFileSystem error: … No space left on device (os error 28)")

    monkeypatch.setattr(obstore, "put_async", full)
    answer = await stored.put(uuid4(), 0, b"x")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    logged = [record.error for record in caplog.records if record.message == "the segment store failed"]
    assert logged == [["its disk is full"]]


@pytest.mark.parametrize(("free", "warned"), [(21, False), (19, True)])
async def test_a_disk_of_a_directory_that_fills_is_seen_before_it_is_full(
    stored, settings, keys, store_url, serve_in_process, owner, monkeypatch, free, warned
) -> None:
    usage = SimpleNamespace(total=100 * 2**30, free=free * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    def look() -> list[Finding]:
        with connect(owner.database_url) as connection:
            return list(segment_stores(Examined(connection, owner, Reached(owner.database_url))))

    found = await asyncio.to_thread(look)
    assert [f"the disk of {store_url} is {100 - free}% full" in finding.says for finding in found] == (
        [True, False] if warned else [False]
    )
    watched = replace(settings, segment_store=store_url, metrics_loopback=True)
    async with serve_in_process(watched, keys, "127.0.0.1") as client:
        lines = (await client.get("/metrics")).text.splitlines()
    values = dict(line.split(" ") for line in lines if line.startswith("hushtag_segment_disk_"))
    assert {name: float(value) for name, value in values.items()} == {
        "hushtag_segment_disk_size_bytes": usage.total,
        "hushtag_segment_disk_free_bytes": usage.free,
    }


async def test_an_address_that_leads_nowhere_is_not_remembered_and_disturbs_nobody(
    streams_beside, database, directory, owner
) -> None:
    await streams_beside.upload(b"one")
    nowhere = directory.parent / "nowhere"
    with pytest.raises(StartError, match=f"there is no directory {nowhere}"):
        await move_to(owner, f"file://{nowhere}")
    assert not nowhere.exists()
    assert run_sql(database, "SELECT count(*) FROM segment_stores") == [(0,)]
    # As versions before noted it; and a store that was emptied and taken away.
    for name, marked in (("mistyped", "NULL"), ("emptied", "now()")):
        run_sql(
            database, f"INSERT INTO segment_stores (url, marked_at) VALUES (%s, {marked})", f"file://{nowhere}{name}"
        )
    await move_to(owner, owner.segment_store)
    with connect(owner.database_url) as connection:
        found = await asyncio.to_thread(lambda: list(segment_stores(Examined(connection, owner, None))))
        assert [finding.level for finding in found] == ["fine"] * 3
        await asyncio.to_thread(repair_segments, connection, owner)
        ours = replace(owner, segment_store=f"file://{nowhere}mistyped")
        found = await asyncio.to_thread(lambda: list(segment_stores(Examined(connection, ours, None))))
        assert sorted(finding.level for finding in found) == ["fine", "fine", "warning"]
        with pytest.raises(OperationError, match="there is no directory"):
            await asyncio.to_thread(repair_segments, connection, ours)


@pytest.mark.parametrize("way", ["into the store", "into the database"])
async def test_moving_goes_on_where_it_was_stopped_and_changes_no_byte(
    stored, streams_beside, database, directory, owner, monkeypatch, way
) -> None:
    streams = streams_beside if way == "into the store" else stored
    to = owner.segment_store if way == "into the store" else "postgres"
    bodies = [random_bytes(size) for size in (2 * MIB + 1, 5, MIB)]
    stream_id = await streams.upload(*bodies)
    moved = []

    class Stopping(Counting):
        def done(self, count):
            moved.append(count)
            if len(moved) == 2:
                raise Crash

    with pytest.raises(Crash):
        await move_to(owner, to, Stopping())
    assert (await streams.read_all(stream_id)).content == b"".join(bodies)
    done = await move_to(owner, to)
    assert (done.segments, done.damaged) == (1, 0)
    assert (await move_to(owner, to)).segments == 0
    assert (await streams.read_all(stream_id)).content == b"".join(bodies)
    in_store = way == "into the store"
    assert len(objects(directory)) == (3 if in_store else 0)
    assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(0 if in_store else 5,)]
    assert not any(leftovers(owner))


@pytest.fixture
async def streams_beside(settings, keys, serve_in_process, sign_in, directory):
    """A server on the same database that keeps segments there; the directory is there, for moving makes none."""
    directory.mkdir(exist_ok=True)
    async with serve_in_process(settings, keys) as client:
        yield Streams(await open_vault(client, await sign_in(client, "eve@example.org")))


@pytest.mark.parametrize("step", ["noted", "written", "named"])
async def test_a_move_that_crashes_at_a_step_loses_nothing(
    streams_beside, database, directory, owner, monkeypatch, step
) -> None:
    stream_id, body = uuid4(), random_bytes(MIB + 7)
    await streams_beside.put(stream_id, 0, body)

    async def crash(*_, **__):
        raise Crash

    with monkeypatch.context() as patched:
        if step == "noted":
            patched.setattr(ObjectStore, "write_whole", crash)
        else:
            rename = _Move._rename

            def crash_around(self, segment, new):
                if step == "named":
                    rename(self, segment, new)
                raise Crash

            patched.setattr(_Move, "_rename", crash_around)
        with pytest.raises(Crash):
            await move_to(owner, owner.segment_store)
    assert (await streams_beside.read(stream_id, 0)).content == body
    in_an_hour(database)
    await maintained(owner, database)
    assert (await streams_beside.read(stream_id, 0)).content == body
    assert objects(directory) == []
    assert (await move_to(owner, owner.segment_store)).segments == 1
    assert (await streams_beside.read(stream_id, 0)).content == body
    assert not any(leftovers(owner))


async def test_who_reads_while_a_segment_moves_reads_on(streams_beside, database, owner, monkeypatch) -> None:
    stream_id, body = uuid4(), random_bytes(4 * MIB)
    await streams_beside.put(stream_id, 0, body)
    read, moved = queries.read_part, asyncio.Event()

    async def slowly(pool, place, segment_id, number):
        if number == 2 and not moved.is_set():
            moved.set()
            await move_to(owner, owner.segment_store)
        return await read(pool, place, segment_id, number)

    monkeypatch.setattr(queries, "read_part", slowly)
    assert (await streams_beside.read(stream_id, 0)).content == body
    assert moved.is_set()


async def test_a_damaged_segment_is_not_moved(streams_beside, database, owner) -> None:
    stream_id = await streams_beside.upload(b"good", b"bad")
    run_sql(database, "UPDATE segment_parts SET bytes = 'BAD' WHERE bytes = 'bad'")
    done = await move_to(owner, owner.segment_store)
    assert (done.segments, done.damaged) == (1, 1)
    assert (await streams_beside.read(stream_id, 1)).content == b"BAD"


async def test_both_places_exist_at_once(stored, streams_beside) -> None:
    mine, theirs = await stored.upload(b"in the store"), await streams_beside.upload(b"in the database")
    beside = Streams(stored.vault)
    beside.client = streams_beside.client  # the server without the setting reads from the store as well
    assert (await beside.read(mine, 0)).content == b"in the store"
    assert (await streams_beside.read(theirs, 0)).content == b"in the database"


def test_addresses_with_credentials_or_of_other_kinds_are_refused() -> None:
    refused = ["s3://key:secret@bucket", "ftp://host/x", "file://relative", "/somewhere", "s3://", "memory:///"]
    for text in [*refused, "s3://b/p?secret_access_key=x", "s3://b/p#x", "file:///a/../b", "file:///%2e"]:
        with pytest.raises(SettingsError, match="HUSHTAG_SEGMENT_STORE"):
            load_settings({"HUSHTAG_SEGMENT_STORE": text})
    for text in ("postgres", "file:///srv/x", "s3://bucket/prefix", "gs://bucket", "az://container/x"):
        assert load_settings({"HUSHTAG_SEGMENT_STORE": text}).segment_store == text


@pytest.mark.parametrize(
    ("spellings", "one"),
    [
        (("file:///srv/x/", "file:////srv//x", "file:///srv/%78"), "file:///srv/x"),
        (("file:///a%20b/",), "file:///a%20b"),
        (("s3://b/p/", "s3a://b/p", "s3a://b//p//"), "s3://b/p"),
        (("gs://b/",), "gs://b"),
        (("azure://c/x", "adl://c/x/", "abfss://c/x", "abfs://c/x"), "az://c/x"),
    ],
)
def test_one_place_has_one_address(spellings, one) -> None:
    for text in (*spellings, one):
        assert load_settings({"HUSHTAG_SEGMENT_STORE": text}).segment_store == one


async def test_doctor_spares_objects_of_one_directory_with_two_addresses(
    settings, keys, serve_in_process, sign_in, database, directory, owner
) -> None:
    def repair() -> None:
        with connect(owner.database_url) as connection:
            repair_segments(connection, owner)

    streams: list[tuple[Streams, UUID]] = []
    for url, mail in ((f"file://{directory}", "ada@example.org"), (f"file://{directory}/", "eve@example.org")):
        async with serve_in_process(replace(settings, segment_store=url), keys) as client:
            beside = Streams(await open_vault(client, await sign_in(client, mail)))
            streams.append((beside, await beside.upload(b"bytes")))
    for path in objects(directory):
        os.utime(path, (1, 1))
    assert run_sql(database, "SELECT count(*) FROM segment_stores") == [(2,)]
    await asyncio.to_thread(repair)
    assert len(objects(directory)) == 2
    async with serve_in_process(settings, keys) as client:
        for beside, stream_id in streams:
            beside.client = client
            assert (await beside.read(stream_id, 0)).content == b"bytes"


async def test_removing_needs_one_connection_and_no_second(
    settings, keys, store_url, serve_in_process, sign_in, database, directory, monkeypatch
) -> None:
    async with serve_in_process(replace(settings, segment_store=store_url, pool_size=1), keys) as client:
        streams = Streams(await open_vault(client, await sign_in(client)))
        services = client.app.application.application.state["services"]
        await streams.upload(b"x")
        run_sql(database, "DELETE FROM users WHERE id = %s", streams.vault.user_id)
        services.segments._open.clear()
        assert await services.remover.remove_objects(services.pool) == 1
    assert objects(directory) == []


@pytest.mark.parametrize("who", ["worker", "maintenance"])
async def test_a_store_that_fails_holds_up_no_other(
    settings, keys, serve_in_process, sign_in, database, data_directory, owner, who
) -> None:
    """The older removals are of the dead store, whose disk is not mounted; then more than one batch of the other's."""
    dead, living = data_directory / "dead", data_directory / "living"
    for directory, count in ((dead, 1), (living, OBJECTS + 1)):
        async with serve_in_process(replace(settings, segment_store=f"file://{directory}"), keys) as client:
            streams = Streams(await open_vault(client, await sign_in(client)))
            await streams.upload(*[b"x"] * count)
            run_sql(database, "DELETE FROM users WHERE id = %s", streams.vault.user_id)
    (dead / MARK).unlink()
    if who == "worker":
        async with serve_in_process(settings, keys) as client:
            services = client.app.application.application.state["services"]
            with pytest.raises(StartError, match="has lost the object"):
                await services.remover.remove_objects(services.pool)
    else:
        done = await report(owner, database)
        assert done.steps["segment_objects"] == OBJECTS + 1
        assert f"an object store refused: file://{dead}: " in done.failed.pop("segment_objects")
        assert done.failed == {}
    assert (len(objects(dead)), objects(living)) == (1, [])
    assert run_sql(database, "SELECT count(*) FROM segment_removals WHERE due_at <= now()") == [(1,)]


@pytest.mark.parametrize("step", ["claimed", "removed"])
async def test_a_remover_that_dies_is_followed_by_another_when_its_claim_is_over(
    stored, database, directory, owner, monkeypatch, step
) -> None:
    services = stored.client.app.application.application.state["services"]
    remove = ObjectStore.remove

    async def crash(self, segment_id):
        if step == "removed":
            await remove(self, segment_id)
        raise Crash

    await stored.upload(b"one", b"two")
    run_sql(database, "DELETE FROM users WHERE id = %s", stored.vault.user_id)
    with monkeypatch.context() as patched:
        patched.setattr(ObjectStore, "remove", crash)
        patched.setattr(removing, "remove_all", dying)
        with pytest.raises(Crash):
            await services.remover.remove_objects(services.pool)
    claimed = "SELECT count(*) FROM segment_removals WHERE claimed_at IS NOT NULL AND due_at > now() + '9 minutes'"
    assert run_sql(database, claimed) == [(2,)]
    assert (await maintained(owner, database))["segment_objects"] == 0  # as long as somebody may be at it
    run_sql(database, "UPDATE segment_removals SET due_at = now()")
    assert (await maintained(owner, database))["segment_objects"] == 2
    assert objects(directory) == []
    assert run_sql(database, "SELECT count(*) FROM segment_removals") == [(0,)]


async def dying(store, claimed):
    """Remove as a worker does whose process ends with the first failure."""
    for segment_id in claimed:
        await store.remove(segment_id)


async def test_no_transaction_is_open_while_the_store_removes(stored, database, monkeypatch) -> None:
    services = stored.client.app.application.application.state["services"]
    open_ones = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
    seen, remove = [], ObjectStore.remove

    async def looking(self, segment_id):
        for _ in range(100):  # the sealer's own ends meanwhile; the remover waits for this
            seen[:] = run_sql(database, open_ones + " AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
            if seen == [(0,)]:
                break
            await asyncio.sleep(0.02)
        await remove(self, segment_id)

    await stored.upload(b"x")
    run_sql(database, "DELETE FROM users WHERE id = %s", stored.vault.user_id)
    monkeypatch.setattr(ObjectStore, "remove", looking)
    assert await services.remover.remove_objects(services.pool) == 1
    assert seen == [(0,)]


async def test_an_upload_whose_removal_is_claimed_is_not_a_segment(stored, database, directory, monkeypatch) -> None:
    services = stored.client.app.application.application.state["services"]
    finish, remove = queries.finish_segment, ObjectStore.remove
    outcomes = []

    async def finishing(self, segment_id):
        monkeypatch.setattr(ObjectStore, "remove", remove)
        outcomes.append(await finish(*given.pop()))
        await remove(self, segment_id)

    async def late(*values):
        # Its day came while the body was on its way: the remover has claimed it, and the store is about to remove it.
        run_sql(database, "UPDATE segment_removals SET due_at = now()")
        given.append(values)
        monkeypatch.setattr(ObjectStore, "remove", finishing)
        assert await services.remover.remove_objects(services.pool) == 1
        return outcomes[0]

    given: list[tuple] = []
    monkeypatch.setattr(queries, "finish_segment", late)
    stream_id = uuid4()
    assert (await stored.put(stream_id, 0, b"bytes")).status_code == 503
    assert outcomes == ["lost"]
    assert (await stored.listed(stream_id)).segments == []
    assert objects(directory) == []


async def test_of_two_removers_neither_waits_for_what_the_other_removes(
    stored, database, directory, owner, monkeypatch
) -> None:
    services = stored.client.app.application.application.state["services"]
    remove, asked, answer = ObjectStore.remove, asyncio.Semaphore(0), asyncio.Event()
    slow_ones: list[UUID] = []

    async def slow(self, segment_id):
        if len(slow_ones) < OBJECTS:
            slow_ones.append(segment_id)
            asked.release()
            await answer.wait()
        await remove(self, segment_id)

    await stored.upload(*[b"x"] * (OBJECTS + 2))
    run_sql(database, "DELETE FROM users WHERE id = %s", stored.vault.user_id)
    monkeypatch.setattr(ObjectStore, "remove", slow)
    first = asyncio.create_task(services.remover.remove_objects(services.pool))
    for _ in range(OBJECTS):
        await asyncio.wait_for(asked.acquire(), 10)
    assert (await maintained(owner, database))["segment_objects"] == 2
    assert len(objects(directory)) == OBJECTS
    answer.set()
    assert await first == OBJECTS
    assert objects(directory) == []


async def test_doctor_misses_no_object_that_was_moved_while_it_looked(
    streams_beside, database, owner, monkeypatch
) -> None:
    await streams_beside.upload(b"one")
    stores, listed = object_store.ObjectStore.list, []

    def listing(self):
        listed.extend(stores(self))
        asyncio.run_coroutine_threadsafe(move_to(owner, owner.segment_store), loop).result(30)
        yield from listed

    def compare():
        with connect(owner.database_url) as connection:
            return compare_store(connection, owner, store_id)

    loop = asyncio.get_running_loop()
    with connect(owner.database_url) as connection:
        connection.execute("INSERT INTO segment_stores (url) VALUES (%s)", [owner.segment_store])
        (store_id,) = stores_of(connection)
    monkeypatch.setattr(ObjectStore, "list", listing)
    assert (await asyncio.to_thread(compare)).missing == 0
    assert listed == []
    assert run_sql(database, "SELECT count(*) FROM vault_segments WHERE store_id IS NOT NULL") == [(1,)]


async def test_counts_are_taken_anew_while_segments_come(stored, database, owner) -> None:
    stream_id = await stored.upload(b"one")
    run_sql(database, "UPDATE vault_streams SET byte_count = 7")
    with psycopg.connect(database.admin_url) as upload, connect(owner.database_url) as connection:
        # An upload that is about to end: it has the vault, then the stream.
        upload.execute("SELECT FROM vaults FOR NO KEY UPDATE")
        repairing = asyncio.create_task(asyncio.to_thread(repair_segments, connection, owner))
        await until_waiting(database, repairing)
        upload.execute(
            "INSERT INTO vault_segments (user_id, vault_id, stream_id, id, seq, byte_count, digest)"
            " SELECT user_id, vault_id, stream_id, gen_random_uuid(), 1, 5, digest FROM vault_segments"
        )
        upload.execute("UPDATE vault_streams SET segment_count = segment_count + 1, byte_count = byte_count + 5")
        upload.execute("UPDATE vaults SET stream_bytes = stream_bytes + 5")
        upload.commit()
        await repairing
    assert run_sql(database, "SELECT segment_count, byte_count FROM vault_streams") == [(2, 8)]
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(8,)]
    assert len((await stored.listed(stream_id)).segments) == 2


@pytest.mark.parametrize(
    ("way", "step"),
    [
        ("into the store", "_read"),
        ("into the store", "_into_store"),
        ("into the database", "_read"),
        ("into the database", "_into_database"),
    ],
)
async def test_a_segment_that_is_deleted_while_it_moves_is_not_damaged(
    stored, streams_beside, database, directory, owner, monkeypatch, way, step
) -> None:
    streams = streams_beside if way == "into the store" else stored
    stream_id = await streams.upload(b"bytes")
    before, loop = getattr(_Move, step), asyncio.get_running_loop()

    async def delete() -> None:
        assert (await streams.end(stream_id)).status_code == 204
        await settle(streams)

    def deleting(self, *given):
        asyncio.run_coroutine_threadsafe(delete(), loop).result(30)
        return before(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(_Move, step, deleting)
        done = await move_to(owner, owner.segment_store if way == "into the store" else "postgres")
    assert done == Moved(0, 0, 0)
    in_an_hour(database)
    await maintained(owner, database)
    assert objects(directory) == []
    assert not any(leftovers(owner))


async def test_a_store_that_fails_is_not_damage(stored, owner, monkeypatch) -> None:
    async def failing(*_):
        raise ObjectStoreError("away")

    await stored.upload(b"bytes")
    monkeypatch.setattr(ObjectStore, "read_whole", failing)
    with pytest.raises(OperationError, match="the object store refused"):
        await move_to(owner, "postgres")


async def test_an_object_is_on_the_disk_with_every_entry_that_leads_to_it(stored, directory, monkeypatch) -> None:
    synced, fsync = [], os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    await stored.upload(b"bytes")
    (path,) = objects(directory)
    assert set(synced) == {path, path.parent, directory / "segments", directory}
