"""Nothing secret in any output: watches what the whole suite says, and fails the test during which a secret got out.

Whatever makes a secret registers it here: every `hushtag.types.Secret` (stretches, OPAQUE passwords, export, session
and data keys, vault tokens, …), every phrase that is stretched, every account password that is hashed or verified,
every account token, and the keys of servers. Whatever says something is collected: standard output, standard error and
logs as pytest captured them, texts of our errors, problems and `/metrics` of servers in this process, logs and
`/metrics` of real ones, state files of clients. At the end of each test the one is searched for the other, in plain
text, hexadecimal, base64 at each alignment, and as Python shows bytes.

Values of fewer than twelve different bytes, texts of fewer than twelve characters or six different ones are no
canaries: zeros and "hello" turn up anywhere. A state file may hold the account's token, which is what it is for.
"""

import ast
import base64
import functools
import re
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from hushtag import _opaque, _stretch, types
from hushtag.client import session, state
from hushtag.errors import HushtagError
from hushtag_server import keyfile, settings, tokens
from hushtag_server.accounts import passwords
from hushtag_server.errors import RefusedError, StartError
from hushtag_server.operation.failures import OperationError

__all__ = ["WATCH", "Watch", "pytest_runtest_makereport"]

_WINDOW = 16
_DIFFERENT_BYTES = 12
_SHORTEST_TEXT = 12
_DIFFERENT_SIGNS = 6
_RUNS = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_SHOWN_BYTES = re.compile(r"""b'(?:[^'\\]|\\.)*'|b"(?:[^"\\]|\\.)*\"""")
_LONGEST = 8 * 1024 * 1024


def _spellings(value: bytes) -> Iterator[str]:
    """Yield the first characters of a value in each spelling that does not depend on what stands beside it."""
    yield value.hex()[:_WINDOW]
    yield value.hex().upper()[:_WINDOW]
    for shift in range(3):
        skip = -(-shift * 8 // 6)
        for alphabet in (b"+/", b"-_"):
            yield base64.b64encode(bytes(shift) + value, altchars=alphabet).decode()[skip : skip + _WINDOW]


class Watch:
    """What must not get out, and what got out since it was last looked at."""

    def __init__(self) -> None:
        self._windows: dict[str, str] = {}
        self._beginnings: dict[bytes, str] = {}
        self._texts: dict[str, str] = {}
        self._session_tokens: set[str] = set()
        self._said: dict[tuple[str, str], None] = {}

    def keep_bytes(self, name: str, value: bytes, *, may_be_in_state: bool = False) -> None:
        """Register a secret value, unless it is too plain to be told from chance."""
        beginning = bytes(value[:_WINDOW])
        if len(set(beginning)) < _DIFFERENT_BYTES or beginning in self._beginnings:
            return
        self._beginnings[beginning] = name
        for spelling in _spellings(beginning):
            self._windows[spelling] = name
            if may_be_in_state:
                self._session_tokens.add(spelling)

    def keep_text(self, name: str, value: bytes) -> None:
        """Register a secret text."""
        text = value.decode("utf-8", "replace")
        if len(text) >= _SHORTEST_TEXT and len(set(text)) >= _DIFFERENT_SIGNS:
            self._texts[text] = name
            self.keep_bytes(name, value)

    def hear(self, place: str, said: str) -> None:
        """Collect what was said."""
        if said:
            self._said[place, said[:_LONGEST]] = None

    def leaks(self) -> list[str]:
        """Return what got out and where, never the secret itself; and forget what was said."""
        said, self._said = self._said, {}
        return sorted({f"{name} in {place}" for place, text in said for name in self._found(place, text)})

    def _found(self, place: str, text: str) -> Iterator[str]:
        yield from (name for secret, name in self._texts.items() if secret in text)
        allowed = self._session_tokens if place == "state file" else set()
        for run in _RUNS.findall(text):
            for start in range(len(run) - _WINDOW + 1):
                window = run[start : start + _WINDOW]
                if window in self._windows and window not in allowed:
                    yield self._windows[window]
        for shown in _SHOWN_BYTES.findall(text):
            yield from self._found_in_bytes(shown)

    def _found_in_bytes(self, shown: str) -> Iterator[str]:
        try:
            value = ast.literal_eval(shown)
        except (ValueError, SyntaxError):
            return
        windows = (value[start : start + _WINDOW] for start in range(len(value) - _WINDOW + 1))
        yield from (self._beginnings[window] for window in windows if window in self._beginnings)


WATCH = Watch()


def _around(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Call `note` with the arguments and the result of each call of `owner.name`."""
    real = getattr(owner, name)

    @functools.wraps(real)
    def noted(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        note(result, *arguments, **named)
        return result

    setattr(owner, name, noted)


def _watch_secrets() -> None:
    _around(types.Secret, "__init__", lambda _, held, value: WATCH.keep_bytes(type(held).__name__, value))
    _around(_opaque.ServerSetup, "__init__", lambda _, held, raw: WATCH.keep_bytes("OPAQUE setup", raw))
    _around(_stretch, "hash_secret_raw", lambda _, **given: WATCH.keep_text("phrase", given["secret"]))
    _around(passwords, "_prepare", lambda prepared, _: WATCH.keep_text("account password", prepared))
    _around(keyfile, "token_bytes", lambda made, _: WATCH.keep_bytes("server key", made))
    note_token = functools.partial(WATCH.keep_bytes, "account token", may_be_in_state=True)
    _around(tokens, "token_hash", lambda _, secret: note_token(secret))
    _around(session, "decode_binary", lambda raw, *_: note_token(raw[16:]))


def _watch_outputs() -> None:
    def note(_: None, error: BaseException, *arguments: Any, **named: Any) -> None:
        if error.args:
            WATCH.hear(f"the text of {type(error).__name__}", " ".join(map(str, error.args)))

    for root in (HushtagError, RefusedError, StartError, OperationError, settings.SettingsError):
        _around(root, "__init__", note)
    _around(state.StateFile, "_store", lambda _, file, kept: WATCH.hear("state file", file.path.read_text()))


_watch_secrets()
_watch_outputs()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the test during which a secret got out."""
    report = yield
    if call.when != "teardown":
        return report
    for title, text in report.sections:
        WATCH.hear(title.lower(), text)
    leaks = WATCH.leaks()
    if leaks:
        report.outcome = "failed"
        report.longrepr = f"something secret got out: {'; '.join(leaks)}"
    return report
