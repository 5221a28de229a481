"""Segments over HTTP: stored once, read as they were stored, committed all or not at all."""

import asyncio
import contextlib
from uuid import UUID, uuid4

import pytest

from hushtag.messages import decode_binary
from hushtag.stream_messages import MAX_SEGMENT_BYTES, MAX_SEGMENTS
from hushtag_server.errors import UnavailableError
from hushtag_server.streams import queries
from hushtag_server.streams.bodies import Lanes
from hushtag_server.streams.limits import MAX_BODIES, MAX_BODIES_PER_SESSION, MAX_UPLOADS, PART_BYTES
from tests.server.vault_support import comparable, open_vault, run_sql
from tests.streams.support import MIB, Streams, digest, random_bytes

pytestmark = pytest.mark.anyio

SIZES = [1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, MAX_SEGMENT_BYTES]


@pytest.mark.parametrize("size", SIZES)
async def test_a_segment_is_read_as_it_was_stored(streams, size) -> None:
    body, stream_id = random_bytes(size), uuid4()
    answer = await streams.put(stream_id, 0, body)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"seq": 0, "size": size, "digest": digest(body)}
    read = await streams.read(stream_id, 0)
    assert (read.status_code, read.content == body) == (200, True)
    assert read.headers["Content-Length"] == str(size)
    assert read.headers["Content-Type"] == "application/octet-stream"
    assert read.headers["ETag"] == f'"{digest(body)}"'


async def test_a_body_in_pieces_of_any_size_is_the_same_body(streams, database) -> None:
    body, stream_id = random_bytes(2 * MIB + 12345), uuid4()

    async def pieces():
        left = memoryview(body)
        for size in (1, 70_000, PART_BYTES, 999, 5, PART_BYTES):
            yield bytes(left[:size])
            left = left[size:]
        yield bytes(left)

    assert (await streams.put(stream_id, 0, pieces(), Content_Length=str(len(body)))).status_code == 201
    assert (await streams.read(stream_id, 0)).content == body
    assert [row[0] for row in run_sql(database, "SELECT octet_length(bytes) FROM segment_parts ORDER BY part")] == [
        PART_BYTES,
        PART_BYTES,
        12345,
    ]


async def test_the_same_segment_again_is_there_already_and_another_one_is_refused(streams, database) -> None:
    body = random_bytes(2 * MIB)
    stream_id = await streams.upload(body)
    before = run_sql(database, "SELECT * FROM vault_segments")
    again = await streams.put(stream_id, 0, body)
    assert (again.status_code, again.json()) == (200, {"seq": 0, "size": len(body), "digest": digest(body)})
    for other in (body[:-1], body[:-1] + bytes([body[-1] ^ 1]), b"x"):
        answer = await streams.put(stream_id, 0, other)
        assert (answer.status_code, answer.json()["code"]) == (409, "segment_exists")
    assert run_sql(database, "SELECT * FROM vault_segments") == before
    assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(2,)]


async def test_of_two_at_once_one_stores_and_no_bytes_are_left_of_the_other(streams, database) -> None:
    bodies, stream_id = [random_bytes(2 * MIB) for _ in range(2)], uuid4()
    answers = await asyncio.gather(*(streams.put(stream_id, 0, body) for body in (*bodies, *bodies)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(201) == 1
    stored = (await streams.read(stream_id, 0)).content
    for body, answer in zip((*bodies, *bodies), answers, strict=True):
        assert (answer.status_code in {200, 201}) == (body == stored)
    assert run_sql(database, "SELECT count(*), count(DISTINCT segment_id) FROM segment_parts") == [(2, 1)]
    assert run_sql(database, "SELECT segment_count, byte_count FROM vault_streams") == [(1, 2 * MIB)]
    assert run_sql(database, "SELECT stream_bytes FROM vaults") == [(2 * MIB,)]


async def test_segments_are_listed_in_pages_in_any_order_they_came(streams) -> None:
    stream_id, bodies = uuid4(), {seq: random_bytes(seq + 1) for seq in (4, 0, 2, 9, 1)}
    for seq, body in bodies.items():
        await streams.put(stream_id, seq, body)
    found, after = [], -1
    while after is not None:
        page = await streams.listed(stream_id, f"?after={after}&limit=2")
        assert not page.committed
        found += page.segments
        after = page.next
    assert [(entry.seq, entry.size) for entry in found] == [(seq, seq + 1) for seq in (0, 1, 2, 4, 9)]
    assert all(entry.digest == digest(bodies[entry.seq]) for entry in found)
    assert len(decode_binary(found[0].digest, 32)) == 32


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=-999999999", 0, None),
        (f"bytes={PART_BYTES - 1}-{PART_BYTES}", PART_BYTES - 1, PART_BYTES + 1),
        (f"bytes=10-{3 * PART_BYTES}", 10, None),
    ],
)
async def test_a_range_within_a_segment_is_sent_alone(streams, asked, start, end) -> None:
    body = random_bytes(2 * PART_BYTES + 100)
    stream_id = await streams.upload(body)
    read = await streams.read(stream_id, 0, Range=asked)
    assert read.status_code == 206
    assert read.content == body[start:end]
    first = start if start >= 0 else len(body) + start
    assert read.headers["Content-Range"] == f"bytes {first}-{first + len(read.content) - 1}/{len(body)}"


