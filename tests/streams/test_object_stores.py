"""Segments in object stores over HTTP: there and back, and what becomes of them when the store refuses, hangs or dies.

On an emulator of S3; with HUSHTAG_TEST_STORES="s3 azure gcs" (`make stores`) the same on Azure's and Google's.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from hushtag_server.errors import StartError
from hushtag_server.operation import segment_checks
from hushtag_server.operation.checks import Examined, segment_stores
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import connect
from hushtag_server.operation.segment_checks import repair_segments
from hushtag_server.serve import check_store
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import MARK, ObjectStore, ObjectStoreError, StoredObject
from hushtag_server.streams.opening import open_store
from tests.canaries import WATCH
from tests.server.vault_support import open_vault, run_sql
from tests.streams.emulators import KINDS, Emulator
from tests.streams.support import MIB, Streams, random_bytes
from tests.streams.test_stores import compared, move_to, settle

pytestmark = [pytest.mark.anyio, pytest.mark.xdist_group("emulators")]

CHOSEN = os.environ.get("HUSHTAG_TEST_STORES", "s3").split()
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module", params=CHOSEN)
def running(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    started = KINDS[request.param]()
    yield started
    started.kill()


def use(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    for name, value in emulator.variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def emulator(running, monkeypatch) -> Emulator:
    use(monkeypatch, running)
    return running


@pytest.fixture
def address(emulator) -> str:
    return emulator.address()


@pytest.fixture
def there(settings, address) -> Settings:
    """The server's settings with the store."""
    return replace(settings, segment_store=address, segment_store_timeout=2 * SECOND)


@pytest.fixture
def owner(there, database) -> Settings:
    return replace(there, database_url=database.owner_url)


@pytest.fixture
async def stored(there, keys, serve_in_process, sign_in) -> AsyncIterator[Streams]:
    async with serve_in_process(there, keys) as client:
        yield Streams(await open_vault(client, await sign_in(client)))


def listed(settings: Settings) -> list[StoredObject]:
    return list(open_store(settings.segment_store, settings).list())


def repaired(owner: Settings) -> None:
    with connect(owner.database_url) as connection:
        repair_segments(connection, owner)


def findings(owner: Settings) -> list[Any]:
    with connect(owner.database_url) as connection:
        return list(segment_stores(Examined(connection, owner, None)))


async def pieces(*bodies: bytes) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body


async def refused(streams: Streams, stream_id: UUID, body: Any = b"bytes", **headers: str) -> None:
    answer = await asyncio.wait_for(streams.put(stream_id, 0, body, **headers), 20)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_segments_are_stored_read_in_ranges_and_removed(stored, there, database) -> None:
    bodies = [b"x", random_bytes(5 * MIB), random_bytes(12 * MIB + 5)]  # in one request, just so, and in parts
    stream_id, object_id = await stored.upload(*bodies), uuid4()
    assert [(await stored.read(stream_id, seq)).content for seq in range(3)] == bodies
    assert (await stored.read(stream_id, 2, Range="bytes=7000000-7000009")).content == bodies[2][7000000:7000010]
    assert (await stored.read(stream_id, 2, Range="bytes=-3")).content == bodies[2][-3:]
    assert (await stored.read_all(stream_id)).content == b"".join(bodies)
    assert sorted(entry.size for entry in listed(there)) == sorted(map(len, bodies))
    assert (await stored.commit(stream_id, 3, sum(map(len, bodies)), object_id=object_id)).status_code == 201
    assert run_sql(database, "SELECT count(*) FROM segment_removals") == [(0,)]
    assert (await stored.vault.delete(object_id, revision=1)).status_code == 200
    await settle(stored)
    assert listed(there) == []
    assert run_sql(database, "SELECT count(*) FROM segment_removals") == [(0,)]


async def test_segments_move_there_and_back(settings, keys, serve_in_process, sign_in, there, owner, database) -> None:
    async with serve_in_process(replace(settings, segment_store_timeout=SECOND), keys) as client:
        streams = Streams(await open_vault(client, await sign_in(client)))
        bodies = [random_bytes(6 * MIB), b"small"]
        stream_id = await streams.upload(*bodies)
        assert tuple(await move_to(owner, there.segment_store)) == (2, 6 * MIB + 5, 0)
        assert len(listed(there)) == 2
        assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(0,)]
        assert (await streams.read_all(stream_id)).content == b"".join(bodies)
        assert (await move_to(owner, "postgres")).segments == 2
        assert listed(there) == []
        assert (await streams.read_all(stream_id)).content == b"".join(bodies)


