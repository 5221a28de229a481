"""Steps that read a large object: segments fetched side by side and handed over in order, or one where it is needed.

Nothing of a segment is handed over before the object's row vouches for it: a segment that opens was sealed by somebody
who knew the stream's key, and only the digest in the index, whose root the row holds, tells that it is the one that was
put.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from hushtag.client.answers import media_type, transfer_problem_of
from hushtag.client.archive_file import Progress
from hushtag.client.contents import FetchedObject, VaultObject, created_at
from hushtag.client.effects import (
    Opened,
    Pause,
    Request,
    Response,
    Steps,
    Turn,
    close_answer,
    compute,
    gather,
    open_answer,
    read_piece,
)
from hushtag.client.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    TimedOutError,
    TransportError,
    UnavailableError,
)
from hushtag.client.order import Order, StoppedError
from hushtag.client.row_steps import FoundObject
from hushtag.client.sending_steps import segments_at_once
from hushtag.client.stream_files import ContentTarget, MemoryTarget, Sink
from hushtag.client.writing_steps import WritingSteps
from hushtag.errors import AuthenticationError, LimitError, MalformedError, StateError
from hushtag.objects import CONTENT_TYPE, shape_of
from hushtag.stream_index import StreamIndex, content_of, segment_digest
from hushtag.streams import StreamInfo, StreamShape, open_segment, sealed_length
from hushtag.types import StreamKey

__all__ = ["MAX_IN_MEMORY", "ContentReader", "FetchingSteps"]

MAX_IN_MEMORY: Final = 64 * 1024 * 1024
"""Bytes of an object that `get` gives as a whole; larger ones go to a file, or are opened."""
SEGMENT_SECONDS: Final = 600.0
"""One segment may take that long to arrive, however little of it comes at a time."""


class FetchingSteps(WritingSteps):
    """Reading the contents of one open vault."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._readers = WeakValueDictionary[int, ContentReader]()

    def forget(self) -> None:
        """Forget also what open files have read."""
        super().forget()
        for reference in self._readers.valuerefs():  # a copy: another thread may open one more meanwhile
            reader = reference()
            if reader is not None:
                reader.forget()

    def whole(self, found: FoundObject) -> Steps[VaultObject]:
        """Return an object with its body.

        Raises:
            LimitError: it is too large to be held in memory.
            ConflictError: it was replaced or deleted while it was read.
        """
        body = found.body
        if found.meta.stream is not None:
            if found.meta.size > MAX_IN_MEMORY:
                raise LimitError(f"object is {found.meta.size} bytes; use get_to or open for more than {MAX_IN_MEMORY}")
            target = MemoryTarget()
            yield from self._receive(found, target, None)
            body = bytes(target.content)
        meta = found.meta
        return VaultObject(found.object_id, meta.name, meta.content_type, created_at(meta), found.revision, body)

    def get_to(self, found: FoundObject, target: ContentTarget, on_progress: Progress | None) -> Steps[FetchedObject]:
        """Write the body of an object to a file.

        Raises:
            MisuseError: something is there already.
            ConflictError: the object was replaced or deleted while it was read.
        """
        meta = found.meta
        try:
            yield from compute(target.open)
            if meta.stream is None:
                sink = Sink(target, meta.size, on_progress)
                yield from compute(lambda: sink.take(memoryview(found.body)))
                sink.tell()
            else:
                yield from self._receive(found, target, on_progress)
            yield from compute(target.finish)
        finally:
            target.close()
        return FetchedObject(found.object_id, meta.name, meta.content_type, created_at(meta), meta.size, found.revision)

    def _receive(
        self, found: FoundObject, target: ContentTarget | MemoryTarget, on_progress: Progress | None
    ) -> Steps[None]:
        reader = ContentReader(self, found)
        yield from _Receiving(reader, Sink(target, found.meta.size, on_progress)).run()

    def reader(self, found: FoundObject) -> "ContentReader":
        """Return what reads the content of an object, any part of it.

        Raises:
            VaultLockedError: the vault was locked.
        """
        reader = ContentReader(self, found)
        self._readers[id(reader)] = reader
        self.witness.check_open()  # only now: a lock that came before forgets nothing of it
        return reader

    def gone(self, found: FoundObject) -> Steps[None]:
        """Find out why a segment is gone: only a change of the object explains it.

        Raises:
            ConflictError: the object was changed, or the vault and it is not known what of it.
            RollbackError: it was not.
        """
        witness = self.witness
        if witness.knows(found.object_id):
            same = witness.entry(found.object_id) == found.row
        else:
            same = witness.head.generation == found.generation
        if same:
            yield from self._expect_newer("withholds a segment of an object")
        raise ConflictError("the object was changed while it was read; read it again", code="revision_conflict")


