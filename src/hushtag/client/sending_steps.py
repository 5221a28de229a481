"""Steps that send the segments of a large object: read once in order, sealed and sent side by side, taken up again.

Several workers take a segment each. Whoever takes the next one reads and sums it up while the others seal and send
theirs, so disk, processor and network are busy at once, and no more than a segment of each worker is in memory.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from blake3 import blake3

from hushtag.client.answers import expect, transfer_problem_of
from hushtag.client.archive_file import Progress
from hushtag.client.calls import fetch
from hushtag.client.effects import Pause, Request, Response, Steps, Upload, compute, exchange, gather
from hushtag.client.errors import NotFoundError, ServerError, TransportError, UnavailableError
from hushtag.client.given_file import SourceChangedError
from hushtag.client.order import StoppedError
from hushtag.client.policy import MAX_LIST_BYTES, RetryPolicy
from hushtag.client.stream_files import ContentSource
from hushtag.client.upload_memory import UploadMemory
from hushtag.errors import HushtagError, LimitError, MalformedError, StateError
from hushtag.messages import encode_binary
from hushtag.objects import CONTENT_TYPE
from hushtag.stream_index import GrowingIndex
from hushtag.stream_messages import MAX_SEGMENT_PAGE, MAX_SEGMENTS, SEGMENT_DIGEST_HEADER, SegmentList, SegmentStored
from hushtag.streams import MAX_STREAM_SIZE, SegmentKind, StreamInfo, StreamShape, seal_segment, sealed_length
from hushtag.types import StreamKey

__all__ = ["SEGMENTS_AT_ONCE", "Sending", "StartAgainError", "StreamSender", "segments_at_once"]

SEGMENTS_AT_ONCE: Final = 4
"""Segments of one object on their way at a time, at most."""
BYTES_AT_ONCE: Final = 16 * 1024 * 1024
"""Plaintext of the segments of one object on their way at a time, each twice in memory; at least one segment."""
_PIECE: Final = 256 * 1024
_PATIENCE: Final = 60.0


def segments_at_once(segment_size: int, segments: int) -> int:
    """Return how many segments of one object are on their way at a time."""
    return min(segments, max(1, min(SEGMENTS_AT_ONCE, BYTES_AT_ONCE // segment_size)))


class StartAgainError(Exception):
    """The content is another than the one that was begun to be sent, so it needs a stream of its own."""


@dataclass(slots=True)
class Job:
    """One segment to send, of which `content` bytes are content; `known`: one with this very plaintext may be there."""

    seq: int
    plain: memoryview
    content: int
    kind: SegmentKind
    known: bool


class Sending:
    """The content on its way: which segment is next, what it sums up to, and what the server has of it."""

    def __init__(
        self, source: ContentSource, memory: UploadMemory | None, stored: Mapping[int, int], segment_size: int
    ) -> None:
        self._source = source
        self._memory = memory
        self._stored = stored
        self._segment_size = segment_size
        self._shape = None if source.size is None else StreamShape(source.size, segment_size)
        self._turn = threading.Lock()
        self._index = GrowingIndex()
        self._next = 0
        self._read = 0
        self.stopped = False
        self.sent = 0

    @property
    def shape(self) -> StreamShape:
        """How the content lies in segments; known at its end at the latest."""
        if self._shape is None:
            raise StateError("the content was not read to its end")
        return self._shape

    @property
    def root(self) -> bytes:
        """What sums up the segments that were taken: of all of them, the stream's root."""
        return self._index.root

    @property
    def total(self) -> int:
        """How long the content is; 0 as long as that is not known."""
        return 0 if self._shape is None else self._shape.size

    @property
    def longest(self) -> int:
        """Bytes of its longest segment; the index of a content whose length is not known may be longer."""
        return self._segment_size if self._shape is None else self._shape.longest

    @property
    def waits(self) -> bool:
        """Whether reading the content may wait for somebody outside."""
        return self._source.waits

    @property
    def most(self) -> int:
        """How many segments there can be."""
        return MAX_SEGMENTS if self._shape is None else self._shape.places

    def stop(self) -> None:
        """Give out nothing more."""
        self.stopped = True

    def take(self, room: bytearray) -> Job | None:
        """Read the next segment into `room` and return it, behind several their index; `None` at the end.

        Raises:
            StartAgainError: it is not what was read when the stream was begun.
            SourceChangedError, LimitError, OSError: it cannot be read, or not to its end.
        """
        with self._turn:
            if self.stopped:
                raise StoppedError
            shape, seq = self._shape, self._next
            if shape is not None and seq >= shape.places:
                return None
            if shape is not None and seq == shape.segments:
                job = Job(seq, memoryview(self._index.encoded), 0, SegmentKind.INDEX, self._is_known(seq))
            else:
                job = self._read_next(seq, memoryview(room))
            self._next += 1
            return job

    def _read_next(self, seq: int, room: memoryview) -> Job:
        size = self._segment_size
        wanted = size if self._shape is None else max(0, min(size, self._shape.size - self._read))
        content = self._source.read_into(room[:wanted])
        self._read += content
        if self._shape is None:
            if self._read > MAX_STREAM_SIZE:
                raise LimitError(f"content is over {MAX_STREAM_SIZE} bytes")
            if not self._source.peek(1):
                self._shape = StreamShape(self._read, size)
        elif content < wanted or (self._read == self._shape.size and self._source.peek(1)):
            raise SourceChangedError("the file was changed while it was read; nothing was stored")
        if self._shape is not None and self._read == self._shape.size:
            self._source.check_unchanged()
        shape = self._shape
        length, kind = (size, SegmentKind.INNER) if shape is None else (shape.length(seq), shape.kind(seq))
        room[content:length] = bytes(length - content)
        self._index.add(room[:length])
        return Job(seq, room[:length], content, kind, self._is_known(seq))

    def _is_known(self, seq: int) -> bool:
        if self._memory is None:
            return False
        known = self._memory.note(seq, self._index.root)
        if known is None or (seq in self._stored and not known):
            raise StartAgainError
        return known

    def is_stored(self, job: Job) -> bool:
        """Tell whether the server has the segment.

        Raises:
            StartAgainError: it has something else there.
        """
        found = self._stored.get(job.seq)
        if found is not None and found != sealed_length(len(job.plain)):
            raise StartAgainError
        return found is not None


