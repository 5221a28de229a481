"""Writing what a vault gives back: complete or not at all, and never over something."""

from pathlib import Path

from hushtag.cli.failures import UsageError
from hushtag.errors import MisuseError

__all__ = ["write_file"]


def write_file(path: Path, body: bytes) -> None:
    """Write a new file (mode 0600).

    Raises:
        UsageError: something is there already.
        OSError: the file cannot be written; nothing is left behind.
    """
    from hushtag.client.new_file import NewFile

    new = NewFile(path, force=False)
    try:
        new.open()
        new.write(body)
        new.finish()
    except MisuseError as error:
        raise UsageError(str(error)) from None
    finally:
        new.close()