class Fetched(NamedTuple):
    """A segment that opened, with the digest of its plaintext; nothing vouches for it yet."""

    seq: int
    plain: memoryview
    digest: bytes


class ContentReader:
    """The content of one revision of an object, as its descriptor says it lies in segments."""

    def __init__(self, steps: FetchingSteps, found: FoundObject) -> None:
        self._steps = steps
        self._found: FoundObject | None = found
        self.object_id = found.object_id
        self.size = found.meta.size
        self.name = found.meta.name
        self.info = found.meta.stream
        self.shape = StreamShape(self.size) if self.info is None else shape_of(found.meta)
        self._cached: tuple[int, bytes] | None = None
        self._index: StreamIndex | None = None

    def read_at(self, offset: int, length: int) -> Steps[bytes]:
        """Return up to `length` bytes at `offset`, no further than to the end of their segment; none at the end.

        Raises:
            VaultLockedError: the vault was locked.
            StateError: what was read is forgotten.
        """
        found = self._opened()
        end = min(self.size, offset + max(0, length))
        if offset >= end:
            return b""
        if found.meta.stream is None:
            return found.body[offset:end]
        size = self.shape.segment_size
        seq = offset // size
        cached = self._cached  # which whoever locks the vault meanwhile forgets
        if cached is None or cached[0] != seq:
            room, plain = self.rooms()
            self._cached = None  # only one segment is held, also while the next one comes
            if self._index is None and self.shape.segments > 1:
                index = yield from self.fetch(self.shape.segments, room, plain)
                yield from compute(lambda: self.vouch(index))
            fetched = yield from self.fetch(seq, room, plain)
            cached = self._cached = (seq, (yield from compute(lambda: bytes(self.vouch(fetched)))))
            if self._found is None:  # forgotten while it came
                self.forget()
                self._opened()
        start = seq * size
        return cached[1][offset - start : end - start]

    def _opened(self) -> FoundObject:
        self._steps.witness.check_open()
        found = self._found
        if found is None:
            raise StateError("the object is not open any more")
        return found

    def forget(self) -> None:
        """Forget what was read, and what more could be read with."""
        self._cached = None
        self._index = None
        self._found = None
        self.info = None

    def rooms(self) -> tuple[bytearray, bytearray]:
        """Return room for a sealed segment and for an open one."""
        most = sealed_length(self.shape.longest)
        return bytearray(most), bytearray(most)

    def fetch(
        self, seq: int, room: bytearray, plain: bytearray, is_stopped: Callable[[], bool] = lambda: False
    ) -> Steps[Fetched]:
        """Fetch and open one segment into `plain`. Nothing of it may be given out before `vouch`.

        Raises:
            IntegrityError: it is not that segment.
            StoppedError: `is_stopped`.
        """
        info, found = self.info, self._found
        if info is None or found is None:
            raise StateError("only a large object that is open has segments")
        attempt, arriving = 0, _Arriving(memoryview(room)[: sealed_length(self.shape.length(seq))])
        while True:
            try:
                yield from self._fetch_sealed(info.id, seq, arriving, is_stopped)
                break
            except NotFoundError:
                yield from self._steps.gone(found)
            except (TransportError, UnavailableError) as error:
                attempt += 1
                if attempt >= self._steps.retry.changes or is_stopped():
                    raise
                yield Pause(self._steps.retry.wait_for(attempt - 1, error))
        return (yield from compute(lambda: self._open(info, seq, room, plain)))

    def _open(self, info: StreamInfo, seq: int, room: bytearray, plain: bytearray) -> Fetched:
        self._steps.witness.check_open()
        sealed = memoryview(room)[: sealed_length(self.shape.length(seq))]
        context = info.context(self._steps.witness.vault_id, seq, self.shape.kind(seq))
        key = StreamKey(info.key)
        try:
            opened = memoryview(plain)[: open_segment(key, context, sealed, plain)]
        except AuthenticationError:
            raise IntegrityError("segment of an object") from None
        finally:
            key.forget()
        return Fetched(seq, opened, segment_digest(opened))

    def vouch(self, fetched: Fetched) -> memoryview:
        """Return the content in a segment, if the object's row vouches for it; the index vouches for the others.

        Raises:
            IntegrityError: it is another than was put in its place.
            MalformedError: it was put so, and is not as a client puts it.
            VaultLockedError: the vault was locked.
        """
        self._steps.witness.check_open()
        try:
            return self._vouch(fetched)
        except AuthenticationError:
            raise IntegrityError("segment of an object") from None

    def _vouch(self, fetched: Fetched) -> memoryview:
        seq, plain, digest = fetched
        segments = self.shape.segments
        if self.info is None:
            raise StateError("only a large object that is open has segments")
        if seq == segments:
            self._index = StreamIndex.open(self.info.root, segments, plain)
            return plain[:0]
        # The root of a single segment is that of its digest alone.
        index = StreamIndex.open(self.info.root, 1, digest) if segments == 1 else self._index
        if index is None:
            raise StateError("the index of a stream comes before its segments")
        index.check(seq, digest)
        return content_of(self.shape, seq, plain)

    def _fetch_sealed(
        self, stream_id: UUID, seq: int, arriving: "_Arriving", is_stopped: Callable[[], bool]
    ) -> Steps[None]:
        path = f"{self._steps.path}/streams/{stream_id}/segments/{seq}"
        # From where it broke off: a server that lacks what comes there can say so before its answer begins.
        asked = {"Range": f"bytes={arriving.filled}-"} if 0 < arriving.filled < len(arriving.room) else {}
        opened = yield from open_answer(Request("GET", path, self._steps.token, headers=asked))
        if isinstance(opened, Response):
            raise transfer_problem_of(opened)
        yield from arriving.read(opened, is_stopped)