async def test_doctor_repairs_what_is_left_over_and_says_what_is_missing(
    stored, there, owner, monkeypatch, database
) -> None:
    store = open_store(there.segment_store, there)
    stream_id, stray = await stored.upload(b"one", b"two"), uuid4()
    await store.write(stray, pieces(b"nobody's"))
    assert (await compared(owner)).nobodys == []  # it may be an upload
    monkeypatch.setattr(segment_checks, "upload_age", lambda _: timedelta(0))
    await asyncio.sleep(1.1)  # stores tell times in whole seconds
    assert (await compared(owner)).nobodys == [stray]
    await asyncio.to_thread(repaired, owner)
    assert len(listed(there)) == 2
    (lost,) = run_sql(database, "SELECT id FROM vault_segments WHERE seq = 1")[0]
    await store.remove(lost)
    assert (await compared(owner)).missing == 1
    assert (await stored.read(stream_id, 1)).json()["code"] == "segment_lost"
    assert (await stored.read(stream_id, 0)).content == b"one"
    (cut,) = run_sql(database, "SELECT id FROM vault_segments WHERE seq = 0")[0]
    for left in (b"o", b""):
        await store.write(cut, pieces(left))
        assert (await compared(owner)).missing == 2
        for asked in ("bytes=0-", "bytes=1-", "bytes=2-"):
            assert (await stored.read(stream_id, 0, Range=asked)).json()["code"] == "segment_lost"


async def test_a_store_of_another_installation_is_refused_and_nothing_of_it_removed(
    stored, there, owner, database, settings, monkeypatch
) -> None:
    monkeypatch.setattr(segment_checks, "upload_age", lambda _: timedelta(0))
    await stored.upload(b"theirs")
    run_sql(database, "DELETE FROM vault_segments")  # as another database would see it: nothing of it is known
    run_sql(database, "DELETE FROM segment_removals")
    mine = str(run_sql(database, "SELECT id FROM installations")[0][0])
    run_sql(database, "UPDATE installations SET id = gen_random_uuid()")
    for refusing in (check_store, lambda _, given: repaired(replace(given, database_url=owner.database_url))):
        with pytest.raises((StartError, OperationError), match=r"HUSHTAG_SEGMENT_STORE.* another installation") as said:
            await asyncio.to_thread(refusing, settings.database_url, there)
        assert mine in str(said.value)
    with pytest.raises(StartError, match="another installation"):
        await move_to(owner, there.segment_store)
    (finding,) = await asyncio.to_thread(findings, owner)
    assert (finding.level, "another installation" in finding.says) == ("warning", True)
    assert [entry.size for entry in listed(there)] == [6]


async def test_a_store_that_lost_its_mark_is_refused(stored, there, settings) -> None:
    import obstore

    stream_id = await stored.upload(b"x")
    store = open_store(there.segment_store, there)
    obstore.delete(store._backend, MARK)
    with pytest.raises(StartError, match=f"HUSHTAG_SEGMENT_STORE.* has lost the object {MARK}"):
        await asyncio.to_thread(check_store, settings.database_url, there)
    services = stored.client.app.application.application.state["services"]
    opened = await services.segments.of(services.pool, services.segments.current)
    with pytest.raises(ObjectStoreError, match=MARK):  # a bucket that is gone, and no object that is
        await anext(opened.read(uuid4(), 0, 1))
    assert (await stored.read(stream_id, 0)).content == b"x"


@pytest.mark.parametrize("fault", ["credentials", "bucket"])
async def test_a_store_that_refuses_is_said_at_the_start_and_answered_as_unavailable(
    emulator, settings, keys, serve_in_process, sign_in, monkeypatch, fault, caplog
) -> None:
    address = emulator.address() if fault == "credentials" else emulator.address("no-such-bucket")
    there = replace(settings, segment_store=address, segment_store_timeout=SECOND)
    if fault == "credentials":
        for name, value in emulator.wrong.items():
            monkeypatch.setenv(name, value)
    says = {"credentials": "refuses the credentials", "bucket": "no such bucket"}[fault]
    with pytest.raises(StartError, match=f"HUSHTAG_SEGMENT_STORE: the store at {address}.*{says}") as said:
        await asyncio.to_thread(check_store, settings.database_url, there)
    async with serve_in_process(there, keys) as client:  # a worker that starts again serves all the rest
        streams = Streams(await open_vault(client, await sign_in(client)))
        stream_id = uuid4()
        await refused(streams, stream_id)
        await refused(streams, stream_id, pieces(bytes(6 * MIB)), Content_Length=str(6 * MIB))
        assert (await streams.listed(stream_id)).segments == []
        use(monkeypatch, emulator)
        if fault == "credentials":
            assert (await streams.put(stream_id, 0, b"bytes")).status_code == 201  # as soon as they are right
            assert (await streams.read(stream_id, 0)).content == b"bytes"
    logged = [record.error for record in caplog.records if record.message == "the segment store failed"]
    assert logged
    assert all(says in line for lines in logged for line in lines)
    WATCH.hear("what the start says", str(said.value))


