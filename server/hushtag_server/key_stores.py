"""Where the server's keys lie: a key file, the environment, a program, or systemd's credentials.

`HUSHTAG_KEY_STORE` chooses. Each store gives and takes the same content, that of a key file, as one piece; whoever
writes another store writes a program for `command:` and no Python.
"""

import contextlib
import os
import shlex
import signal
import stat
import subprocess
import threading
from pathlib import Path
from typing import Final, Protocol

from hushtag_server.errors import StartError
from hushtag_server.private_file import replace_private, write_private
from hushtag_server.processes import running_program
from hushtag_server.settings import Settings

__all__ = ["KeyStore", "absent", "key_store"]

MAX_CONTENT: Final = 1024 * 1024
COMMAND_WAIT: Final = 30.0  # seconds a program may take
NOTHING_YET: Final = 3
"""Exit code with which a program says that it has never been given any keys."""


class KeyStore(Protocol):
    """Holds the content of a key file."""

    @property
    def name(self) -> str:
        """What messages call it; no secret."""

    def load(self) -> bytes | None:
        """Return the content, or None if nothing was ever stored.

        Raises:
            StartError: it cannot be read, or others can read it.
        """

    def store(self, content: bytes, *, first: bool) -> None:
        """Keep the content, whole or not at all; `first` refuses to replace what is there.

        Raises:
            StartError: it cannot be written. FileExistsError: `first`, and something is there.
        """


class _FileStore:
    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return f"the key file {self._path}"

    def load(self) -> bytes | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StartError(f"cannot read {self.name}: {error.strerror}") from None
        with contextlib.ExitStack() as opened:
            opened.callback(os.close, descriptor)
            found = os.fstat(descriptor)  # of the open file: what is checked is what is read
            if not stat.S_ISREG(found.st_mode):
                raise StartError(f"{self.name} is not a regular file")
            if found.st_uid not in {os.geteuid(), 0}:
                raise StartError(f"{self.name} belongs to another user; chown it to the user of the server")
            if found.st_mode & 0o077:
                raise StartError(f"{self.name} can be read by others; run: chmod 600 {self._path}")
            with open(descriptor, "rb", closefd=False) as file:  # no directory: that cannot be opened so
                return file.read(MAX_CONTENT)

    def store(self, content: bytes, *, first: bool) -> None:
        try:
            # On its own: a parent that is no directory is a FileExistsError too.
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"cannot make the directory of {self.name}: {error.strerror}") from None
        try:
            (write_private if first else replace_private)(self._path, content)
        except FileExistsError:
            raise
        except OSError as error:
            raise StartError(f"cannot write {self.name}: {error.strerror}") from None


class _ReadOnlyStore:
    """A store that whoever starts the server fills: new keys are put there by hand."""

    def __init__(self, name: str, content: bytes | None, missing: str) -> None:
        self._content = content
        self._missing = missing
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def load(self) -> bytes | None:
        if self._content is None:
            raise StartError(self._missing)
        return self._content

    def store(self, content: bytes, *, first: bool) -> None:
        raise StartError(
            f"{self._name} cannot be written from here; change the keys where HUSHTAG_KEY_FILE names a file, and put "
            "its content there"
        )


class _CommandStore:
    """A program in the manner of credential helpers: `PROGRAM … load` prints the content, `PROGRAM … store` reads it.

    Exit code 0: done. 3 of `load`: there is nothing yet. Any other, or a time-out: refused, and its output is not
    repeated, for it may hold keys.
    """

    def __init__(self, command: str) -> None:
        self._command = shlex.split(command)

    @property
    def name(self) -> str:
        return f"the key store {self._command[0]}"

    def _run(self, verb: str, content: bytes | None) -> tuple[int, bytes]:
        try:
            with running_program(
                [*self._command, verb],
                stdin=subprocess.DEVNULL if content is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as program:
                return self._talk(program, content)
        except OSError as error:
            raise StartError(f"cannot run {self.name}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise StartError(f"{self.name} took longer than {COMMAND_WAIT:.0f} seconds to {verb} the keys") from None

    @staticmethod
    def _talk(program: "subprocess.Popen[bytes]", content: bytes | None) -> tuple[int, bytes]:
        late = False

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)  # what it started holds the pipe open too

        def give_up() -> None:
            nonlocal late
            late = True
            kill()

        timer = threading.Timer(COMMAND_WAIT, give_up)
        timer.start()
        try:
            if program.stdin is not None:
                with contextlib.suppress(BrokenPipeError), program.stdin as way_in:
                    way_in.write(content or b"")
            assert program.stdout is not None  # noqa: S101  (a pipe was asked for)
            printed = program.stdout.read(MAX_CONTENT + 1)
            if len(printed) > MAX_CONTENT:
                kill()  # it may go on for ever
            code = program.wait()
        except BaseException:
            kill()
            raise
        finally:
            timer.cancel()
        if late:
            raise subprocess.TimeoutExpired(program.args, COMMAND_WAIT)
        return code, printed

    def load(self) -> bytes | None:
        code, printed = self._run("load", None)
        if len(printed) > MAX_CONTENT:
            raise StartError(f"{self.name} printed more than a key file holds")
        if code == NOTHING_YET and not printed:
            return None
        if code != 0:
            raise StartError(f"{self.name} failed to load the keys (exit code {code}); run it by hand to see why")
        return printed

    def store(self, content: bytes, *, first: bool) -> None:
        if first and self.load() is not None:
            raise FileExistsError(self.name)
        code, _ = self._run("store", content)
        if code != 0:
            raise StartError(f"{self.name} failed to store the keys (exit code {code}); run it by hand to see why")
        if self.load() != content:
            raise StartError(f"{self.name} does not give back what it was given; the keys are not safe there")


def _credential(credential: str) -> KeyStore:
    """Return a store of one of systemd's credentials (LoadCredentialEncrypted=), which the service may only read."""
    name = f"the credential {credential}"
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    missing = f"{name} is not there; the unit needs LoadCredential={credential} or LoadCredentialEncrypted={credential}"
    if directory is None:
        return _ReadOnlyStore(name, None, missing)
    try:
        with (Path(directory) / credential).open("rb") as file:
            content = file.read(MAX_CONTENT)
    except FileNotFoundError:
        return _ReadOnlyStore(name, None, missing)
    except OSError as error:
        raise StartError(f"cannot read {name}: {error.strerror}") from None
    return _ReadOnlyStore(name, content, missing)


def key_store(settings: Settings) -> KeyStore:
    """Return the store that these settings name."""
    if settings.keys is not None:
        return _ReadOnlyStore("HUSHTAG_KEYS", settings.keys.encode("utf-8", "surrogateescape"), "")
    kind, _, rest = settings.key_store.partition(":")
    if kind == "command":
        return _CommandStore(rest)
    if kind == "credential":
        return _credential(rest)
    return _FileStore(settings.key_path)


def absent(settings: Settings) -> str:
    """Say, to begin a message, that there are no keys where these settings look for them."""
    if settings.key_store == "file":
        return f"there is no key file {settings.key_path}"
    return f"{key_store(settings).name} holds no keys"
