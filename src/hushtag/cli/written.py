"""Text that somebody writes: an argument, standard input, or an editor. What was typed is not lost with an error."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from hushtag.cli.failures import UsageError

__all__ = ["edited", "read_text", "split_title"]

MAX_TEXT_BYTES: Final = 1024 * 1024


def read_text(given: str | None) -> str | None:
    """Return the text of `-m`, or of standard input if it is `-` or no terminal; None if nobody gave any.

    Raises:
        UsageError: standard input is not UTF-8, or over 1 MiB.
    """
    if given is not None and given != "-":
        return given
    if given is None and sys.stdin.isatty():
        return None
    content = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise UsageError(f"standard input is longer than {MAX_TEXT_BYTES} bytes")
    try:
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError("standard input is not UTF-8") from None


@contextmanager
def edited(text: str) -> Iterator[str]:
    """Yield the text as it left the editor of VISUAL or EDITOR; for all that is done with it.

    It is written in a file (mode 0600), which stays, and is named, unless all of that went well: what somebody typed is
    not lost, whatever breaks.

    Raises:
        UsageError: there is no terminal for an editor, it left without saving, or what it saved is not UTF-8.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("no terminal for an editor; give the text with -m, or on standard input with -m -")
    descriptor, name = tempfile.mkstemp(prefix="hushtag-", suffix=".txt")
    path, given = Path(name), f"{text}\n".encode()
    with os.fdopen(descriptor, "wb") as file:
        file.write(given)
    try:
        click.edit(filename=name)
        yield _saved(path.read_bytes(), given)
    except BaseException:
        if path.exists() and path.read_bytes().rstrip(b"\n") != given.rstrip(b"\n"):
            click.echo(f"What you wrote is kept in {path}", err=True)
        else:
            path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _saved(written: bytes, given: bytes) -> str:
    if written.rstrip(b"\n") == given.rstrip(b"\n"):
        raise UsageError("nothing was written; nothing was sent")
    try:
        return written.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError("what the editor saved is not UTF-8") from None


def split_title(text: str) -> tuple[str, str | None]:
    """Return the first line and what follows it.

    Raises:
        UsageError: the first line is empty.
    """
    title, _, content = text.strip("\n").partition("\n")
    if not title.strip():
        raise UsageError("the first line is the title; it is empty")
    return title.strip(), content.strip("\n") or None
