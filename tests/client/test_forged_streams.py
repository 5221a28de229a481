"""P8 for large objects: a person who was revoked and the server, together, against whoever reads.

While their phrase was good they read the object, and so they keep its stream's key, which rotation leaves as it is:
what they seal opens in whatever place they seal it for. What they cannot seal is the object's row. Not one byte of
theirs may reach a reader, however much or little of the object is read, nor any of the object's own in another place.
"""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from hushtag.client import IntegrityError, storing_steps
from hushtag.errors import RollbackError
from hushtag.phrase import draw_phrase
from hushtag.stream_index import GrowingIndex
from hushtag.streams import StreamInfo, StreamShape, seal_segment, sealed_length
from hushtag.types import StreamKey
from tests.client.fake_server import URL, FakeServer, FakeVault
from tests.client.support import EMAIL, PASSWORD, PHRASE, connect_sync

SEGMENT = 64 * 1024
BODY = os.urandom(5 * SEGMENT + 1234)
NOTE = os.urandom(storing_steps.SMALL_OBJECT_BYTES + 1)
OTHER = os.urandom(4 * 1024 * 1024)


class Known(NamedTuple):
    """What a revoked person keeps of an object."""

    object_id: UUID
    vault_id: UUID
    info: StreamInfo
    body: bytes


@pytest.fixture(scope="module")
def revoked(enrolled_server: FakeServer) -> tuple[FakeServer, Known, Known]:
    """A server after a revocation, everything re-sealed, and what the revoked person knows of its two objects."""
    server, guest = enrolled_server.clone(), draw_phrase().text
    known = []
    with connect_sync(URL, server.transport()) as client, pytest.MonkeyPatch.context() as patch:
        client.log_in(EMAIL, PASSWORD)
        vault = client.unlock(PHRASE)
        tag_id = vault.add_phrase(guest, label="guest").tag_id
        for body, size in ((BODY, SEGMENT), (NOTE, storing_steps.SEGMENT_SIZE)):
            patch.setattr(storing_steps, "SEGMENT_SIZE", size)
            vault.put(body, name=str(len(body)))
        with client.unlock(guest) as theirs:
            for entry in theirs.list():
                info = theirs._find(entry.object_id).meta.stream
                assert info is not None
                known.append(Known(entry.object_id, theirs.vault_id, info, theirs.get(entry.object_id).body))
        vault.revoke_phrase(tag_id)
        assert vault.reseal() == 2
    film, note = sorted(known, key=lambda each: each.body != BODY)
    return server, film, note


@pytest.fixture
def server(revoked: tuple[FakeServer, Known, Known]) -> FakeServer:
    return revoked[0].clone()


@pytest.fixture
def held(server: FakeServer) -> FakeVault:
    return next(iter(server.users[EMAIL].vaults.values()))


class Forger:
    """The revoked person, writing into the server's store."""

    def __init__(self, held: FakeVault, known: Known) -> None:
        self.segments, self._known = held.streams[known.info.id].segments, known
        size = known.info.segment_size
        self.shape = StreamShape(len(known.body), size)
        padded = known.body.ljust(self.shape.padded, b"\0")
        self.plain = [padded[start : start + size] for start in range(0, len(padded), size)]

    def put(self, seq: int, plain: bytes) -> None:
        """Seal for a place whatever suits."""
        room = bytearray(sealed_length(len(plain)))
        context = self._known.info.context(self._known.vault_id, seq, self.shape.kind(seq))
        seal_segment(StreamKey(self._known.info.key), context, memoryview(plain), room)
        self.segments[seq] = bytes(room)

    def index(self, plain: list[bytes]) -> None:
        """Put the index of other segments in the place of the true one."""
        growing = GrowingIndex()
        for each in plain:
            growing.add(each)
        self.put(self.shape.segments, growing.encoded)

    def other(self, seq: int) -> bytes:
        """Something else that is as long as a segment."""
        return OTHER[: len(self.plain[seq])]

    def with_other(self, seq: int) -> list[bytes]:
        """The content with one segment replaced."""
        return [*self.plain[:seq], self.other(seq), *self.plain[seq + 1 :]]


# Each returns how many bytes before the first lie are true.


def a_segment(forger: Forger) -> int:
    forger.put(2, forger.other(2))
    return 2 * SEGMENT


def the_first(forger: Forger) -> int:
    forger.put(0, forger.other(0))
    return 0


def the_last(forger: Forger) -> int:
    forger.put(5, forger.other(5))
    return 5 * SEGMENT


def one_byte(forger: Forger) -> int:
    forger.put(3, forger.plain[3][:-1] + bytes([forger.plain[3][-1] ^ 1]))
    return 3 * SEGMENT


def two_that_change_places(forger: Forger) -> int:
    forger.put(1, forger.plain[2])
    forger.put(2, forger.plain[1])
    return SEGMENT


def what_is_behind_the_content(forger: Forger) -> int:
    forger.put(5, forger.plain[5][:-1] + b"\1")
    return 5 * SEGMENT


