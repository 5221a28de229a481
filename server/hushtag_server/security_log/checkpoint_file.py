"""Checkpoints outside the database: one JSON object a line, appended, for the operator to ship elsewhere."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hushtag_server.errors import StartError
from hushtag_server.operation.failures import OperationError
from hushtag_server.security_log.chain import Checkpoint, read_checkpoint

__all__ = ["MAX_LINE", "append_checkpoint", "check_checkpoints", "read_checkpoints"]

MAX_LINE: Final = 1024 * 1024
"""Characters of a line of a file that may hold checkpoints; a server's log has none that is longer."""


def _opened(path: Path) -> int:
    # 0640: it holds nothing secret, and whoever ships it need not be the server.
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)


def check_checkpoints(path: Path) -> None:
    """Make the file if it is not there.

    Raises:
        StartError: it cannot be written.
    """
    try:
        os.close(_opened(path))
    except OSError as error:
        raise StartError(f"cannot write {path}: {error.strerror}; see HUSHTAG_AUDIT_CHECKPOINTS") from None


def append_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Append a line, in one write: lines of several workers never mix. It is on disk when this returns.

    Raises:
        OSError: the file cannot be written, or only a part of the line; the next one begins a line of its own.
    """
    line = json.dumps(checkpoint.as_line()).encode("ascii") + b"\n"
    handle = _opened(path)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(handle, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    finally:
        os.close(handle)


def _lines(path: Path) -> Iterator[Checkpoint]:
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise OperationError(
                    f"{path} has a line of more than {MAX_LINE} characters; it is no file of checkpoints"
                )
            checkpoint = read_checkpoint(line)
            if checkpoint is not None:
                yield checkpoint


def read_checkpoints(path: Path) -> list[Checkpoint]:
    """Return the checkpoints of a file, in its order; other lines, as of a server's log, do not count.

    Raises:
        OperationError: it cannot be read, has a line without end, or holds none: a verification against it would mean
            nothing.
    """
    try:
        found = list(_lines(path))
    except OSError as error:
        raise OperationError(f"cannot read the checkpoints {path}: {error.strerror}") from None
    if not found:
        raise OperationError(
            f"{path} holds no checkpoint; name the file of HUSHTAG_AUDIT_CHECKPOINTS, or a log of the server"
        )
    return found
