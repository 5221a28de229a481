"""What the commands of `hushtag-server` share: settings from the environment, errors as one line and an exit code."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

from hushtag_server.errors import StartError
from hushtag_server.settings import Settings, SettingsError, load_settings

__all__ = ["EXIT_FAILED", "EXIT_SETTINGS", "explained", "load", "stand_in_for_closed_streams"]

EXIT_FAILED: Final = 1
EXIT_SETTINGS: Final = 2
_PRINTERS: Final = frozenset({"click.utils", "rich.console"})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE: Final = _FULL | {errno.EPIPE, errno.EIO}
_OF_THIS_HOST: Final = _FULL | {errno.EACCES, errno.EPERM, errno.EROFS}


def stand_in_for_closed_streams() -> None:
    """Have /dev/null in place of standard streams that are closed, here and in workers: no file of ours gets their
    numbers, where a library would write what it complains of.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is the stream's
            os.set_inheritable(descriptor, True)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (to the end)


def load(**overrides: object) -> Settings:
    """Return the settings of the environment, with those of the command's options that were given.

    Raises:
        SettingsError: lists every fault.
    """
    given = {f"HUSHTAG_{name.upper()}": str(value) for name, value in overrides.items() if value is not None}
    return load_settings({**os.environ, **given})


def _stop(message: str, code: int) -> None:
    click.echo(f"hushtag-server: {message}", err=True)
    sys.exit(code)


def _is_of_output(error: OSError) -> bool:
    # The error has no name of a file. Who raised it tells: a stream that does not buffer keeps nothing to try again.
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__") in _PRINTERS for frame, _ in frames)


def _explain(error: Exception) -> tuple[str, int] | None:
    # What these come from is loaded by whoever raises them; a command that succeeds need not load it.
    import psycopg

    from hushtag_server.embedded import EmbeddedError
    from hushtag_server.migrate import MigrationError
    from hushtag_server.operation.failures import OperationError

    if isinstance(error, SettingsError):
        return str(error), EXIT_SETTINGS
    if isinstance(error, StartError | EmbeddedError | MigrationError | OperationError):
        return str(error), EXIT_FAILED
    if isinstance(error, psycopg.OperationalError):
        return f"the database refused: {str(error).strip()}", EXIT_FAILED
    if isinstance(error, psycopg.Error):
        # Its message may quote parts of the URL, and so the password.
        return f"the database refused: {type(error).__name__}; check HUSHTAG_DATABASE_URL", EXIT_FAILED
    if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE and _is_of_output(error):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or what is buffered would complain once more at the end
        return f"cannot write to standard output: {error.strerror}", EXIT_FAILED
    if isinstance(error, OSError) and error.errno in (_OF_THIS_HOST if error.filename is not None else _FULL):
        # Writing to a file that is open fails without its name.
        place = "a file" if error.filename is None else os.fsdecode(error.filename)
        advice = "see which user runs this, and that the disk is neither full nor read-only"
        return f"cannot use {place}: {error.strerror}; {advice}", EXIT_FAILED
    return None


def explained(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the errors of starting into one message and an exit code; everything else stays a traceback."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except Exception as error:
            told = _explain(error)
            if told is None:
                raise
            _stop(*told)

    return run
