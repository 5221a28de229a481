"""Large objects on both clients: what goes in comes out, in parts and whole, through broken connections and lies."""

import io
import os
import threading
import zipfile
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from hushtag.client import (
    ConflictError,
    ContentLostError,
    IntegrityError,
    LimitReachedError,
    MemoryUploadPages,
    RetryPolicy,
    SourceChangedError,
    TransportError,
    UnavailableError,
    UploadPageFiles,
    VaultLockedError,
    fetching_steps,
    new_file,
    storing_steps,
)
from hushtag.client.errors import ServerError
from hushtag.client.fetching_steps import ContentReader
from hushtag.client.object_file import ObjectFile
from hushtag.client.reading_steps import ReadingSteps
from hushtag.client.row_steps import FoundObject
from hushtag.client.sending_steps import segments_at_once
from hushtag.client.stream_files import ContentSource, RegularFile
from hushtag.client.upload_memory import UploadMemory
from hushtag.errors import LimitError, MalformedError, MisuseError, RollbackError, StateError
from hushtag.objects import MAX_META_BYTES
from hushtag.streams import StreamInfo, StreamShape
from hushtag.uploads import PAGE_BYTES, UPLOAD_PAGES
from tests.client.fake_server import FakeServer, FakeVault, Fault, problem
from tests.client.support import EMAIL, PASSWORD, PHRASE, Connect

SEGMENT = 64 * 1024
BODY = os.urandom(5 * SEGMENT + 1234)
OCTETS = "application/octet-stream"
SEGMENT_PATH = "/segments/[0-9]+$"
SIZES = [0, 1, storing_steps.SMALL_OBJECT_BYTES, storing_steps.SMALL_OBJECT_BYTES + 1, 5 * SEGMENT, 6 * SEGMENT - 1]


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing_steps, "SEGMENT_SIZE", SEGMENT)


@pytest.fixture
def held(server: FakeServer) -> FakeVault:
    return next(iter(server.users[EMAIL].vaults.values()))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(BODY)
    return path


def sent(server: FakeServer, method: str = "PUT") -> int:
    return sum(line.startswith(method) and "/segments/" in line for line in server.log)


@pytest.mark.parametrize("size", SIZES)
def test_content_of_any_length_comes_back_every_way(vault: Any, tmp_path: Path, size: int) -> None:
    body = os.urandom(size)
    path = tmp_path / "content"
    path.write_bytes(body)
    for number, source in enumerate((body, path, io.BytesIO(body))):
        stored = vault.put(source, name=f"object {number}")
        assert (stored.size, stored.revision) == (size, 1)
        assert vault.get(stored.object_id).body == body
        out = tmp_path / f"out {number}"
        fetched = vault.get_to(stored.object_id, out)
        assert (fetched.size, fetched.name, out.read_bytes()) == (size, f"object {number}", body)
        opened = io.BytesIO()
        vault.get_to(stored.object_id, opened)
        assert opened.getvalue() == body
    entries = vault.list()
    assert {entry.size for entry in entries} == {size}
    streamed = size > storing_steps.SMALL_OBJECT_BYTES
    assert all(not streamed or entry.stored_size == StreamShape(size, SEGMENT).sealed_size for entry in entries)


def test_the_server_sees_padded_lengths_alone(vault: Any, held: FakeVault) -> None:
    for extra in (1, 100):
        vault.put(bytes(5 * SEGMENT + extra), name="a")
    lengths = [sorted(map(len, stream.segments.values())) for stream in held.streams.values()]
    assert lengths[0] == lengths[1]


def test_a_listing_reads_descriptors_and_no_segment(vault: Any, server: FakeServer) -> None:
    vault.put(BODY, name="film")
    server.log.clear()
    assert [entry.name for entry in vault.list()] == ["film"]
    assert sent(server, "GET") == 0


def test_replacing_and_deleting_free_the_stream(vault: Any, held: FakeVault) -> None:
    stored = vault.put(BODY, name="film")
    first = set(held.streams)
    vault.put(BODY[::-1], name="film", replace=stored.object_id)
    assert len(held.streams) == 1
    assert set(held.streams) != first
    vault.put(b"short", name="film", replace=stored.object_id)
    assert held.streams == {}
    vault.put(BODY, name="film", replace=stored.object_id)
    assert vault.get(stored.object_id).body == BODY
    vault.delete(stored.object_id)
    assert held.streams == {}


def test_progress_counts_every_byte_once(vault: Any, film: Path, tmp_path: Path) -> None:
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    stored = vault.put(film, on_progress=lambda done, total: up.append((done, total)))
    vault.get_to(stored.object_id, tmp_path / "out", on_progress=lambda done, total: down.append((done, total)))
    for told in (up, down):
        assert [done for done, _ in told] == sorted(done for done, _ in told)
        assert told[-1] == (len(BODY), len(BODY))


# --- an object as a file --------------------------------------------------------------------------------------


