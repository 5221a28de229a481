"""Where secrets come from: a terminal without echo, or lines of standard input. Never an argument, never the
environment: both are shown to other processes and kept in histories.
"""

import getpass
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.stdin import StandardInput

__all__ = ["SecretInput"]

MAX_TRANSCRIPTS: Final = 5


class SecretInput:
    """How this command gets its secrets, as its options say."""

    def __init__(self) -> None:
        self.stdin = StandardInput()
        self.phrase_stdin = False
        self.candidate_stdin = False
        self.password_stdin = False
        self.device_secret_file: Path | None = None
        self.this_device: Callable[[], bytes] | None = None  # reads the secret this device keeps, if that is wanted

    def password(self, *, confirm: bool = False, what: str = "Password") -> str:
        """Return the account's password, or `what` is asked for."""
        if self.password_stdin:
            return self._line(what.lower())
        return _ask(what, confirm=confirm, option="--password-stdin")

    def new_phrase(self, what: str = "Phrase") -> str:
        """Return a phrase to enrol; on a terminal it is asked for twice."""
        if self.phrase_stdin:
            return self._line(what.lower())
        return _ask(what, confirm=True)

    def other_phrase(self, what: str) -> str:
        """Return one more phrase that is enrolled already; asked for once."""
        if self.phrase_stdin:
            return self._line(what.lower())
        return _ask(what)

    def phrases(self) -> str | list[str]:
        """Return the phrase, or its candidate transcripts."""
        if self.phrase_stdin and self.candidate_stdin:
            raise UsageError("--phrase-stdin and --candidate-stdin exclude each other")
        if self.candidate_stdin:
            return self._candidates()
        if self.phrase_stdin:
            phrase = self._line("phrase")
            # Two words can be no phrase; as one they would cost a guess.
            if phrase.strip().casefold() == "recovery code":
                raise UsageError("a sheet's first line is its title: give its 15 words in one line, numbered or not")
            return phrase
        return _ask("Phrase")

    def device_secret(self) -> bytes | None:
        """Return the 32 bytes of this device's secret, or of a file that only its owner may read; or none."""
        if self.device_secret_file is None:
            return None if self.this_device is None else self.this_device()
        if self.this_device is not None:
            raise UsageError("--device-secret and --this-device exclude each other")
        from hushtag.client.state import read_private

        content = read_private(self.device_secret_file, 1024)
        try:
            secret = bytes.fromhex(content.decode("ascii").strip())
        except ValueError:
            secret = b""
        if len(secret) != 32:
            raise UsageError("a device secret is 64 hexadecimal digits")
        return secret

    def hidden(self, what: str, *, option: str) -> str:
        """Return what is typed on a terminal without echo; `option` is what else could give it."""
        return _ask(what, option=option)

    def _line(self, what: str) -> str:
        line = self.stdin.line()
        if not line:
            raise UsageError(f"no {what} on standard input")
        return line

    def _candidates(self) -> list[str]:
        transcripts: list[str] = []
        while (line := self.stdin.line()) is not None:
            if line.strip():
                transcripts.append(_transcript(line))
            if len(transcripts) > MAX_TRANSCRIPTS:
                raise UsageError(f"more than {MAX_TRANSCRIPTS} candidates on standard input")
        if not transcripts:
            raise UsageError("no candidate on standard input")
        return transcripts


def _transcript(line: str) -> str:
    """Return the transcript of a line: a JSON string, a JSON object with `transcript`, or the line itself."""
    if line.lstrip()[:1] not in ('"', "{"):
        return line
    try:
        value = json.loads(line)
        value = value["transcript"] if isinstance(value, dict) else value
    except (ValueError, KeyError, RecursionError):
        value = None
    if not isinstance(value, str):
        raise UsageError('a candidate in JSON is "text" or {"transcript": "text"}')
    return value


def _ask(what: str, *, confirm: bool = False, option: str = "--phrase-stdin") -> str:
    if not sys.stdin.isatty():
        raise UsageError(f"no terminal to ask for the {what.lower()} on; use {option}")
    with warnings.catch_warnings():
        # Rather no answer than one that everybody can read along.
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            answer: str = click.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True)
        except getpass.GetPassWarning:
            raise UsageError(f"this terminal cannot hide what is typed; use {option}") from None
    return answer