class StreamSender:
    """Sends one stream of one vault."""

    def __init__(
        self,
        vault_path: str,
        vault_id: UUID,
        token: Callable[[], str],
        retry: RetryPolicy,
        on_progress: Progress | None,
    ) -> None:
        self._vault_path = vault_path
        self._vault_id = vault_id
        self._token = token
        self._retry = retry
        self._on_progress = on_progress
        self._telling = threading.Lock()
        self._failure: BaseException | None = None

    def path(self, stream_id: UUID) -> str:
        """Return where a stream is."""
        return f"{self._vault_path}/streams/{stream_id}"

    def stored(self, stream_id: UUID) -> Steps[tuple[dict[int, int], bool] | None]:
        """Return the sizes of the segments that the server has of a stream, and whether it is committed; `None` if it
        knows no such stream: none was sent, it was collected, or it ended with its object.

        Raises:
            MalformedError: the listing is not in ascending order.
        """
        found: dict[int, int] = {}
        after: int | None = None
        while True:
            query = {"limit": str(MAX_SEGMENT_PAGE)} | ({} if after is None else {"after": str(after)})
            path = f"{self.path(stream_id)}/segments"
            request = Request("GET", path, self._token(), query=query, max_answer=MAX_LIST_BYTES)
            response = yield from fetch(request, self._retry)
            try:
                page = expect(response, (200,), SegmentList)
            except NotFoundError:
                return None
            for entry in page.segments:
                if after is not None and entry.seq <= after:
                    raise MalformedError("listing of segments is not in ascending order")
                after = entry.seq
                found[entry.seq] = entry.size
            if page.next is None:
                return found, page.committed
            if page.next != after or not page.segments or len(found) > MAX_SEGMENTS:
                raise MalformedError("listing of segments names another successor than its last entry")

    def abandon(self, stream_id: UUID) -> Steps[bool]:
        """Tell the server that nothing comes of a stream; if that is lost, or the vault locked, it finds out itself.

        Returns whether the server was told.
        """
        try:
            yield from exchange(Request("DELETE", self.path(stream_id), self._token(), changes=False))
        except HushtagError:
            return False
        return True

    def send(self, info: StreamInfo, key: StreamKey, sending: Sending) -> Steps[None]:
        """Send every segment that the server does not have.

        Raises:
            StartAgainError: the stream cannot be gone on with; begin another.
            TransportError, UnavailableError: the connection stayed broken; what was sent is there still.
        """
        self._failure = None
        at_once = segments_at_once(info.segment_size, sending.most)
        workers = [self._worker(info, key, sending) for _ in range(at_once)]
        try:
            yield from gather(workers, at_once, sending.stop)
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def _worker(self, info: StreamInfo, key: StreamKey, sending: Sending) -> Steps[None]:
        try:
            plain = bytearray(sending.longest)
            room = bytearray(sealed_length(sending.longest))
            while (job := (yield from compute(lambda: sending.take(plain), waits=sending.waits))) is not None:
                if not sending.is_stored(job):
                    context = info.context(self._vault_id, job.seq, job.kind)
                    sealed, digest = yield from compute(lambda c=context, p=job.plain: self._seal(key, c, p, room))  # type: ignore[misc]
                    yield from self._send(info.id, job, sealed, digest, sending)
                self._tell(job, sending)
        except BaseException as error:
            if self._failure is None and not isinstance(error, StoppedError | GeneratorExit):
                self._failure = error
            sending.stop()
            raise

    def _tell(self, job: Job, sending: Sending) -> None:
        with self._telling:
            sending.sent += job.content
            if self._on_progress is not None:
                self._on_progress(sending.sent, sending.total)

    def _seal(self, key: StreamKey, context: bytes, plain: memoryview, room: bytearray) -> tuple[memoryview, str]:
        self._token()  # a locked vault seals nothing more
        if len(room) < (length := sealed_length(len(plain))):
            room = bytearray(length)
        sealed = memoryview(room)[: seal_segment(key, context, plain, room)]
        return sealed, encode_binary(blake3(sealed).digest())

    def _send(self, stream_id: UUID, job: Job, sealed: memoryview, digest: str, sending: Sending) -> Steps[None]:
        """Send one segment, the same bytes again after a broken connection.

        Raises:
            VaultLockedError: the vault was locked; nothing more is sent.
        """
        path = f"{self.path(stream_id)}/segments/{job.seq}"
        headers = {SEGMENT_DIGEST_HEADER: digest}
        attempt = 0
        while True:
            request = Request("PUT", path, self._token(), content_type=CONTENT_TYPE, headers=headers, changes=False)
            try:
                response: Response = yield Upload(request, _pieces(sealed), len(sealed), _PATIENCE)
                self._accept(response, job, len(sealed), digest)
            except (TransportError, UnavailableError) as error:
                attempt += 1
                if attempt >= self._retry.changes or sending.stopped:
                    raise
                yield Pause(self._retry.wait_for(attempt - 1, error))
            else:
                return

    def _accept(self, response: Response, job: Job, size: int, digest: str) -> None:
        if response.status not in (200, 201):
            error = transfer_problem_of(response)
            code = error.code if isinstance(error, ServerError) else None
            if code == "segment_exists" and job.known:
                return  # sealed from the same plaintext by the client that was killed
            if code in ("segment_exists", "stream_committed"):
                raise StartAgainError
            raise error
        stored = expect(response, (200, 201), SegmentStored)
        if stored != SegmentStored(job.seq, size, digest):
            raise MalformedError("answer names another segment than was sent")


def _pieces(sealed: memoryview) -> Callable[[], bytes]:
    """Return what gives the bytes of a segment, piece by piece."""
    places = iter(range(0, len(sealed), _PIECE))

    def read() -> bytes:
        at = next(places, len(sealed))
        return bytes(sealed[at : at + _PIECE])

    return read