async def test_ranges_that_are_none_send_everything_and_those_outside_are_refused(streams) -> None:
    body = random_bytes(1000)
    stream_id = await streams.upload(body)
    for asked in ("bytes=5-2", "bytes=-", "bytes=a-b", "chunks=0-1", "bytes=0-1,4-5", ""):
        read = await streams.read(stream_id, 0, Range=asked)
        assert (read.status_code, read.content) == (200, body), asked
    for asked in ("bytes=1000-", "bytes=2000-3000", "bytes=-0"):
        read = await streams.read(stream_id, 0, Range=asked)
        assert (read.status_code, read.json()["code"]) == (416, "range_not_satisfiable"), asked
        assert read.headers["Content-Range"] == "bytes */1000"
    changed = await streams.read(stream_id, 0, **{"Range": "bytes=0-1", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, body)


async def test_segments_are_read_one_after_another(streams) -> None:
    bodies = [random_bytes(size) for size in (MIB + 3, 5, 2 * MIB, 7)]
    stream_id = await streams.upload(*bodies)
    whole = await streams.read_all(stream_id)
    assert (whole.status_code, whole.content) == (200, b"".join(bodies))
    assert (whole.headers["Hushtag-Segments"], int(whole.headers["Content-Length"])) == ("4", len(whole.content))
    middle = await streams.read_all(stream_id, "?first=1&count=2")
    assert middle.content == bodies[1] + bodies[2]
    assert (await streams.read_all(stream_id, "?first=9")).content == b""
    await streams.put(stream_id, 6, b"beyond a gap")
    assert (await streams.read_all(stream_id)).content == b"".join(bodies)


async def test_more_segments_than_are_looked_up_at_once(streams) -> None:
    bodies = [bytes([seq]) * (seq + 1) for seq in range(40)]
    stream_id = await streams.upload(*bodies)
    assert (await streams.read_all(stream_id)).content == b"".join(bodies)


async def test_a_put_commits_the_stream_with_its_descriptor(streams, database) -> None:
    bodies = [random_bytes(1000), random_bytes(20)]
    stream_id, object_id = await streams.upload(*bodies), uuid4()
    answer = await streams.commit(stream_id, 2, 1020, object_id=object_id)
    assert answer.status_code == 201, answer.text
    assert (await streams.listed(stream_id)).committed
    assert (await streams.read_all(stream_id)).content == b"".join(bodies)
    read = await streams.vault.get(streams.vault.url(object_id))
    assert read.headers["Hushtag-Stream"] == str(stream_id)
    listed = (await streams.vault.get(streams.vault.url() + "/objects")).json()["objects"]
    assert [entry["stream_id"] for entry in listed] == [str(stream_id)]
    for answer in (await streams.put(stream_id, 2, b"x"), await streams.end(stream_id)):
        assert (answer.status_code, answer.json()["code"]) == (409, "stream_committed")
    assert run_sql(database, "SELECT state, object_id FROM vault_streams") == [("committed", object_id)]


@pytest.mark.parametrize(("segments", "size"), [(1, 30), (3, 30), (2, 29), (2, 31), (2, 20)])
async def test_a_stream_with_other_segments_than_named_is_not_committed(streams, database, segments, size) -> None:
    stream_id = await streams.upload(b"x" * 10, b"y" * 20)
    answer = await streams.commit(stream_id, segments, size)
    assert (answer.status_code, answer.json()["code"]) == (409, "stream_incomplete")
    assert run_sql(database, "SELECT count(*) FROM vault_blobs") == [(0,)]
    assert run_sql(database, "SELECT state FROM vault_streams") == [("uploading",)]


async def test_a_stream_with_a_gap_is_not_committed(streams) -> None:
    stream_id = await streams.upload(b"x")
    await streams.put(stream_id, 2, b"z")
    answer = await streams.commit(stream_id, 2, 2)
    assert (answer.status_code, answer.json()["code"]) == (409, "stream_incomplete")
    assert (await streams.commit(uuid4(), 1, 1)).json()["code"] == "stream_incomplete"
    await streams.put(stream_id, 1, b"y")
    assert (await streams.commit(stream_id, 3, 3)).status_code == 201


async def test_a_stream_is_one_objects_alone_and_may_be_sealed_anew(streams) -> None:
    stream_id, object_id = await streams.upload(b"x"), uuid4()
    assert (await streams.commit(stream_id, 1, 1, object_id=object_id)).status_code == 201
    other = await streams.commit(stream_id, 1, 1)
    assert (other.status_code, other.json()["code"]) == (409, "stream_committed")
    assert (await streams.commit(stream_id, 1, 1, object_id=object_id, revision=2)).status_code == 200
    assert (await streams.read(stream_id, 0)).content == b"x"


async def test_the_streams_of_objects_that_are_replaced_together_end(streams, database) -> None:
    film, photo, kept = [await streams.upload(body) for body in (b"film", b"photo", b"kept")]
    ids = {name: uuid4() for name in ("film", "photo", "kept", "note")}
    for name, stream_id in (("film", film), ("photo", photo), ("kept", kept)):
        assert (await streams.commit(stream_id, 1, len(name), object_id=ids[name])).status_code == 201
    vault = streams.vault
    message = vault.several({ids["film"]: b"a still", ids["photo"]: b"words", ids["note"]: b"new"})
    assert (await vault.put_several(message)).status_code == 200
    for name, stream_id, status in (("film", film, 404), ("photo", photo, 404), ("kept", kept, 200)):
        assert (await streams.read(stream_id, 0)).status_code == status
        read = await vault.get(vault.url(ids[name]))
        assert read.headers.get("Hushtag-Stream") == (str(kept) if name == "kept" else None)
    assert (await streams.commit(film, 1, 4, object_id=ids["film"], revision=3)).status_code == 409
    left = run_sql(database, "SELECT id, object_id FROM vault_streams WHERE state = 'committed'")
    assert left == [(kept, ids["kept"])]


async def test_the_streams_of_objects_that_are_deleted_together_end(streams, database) -> None:
    vault, note = streams.vault, uuid4()
    film, photo, kept = [await streams.upload(body) for body in (b"film", b"photo", b"kept")]
    ids = {stream_id: uuid4() for stream_id in (film, photo, kept)}
    for stream_id, object_id in ids.items():
        assert (await streams.commit(stream_id, 1, 5 - (stream_id != photo), object_id=object_id)).status_code == 201
    await vault.put(note, b"beside them")
    message = vault.several_deletions([ids[film], note, ids[photo]])
    assert (await vault.delete_several(message)).status_code == 200
    for stream_id, status in ((film, 404), (photo, 404), (kept, 200)):
        assert (await streams.read(stream_id, 0)).status_code == status
        assert (await vault.get(vault.url(ids[stream_id]))).status_code == status
    left = run_sql(database, "SELECT id, object_id FROM vault_streams WHERE state = 'committed'")
    assert left == [(kept, ids[kept])]


async def test_a_conflict_commits_nothing(streams, database) -> None:
    stream_id = await streams.upload(b"x")
    answer = await streams.commit(stream_id, 1, 1, generation=7)
    assert answer.json()["code"] == "generation_conflict"
    assert run_sql(database, "SELECT state FROM vault_streams") == [("uploading",)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Hushtag_Stream": str(uuid4())},
        {"Hushtag_Stream_Segments": "1", "Hushtag_Stream_Size": "1"},
        {"Hushtag_Stream": "x", "Hushtag_Stream_Segments": "1", "Hushtag_Stream_Size": "1"},
        {"Hushtag_Stream": str(uuid4()), "Hushtag_Stream_Segments": "0", "Hushtag_Stream_Size": "1"},
        {"Hushtag_Stream": str(uuid4()), "Hushtag_Stream_Segments": "65537", "Hushtag_Stream_Size": "1"},
        {"Hushtag_Stream": str(uuid4()), "Hushtag_Stream_Segments": "1", "Hushtag_Stream_Size": "99999999999"},
    ],
)
async def test_half_a_stream_in_the_headers_is_malformed(streams, headers) -> None:
    answer = await streams.vault.put(uuid4(), b"descriptor", **headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


async def test_numbers_and_bodies_out_of_range_are_refused(streams, database) -> None:
    stream_id = uuid4()
    for seq, status in ((-1, 404), (MAX_SEGMENTS, 404), (10**30, 404)):
        answer = await streams.put(stream_id, seq, b"x")
        assert answer.status_code == status, (seq, answer.text)
    for spelt in ("00", "01", "+1"):
        assert (await streams.put(stream_id, spelt, b"x")).status_code == 404, spelt
        assert (await streams.read(stream_id, spelt)).status_code == 404, spelt
    assert (await streams.put(stream_id, MAX_SEGMENTS - 1, b"x")).status_code == 201
    empty = await streams.put(stream_id, 0, b"")
    assert (empty.status_code, empty.json()["code"]) == (400, "malformed_request")
    large = await streams.put(stream_id, 0, b"x", Content_Length=str(MAX_SEGMENT_BYTES + 1))
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")
    typed = await streams.put(stream_id, 0, b"x", Content_Type="text/plain")
    assert typed.json()["code"] == "unsupported_media_type"
    for length in ("3", "1"):
        wrong = await streams.put(stream_id, 0, b"xy", Content_Length=length)
        assert (wrong.status_code, wrong.json()["code"]) == (400, "malformed_request")
    assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(1,)]
    assert run_sql(database, "SELECT count(*) FROM vault_segments") == [(1,)]