def the_index(forger: Forger) -> int:
    forger.index(forger.with_other(2))
    return 0


def a_segment_and_the_index(forger: Forger) -> int:
    forger.put(2, forger.other(2))
    forger.index(forger.with_other(2))
    return 0


def two_that_change_places_and_the_index(forger: Forger) -> int:
    two_that_change_places(forger)
    forger.index([forger.plain[each] for each in (0, 2, 1, 3, 4, 5)])
    return 0


def everything(forger: Forger) -> int:
    for seq in range(len(forger.plain)):
        forger.put(seq, forger.other(seq))
    forger.index([forger.other(seq) for seq in range(len(forger.plain))])
    return 0


def a_segment_in_place_of_the_index(forger: Forger) -> int:
    forger.segments[6] = forger.segments[0][: len(forger.segments[6])]
    return 0


FORGERIES = [a_segment, the_first, the_last, one_byte, two_that_change_places, what_is_behind_the_content, the_index,
             a_segment_and_the_index, two_that_change_places_and_the_index, everything,
             a_segment_in_place_of_the_index]  # fmt: skip


class Pipe(io.BytesIO):
    """An open file that takes back nothing of what it was given."""


def read_on(file: Any, pipe: Pipe, size: int) -> None:
    while piece := file.read(size):
        pipe.write(piece)


def readers(vault: Any, object_id: UUID, path: Path, start: int) -> Iterator[tuple[Callable[[Pipe], Any], int]]:
    """Yield every way to read an object, and from which place on it gives bytes to the pipe."""
    yield lambda pipe: pipe.write(vault.get(object_id).body), 0
    yield lambda pipe: vault.get_to(object_id, path), 0
    yield lambda pipe: vault.get_to(object_id, pipe), 0
    yield lambda pipe: read_on(vault.open(object_id), pipe, 1000), 0
    yield lambda pipe: pipe.write(vault.open(object_id).read()), 0
    file = vault.open(object_id)
    file.seek(start)
    yield lambda pipe: read_on(file, pipe, 7), start


@pytest.mark.parametrize("forgery", FORGERIES, ids=lambda each: each.__name__)
def test_nothing_that_a_revoked_person_forges_with_the_server_is_given_out(
    vault: Any, held: FakeVault, revoked: Any, tmp_path: Path, forgery: Callable[[Forger], int]
) -> None:
    film = revoked[1]
    true = forgery(Forger(held, film))
    for number, (read, start) in enumerate(readers(vault, film.object_id, tmp_path / "out", true)):
        pipe = Pipe()
        with pytest.raises(IntegrityError, match="segment of an object"):
            read(pipe)
        given = pipe.getvalue()
        assert given == BODY[start : start + len(given)], number
        assert start + len(given) <= true, number
    assert list(tmp_path.iterdir()) == []


def test_nor_is_a_forged_stream_of_one_segment(vault: Any, held: FakeVault, revoked: Any, tmp_path: Path) -> None:
    note = revoked[2]
    forger = Forger(held, note)
    assert set(forger.segments) == {0}
    assert vault.get(note.object_id).body == NOTE
    forger.put(0, NOTE[:-1] + bytes([NOTE[-1] ^ 1]) + forger.plain[0][len(NOTE) :])
    for read, _ in readers(vault, note.object_id, tmp_path / "out", 0):
        pipe = Pipe()
        with pytest.raises(IntegrityError):
            read(pipe)
        assert pipe.getvalue() == b""
    assert list(tmp_path.iterdir()) == []


def test_what_is_true_is_read_beside_what_is_not(vault: Any, held: FakeVault, revoked: Any) -> None:
    """A lie about one part does not take the others away, and the true parts are those that were put."""
    film = revoked[1]
    a_segment(Forger(held, film))
    file = vault.open(film.object_id)
    for start in (0, SEGMENT, 3 * SEGMENT, 5 * SEGMENT):
        file.seek(start)
        assert file.read(1234) == BODY[start : start + 1234]
    file.seek(2 * SEGMENT + 5)
    with pytest.raises(IntegrityError):
        file.read(1)


def test_a_stream_without_its_index_is_not_read(vault: Any, held: FakeVault, revoked: Any, tmp_path: Path) -> None:
    film = revoked[1]
    del Forger(held, film).segments[6]
    for read, _ in readers(vault, film.object_id, tmp_path / "out", 0):
        pipe = Pipe()
        with pytest.raises(RollbackError):
            read(pipe)
        assert pipe.getvalue() == b""


def test_the_index_is_fetched_once_by_whoever_reads_parts(vault: Any, server: FakeServer, revoked: Any) -> None:
    film = revoked[1]
    file = vault.open(film.object_id)
    server.log.clear()
    for start in (0, 3 * SEGMENT, SEGMENT):
        file.seek(start)
        file.read(10)
    fetched = [int(line.rpartition("/")[2]) for line in server.log if "/segments/" in line]
    assert fetched == [6, 0, 3, 1]
