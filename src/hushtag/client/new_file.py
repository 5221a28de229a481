"""A file that comes to its place complete or not at all, and never over something unasked."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from hushtag.client.given_file import write_some
from hushtag.errors import MisuseError

__all__ = ["NewFile", "write_all"]

_DESCRIPTORS: Final = "/proc/self/fd"
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class NewFile:
    """What is to be at a path (mode 0600): written elsewhere, and moved there in one step by `finish`.

    It is written without a name where that can be, so that nothing is left of it if we are killed, and beside its place
    otherwise.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool) -> None:
        self.path = Path(path)
        self._force = force
        self._temporary: Path | None = None
        self._file: IO[bytes] | None = None

    def check(self) -> None:
        """Look at the place before anything is asked for.

        Raises:
            MisuseError: something is there already; or a directory, device or pipe, which nothing replaces.
        """
        if self.path.is_dir() and not self.path.is_symlink():
            raise MisuseError(f"{self.path} is a directory; name a file in it")
        if self.path.exists() and not self.path.is_file() and not self.path.is_symlink():
            raise MisuseError(f"{self.path} is no regular file, and nothing is put in its place")
        if os.path.lexists(self.path) and not self._force:
            raise MisuseError(f"{self.path} exists")

    def open(self) -> IO[bytes]:
        """Make the file and return it, without a buffer, to be written and read.

        Raises:
            MisuseError: as `check`.
            OSError: it cannot be made; names the path, for any other name tells nobody anything.
        """
        self.check()
        descriptor = _open_nameless(self.path.parent)
        if descriptor is None:
            temporary = self._beside()
            with naming(self.path):
                descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._temporary = temporary
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        return self._file

    def finish(self) -> None:
        """Move the file to its place, now that all of it is there.

        Raises:
            MisuseError: meanwhile something is at the place, or the file is closed.
            OSError: it cannot be moved there; names the path, and nothing is left behind.
        """
        if self._file is None:
            raise MisuseError("the target is closed")
        with naming(self.path):
            self._finish(self._file)

    def _finish(self, file: IO[bytes]) -> None:
        os.fsync(file.fileno())
        try:
            if self._temporary is None and not self._force:
                _name(file.fileno(), self.path)
                return
            if self._temporary is None:
                self._temporary = self._beside()
                _name(file.fileno(), self._temporary)
            if self._force:
                self._temporary.replace(self.path)
            else:
                _link(self._temporary, self.path)
        except FileExistsError:
            raise MisuseError(f"{self.path} exists") from None

    def write(self, piece: bytes | memoryview) -> None:
        """Write the next part.

        Raises:
            MisuseError: the file is closed.
            OSError: it cannot be written; names the path.
        """
        if self._file is None:
            raise MisuseError("the target is closed")
        with naming(self.path):
            write_all(self._file, piece)

    def close(self) -> None:
        """Leave nothing unfinished behind."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)

    def _beside(self) -> Path:
        return self.path.with_name(f".hushtag-{secrets.token_hex(8)}")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what the system refuses name this path: it knows none of an open file, and nobody that of a temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_all(file: IO[bytes], piece: bytes | memoryview) -> None:
    """Write a piece to a file that may take less of it at a time.

    Raises:
        MisuseError, BlockingIOError: as for `write_some`.
    """
    rest = memoryview(piece)
    while len(rest):
        rest = rest[write_some(file, rest) :]


def _open_nameless(directory: Path) -> int | None:
    """Return a new file of a directory without a name there; `None` where that, or naming it later, cannot be."""
    if not hasattr(os, "O_TMPFILE") or not os.path.isdir(_DESCRIPTORS):
        return None
    try:
        return os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError:
        return None  # why, the making of one with a name tells, if it cannot be made either


def _name(descriptor: int, path: Path) -> None:
    """Give a nameless file its name; unlike a rename, a link fails if the name is taken."""
    names = os.open(_DESCRIPTORS, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(descriptor), path, src_dir_fd=names, follow_symlinks=True)
    finally:
        os.close(names)


def _link(temporary: Path, path: Path) -> None:
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # No hard links here, as on vfat: take the name with an empty file, and replace that.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