async def test_a_body_that_is_not_of_the_digest_it_names_is_not_stored(streams, database) -> None:
    stream_id = uuid4()
    wrong = await streams.put(stream_id, 0, b"x", Hushtag_Segment_Digest=digest(b"y"))
    assert (wrong.status_code, wrong.json()["fields"][0]["field"]) == (400, "Hushtag-Segment-Digest")
    assert run_sql(database, "SELECT count(*) FROM segment_parts") == [(0,)]
    assert (await streams.put(stream_id, 0, b"x", Hushtag_Segment_Digest=digest(b"x"))).status_code == 201
    assert (await streams.put(stream_id, 0, b"x", Hushtag_Segment_Digest=digest(b"y"))).status_code == 400


async def test_what_does_not_exist_answers_alike(streams) -> None:
    stream_id = await streams.upload(b"x")
    streams_of_nobody = [await streams.read(uuid4(), 0), await streams.read_all(uuid4()), await streams.end(uuid4())]
    assert len({str(comparable(answer)) for answer in streams_of_nobody}) == 1
    assert comparable(await streams.read(stream_id, 1)) == comparable(streams_of_nobody[0])
    assert streams_of_nobody[0].status_code == 404


async def test_so_many_streams_and_no_more_are_under_way_at_once(streams) -> None:
    begun = [await streams.upload(b"x") for _ in range(MAX_UPLOADS)]
    refused = await streams.put(uuid4(), 0, b"x")
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    assert (await streams.put(begun[0], 1, b"y")).status_code == 201
    assert (await streams.end(begun[1])).status_code == 204
    assert (await streams.put(uuid4(), 0, b"x")).status_code == 201
    assert (await streams.commit(begun[0], 2, 2)).status_code == 201
    assert (await streams.put(uuid4(), 0, b"x")).status_code == 201