async def test_a_store_that_does_not_answer_in_time_is_unavailable(stored, emulator, there, database) -> None:
    stream_id, waiting = await stored.upload(b"kept"), uuid4()
    emulator.hang()
    try:
        await refused(stored, waiting)
        await refused(stored, waiting, pieces(*[bytes(MIB)] * 11), Content_Length=str(11 * MIB))
        answer = await asyncio.wait_for(stored.read(stream_id, 0), 20)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await stored.listed(waiting)).segments == []  # what needs no store is served
    finally:
        emulator.go_on()
    assert (await stored.read(stream_id, 0)).content == b"kept"
    assert (await stored.put(waiting, 0, b"bytes")).status_code == 201
    assert (await stored.read(waiting, 0)).content == b"bytes"
    run_sql(database, "UPDATE segment_removals SET due_at = now()")
    await settle(stored)
    assert sorted(entry.size for entry in listed(there)) == [4, 5]


async def test_a_reader_may_take_longer_than_a_request_to_the_store(there, monkeypatch) -> None:
    store, segment_id, body = open_store(there.segment_store, there), uuid4(), random_bytes(16 * MIB)
    await store.write(segment_id, pieces(body))
    asked: list[int] = []
    read_on = ObjectStore._read_on

    def counted(self, segment_id, start, end):
        asked.append(start)
        return read_on(self, segment_id, start, end)

    monkeypatch.setattr(ObjectStore, "_read_on", counted)
    found = b""
    async for piece in store.read(segment_id, 0, len(body)):
        found += piece
        await asyncio.sleep(0.15)  # time is what this is about
    assert found == body
    assert len(asked) > 1


@pytest.mark.parametrize("kind", CHOSEN)
async def test_a_store_that_dies_leaves_nothing_half_visible(
    kind, settings, keys, serve_in_process, sign_in, monkeypatch, database
) -> None:
    doomed = KINDS[kind]()
    use(monkeypatch, doomed)
    there = replace(settings, segment_store=doomed.address(), segment_store_timeout=2 * SECOND)

    async def dying() -> AsyncIterator[bytes]:
        for number in range(12):
            if number == 8:
                doomed.kill()
            yield bytes(MIB)

    async with serve_in_process(there, keys) as client:
        streams = Streams(await open_vault(client, await sign_in(client)))
        kept, stream_id = await streams.upload(b"kept"), uuid4()
        await refused(streams, stream_id, dying(), Content_Length=str(12 * MIB))
        await refused(streams, stream_id)
        assert (await streams.listed(stream_id)).segments == []
        answer = await streams.read(kept, 0)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await client.get("/health/ready")).status_code == 200
        again = KINDS[kind](doomed.port)  # and empty: not the store it was
        try:
            use(monkeypatch, again)
            with pytest.raises(StartError, match="lost"):
                await asyncio.to_thread(check_store, settings.database_url, there)
        finally:
            again.kill()
    assert run_sql(database, "SELECT count(*) FROM vault_segments") == [(1,)]
    assert run_sql(database, "SELECT count(*) FROM segment_removals WHERE claimed_at IS NULL") == [(2,)]


def test_the_server_does_not_start_without_its_store_and_says_no_secret(emulator, settings, database, tmp_path) -> None:
    address = emulator.address("no-such-bucket")
    given = {"HUSHTAG_DATABASE_URL": database.app_url, "HUSHTAG_DATA": str(tmp_path), "HUSHTAG_SEGMENT_STORE": address}
    command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--port", "0"]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, timeout=60)
    WATCH.hear("what the server says of a store", done.stdout + done.stderr)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"HUSHTAG_SEGMENT_STORE: the store at {address} cannot be used: it has no such bucket" in done.stderr
    assert "credentials are right" in done.stderr