class _Arriving:
    """A sealed segment on its way; `filled` bytes of its `room` are there."""

    def __init__(self, room: memoryview) -> None:
        self.room, self.filled = room, 0

    def read(self, opened: Opened, is_stopped: Callable[[], bool]) -> Steps[None]:
        """Read a body that ends exactly where the segment does, and begins where its head says."""
        room = self.room
        try:
            if media_type(opened.headers) != CONTENT_TYPE:
                raise MalformedError("answer is no segment")
            if not opened.headers.get("content-range", "").startswith(f"bytes {self.filled}-"):
                self.filled = 0
            end = time.monotonic() + SEGMENT_SECONDS
            while piece := (yield from read_piece(opened)):
                if is_stopped():
                    raise StoppedError
                if self.filled + len(piece) > len(room):
                    raise MalformedError(f"segment is longer than {len(room)} bytes")
                room[self.filled : self.filled + len(piece)] = piece
                self.filled += len(piece)
                if time.monotonic() > end:
                    raise TimedOutError("a segment took too long to arrive")
            if self.filled < len(room):  # perhaps it was only broken off
                raise TransportError(f"segment has {self.filled} bytes, expected {len(room)}")
        finally:
            yield from close_answer(opened)


class _Receiving:
    """Several workers fetch and open; each hands over when all segments before its own were, the index as the first."""

    def __init__(self, reader: ContentReader, sink: Sink) -> None:
        self._reader = reader
        self._sink = sink
        self._order = Order()
        self._turn = threading.Lock()
        self._next = 0
        self._stopped = False
        self._failure: BaseException | None = None

    def run(self) -> Steps[None]:
        """Receive everything."""
        shape = self._reader.shape
        workers = [self._worker() for _ in range(segments_at_once(shape.segment_size, shape.places))]
        try:
            yield from gather(workers, len(workers), self.stop)
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def stop(self) -> None:
        """Fetch nothing more, and wait for nobody."""
        self._stopped = True
        with self._turn:
            self._next = self._reader.shape.places
        self._order.stop()

    def _take(self) -> int | None:
        with self._turn:
            place = self._next
            if place >= self._reader.shape.places:
                return None
            self._next = place + 1
            return place

    def _worker(self) -> Steps[None]:
        try:
            room, plain = self._reader.rooms()
            while (place := self._take()) is not None:
                seq = (place or self._reader.shape.places) - 1  # the index, or the only segment, comes first
                fetched = yield from self._reader.fetch(seq, room, plain, lambda: self._stopped)
                yield Turn(self._order, place)
                yield from compute(lambda f=fetched: self._sink.take(self._reader.vouch(f)))  # type: ignore[misc]
                self._sink.tell()
                self._order.advance()
        except BaseException as error:
            if self._failure is None and not isinstance(error, StoppedError | GeneratorExit):
                self._failure = error
            self.stop()
            raise
