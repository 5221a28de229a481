"""Passphrases of files: from a terminal that does not show them, a file or standard input; never an argument."""

import getpass
import sys
import warnings
from pathlib import Path
from typing import Final

import click

from hushtag_server.operation.failures import OperationError

__all__ = ["read_passphrase"]

_MAX_BYTES: Final = 64 * 1024


def read_passphrase(file: Path | None, from_stdin: bool, *, new: bool) -> str:
    """Return the passphrase: the first line of the file or of standard input, or asked for, twice if it is `new`.

    Raises:
        OperationError: both were named, nothing was given, or this terminal would show it.
    """
    if file is not None and from_stdin:
        raise OperationError("--passphrase-file and --passphrase-stdin exclude each other; name one")
    if file is not None:
        return _from_file(file)
    if from_stdin:
        return _first_line(sys.stdin.buffer.readline(_MAX_BYTES), "standard input")
    return _ask(new=new)


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _first_line(file.readline(_MAX_BYTES), str(path))
    except OSError as error:
        raise OperationError(f"cannot read the passphrase from {path}: {error.strerror}") from None


def _first_line(line: bytes, source: str) -> str:
    try:
        text = line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise OperationError(f"the passphrase in {source} is not UTF-8 text; write it as text") from None
    if not text:
        raise OperationError(f"there is no passphrase in {source}; it is the first line")
    return text


def _ask(*, new: bool) -> str:
    if not sys.stdin.isatty():
        raise OperationError("there is no terminal to ask on; use --passphrase-file or --passphrase-stdin")
    with warnings.catch_warnings():
        # Rather no answer than one that everybody can read along.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
        except getpass.GetPassWarning:
            raise OperationError("this terminal cannot hide what is typed; use --passphrase-file") from None
    return answer