def test_an_object_reads_like_a_file_and_fetches_what_is_read(vault: Any, server: FakeServer) -> None:
    stored = vault.put(BODY, name="film")
    file = vault.open(stored.object_id)
    assert (file.size, file.name, file.object_id) == (len(BODY), "film", stored.object_id)
    server.log.clear()
    assert file.seek(3 * SEGMENT + 5) == 3 * SEGMENT + 5
    assert file.read(100) == BODY[3 * SEGMENT + 5 :][:100]
    assert file.read(100) == BODY[3 * SEGMENT + 105 :][:100]
    assert sent(server, "GET") == 2  # the index, and what is read
    assert file.tell() == 3 * SEGMENT + 205
    file.seek(-10, os.SEEK_END)
    assert file.read() == BODY[-10:]
    assert file.read() == b""
    assert sent(server, "GET") == 3
    file.seek(2 * SEGMENT - 3)
    assert file.read(6) == BODY[2 * SEGMENT - 3 :][:6]
    file.seek(0)
    assert file.read() == BODY
    with pytest.raises(ValueError, match="beginning"):
        file.seek(-1)
    file.close()
    for call in (lambda: file.read(1), lambda: file.seek(0), file.tell, file.readable, file.seekable):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_lines_of_an_object_are_not_read_byte_by_byte(sync_vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look ahead Python reads a line so; a megabyte of log took eight seconds."""
    body = b"".join(b"%d\n" % number * 100 for number in range(10_000))
    file = sync_vault.open(sync_vault.put(body, name="log").object_id)
    read_at, asked = ContentReader.read_at, 0

    def counted(self: ContentReader, offset: int, length: int) -> Any:
        nonlocal asked
        asked += 1
        return read_at(self, offset, length)

    monkeypatch.setattr(ContentReader, "read_at", counted)
    file.seek(len(body) - 200_000)
    assert file.peek() == body[-200_000:][: len(file.peek())] != b""
    lines = list(file)
    assert lines == body[-200_000:].splitlines(keepends=True)
    assert asked < 4 * len(lines)
    assert file.peek() == file.readline() == b""


def test_a_read_that_failed_read_nothing(vault: Any, server: FakeServer) -> None:
    file = vault.open(vault.put(BODY, name="film").object_id)
    file.seek(SEGMENT - 10)
    server.faults = [Fault("GET", "/segments/1$", times=10_000)]
    with pytest.raises(TransportError):
        file.read(20)
    assert file.tell() == SEGMENT - 10
    server.faults = []
    room = bytearray(20)
    assert (file.readinto(room), bytes(room)) == (20, BODY[SEGMENT - 10 :][:20])
    assert file.readall() == BODY[SEGMENT + 10 :]
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 7)


def test_an_archive_in_the_vault_opens_without_the_rest(sync_vault: Any, server: FakeServer, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(8):
            archive.writestr(f"{number}.raw", os.urandom(SEGMENT))
    stored = sync_vault.put(path)
    server.log.clear()
    with sync_vault.open(stored.object_id) as file, zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 8
        with zipfile.ZipFile(path) as original:
            assert archive.read("5.raw") == original.read("5.raw")
    assert sent(server, "GET") <= 4


def test_a_file_of_a_locked_vault_reads_nothing_more(vault: Any) -> None:
    file = vault.open(vault.put(BODY, name="film").object_id)
    file.read(10)
    vault.lock()
    with pytest.raises(VaultLockedError):
        file.read(10)


def test_a_put_ends_where_the_vault_is_locked(vault: Any, server: FakeServer) -> None:
    tag = getattr(vault, "_wrapped", vault)._tag
    count = 0

    def lock(request: httpx.Request) -> None:
        nonlocal count
        if request.method == "PUT" and "/segments/" in request.url.path:
            count += 1
            tag.end()

    server.on_request = lock
    with pytest.raises(VaultLockedError):
        vault.put(os.urandom(60 * SEGMENT), name="film")
    assert count <= segments_at_once(SEGMENT, 60)


def test_a_locked_vault_keeps_nothing_of_what_was_read(vault: Any) -> None:
    file = vault.open(vault.put(BODY, name="film").object_id)
    file.read(10)
    reader = getattr(file, "_wrapped", file)._reader
    assert reader._cached is not None
    small = vault.open(vault.put(b"small", name="small").object_id)
    inner = getattr(small, "_wrapped", small)._reader
    assert small.read(10) == b"small"
    vault.lock()
    assert reader._cached is None
    for each in (reader, inner):
        assert not [value for value in vars(each).values() if isinstance(value, FoundObject | StreamInfo)]


@pytest.mark.parametrize("end", ["lock", "close"])
def test_what_is_forgotten_while_a_segment_comes_is_neither_kept_nor_given_out(
    sync_vault: Any, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Another thread may lock the vault when a segment is vouched for already."""
    file = sync_vault.open(sync_vault.put(BODY, name="film").object_id)
    vouch = ContentReader.vouch

    def vouch_and_end(self: ContentReader, fetched: Any) -> memoryview:
        plain = vouch(self, fetched)
        if fetched.seq == 0:
            sync_vault.lock() if end == "lock" else file._reader.forget()
        return plain

    monkeypatch.setattr(ContentReader, "vouch", vouch_and_end)
    with pytest.raises(StateError):
        file.read(10)
    assert (file._reader._cached, file._reader._index) == (None, None)


def test_what_is_opened_while_the_vault_is_locked_is_not_open(sync_vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may lock the vault when the row is there already."""
    stored = sync_vault.put(b"small", name="small")
    find = sync_vault._find
    monkeypatch.setattr(sync_vault, "_find", lambda object_id: (find(object_id), sync_vault.lock())[0])
    with pytest.raises(VaultLockedError):
        sync_vault.open(stored.object_id)


def test_a_segment_that_arrived_otherwise_than_it_was_sent_is_noticed(vault: Any, server: FakeServer) -> None:
    digests: list[str] = []

    def lie(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "PUT" and "/segments/" in request.url.path:
            digests.append(request.headers["hushtag-segment-digest"])
            content = response.content.replace(digests[-1].encode(), b"A" * 43)
            return httpx.Response(201, content=content, headers={"Content-Type": "application/json"})
        return response

    server.rewrite = lie
    with pytest.raises(MalformedError):
        vault.put(BODY, name="film")
    assert digests


def test_what_is_too_large_for_memory_is_said(vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = vault.put(BODY, name="film")
    monkeypatch.setattr(fetching_steps, "MAX_IN_MEMORY", 1000)
    with pytest.raises(LimitError, match="get_to or open"):
        vault.get(stored.object_id)


# --- broken connections ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_segments_are_sent_again_after_a_broken_connection(vault: Any, server: FakeServer, when: str) -> None:
    server.faults = [
        Fault("PUT", SEGMENT_PATH, when=when, times=2),
        Fault("PUT", SEGMENT_PATH, answer=problem(503, "unavailable")),
        Fault("PUT", SEGMENT_PATH, failure=httpx.ReadTimeout, when=when),
    ]
    stored = vault.put(BODY, name="film")
    server.faults = [
        Fault("GET", SEGMENT_PATH, failure=httpx.RemoteProtocolError, times=2),
        Fault("GET", SEGMENT_PATH, answer=problem(503, "unavailable")),
    ]
    assert vault.get(stored.object_id).body == BODY


HTML = httpx.Response(408, content=b"<html>", headers={"Content-Type": "text/html"})
PASSING = [problem(429, "too_many_streams", retry_after=0), HTML, httpx.Response(507), httpx.Response(500)]


@pytest.mark.parametrize("passing", PASSING, ids=lambda each: str(each.status_code))
def test_other_transfers_and_proxies_do_not_end_one(vault: Any, server: FakeServer, passing: httpx.Response) -> None:
    server.faults = [Fault("PUT", SEGMENT_PATH, answer=passing, times=3)]
    stored = vault.put(BODY, name="film")
    server.faults = [Fault("GET", SEGMENT_PATH, answer=passing, times=3)]
    assert vault.get(stored.object_id).body == BODY
    server.faults = [Fault("GET", SEGMENT_PATH, answer=passing, times=10_000)]
    with pytest.raises(UnavailableError):
        vault.get(stored.object_id)


def test_a_pause_is_as_long_as_the_server_asks_within_bounds() -> None:
    retry = RetryPolicy()
    asked = [UnavailableError("later", retry_after=seconds) for seconds in (None, 7, 10**9)]
    assert retry.wait_for(0, asked[0]) <= 0.1
    assert retry.wait_for(0, asked[1]) == 7
    assert retry.wait_for(0, asked[2]) == retry.longest_wait


def test_memory_is_bounded_by_the_bytes_of_segments_at_once() -> None:
    mib = 1024 * 1024
    assert [segments_at_once(size * mib, 99) for size in (1, 4, 8, 16)] == [4, 4, 2, 1]
    assert segments_at_once(4 * mib, 3) == 3


def test_a_connection_that_stays_broken_ends_the_put_and_nothing_is_visible(
    vault: Any, server: FakeServer, film: Path
) -> None:
    server.faults = [Fault("PUT", SEGMENT_PATH, times=10_000)]
    with pytest.raises(TransportError):
        vault.put(film)
    server.faults = []
    assert vault.list() == ()
    assert vault.put(film).size == len(BODY)


def test_a_refusal_ends_the_put_and_frees_what_was_sent(vault: Any, server: FakeServer, held: FakeVault) -> None:
    server.faults = [Fault("PUT", "/segments/3$", answer=problem(413, "vault_full"))]
    with pytest.raises(LimitReachedError):
        vault.put(BODY, name="film")
    assert held.streams == {}
    assert vault.list() == ()


def interrupted_at(server: FakeServer, number: int, failure: type[BaseException]) -> Callable[[httpx.Request], None]:
    def interrupt(_: httpx.Request) -> None:
        if sent(server) >= number:
            server.on_request = None
            raise failure

    return interrupt


def test_an_interrupted_put_that_nobody_can_go_on_with_frees_what_was_sent(
    sync_vault: Any, server: FakeServer, held: FakeVault
) -> None:
    server.on_request = interrupted_at(server, 3, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        sync_vault.put(BODY, name="film")
    assert held.streams == {}
    assert sync_vault.put(BODY, name="film").size == len(BODY)


def test_what_a_broken_line_left_is_given_up_with_the_next_large_put(
    vault: Any, server: FakeServer, held: FakeVault
) -> None:
    for _ in range(2):
        server.faults = [Fault("PUT", "/segments/[3-9]$", times=10_000), Fault("DELETE", "/streams/", times=10_000)]
        with pytest.raises(TransportError):
            vault.put(BODY, name="film")
        server.faults = []
    assert len(held.streams) == 2
    stored = vault.put(BODY, name="film")
    assert [stream.owner for stream in held.streams.values()] == [stored.object_id]


def test_a_file_that_changed_while_it_was_read_leaves_nothing_even_where_puts_are_remembered(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    vault = reopened(connect, pages)

    def grow(_: httpx.Request) -> None:
        if sent(server) >= 2:
            server.on_request = None
            film.write_bytes(BODY + b"more")

    server.on_request = grow
    with pytest.raises(SourceChangedError):
        vault.put(film)
    assert held.streams == {}
    assert vault.get(vault.put(film).object_id).body == BODY + b"more"


def test_a_failure_of_one_worker_ends_all_at_once(vault: Any, server: FakeServer) -> None:
    server.faults = [Fault("PUT", SEGMENT_PATH, answer=problem(413, "vault_full"))]
    server.log.clear()
    with pytest.raises(LimitReachedError):
        vault.put(os.urandom(60 * SEGMENT), name="film")
    assert sent(server) < 12


# --- taken up again -------------------------------------------------------------------------------------------


class KilledError(Exception):
    """The client is gone, from one request to the next."""


def killed_at(server: FakeServer, number: int) -> Callable[[httpx.Request], None]:
    count = 0

    def kill(request: httpx.Request) -> None:
        nonlocal count
        if request.method == "PUT" and "/segments/" in request.url.path:
            count += 1
            if count > number:
                raise KilledError

    return kill


@pytest.fixture
def pages(tmp_path: Path) -> UploadPageFiles:
    return UploadPageFiles(tmp_path / "state")


def begin(connect: Connect, server: FakeServer, pages: Any, film: Path, at: int) -> None:
    """Put a film and be killed when so many segments are sent."""
    client = connect(upload_pages=pages)
    client.log_in(EMAIL, PASSWORD)
    vault = client.unlock(PHRASE)
    server.on_request = killed_at(server, at)
    with pytest.raises(KilledError):
        vault.put(film)
    server.on_request = None


def reopened(connect: Connect, pages: Any) -> Any:
    client = connect(upload_pages=pages)
    client.log_in(EMAIL, PASSWORD)
    return client.unlock(PHRASE)


@pytest.mark.parametrize("done", [4, 6, 7], ids=["in between", "before the index", "with the index"])
def test_a_killed_put_goes_on_where_it_was(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path, done: int
) -> None:
    server.faults = [Fault("PUT", "/objects/", answer=problem(409, "stream_incomplete"))] if done == 7 else []
    if done == 7:
        with pytest.raises(ServerError):
            reopened(connect, pages).put(film)
        server.faults = []
    else:
        begin(connect, server, pages, film, done)
    stream_id, stream = next(iter(held.streams.items()))
    before = dict(stream.segments)
    assert len(before) == done
    assert held.objects == {}
    vault = reopened(connect, pages)
    server.log.clear()
    stored = vault.put(film)
    assert set(held.streams) == {stream_id}
    assert all(held.streams[stream_id].segments[seq] == sealed for seq, sealed in before.items())
    assert sent(server) == StreamShape(len(BODY), SEGMENT).places - done
    assert vault.get(stored.object_id).body == BODY
    assert len(vault.list()) == 1


def test_a_file_that_changed_since_is_begun_anew(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    """Also one that looks as before: in one stream each place has one plaintext, for ever."""
    begin(connect, server, pages, film, 4)
    first = set(held.streams)
    looks = film.stat()
    film.write_bytes(BODY[:SEGMENT] + bytes([BODY[SEGMENT] ^ 1]) + BODY[SEGMENT + 1 :])
    os.utime(film, ns=(looks.st_atime_ns, looks.st_mtime_ns))
    vault = reopened(connect, pages)
    stored = vault.put(film)
    assert not first & set(held.streams)
    assert vault.get(stored.object_id).body == film.read_bytes()


def test_a_server_that_hides_the_index_gets_the_same_again(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    begin(connect, server, pages, film, 6)
    vault = reopened(connect, pages)
    first = next(iter(held.streams))

    def hide(request: httpx.Request) -> None:
        if request.method == "PUT" and "/objects/" in request.url.path:
            raise KilledError

    server.on_request = hide
    with pytest.raises(KilledError):
        vault.put(film)
    del held.streams[first].segments[6]
    server.on_request = None
    again = reopened(connect, pages)
    server.log.clear()
    stored = again.put(film)
    assert set(held.streams) == {first}
    assert sent(server) == 1
    assert again.get(stored.object_id).body == BODY


def test_a_server_that_hides_a_segment_gets_no_second_plaintext_for_it(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    begin(connect, server, pages, film, 4)
    looks, (first, stream) = film.stat(), next(iter(held.streams.items()))
    stream.segments.clear()
    film.write_bytes(BODY[::-1])
    os.utime(film, ns=(looks.st_atime_ns, looks.st_mtime_ns))
    vault = reopened(connect, pages)
    server.log.clear()
    assert vault.get(vault.put(film).object_id).body == BODY[::-1]
    assert not any("PUT" in line and str(first) in line and "/segments/" in line for line in server.log)


def test_a_put_that_was_killed_after_it_was_stored_is_stored_once(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    client = connect(upload_pages=pages)
    client.log_in(EMAIL, PASSWORD)
    vault = client.unlock(PHRASE)

    def kill(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "PUT" and "/objects/" in request.url.path:
            raise KilledError
        return response

    server.rewrite = kill
    with pytest.raises(KilledError):
        vault.put(film)
    server.rewrite = None
    assert len(held.objects) == 1
    again = reopened(connect, pages)
    server.log.clear()
    stored = again.put(film)
    assert set(held.objects) == {stored.object_id}
    assert sent(server) == 0
    assert again.get(stored.object_id).body == BODY
    assert again.put(film).object_id != stored.object_id  # the next put is one of its own


def test_a_put_that_was_killed_after_it_was_stored_and_deleted_since_is_another_object(
    connect: Connect, server: FakeServer, held: FakeVault, film: Path
) -> None:
    """Ids are never used again: a device that has pinned the deleted object would call its return a rollback."""
    pages = MemoryUploadPages()
    vault = reopened(connect, pages)

    def kill(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "PUT" and "/objects/" in request.url.path:
            raise KilledError
        return response

    server.rewrite = kill
    with pytest.raises(KilledError):
        vault.put(film)
    server.rewrite = None
    vault = reopened(connect, pages)
    (entry,) = vault.list()
    vault.delete(entry.object_id)
    assert held.streams == {}
    stored = reopened(connect, pages).put(film)
    assert stored.object_id != entry.object_id
    assert vault.get(stored.object_id).body == BODY


def test_looking_for_what_was_stored_before_is_no_change_beside_another(
    connect: Connect, server: FakeServer, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing that tells whether a killed put was stored takes the vault's turn, as every other does."""
    pages = MemoryUploadPages()
    vault = reopened(connect, pages)

    def kill(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "PUT" and "/objects/" in request.url.path:
            raise KilledError
        return response

    server.rewrite = kill
    with pytest.raises(KilledError):
        vault.put(film)
    server.rewrite = None
    vault = reopened(connect, pages)
    turn = getattr(vault, "_wrapped", vault)._turn
    settle, held = ReadingSteps._settle, []
    monkeypatch.setattr(ReadingSteps, "_settle", lambda *args: (held.append(turn.locked()), settle(*args))[1])
    assert vault.get(vault.put(film).object_id).body == BODY
    assert held == [True]


class BrokenPages(MemoryUploadPages):
    """Pages on a disk that is full once something is stored."""

    broken = False

    def renew(self) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")


def test_a_put_that_is_stored_succeeds_whatever_becomes_of_its_page(
    connect: Connect, held: FakeVault, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = BrokenPages()
    vault = reopened(connect, pages)
    pages.broken = True
    threads: set[threading.Thread] = set()

    def fail(_: object) -> None:
        threads.add(threading.current_thread())
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(UploadMemory, "done", fail)
    stored = vault.put(film)
    assert set(held.objects) == {stored.object_id}
    if hasattr(vault, "_portal"):
        assert vault._portal.call(threading.current_thread) not in threads
    assert len(list(pages.free())) == UPLOAD_PAGES  # none is kept


def test_what_the_server_has_collected_is_sent_again(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    begin(connect, server, pages, film, 4)
    held.streams.clear()
    vault = reopened(connect, pages)
    assert vault.get(vault.put(film).object_id).body == BODY


def test_a_segment_that_arrives_late_is_no_conflict(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    """What the killed client had sent last is stored after its successor asked what is there."""
    begin(connect, server, pages, film, 4)
    stream = next(iter(held.streams.values()))
    number = max(stream.segments)  # not always the third: several were under way when it died
    late = stream.segments.pop(number)
    vault = reopened(connect, pages)

    def arrive(request: httpx.Request) -> None:
        if request.method == "PUT" and "/segments/" in request.url.path:
            server.on_request = None
            stream.segments[number] = late

    server.on_request = arrive
    assert vault.get(vault.put(film).object_id).body == BODY


def test_two_puts_of_one_file_at_once_take_two_streams(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    one, two = reopened(connect, pages), reopened(connect, pages)
    results: list[UUID] = []
    threads = [threading.Thread(target=lambda v=v: results.append(v.put(film).object_id)) for v in (one, two)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(results)) == len(held.streams) == 2
    one.list()
    assert [one.get(object_id).body == BODY for object_id in results] == [True, True]


def test_pages_tell_nothing_and_are_all_alike(tmp_path: Path, connect: Connect, server: FakeServer, film: Path) -> None:
    directory = tmp_path / "state"
    pages = UploadPageFiles(directory)
    client = connect(upload_pages=pages)
    client.log_in(EMAIL, PASSWORD)
    made = {path.name: path.stat().st_size for path in directory.iterdir() if path.name != "uploads.lock"}
    assert made == {f"uploads-{number}": PAGE_BYTES for number in range(UPLOAD_PAGES)}
    begin(connect, server, pages, film, 4)
    times = {path.stat().st_mtime for path in directory.glob("uploads-*")}
    assert max(times) - min(times) < 1
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        content = path.read_bytes()
        assert b"film" not in content
        assert not content or len(set(content[:4096])) > 200  # nothing but noise


def test_a_directory_at_the_place_of_a_page_is_left_alone(tmp_path: Path) -> None:
    pages = UploadPageFiles(tmp_path / "state")
    (tmp_path / "state").mkdir(0o700)
    (tmp_path / "state" / "uploads-0").mkdir()
    pages.renew()
    found = list(pages.free())
    assert len(found) == UPLOAD_PAGES - 1
    for page in found:
        page.close()
    assert (tmp_path / "state" / "uploads-0").is_dir()


@pytest.mark.parametrize("damage", ["gone", "short", "open to others"])
def test_a_damaged_page_is_made_anew(tmp_path: Path, damage: str) -> None:
    pages = UploadPageFiles(tmp_path / "state")
    pages.renew()
    path = tmp_path / "state" / "uploads-1"
    before = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "short":
        path.write_bytes(b"short")
    else:
        path.chmod(0o644)
    found = list(pages.free())
    assert len(found) == UPLOAD_PAGES
    assert path.stat().st_size == PAGE_BYTES
    assert path.read_bytes() != before
    assert list(pages.free()) == []  # all are in use
    for page in found:
        page.close()
    assert len(list(MemoryUploadPages().free())) == UPLOAD_PAGES


# --- sources and targets --------------------------------------------------------------------------------------


def test_a_file_that_grows_or_shrinks_while_it_is_read_is_refused(
    vault: Any, server: FakeServer, film: Path, held: FakeVault
) -> None:
    for change in (lambda: film.write_bytes(BODY + b"more"), lambda: os.truncate(film, len(BODY) - SEGMENT)):
        film.write_bytes(BODY)
        server.on_request = lambda _, change=change: (setattr(server, "on_request", None), change())  # type: ignore[misc]
        with pytest.raises(SourceChangedError):
            vault.put(film)
        assert held.streams == {}
    assert vault.list() == ()


def test_what_cannot_be_put_is_refused_before_anything_is_sent(
    vault: Any, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.log.clear()
    for source, name in ((b"bytes", None), (io.BytesIO(b"a"), None), ("a path as text", "a"), (7, "a")):
        with pytest.raises(MisuseError):
            vault.put(source, name=name)
    with pytest.raises(MisuseError, match="binary"):
        vault.put(io.StringIO("text"), name="a")
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(64 * 1024**3 + 1)
    with pytest.raises(LimitError):
        vault.put(huge)
    with pytest.raises(FileNotFoundError):
        vault.put(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError) as error:
        vault.put(tmp_path)
    assert error.value.filename == str(tmp_path)
    assert server.log == []


class Ending(io.BytesIO):
    """An adapter around an iterator, as they are written: its end is StopIteration."""

    def read(self, size: int | None = -1, /) -> bytes:
        return next(iter([super().read(size)] if self.tell() < len(self.getvalue()) else []))


class Awaited(io.BytesIO):
    """A file of another library's for event loops."""

    async def read(self, size: int | None = -1, /) -> bytes:  # type: ignore[override]
        return super().read(size)

    async def write(self, piece: Any, /) -> int:  # type: ignore[override]
        return super().write(piece)


class Greedy:
    """Reads that give more than was asked for."""

    def read(self, size: int) -> bytes:
        return bytes(size + 1)


def test_a_source_that_reads_otherwise_than_a_file_is_refused(vault: Any) -> None:
    for length in (1000, storing_steps.SMALL_OBJECT_BYTES * 2):
        with pytest.raises(MisuseError, match="StopIteration"):
            vault.put(Ending(b"a" * length), name="a")
    with pytest.raises(MisuseError, match="at most"):
        vault.put(Greedy(), name="a")
    with pytest.raises(MisuseError, match="gives what must be awaited, not bytes"):
        vault.put(Awaited(b"a"), name="a")
    assert vault.list() == ()


@pytest.mark.parametrize("length", [1000, 9 * SEGMENT])
def test_a_target_that_queues_what_it_is_given_has_the_content(vault: Any, length: int) -> None:
    """Segments are opened where others were: what was given out of them became others."""
    queued: list[Any] = []

    class Queue:
        def write(self, piece: Any) -> int:
            queued.append(piece)
            return len(piece)

    body = os.urandom(length)
    stored = vault.put(body, name="film")
    vault.get_to(stored.object_id, Queue())
    assert b"".join(queued) == body


def test_a_target_that_tells_something_else_than_how_much_it_took_is_refused(vault: Any) -> None:
    class Odd:
        def __init__(self, told: Any) -> None:
            self._told = told

        def write(self, piece: Any) -> Any:
            return self._told

    stored = vault.put(b"body", name="letter")
    with pytest.raises(MisuseError, match="returns what must be awaited"):
        vault.get_to(stored.object_id, Awaited())
    for told in (-1, 5, "4"):
        with pytest.raises(MisuseError, match=r"^the target"):
            vault.get_to(stored.object_id, Odd(told))
    with pytest.raises(BlockingIOError):
        vault.get_to(stored.object_id, Odd(None))


def test_bytes_that_lie_scattered_are_put_in_their_order(vault: Any) -> None:
    scattered, empty = memoryview(b"a-b-c-")[::2], memoryview(array("I"))
    assert vault.get(vault.put(scattered, name="a").object_id).body == b"abc"
    assert vault.get(vault.put(empty, name="b").object_id).body == b""


def test_a_target_that_is_no_binary_file_is_refused_before_anything_is_asked_for(
    vault: Any, client: Any, server: FakeServer
) -> None:
    stored = vault.put(BODY, name="film")
    server.log.clear()
    for target in (io.StringIO(), b"path", 7):
        with pytest.raises(MisuseError, match="binary"):
            vault.get_to(stored.object_id, target)
        with pytest.raises(MisuseError, match="binary"):
            client.export_data(target)
    with pytest.raises(MisuseError, match="binary"):
        client.import_data(7)
    assert server.log == []


def test_a_place_in_an_object_is_a_whole_number(vault: Any) -> None:
    file = vault.open(vault.put(BODY, name="film").object_id)
    with pytest.raises(TypeError):
        file.seek(len(BODY) / 2)
    with pytest.raises(TypeError):
        file.read(2.5)
    assert file.read(10) == BODY[:10]


def test_a_get_leaves_a_whole_file_or_what_was_there(vault: Any, server: FakeServer, tmp_path: Path) -> None:
    stored, out = vault.put(BODY, name="film"), tmp_path / "out"
    out.write_bytes(b"precious")
    with pytest.raises(MisuseError, match="exists"):
        vault.get_to(stored.object_id, out)
    server.faults = [Fault("GET", "/segments/4$", answer=problem(404, "not_found"), times=99)]
    with pytest.raises(RollbackError):
        vault.get_to(stored.object_id, out, force=True)
    assert out.read_bytes() == b"precious"
    server.faults = []
    vault.get_to(stored.object_id, out, force=True)
    assert out.read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_lost_segment_is_asked_for_once_and_told_as_lost(vault: Any, server: FakeServer, tmp_path: Path) -> None:
    stored, out = vault.put(BODY, name="film"), tmp_path / "out"
    server.faults = [Fault("GET", "/segments/1$", answer=problem(410, "segment_lost"), times=99)]
    server.log.clear()
    with pytest.raises(ContentLostError, match="lost bytes of this object"):
        vault.get_to(stored.object_id, out)
    assert sum(line.endswith("/segments/1") for line in server.log) == 1
    assert not out.exists()
    with vault.open(stored.object_id) as file:
        assert file.read(10) == BODY[:10]  # of another segment


def test_a_segment_that_breaks_off_is_asked_for_from_there(vault: Any, server: FakeServer, tmp_path: Path) -> None:
    stored, asked = vault.put(BODY, name="film"), dict[str, list[str | None]]()

    def cut(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if "/segments/" not in request.url.path:
            return response
        seq = request.url.path.rpartition("/")[2]
        asked.setdefault(seq, []).append(request.headers.get("range"))
        if seq == "2" and "range" in request.headers:  # a server need not know ranges
            del request.headers["range"]
            return server._respond(request)
        headers = {name: response.headers[name] for name in response.headers if name != "content-length"}
        return httpx.Response(response.status_code, content=response.content[:30_000], headers=headers)

    server.rewrite = cut
    vault.get_to(stored.object_id, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == BODY
    assert asked["0"] == [None, "bytes=30000-", "bytes=60000-"]
    assert asked["2"] == [None, "bytes=30000-"]


def test_a_segment_that_breaks_off_where_its_bytes_are_lost_is_told_as_lost(vault: Any, server: FakeServer) -> None:
    stored = vault.put(BODY, name="film")

    def lose(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if not request.url.path.endswith("/segments/1"):
            return response
        if request.headers.get("range") == "bytes=30000-":
            return problem(410, "segment_lost")
        return httpx.Response(200, content=response.content[:30_000], headers={"Content-Type": OCTETS})

    server.rewrite = lose
    server.log.clear()
    with pytest.raises(ContentLostError):
        vault.get(stored.object_id)
    assert sum(line.endswith("/segments/1") for line in server.log) == 2


def test_a_get_that_cannot_succeed_asks_for_nothing(vault: Any, server: FakeServer, tmp_path: Path) -> None:
    stored = vault.put(BODY, name="film")
    (tmp_path / "out").write_bytes(b"precious")
    server.log.clear()
    with pytest.raises(MisuseError, match="exists"):
        vault.get_to(stored.object_id, tmp_path / "out")
    assert server.log == []


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("nameless", [True, False])
def test_a_get_shows_nothing_before_it_is_whole(
    sync_vault: Any, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool, force: bool
) -> None:
    """A file without a name is gone with whoever is killed; where there is none, it is beside its place."""
    if not nameless:
        monkeypatch.setattr(new_file, "_open_nameless", lambda _: None)
    stored, out, seen = sync_vault.put(BODY, name="film"), tmp_path / "films" / "out", list[int]()
    out.parent.mkdir()
    server.on_request = lambda request: seen.append(len(list(out.parent.iterdir())))
    sync_vault.get_to(stored.object_id, out, force=force)
    server.on_request = None
    assert set(seen[2:]) == {0 if nameless else 1}
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (BODY, 0o600)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_found_file_that_became_a_link_or_a_pipe_is_not_put(vault: Any, tmp_path: Path, film: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(film)
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="symbolic links"):
        vault.put(RegularFile(link))
    with pytest.raises(MisuseError, match="regular"):
        vault.put(RegularFile(pipe))
    assert vault.put(RegularFile(film)).size == len(BODY)


def test_an_object_replaced_while_it_is_read_is_a_conflict(connect: Connect, vault: Any, server: FakeServer) -> None:
    stored = vault.put(BODY, name="film")
    file = vault.open(stored.object_id)
    other = connect()
    other.log_in(EMAIL, PASSWORD)
    elsewhere = other.unlock(PHRASE)
    elsewhere.list()
    elsewhere.put(BODY[::-1], name="film", replace=stored.object_id)
    with pytest.raises(ConflictError):
        file.read(1)
    assert vault.get(stored.object_id).body == BODY[::-1]


def test_an_own_change_while_an_object_is_read_is_no_rollback(vault: Any, held: FakeVault) -> None:
    """Neither is a server accused by it that keeps its part, nor does it excuse one that does not."""
    kept, stored = vault.put(BODY, name="kept"), vault.put(BODY, name="film")
    files = [vault.open(each.object_id) for each in (kept, stored)]
    vault.put(BODY[::-1], name="film", replace=stored.object_id)
    with pytest.raises(ConflictError):
        files[1].read(1)
    del held.streams[held.stream_of(kept.object_id)]  # type: ignore[arg-type]
    with pytest.raises(RollbackError):
        files[0].read(1)


def test_an_own_replace_between_row_and_segments_is_no_rollback(sync_vault: Any, server: FakeServer) -> None:
    stored = sync_vault.put(BODY, name="film")
    found = sync_vault._find(stored.object_id)
    sync_vault.put(BODY[::-1], name="film", replace=stored.object_id)
    file = ObjectFile(sync_vault._driver, sync_vault._steps.reader(found))
    with pytest.raises(ConflictError):
        file.read(1)


# --- a server that lies ---------------------------------------------------------------------------------------


def lie(held: FakeVault, name: str, other: dict[int, bytes]) -> None:
    segments = next(stream for stream in held.streams.values() if len(stream.segments) > 3).segments
    match name:
        case "swapped":
            segments[1], segments[2] = segments[2], segments[1]
        case "duplicated":
            segments[2] = segments[1]
        case "replaced":
            segments[1] = other[1]
        case "cut":
            segments[1] = segments[1][:-1]
        case "extended":
            segments[1] += b"\0"
        case "last one dropped":
            del segments[max(segments)]
        case "one byte":
            segments[1] = segments[1][:-1] + bytes([segments[1][-1] ^ 1])
        case "emptied":
            segments[1] = b""


LIES = ["swapped", "duplicated", "replaced", "cut", "extended", "last one dropped", "one byte", "emptied"]


@pytest.mark.parametrize("name", LIES)
def test_no_lie_about_segments_is_believed(vault: Any, held: FakeVault, tmp_path: Path, name: str) -> None:
    stored = vault.put(BODY, name="film")
    other = vault.put(BODY[::-1], name="other")
    streams = {stream.owner: stream for stream in held.streams.values()}
    mine = streams[stored.object_id].segments
    theirs = dict(streams[other.object_id].segments)
    held.streams = {key: stream for key, stream in held.streams.items() if stream.owner == stored.object_id}
    lie(held, name, theirs)
    assert mine is next(iter(held.streams.values())).segments
    refused = (IntegrityError, MalformedError, RollbackError, TransportError)
    with pytest.raises(refused):
        vault.get(stored.object_id)
    with pytest.raises(refused):
        vault.get_to(stored.object_id, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    file = vault.open(stored.object_id)
    with pytest.raises(refused):
        file.read()


def test_what_is_behind_the_content_is_nothing(vault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where whoever put it put something there: two clients would take it for two contents."""
    finish = storing_steps.StoringSteps.finish_put

    def shortened(self: Any, putting: Any) -> Any:
        putting.size -= 1
        return finish(self, putting)

    monkeypatch.setattr(storing_steps.StoringSteps, "finish_put", shortened)
    body = BODY[:-1] + b"\1"
    stored = vault.put(body, name="film")
    for read in (lambda: vault.get(stored.object_id), lambda: vault.get_to(stored.object_id, tmp_path / "out")):
        with pytest.raises(MalformedError, match="padding"):
            read()
    assert list(tmp_path.iterdir()) == []
    file = vault.open(stored.object_id)
    assert file.read(SEGMENT) == body[:SEGMENT]
    file.seek(-1, os.SEEK_END)
    with pytest.raises(MalformedError, match="padding"):
        file.read(1)


def test_a_listing_or_row_that_names_another_stream_is_refused(vault: Any, server: FakeServer) -> None:
    vault.put(BODY, name="film")
    stored = vault.put(b"small", name="note")

    def rename(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith(str(stored.object_id)):
            response.headers["hushtag-stream"] = str(uuid4())
        return response

    server.rewrite = rename
    with pytest.raises(IntegrityError):
        vault.get(stored.object_id)


def test_a_listing_of_segments_that_is_none_is_refused(
    connect: Connect, server: FakeServer, pages: Any, film: Path
) -> None:
    begin(connect, server, pages, film, 4)
    vault = reopened(connect, pages)
    for content in (
        b'{"committed":false,"segments":[],"next":5}',
        b'{"committed":false,"segments":[],"next":null,"more":1}',
        b'{"committed":false}',
    ):
        answer = httpx.Response(200, content=content, headers={"Content-Type": "application/json"})
        server.faults = [Fault("GET", "/segments$", answer=answer)]
        with pytest.raises(MalformedError):
            vault.put(film)


def test_rotation_seals_the_descriptor_anew_and_leaves_the_segments(vault: Any, held: FakeVault) -> None:
    from hushtag.phrase import draw_phrase

    stored = vault.put(BODY, name="film")
    before = {key: dict(stream.segments) for key, stream in held.streams.items()}
    tag = vault.add_phrase(draw_phrase(), label="guest").tag_id
    vault.revoke_phrase(tag)
    assert vault.get(stored.object_id).body == BODY
    assert vault.reseal() == 1
    assert {key: stream.segments for key, stream in held.streams.items()} == before
    assert vault.get(stored.object_id).body == BODY
    assert held.objects[stored.object_id].row.key_version == 2
    assert [entry.object_id for entry in vault.old_streams()] == [stored.object_id]
    vault.put(BODY, name="film", replace=stored.object_id)
    assert list(vault.old_streams()) == []


def test_a_name_may_be_as_long_as_the_metadata_of_its_size_lets_it(vault: Any, server: FakeServer) -> None:
    name = "n" * (MAX_META_BYTES - 100)
    assert vault.put(b"small", name=name, content_type="a/b").name == name
    server.log.clear()
    with pytest.raises(LimitError, match="metadata"):
        vault.put(BODY, name=name, content_type="a/b")
    assert sent(server) == 0


def test_another_type_is_another_upload(
    connect: Connect, server: FakeServer, held: FakeVault, pages: Any, film: Path
) -> None:
    begin(connect, server, pages, film, 4)
    first = set(held.streams)
    stored = reopened(connect, pages).put(film, content_type="text/plain")
    assert stored.content_type == "text/plain"
    assert len(set(held.streams) - first) == 1


class BadPages(MemoryUploadPages):
    """Pages of which the second cannot be read."""

    def free(self) -> Iterator[Any]:
        for number, page in enumerate(super().free()):
            if number == 1:
                page.read = lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error"))  # type: ignore[method-assign]
            yield page


def test_pages_are_let_go_of_when_one_cannot_be_read(connect: Connect, film: Path) -> None:
    pages = BadPages()
    with pytest.raises(OSError, match="Input"):
        reopened(connect, pages).put(film)
    assert len(list(MemoryUploadPages.free(pages))) == UPLOAD_PAGES


def test_the_oldest_upload_gives_way_and_its_stream_is_given_up(
    connect: Connect, server: FakeServer, held: FakeVault, tmp_path: Path
) -> None:
    pages = MemoryUploadPages()
    for number in range(UPLOAD_PAGES + 1):
        film = tmp_path / f"film {number}"
        film.write_bytes(BODY)
        begin(connect, server, pages, film, 4)
    assert len(held.streams) == UPLOAD_PAGES


def test_a_source_is_read_once_and_in_order(tmp_path: Path) -> None:
    source = ContentSource(io.BytesIO(b"abcdefgh"))
    source.open()
    assert bytes(source.peek(3)) == b"abc"
    assert bytes(source.peek(2)) == b"ab"
    room = bytearray(5)
    assert source.read_into(memoryview(room)) == 5
    assert bytes(room) == b"abcde"
    assert source.read_into(memoryview(room)) == 3
    assert source.marks() is None
