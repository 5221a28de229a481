"""Writing a secret to a file: mode 0600, complete or absent; a new one never over an existing one."""

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

__all__ = ["place_new", "private_file", "replace_private", "unfinished_files", "write_private"]

_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def place_new(temporary: Path, path: Path) -> None:
    """Give a file its name, never over another file. It may keep the temporary name beside it.

    Raises:
        FileExistsError: a file of that name is already there; it stays untouched.
    """
    try:
        os.link(temporary, path)  # unlike rename, link refuses to replace a file that is already there
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


def unfinished_files(path: Path) -> Iterator[Path]:
    """Yield what `private_file` has under a temporary name for this path: of a process that was killed, or is at it."""
    form = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}", re.ASCII)  # as mkstemp makes them
    yield from (found for found in path.parent.iterdir() if form.fullmatch(found.name))


@contextmanager
def private_file(path: Path, place: Callable[[Path, Path], object] = place_new) -> Iterator[IO[bytes]]:
    """Yield a file of mode 0600 that `place` gives its name when its content is on disk: no crash leaves half of it.

    Raises:
        FileExistsError: a file of that name is already there; it stays untouched.
        OSError: it cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def write_private(path: Path, content: bytes) -> None:
    """Write a new file of mode 0600.

    Raises:
        FileExistsError: a file of that name is already there; it stays untouched.
        OSError: it cannot be written.
    """
    with private_file(path) as file:
        file.write(content)


def replace_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 in place of another, whose owner it keeps; a crash leaves the one or the other.

    Raises:
        OSError: it cannot be written.
    """
    with private_file(path, Path.replace) as file:
        file.write(content)
        if path.exists() and os.geteuid() == 0:
            found = path.stat()
            os.fchown(file.fileno(), found.st_uid, found.st_gid)
