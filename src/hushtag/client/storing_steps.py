"""Steps that put an object: small ones in a row of their own, large ones in a stream, visible when the row commits."""

import mimetypes
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

from blake3 import blake3

from hushtag.client.archive_file import Progress
from hushtag.client.contents import NewObject, StoredObject
from hushtag.client.duress_steps import DuressSteps
from hushtag.client.effects import Steps, compute
from hushtag.client.errors import ConflictError, TransportError, UnavailableError
from hushtag.client.given_file import SourceChangedError
from hushtag.client.ids import uuid_of
from hushtag.client.sending_steps import Sending, StartAgainError, StreamSender
from hushtag.client.stream_files import ContentSource, Source
from hushtag.client.upload_memory import UploadMemory, Wanted
from hushtag.client.upload_pages import UploadPages
from hushtag.client.witness import Seen
from hushtag.client.writing_steps import Change, together
from hushtag.errors import HushtagError, MisuseError
from hushtag.objects import CONTENT_TYPE, ObjectMeta, encode_meta, row_length
from hushtag.streams import MAX_STREAM_SIZE, SEGMENT_SIZE, StreamInfo, new_stream

__all__ = ["SMALL_OBJECT_BYTES", "Putting", "StoringSteps", "groups_of"]

SMALL_OBJECT_BYTES: Final = 256 * 1024
"""Content up to this length lies in the object's row, longer content in a stream: a listing reads every row."""

_REMEMBERED: Final = 16  # streams that a vault may have under way
_LONGEST: Final = StreamInfo(bytes(16), bytes(32), 2**31 - 1, SEGMENT_SIZE, bytes(32))


def _meta(name: str | None, content_type: str | None, size: int) -> ObjectMeta:
    """Return what is sealed of an object besides its content.

    Raises:
        MisuseError: there is no name, or it is no text.
    """
    if not name:
        raise MisuseError("content without a path needs a name")
    if not isinstance(name, str):
        raise MisuseError(f"a name is a str, not {type(name).__name__}")
    return ObjectMeta(name, content_type or mimetypes.guess_type(name)[0] or CONTENT_TYPE, int(time.time()), size)


def groups_of(given: Iterable[NewObject]) -> Iterator[list[NewObject]]:
    """Yield what is to be put in its order, as many objects at a time as one change takes; a larger one alone.

    Raises:
        MisuseError: something that is no NewObject of bytes, without a name, or an object that is to be replaced twice.
        LimitError: a name is too long.
    """
    replaced = set[UUID]()

    def length(new: NewObject) -> int | None:
        if not isinstance(new, NewObject) or not isinstance(new.content, bytes):
            raise MisuseError("what is put together is NewObject, of content in bytes")
        if new.replace is not None:
            replaced_id = uuid_of(new.replace)
            if replaced_id in replaced:
                raise MisuseError(f"the object {replaced_id} is to be replaced twice")
            replaced.add(replaced_id)
        size = len(new.content)
        row = row_length(_meta(new.name, new.content_type, size), size)
        return row if size <= SMALL_OBJECT_BYTES else None

    return together(given, length)


@dataclass(slots=True)
class Putting:
    """One put, from its beginning to its end."""

    source: ContentSource
    name: str
    content_type: str
    replace: bool
    object_id: UUID
    body: bytes = field(default=b"", repr=False)
    size: int = 0
    stream: StreamInfo | None = None
    memory: UploadMemory | None = None
    done: StoredObject | None = None
    small: bool = field(default=True)
    looked: bool = False
    committed: bool = False
    begun_again: bool = False
    begun: UUID | None = None  # a stream that nobody could go on with: it is to be given up unless the put is done
    broken: bool = False