def _idle(database: str, stream_id: UUID, interval: str) -> None:
    statement = f"UPDATE vault_streams SET last_activity = now() - interval '{interval}' WHERE id = '{stream_id}'"
    run_sql(database, statement)


async def test_the_upload_that_was_idle_longest_gives_its_place_to_a_new_one(streams, database) -> None:
    begun = [await streams.upload(b"x") for _ in range(MAX_UPLOADS)]
    _idle(database, begun[3], "170 minutes")
    assert (await streams.put(uuid4(), 0, b"x")).json()["code"] == "limit_reached"
    _idle(database, begun[5], "4 hours")
    _idle(database, begun[7], "5 hours")
    assert (await streams.put(uuid4(), 0, b"x")).status_code == 201
    assert (await streams.put(begun[7], 1, b"y")).json()["code"] == "stream_committed"
    assert (await streams.read(begun[7], 0)).status_code == 404
    for stream_id in (begun[3], begun[5]):
        assert (await streams.put(stream_id, 1, b"y")).status_code == 201
    # Those were gone on with: they are not idle any more.
    assert (await streams.put(uuid4(), 0, b"x")).json()["code"] == "limit_reached"


async def test_a_stream_of_an_object_gives_no_place(streams, database) -> None:
    stored = await streams.upload(b"x")
    assert (await streams.commit(stored, 1, 1)).status_code == 201
    for _ in range(MAX_UPLOADS):
        await streams.upload(b"x")
    _idle(database, stored, "9 hours")
    assert (await streams.put(uuid4(), 0, b"x")).json()["code"] == "limit_reached"
    assert (await streams.read(stored, 0)).content == b"x"


