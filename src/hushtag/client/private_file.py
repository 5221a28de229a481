"""Files of the client that only their owner can read, each replaced as a whole by one process at a time."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked", "replace_private"]


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock file at `path`, made if it is missing, and yield its descriptor; other processes wait meanwhile."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


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
