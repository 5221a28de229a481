"""Where the content of an object comes from and where it goes: bytes, a path, or an open binary file; never whole in
memory.
"""

import errno
import os
import stat
import threading
from pathlib import Path
from typing import IO, Final

from blake3 import blake3

from hushtag.client.archive_file import Place, Progress
from hushtag.client.callbacks import guarded
from hushtag.client.given_file import Reader, SourceChangedError, read_some, writable
from hushtag.client.new_file import NewFile, write_all
from hushtag.errors import LimitError, MisuseError
from hushtag.streams import MAX_STREAM_SIZE

__all__ = [
    "ContentSource",
    "ContentTarget",
    "MemoryTarget",
    "Reader",
    "RegularFile",
    "Source",
]


Source = bytes | bytearray | memoryview | os.PathLike[str] | Reader
"""What can be put: bytes, the path of a file, or an open binary file, which is read to its end."""

_PIECE: Final = 1024 * 1024


class RegularFile:
    """The path of what must be a regular file when it is opened: no link that was put there meanwhile, nor a pipe."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


class ContentSource:
    """The content of a put, read once from beginning to end.

    `size` is its length if that is known before it is read; `name` that of a path.
    """

    def __init__(self, source: Source) -> None:
        self._given = source
        self.size: int | None = None
        self.name: str | None = None
        self.path: Path | None = None
        self._file: Reader | None = None
        self._own: IO[bytes] | None = None  # opened here, and so closed here
        self._ahead = memoryview(b"")
        self._found: os.stat_result | None = None
        self._turn = threading.Lock()  # of who uses the file, also after nobody waits for it any more
        self._closed = False
        if isinstance(source, bytes | bytearray | memoryview):
            view = memoryview(source)
            # What lies scattered, or is empty, has no view of its bytes.
            self._ahead = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
            self.size = len(self._ahead)
        elif isinstance(source, os.PathLike):
            self.path = Path(source)
            self.name = self.path.name
        elif hasattr(source, "read"):
            self._file = source
        else:
            raise MisuseError("put takes bytes, a path or an open binary file; wrap a file name in pathlib.Path")

    @property
    def waits(self) -> bool:
        """Whether reading may wait for somebody outside, for ever even: what is no regular file, and no bytes."""
        return self._found is None and (self._file is not None or (self.path is not None and not self.path.is_file()))

    def open(self) -> None:
        """Open it, and learn its length if it is a regular file.

        Raises:
            LimitError: it is over 64 GiB.
            OSError: it cannot be read.
        """
        if self.path is not None:
            only = isinstance(self._given, RegularFile)
            flags = os.O_NOFOLLOW | os.O_NONBLOCK if only else 0
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | flags)
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                os.close(descriptor)
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(self.path))
            self._file = self._own = os.fdopen(descriptor, "rb", 0)
            if stat.S_ISREG(found.st_mode):
                self._found, self.size = found, found.st_size
            elif only:
                raise SourceChangedError(f"{self.path} is no regular file any more")
        if self.size is not None and self.size > MAX_STREAM_SIZE:
            raise LimitError(f"content is {self.size} bytes, at most {MAX_STREAM_SIZE}")

    def again(self) -> "ContentSource":
        """Return the same content from its beginning, of a path."""
        return ContentSource(self._given)

    def marks(self) -> tuple[bytes, bytes] | None:
        """Return what stands for the file (32 bytes) and for how it looks now (32 bytes); `None` if it is no file."""
        found = self._found
        if found is None or self.path is None:
            return None
        place = blake3(os.fsencode(self.path.absolute())).digest()
        looks = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
        return place, blake3(repr(looks).encode()).digest()

    def read_into(self, room: memoryview) -> int:
        """Fill `room` as far as there is content; returns how many bytes."""
        with self._turn:
            try:
                return self._read_into(room)
            finally:
                if self._closed:
                    self._close()

    def _read_into(self, room: memoryview) -> int:
        filled = min(len(room), len(self._ahead))
        room[:filled] = self._ahead[:filled]
        self._ahead = self._ahead[filled:]
        while filled < len(room) and self._file is not None:
            piece = read_some(self._file, min(_PIECE, len(room) - filled))
            if not piece:
                break
            room[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def peek(self, length: int) -> memoryview:
        """Return up to `length` bytes of what comes next, which is read again later."""
        if len(self._ahead) < length:
            room = bytearray(length)
            self._ahead = memoryview(room)[: self.read_into(memoryview(room))]
        return self._ahead[:length]

    def read_short(self, most: int) -> bytes | None:
        """Return all of the content if it is at most `most` bytes, and close it; `None`: it is longer, and goes on.

        Raises:
            SourceChangedError: the file was changed while it was read.
        """
        if self.size is not None and self.size > most:
            return None
        start = self.peek(most + 1)
        if len(start) > most:
            return None
        content = bytes(start)
        self.check_unchanged()
        self.close()
        return content

    def check_unchanged(self) -> None:
        """Refuse a file that was written while it was read.

        Raises:
            SourceChangedError: it was.
        """
        if self._found is None or self._own is None:
            return
        now = os.fstat(self._own.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._found.st_size, self._found.st_mtime_ns):
            raise SourceChangedError("the file was changed while it was read; nothing was stored")

    def close(self) -> None:
        """Close what was opened here; if a read of it still waits, that closes it when it ends."""
        self._closed = True
        if self._turn.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._turn.release()

    def _close(self) -> None:
        if self._own is not None:
            self._own.close()


class MemoryTarget:
    """Content that is kept in memory."""

    def __init__(self) -> None:
        self.content = bytearray()

    def open(self) -> None:
        """Nothing has to be made."""

    def take(self, piece: memoryview) -> None:
        """Take the next part."""
        self.content += piece

    def finish(self) -> None:
        """Nothing has to be moved."""

    def close(self) -> None:
        """Nothing has to be closed."""


class ContentTarget:
    """A path or an open file. At a path there is either all of the content, verified, or what was there before."""

    def __init__(self, place: Place, *, force: bool) -> None:
        self._new = NewFile(place, force=force) if isinstance(place, str | os.PathLike) else None
        self._file = None if isinstance(place, str | os.PathLike) else writable(place)

    def check(self) -> None:
        """Look at the place before anything is asked for.

        Raises:
            MisuseError: something is there already, or a directory, which nothing replaces.
        """
        if self._new is not None:
            self._new.check()

    def open(self) -> None:
        """Make the file.

        Raises:
            MisuseError: something is there already.
            OSError: it cannot be made.
        """
        if self._new is not None:
            self._new.open()

    def take(self, piece: memoryview) -> None:
        """Write the next part."""
        if self._new is not None:
            self._new.write(piece)
        elif self._file is not None:
            # A copy: what is read next comes where this lies, and a writer that queues what it is given keeps it.
            write_all(self._file, bytes(piece))

    def finish(self) -> None:
        """Move the file to its place, now that all of it is verified.

        Raises:
            MisuseError: meanwhile something is there.
        """
        if self._new is not None:
            self._new.finish()

    def close(self) -> None:
        """Leave nothing unfinished behind."""
        if self._new is not None:
            self._new.close()


Target = ContentTarget | MemoryTarget


class Sink:
    """Takes a content in order, each part verified before, and counts it."""

    def __init__(self, target: Target, size: int, on_progress: Progress | None) -> None:
        self._target = target
        self._left = size
        self._size = size
        self._on_progress = guarded(on_progress)

    def take(self, piece: memoryview) -> None:
        """Take the next part."""
        self._target.take(piece)
        self._left -= len(piece)

    def tell(self) -> None:
        """Tell how far it is."""
        if self._on_progress is not None:
            self._on_progress(self._size - self._left, self._size)
