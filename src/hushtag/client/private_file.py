"""Files of the client that only their owner can read, each replaced as a whole by one process at a time."""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hushtag.client.errors import StateFileError

__all__ = ["is_unwritable", "locked", "replace_private"]


LOCK_SECONDS: Final = 10.0
"""How long another process is waited for; what is done under a lock takes milliseconds."""
_LOOK: Final = 0.01
_UNWRITABLE: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT})


def is_unwritable(error: OSError) -> bool:
    """Tell whether the place cannot be written, as a full disk or one to read only, and may be read all the same."""
    return error.errno in _UNWRITABLE


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock file at `path`, made if it is missing, and yield its descriptor; other processes wait meanwhile.

    Raises:
        StateFileError: another process keeps it for longer than 10 s.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise StateFileError(f"another process holds {path}; end it, or try again when it has ended") from None
        time.sleep(_LOOK)


def replace_private(path: Path, content: bytes, *, prefix: str) -> None:
    """Write a file (mode 0600) beside its place, under a name that begins with `prefix`, and move it there in one step.

    Whoever is killed on the way leaves the file as it was, and perhaps `prefix….tmp`.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f"{prefix}{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # or the rename itself could be lost
    finally:
        os.close(directory)