class StoringSteps(DuressSteps):
    """Putting objects of any size into one open vault."""

    upload_pages: UploadPages | None = None  # on this device, across sessions

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun = deque[UUID](maxlen=_REMEMBERED)

    def begin_put(
        self, source: Source, name: str | None, content_type: str | None, replace: UUID | None
    ) -> Steps[Putting]:
        """Look at what a put replaces; nothing is changed, and of the content nothing is read. The name of a file is
        its own unless another is given.

        Raises:
            MisuseError: content without a name, or of a kind that cannot be read.
            NotFoundError, ConflictError: as for `put`.
        """
        self.witness.check_open()
        replace = None if replace is None else uuid_of(replace)
        content = ContentSource(source)
        meta = _meta(content.name if name is None else name, content_type, SMALL_OBJECT_BYTES)
        encode_meta(meta)  # before anything is asked for
        if replace is not None:
            yield from self._current(replace)
        return Putting(content, meta.name, meta.content_type, replace is not None, replace or uuid4())

    def put_group(self, group: Sequence[NewObject]) -> Steps[tuple[StoredObject, ...]]:
        """Store several small objects, all or none.

        Raises:
            NotFoundError, ConflictError, OutcomeUnknownError, StoredNotPinnedError: as for `put`.
        """
        self.witness.check_open()
        replaced = [None if new.replace is None else uuid_of(new.replace) for new in group]
        before: dict[UUID, Seen] = {}
        for object_id in replaced:
            if object_id is not None:
                before[object_id] = yield from self._current(object_id)

        def seal() -> tuple[list[Change], list[StoredObject]]:
            changes, stored = [], []
            for new, replace in zip(group, replaced, strict=True):
                object_id = uuid4() if replace is None else replace
                meta = _meta(new.name, new.content_type, len(new.content))
                was = before.get(object_id)
                revision = 1 if was is None else was.revision + 1
                changes.append(self._seal(object_id, was, revision, meta, new.content))
                stored.append(StoredObject(object_id, meta.name, meta.content_type, meta.size, revision))
            return changes, stored

        changes, stored = yield from compute(seal)
        yield from self._commit(changes)
        return tuple(stored)

    def send_put(self, putting: Putting, on_progress: Progress | None) -> Steps[None]:
        """Send the segments of a large object. Nothing of it is visible yet.

        Raises:
            OSError: the file cannot be read.
            SourceChangedError: it was changed while it was read.
            TransportError, UnavailableError: the connection stayed broken.
        """
        if not putting.looked:
            yield from compute(lambda: _look(putting), waits=putting.source.waits)
            putting.looked = True
        if putting.small:
            return
        # A descriptor says more than a small object's metadata; if it were too long, all would be sent in vain.
        encode_meta(ObjectMeta(putting.name, putting.content_type, int(time.time()), MAX_STREAM_SIZE, _LONGEST))
        sender = self._sender(on_progress)
        while True:
            try:
                yield from self._send_stream(putting, sender)
            except StartAgainError:
                yield from self._start_again(putting, sender)
            else:
                return

    def _sender(self, on_progress: Progress | None) -> StreamSender:
        return StreamSender(self.path, self.witness.vault_id, lambda: self.token, self.retry, on_progress)

    def _send_stream(self, putting: Putting, sender: StreamSender) -> Steps[None]:
        if putting.memory is None:
            putting.memory = yield from compute(lambda: self._remember(putting))
        memory, stored = putting.memory, dict[int, int]()
        putting.committed = False
        if memory is None:
            stream_id, key = new_stream()
            version = self.witness.head.key_version
        else:
            upload = memory.upload
            stream_id, key, version = upload.stream_id, upload.stream_key, upload.key_version
            if memory.replaced is not None:
                yield from sender.abandon(memory.replaced)
                memory.replaced = None
            if memory.resumed:
                known = yield from sender.stored(stream_id)
                if known is None:
                    # Also that of an object that was stored and deleted since, whose id is never used again.
                    raise StartAgainError
                putting.object_id = upload.object_id
                stored, putting.committed = known
        yield from self._give_up_begun(sender)
        putting.begun = stream_id if memory is None else None
        sending = Sending(putting.source, memory, stored, SEGMENT_SIZE)
        info = StreamInfo(stream_id.bytes, key.expose(), version, SEGMENT_SIZE, bytes(32))
        try:
            yield from sender.send(info, key, sending)
        except StartAgainError:
            raise
        except BaseException as error:  # also a cancellation and an interrupt: a vault has few streams under way
            putting.broken = isinstance(error, TransportError | UnavailableError)
            if memory is None or not putting.broken:
                key.forget()
            if isinstance(error, SourceChangedError):
                putting.begun = stream_id  # the next attempt is one of another content
            raise
        putting.size = sending.shape.size
        putting.stream = StreamInfo(stream_id.bytes, info.key, version, SEGMENT_SIZE, sending.root)
        key.forget()

    def _give_up_begun(self, sender: StreamSender) -> Steps[None]:
        """Give up what puts over a line that was broken have left behind."""
        while self._begun:
            stream_id = self._begun.pop()
            if not (yield from sender.abandon(stream_id)):
                self._begun.append(stream_id)
                return

    def _remember(self, putting: Putting) -> UploadMemory | None:
        marks = putting.source.marks()
        if self.upload_pages is None or marks is None:
            return None
        place, state = marks
        target = putting.object_id.bytes if putting.replace else b""
        parts = (place, putting.name.encode(), putting.content_type.encode(), target)
        of = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        wanted = Wanted(
            self.witness.data_key,
            self.witness.vault_id,
            self.witness.head.key_version,
            blake3(of).digest(),
            state,
            putting.object_id,
        )
        return UploadMemory.claim(self.upload_pages, wanted)

    def _start_again(self, putting: Putting, sender: StreamSender) -> Steps[None]:
        memory = putting.memory
        if putting.begun_again or memory is None or putting.source.path is None:
            raise ConflictError("the server has other segments under a new stream's id", code="segment_exists")
        putting.begun_again = True
        yield from sender.abandon(memory.upload.stream_id)

        def reopen() -> None:
            putting.source.close()
            putting.source = putting.source.again()
            putting.source.open()
            memory.begin()
            putting.object_id = memory.upload.object_id

        yield from compute(reopen)

    def _find_committed(self, putting: Putting) -> Steps[bool]:
        """The client was killed after its object was stored: find the object; tell whether it is as it was put."""
        if not self.witness.knows(putting.object_id):
            yield from self.listing()
        if self.witness.entry(putting.object_id) is None:
            return False  # it was deleted since
        found = yield from self.get(putting.object_id)
        meta = found.meta
        if meta.stream != putting.stream:
            return False
        putting.done = StoredObject(found.object_id, meta.name, meta.content_type, meta.size, found.revision)
        return True

    def finish_put(self, putting: Putting) -> Steps[StoredObject | None]:
        """Store the object's row, with which all of it becomes visible. `None`: send it again, as something new.

        Raises:
            As `put`.
        """
        if putting.committed and not (yield from self._find_committed(putting)):
            yield from self._start_again(putting, self._sender(None))
            return None
        if putting.done is None:
            meta = ObjectMeta(
                name=putting.name,
                content_type=putting.content_type,
                created_at=int(time.time()),
                size=putting.size,
                stream=putting.stream,
            )
            revision = yield from self.put(putting.object_id, meta, putting.body, replace=putting.replace)
            putting.done = StoredObject(putting.object_id, putting.name, putting.content_type, meta.size, revision)
        return putting.done

    def release(self, putting: Putting) -> Steps[None]:
        """Let go of file and page: the page of a put that is done forgets it, any other stays for the next attempt.
        What was sent and no attempt could go on with is given up, now or, on a broken line, with the next large put.

        Raises nothing: what is stored is stored, whatever becomes of the page. One that could not be forgotten leads
        the next put of the same file to this object.
        """
        yield from compute(lambda: self._let_go(putting))
        if putting.begun is None or putting.done is not None:
            return
        if putting.broken:
            self._begun.append(putting.begun)
        else:
            yield from self._sender(None).abandon(putting.begun)

    def _let_go(self, putting: Putting) -> None:
        memory, putting.memory = putting.memory, None
        with suppress(OSError, HushtagError):
            putting.source.close()
        if memory is None:
            return
        with suppress(OSError, HushtagError):
            if putting.done is not None:
                memory.done()
        memory.upload.stream_key.forget()
        with suppress(OSError, HushtagError):
            memory.close()
        with suppress(OSError, HushtagError):
            if self.upload_pages is not None:
                self.upload_pages.renew()  # so that no page is younger than the others


def _look(putting: Putting) -> None:
    """Open the source; take its content if that is small."""
    putting.source.open()
    content = putting.source.read_short(SMALL_OBJECT_BYTES)
    putting.small = content is not None
    if content is not None:
        putting.body, putting.size = content, len(content)
