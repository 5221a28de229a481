"""Writing what a vault gives back: complete or not at all, and never over something unasked."""

import os
import secrets
from pathlib import Path

from hushtag.cli.failures import UsageError

__all__ = ["write_file"]


def write_file(path: Path, body: bytes, *, force: bool) -> None:
    """Write a file (mode 0600) beside its place and move it there in one step.

    Raises:
        UsageError: something is there already, and `force` is not set.
        OSError: the file cannot be written; nothing is left behind.
    """
    from hushtag.client.archive_file import make_private

    temporary = path.with_name(f".hushtag-{secrets.token_hex(8)}")
    descriptor = make_private(temporary, path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        if force:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)  # unlike a rename, this fails if the name is taken
    except FileExistsError:
        raise UsageError(f"{path} exists; use --force to replace it") from None
    finally:
        temporary.unlink(missing_ok=True)
