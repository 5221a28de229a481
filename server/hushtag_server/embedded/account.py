"""Which system user runs PostgreSQL, which refuses to run as root."""

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hushtag_server.embedded.failure import EmbeddedError

__all__ = ["Account", "choose_account", "owner_account"]

_USERS: Final = ("postgres", "hushtag-postgres")
_CREATED: Final = _USERS[-1]


@dataclass(frozen=True, slots=True)
class Account:
    """A system user; `switch` tells whether programs must be started as somebody else than this process."""

    name: str
    uid: int
    gid: int
    switch: bool

    def process_options(self) -> dict[str, Any]:
        """Return the `subprocess` options that start a program as this user, away from the terminal.

        The environment is bare: an inherited PGDATA or PGOPTIONS would point PostgreSQL elsewhere. The working
        directory is the root because the current one may be closed to this user.
        """
        options: dict[str, Any] = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end as this user and return what it said."""
        return subprocess.run(  # noqa: S603  (a fixed program with arguments we made; no shell)
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            **self.process_options(),
        )

    def can_enter(self, directory: Path) -> bool:
        """Tell whether this user may use the directory; asked of the kernel, so ACLs count too."""
        return not self.switch or self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", directory]).returncode == 0

    def own(self, path: Path) -> None:
        """Give one path, and only that path, to this user."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def _create_user() -> pwd.struct_passwd:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is not None:
        command = [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--user-group", _CREATED]
        # S603: a fixed program with fixed arguments; the look-up below tells whether it worked.
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    try:
        return pwd.getpwnam(_CREATED)
    except KeyError:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root and no user for it could be made; "
            f"create one (useradd --system {_CREATED}), or start hushtag-server as an ordinary user"
        ) from None


def _known_users() -> Iterator[pwd.struct_passwd]:
    for name in _USERS:
        with contextlib.suppress(KeyError):
            yield pwd.getpwnam(name)


def choose_account(owner: int | None = None) -> Account:
    """Return the user PostgreSQL runs as: this one, or an unprivileged one when this is root.

    Of several it is the user with the id `owner`: a system may have got its `postgres` after the database was made.

    Raises:
        EmbeddedError: this is root, and no unprivileged user exists or could be made.
    """
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid(), switch=False)
    known = list(_known_users()) or [_create_user()]
    entry = next((user for user in known if user.pw_uid == owner), known[0])
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)


def owner_account(cluster: Path) -> Account:
    """Return the user that runs the PostgreSQL of this directory, which may not be there yet.

    Raises:
        EmbeddedError: another user's is there, and what was made beside it would keep that user out; or as
            `choose_account`.
    """
    try:
        owner = cluster.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return choose_account()
    account = choose_account(owner)
    if account.uid != owner:
        raise EmbeddedError(
            f"the database in {cluster} belongs to another user, with the id {owner}; run this as that user"
        )
    return account
