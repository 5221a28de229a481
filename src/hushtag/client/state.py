"""The client's local state: one file that only its owner can read, changed by one process at a time.

It holds the account session and the pins, and never a phrase, a key or anything that tells whether a secret tag
exists: whoever holds the unlocked device learns from it only that somebody logged in.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from hushtag.client.errors import ExposedFileError, StateFileError
from hushtag.client.private_file import locked, replace_private
from hushtag.client.session import Pin, Session

__all__ = ["State", "StateFile", "check_directory", "decode_state", "read_private"]

MAX_STATE_BYTES: Final = 1024 * 1024
_OTHERS: Final = 0o077


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept between two runs."""

    version: int = 1
    session: Session | None = None
    pins: dict[str, Pin] = msgspec.field(default_factory=dict)


def _check_private(found: os.stat_result, path: Path, mode: str) -> None:
    if found.st_uid != os.geteuid():
        raise ExposedFileError(f"{path} belongs to another user")
    if found.st_mode & _OTHERS:
        raise ExposedFileError(f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):04o}); chmod {mode} it")


def check_directory(directory: Path) -> None:
    """Refuse a directory of state that others can look into.

    Raises:
        StateFileError: it is none, another user's, or open to others.
    """
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise StateFileError(f"{directory} is no directory")
    _check_private(found, directory, "700")


def read_private(path: Path, limit: int = MAX_STATE_BYTES) -> bytes:
    """Return the bytes of a file that only its owner can read.

    Raises:
        FileNotFoundError: there is none.
        StateFileError: others can read it, it is another user's, no regular file, a link, or too long.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateFileError(f"{path} cannot be read ({error.strerror})") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise StateFileError(f"{path} is no regular file")
        _check_private(found, path, "600")
        with os.fdopen(descriptor, "rb", closefd=False) as file:  # which takes no directory, and would leave it open
            content = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise StateFileError(f"{path} is longer than {limit} bytes")
    return content


def decode_state(content: bytes, source: str) -> State:
    """Return the state of a file's bytes; `source` names the file in messages.

    Raises:
        StateFileError: no state of this version.
    """
    try:
        state = msgspec.json.decode(content, type=State)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise StateFileError(f"{source} is damaged; move it away and log in again") from None
    if state.version != 1:
        raise StateFileError(f"{source} has version {state.version}; this program knows version 1")
    return state


class StateFile:
    """The state in one directory; also the place where pins are kept. Safe for several processes and threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "state.json"

    def load(self) -> State:
        """Return the state; an empty one if nothing was kept yet.

        Raises:
            StateFileError: others could read it, or it is no state of this version.
        """
        if not self.directory.exists():
            return State()
        check_directory(self.directory)
        try:
            content = read_private(self.path)
        except FileNotFoundError:
            return State()
        return decode_state(content, str(self.path))

    def keep_session(self, session: Session) -> Session | None:
        """Keep the session, and return the one whose place it takes."""
        with self._changing() as state:
            self._store(msgspec.structs.replace(state, session=session))
        return state.session

    def forget_session(self, session: Session) -> None:
        """Forget this session, unless another process has logged in since."""
        with self._changing() as state:
            if state.session == session:
                self._store(msgspec.structs.replace(state, session=None))

    def read(self, account: str) -> Pin | None:
        """Return the pin of an account, if there is one."""
        return self.load().pins.get(account)

    def write(self, account: str, pin: Pin) -> None:
        """Keep the pin of an account."""
        with self._changing() as state:
            self._store(msgspec.structs.replace(state, pins={**state.pins, account: pin}))

    @contextmanager
    def _changing(self) -> Iterator[State]:
        """Hold the lock from reading to writing, so that no change of another process is lost between them."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_directory(self.directory)
        with locked(self.directory / "lock"):
            yield self.load()

    def _store(self, state: State) -> None:
        content = msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"
        replace_private(self.path, content, prefix="state.")
