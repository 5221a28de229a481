"""P9 of large objects: a server or a database killed at random in an upload loses nothing that was acknowledged.

An upload of several segments, over HTTP, of a server with a database of its own; somewhere in it, every process of the
server or of PostgreSQL is killed. Afterwards what is listed is what was acknowledged, and perhaps the segment that was
under way, whole; the rest is sent, the stream committed, and every byte compared. Before its commit no object shows it.

`make kill-streams` does it 50 times for each victim with 256 MiB; a run prints its seed for `HUSHTAG_KILL_SEED`.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psutil
import pytest

from tests.live_server import temporary_directory
from tests.promises.test_p9_kill import Place
from tests.server.vault_support import open_vault
from tests.streams.support import MIB, Streams, digest

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("HUSHTAG_KILL_ROUNDS", "2"))
SIZE = int(os.environ.get("HUSHTAG_KILL_MIB", "12")) * MIB
SEGMENT = 16 * MIB if SIZE > 64 * MIB else 3 * MIB
WAIT = 60.0
PIECE = 64 * 1024


@pytest.fixture
def chance() -> random.Random:
    seed = os.environ.get("HUSHTAG_KILL_SEED") or str(random.SystemRandom().randrange(2**32))
    print(f"HUSHTAG_KILL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def place() -> Iterator[Place]:
    with temporary_directory(in_memory=ROUNDS * SIZE < 1024 * MIB) as directory:
        made = Place(directory)
        try:
            yield made
        finally:
            made.server.end()


@pytest.fixture
async def client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    # A connection for each request: one that a refusal closed, its body half read, must not fail the next request.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=place.server.url, timeout=WAIT, limits=limits) as opened:
        yield opened


def kill_server(place: Place) -> None:
    """Kill every process of the server, its supervisor first, and start it again; PostgreSQL is left behind."""
    root = psutil.Process(place.server.process.pid)
    for process in [root, *(child for child in root.children(recursive=True) if "postgres" not in child.name())]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    place.restart()


def kill_database(place: Place) -> None:
    """Kill PostgreSQL, all of it; the server starts it again."""
    postmaster = place.postmaster()
    for process in [postmaster, *postmaster.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    place.await_database()


class Upload:
    """One object on its way, and what the server has acknowledged of it."""

    def __init__(self, streams: Streams, content: bytes) -> None:
        self.streams, self.stream_id = streams, uuid4()
        self.segments = [content[start : start + SEGMENT] for start in range(0, len(content), SEGMENT)]
        self.acknowledged: set[int] = set()
        self.sent = 0

    async def _pieces(self, body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), PIECE):
            yield body[start : start + PIECE]
            self.sent += PIECE
            await asyncio.sleep(0)

    async def send(self, seq: int) -> int:
        body = self.segments[seq]
        answer = await self.streams.put(self.stream_id, seq, self._pieces(body), Content_Length=str(len(body)))
        if answer.status_code in {200, 201}:
            self.acknowledged.add(seq)
        return answer.status_code

    async def send_all(self) -> None:
        """Two at a time, as a client does; ends with the first that fails."""
        numbers = iter([seq for seq in range(len(self.segments)) if seq not in self.acknowledged])

        async def lane() -> None:
            for seq in numbers:
                if await self.send(seq) not in {200, 201}:
                    return

        await asyncio.gather(lane(), lane(), return_exceptions=True)

    async def check_listed(self) -> None:
        """What is listed is whole, and everything that was acknowledged is listed."""
        answer = await self.streams.client.get(
            self.streams.url(self.stream_id, listing=True), headers=self.streams.vault.headers
        )
        if answer.status_code == 404:
            assert not self.acknowledged
            return
        listed = {entry["seq"]: entry for entry in answer.json()["segments"]}
        assert self.acknowledged <= set(listed)
        assert not answer.json()["committed"]
        for seq, entry in listed.items():
            assert (entry["size"], entry["digest"]) == (len(self.segments[seq]), digest(self.segments[seq]))
            assert (await self.streams.read(self.stream_id, seq)).content == self.segments[seq]
        self.acknowledged = set(listed)


async def _round(place: Place, streams: Streams, kill, chance: random.Random) -> UUID:
    content = chance.randbytes(SIZE - chance.randrange(SEGMENT))
    upload = Upload(streams, content)
    moment = chance.randrange(len(content))
    sending = asyncio.create_task(upload.send_all())
    deadline = time.monotonic() + WAIT
    while upload.sent < moment and not sending.done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    await asyncio.to_thread(kill, place)
    await sending
    await upload.check_listed()
    assert (await streams.vault.get(streams.vault.url() + "/objects")).json()["objects"] == []
    while len(upload.acknowledged) < len(upload.segments):
        assert time.monotonic() < deadline + WAIT, "the upload does not come to its end"
        await upload.send_all()
    committed = await streams.commit(upload.stream_id, len(upload.segments), len(content))
    assert committed.status_code == 201, committed.text
    assert (await streams.read_all(upload.stream_id)).content == content
    return upload.stream_id


@pytest.mark.timeout(60 + 120 * ROUNDS)
@pytest.mark.parametrize("kill", [kill_server, kill_database])
async def test_an_upload_goes_on_where_a_kill_left_it(place, client, sign_in, chance, kill) -> None:
    account = await sign_in(client)
    for _ in range(ROUNDS):
        # A vault for each, so that a listing without objects tells that nothing is half visible.
        streams = Streams(await open_vault(client, account))
        await _round(place, streams, kill, chance)
    with place.connect() as connection:
        # Nothing is left of what the kills interrupted but parts that maintenance removes.
        hollow = connection.execute(
            "SELECT count(*) FROM vault_segments g WHERE g.byte_count <> (SELECT sum(octet_length(p.bytes))"
            " FROM segment_parts p WHERE p.stream_id = g.stream_id AND p.segment_id = g.id)"
        ).fetchone()
        assert hollow == (0,)
        assert connection.execute("SELECT count(*) FROM vault_streams WHERE state <> 'committed'").fetchone() == (0,)


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(place, client, sign_in) -> None:
    streams = Streams(await open_vault(client, await sign_in(client)))
    stream_id, arrived = uuid4(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        arrived.set()
        await asyncio.sleep(WAIT)
        yield b""

    sending = asyncio.create_task(streams.put(stream_id, 0, pieces(), Content_Length=str(3 * MIB)))
    await arrived.wait()
    sending.cancel()
    deadline = time.monotonic() + WAIT
    with place.connect() as connection:
        while True:
            begun = connection.execute("SELECT count(*) FROM vault_streams").fetchone()
            parts = connection.execute("SELECT count(*) FROM segment_parts").fetchone()
            if (begun, parts) == ((1,), (0,)) and (await streams.listed(stream_id)).segments == []:
                break
            assert time.monotonic() < deadline, "parts of an upload whose client left are still there"
    assert (await streams.put(stream_id, 0, b"whole")).status_code == 201


def test_the_directory_of_this_file_is_where_make_looks_for_it() -> None:
    assert "tests/streams/test_kill.py" in Path("Makefile").read_text(encoding="utf-8")
