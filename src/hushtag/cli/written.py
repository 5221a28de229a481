"""Text that somebody writes: an argument, standard input, or an editor. What was typed is not lost with an error."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here

__all__ = ["edited", "kept_if_it_fails", "read_text", "split_title"]

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


def edited(text: str) -> str:
    """Return the text as it left the editor of VISUAL or EDITOR.

    Raises:
        UsageError: there is no terminal for an editor, or it left without saving.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("no terminal for an editor; give the text with -m, or on standard input with -m -")
    changed = click.edit(text, extension=".txt")
    if changed is None or changed.rstrip("\n") == text.rstrip("\n"):
        raise UsageError("nothing was written; nothing was sent")
    return changed.removesuffix("\n")


def split_title(text: str) -> tuple[str, str | None]:
    """Return the first line and what follows it.

    Raises:
        UsageError: the first line is empty.
    """
    title, _, content = text.strip("\n").partition("\n")
    if not title.strip():
        raise UsageError("the first line is the title; it is empty")
    return title.strip(), content.strip("\n") or None


@contextmanager
def kept_if_it_fails(here: Here, text: str | None) -> Iterator[None]:
    """Keep what was typed in an editor in a file (mode 0600) if it could not be sent."""
    try:
        yield
    except BaseException:
        if text is not None:
            descriptor, path = tempfile.mkstemp(prefix="hushtag-", suffix=".txt")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            here.note(f"What you wrote is kept in {path}")
        raise