async def test_one_vault_keeps_no_other_of_the_account_from_beginning(streams, sign_in, database) -> None:
    other = Streams(await open_vault(streams.client, await sign_in(streams.client)))
    for _ in range(3):
        await other.upload(b"x")
    for _ in range(MAX_UPLOADS):
        await streams.upload(b"x")
    assert (await streams.put(uuid4(), 0, b"x")).status_code == 409
    assert (await other.put(uuid4(), 0, b"x")).status_code == 201
    assert run_sql(database, "SELECT count(DISTINCT user_id), count(*) FROM vaults") == [(1, 2)]


class Held:
    """Bodies that have begun to arrive, and end when they are let go."""

    def __init__(self, streams: Streams) -> None:
        self.streams, self.release, self.tasks = streams, asyncio.Event(), []

    async def hold(self, count: int) -> None:
        """Begin so many more, each a segment of one stream."""
        arrived = asyncio.Semaphore(0)

        async def slow():
            yield b"x"
            arrived.release()
            await self.release.wait()
            yield b"y"

        stream_id = await self.streams.upload(b"z")
        for seq in range(1, count + 1):
            put = self.streams.put(stream_id, seq, slow(), Content_Length="2")
            self.tasks.append(asyncio.create_task(put))
        for _ in range(count):
            await arrived.acquire()

    async def let_go(self) -> list[int]:
        self.release.set()
        return [answer.status_code for answer in await asyncio.gather(*self.tasks)]


async def test_so_many_bodies_of_one_vault_and_no_more_are_moved_at_once(streams, sign_in) -> None:
    other = Streams(await open_vault(streams.client, await sign_in(streams.client)))
    held, stream_id = Held(streams), await streams.upload(b"z")
    await held.hold(MAX_BODIES_PER_SESSION)
    for refused in (await streams.put(stream_id, 50, b"x"), await streams.read(stream_id, 0)):
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["Retry-After"] == "1"
    assert (await other.put(uuid4(), 0, b"x")).status_code == 201  # and nobody in there learns of it
    assert await held.let_go() == [201] * MAX_BODIES_PER_SESSION
    assert (await streams.read(stream_id, 0)).content == b"z"


def test_a_worker_counts_its_bodies_and_those_of_a_session_but_none_of_an_account() -> None:
    lanes, user = Lanes(10), uuid4()
    with contextlib.ExitStack() as held:
        for number in range(MAX_BODIES - 1):  # whoever is in one vault sees nothing of the account's others
            held.enter_context(lanes.lane(user, str(number)))
        with lanes.lane(user, "another"):
            pass
        held.enter_context(lanes.lane(uuid4(), "another"))
        for somebody in (user, uuid4()):
            with pytest.raises(UnavailableError, match="too many bodies"), lanes.lane(somebody, "another"):
                pass
    with lanes.lane(user, "another"):
        pass
    assert not lanes._of_session


async def test_bodies_leave_half_of_the_connections_to_everybody_else(streams, monkeypatch) -> None:
    services, put_part, read_part = (
        streams.client.app.application.application.state["services"],
        queries.put_part,
        queries.read_part,
    )
    inside, most = 0, 0

    def counted(call):
        async def counting(*given):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            try:
                return await call(*given)
            finally:
                inside -= 1

        return counting

    monkeypatch.setattr(queries, "put_part", counted(put_part))
    monkeypatch.setattr(queries, "read_part", counted(read_part))
    stream_id, half = await streams.upload(b"x"), services.settings.pool_size // 2
    bodies = [random_bytes(3 * PART_BYTES) for _ in range(MAX_BODIES_PER_SESSION)]
    await asyncio.gather(*(streams.put(stream_id, seq, body) for seq, body in enumerate(bodies, start=1)))
    assert 0 < most <= half < MAX_BODIES_PER_SESSION
    most = 0
    reads = await asyncio.gather(*(streams.read(stream_id, seq) for seq in range(1, MAX_BODIES_PER_SESSION + 1)))
    assert [answer.content for answer in reads] == bodies
    assert 0 < most <= half
