"""Where pages of unfinished uploads are kept: they exist from the first login on and tell nothing."""

import fcntl
import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from hushtag.client.errors import StateFileError
from hushtag.client.private_file import locked, replace_private
from hushtag.client.state import check_directory
from hushtag.uploads import PAGE_BYTES, UPLOAD_PAGES

__all__ = ["MemoryUploadPages", "UploadPage", "UploadPageFiles", "UploadPages"]

_order = random.SystemRandom()


class UploadPage(Protocol):
    """One page, of which nobody else knows until it is closed."""

    def read(self, offset: int, length: int) -> bytes:
        """Return a part of it."""

    def write(self, offset: int, content: bytes) -> None:
        """Replace a part of it."""

    def close(self) -> None:
        """Let others have it."""


class UploadPages(Protocol):
    """Where pages are kept. Every method may block; `AsyncClient` calls them in a worker thread."""

    def free(self) -> Iterator[UploadPage]:
        """Yield each page that nobody uses, in any order; it is the caller's until it is closed."""

    def renew(self) -> None:
        """Make the pages, or let them look as if written just now: when that was tells of no vault then."""


class _Page:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._turn = threading.Lock()  # a number that was closed may be another file's already

    def read(self, offset: int, length: int) -> bytes:
        with self._turn:
            return os.pread(self._descriptor, length, offset)

    def write(self, offset: int, content: bytes) -> None:
        with self._turn:
            os.pwrite(self._descriptor, content, offset)
            os.fdatasync(self._descriptor)  # a mark is there before its segment is sent, also after a power failure

    def close(self) -> None:
        with self._turn:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class MemoryUploadPages:
    """Pages that live as long as this object: an upload that broke off goes on when it is put again."""

    def __init__(self) -> None:
        self._pages = [_MemoryPage() for _ in range(UPLOAD_PAGES)]
        self._turn = threading.Lock()

    def free(self) -> Iterator[UploadPage]:
        """Yield each page that nobody uses."""
        for page in self._pages:
            with self._turn:
                free, page.taken = not page.taken, True
            if free:
                yield page

    def renew(self) -> None:
        """Nothing is written, so nothing is written again."""


class _MemoryPage:
    def __init__(self) -> None:
        self._content = bytearray(os.urandom(PAGE_BYTES))
        self.taken = False

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._content[offset : offset + length])

    def write(self, offset: int, content: bytes) -> None:
        self._content[offset : offset + len(content)] = content

    def close(self) -> None:
        self.taken = False


class UploadPageFiles:
    """Pages in a directory (0700), one file each (0600), each of one process at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def free(self) -> Iterator[UploadPage]:
        """Yield each page that no other process uses, made first if this device has none yet."""
        self._make_missing()
        paths = self._paths()
        _order.shuffle(paths)
        for path in paths:
            page = self._take(path)
            if page is not None:
                yield page

    def renew(self) -> None:
        """Make what is missing, and give every page the present time."""
        self._make_missing()
        for path in self._paths():
            with suppress(OSError):
                os.utime(path, follow_symlinks=False)

    def _paths(self) -> list[Path]:
        paths = [self.directory / f"uploads-{number}" for number in range(UPLOAD_PAGES)]
        # A directory at a page's place is not ours to remove; the other pages do.
        return [path for path in paths if path.is_symlink() or not path.is_dir()]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_directory(self.directory)
        with locked(self.directory / "uploads.lock"):
            yield

    def _make_missing(self) -> None:
        # What a page held can only save sending something twice: one that is gone or damaged is simply made anew.
        with self._locked():
            for path in self._paths():
                if not _is_page(path):
                    path.unlink(missing_ok=True)
                    replace_private(path, os.urandom(PAGE_BYTES), prefix=".uploads-")

    def _take(self, path: Path) -> UploadPage | None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StateFileError(f"{path} cannot be opened ({error.strerror})") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return _Page(descriptor)


def _is_page(path: Path) -> bool:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return path.is_file() and not path.is_symlink() and private and found.st_size == PAGE_BYTES
