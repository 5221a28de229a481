"""The way to the database as the owner of its tables, also while a server runs on the same data directory."""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg
from psycopg import sql

from hushtag_server.migration_names import STATE_TABLE, missing_of
from hushtag_server.operation.failures import OperationError
from hushtag_server.settings import Settings

__all__ = ["MAINTAINER", "Connection", "Reached", "as_maintainer", "check_migrated", "connect", "reach_owner"]

Connection = psycopg.Connection[Any]

MAINTAINER: Final = "hushtag_maintainer"
_ATTACH_WAIT: Final = 30.0  # seconds; a server that starts recovers its database first, one that ends stops it


@dataclass(frozen=True, slots=True)
class Reached:
    """A database that answers: the owner's URL, where its programs are if they came with it, its directory if here."""

    owner_url: str
    programs: Path | None = None
    data: Path | None = None

    def __repr__(self) -> str:
        return "Reached(not shown)"


def connect(url: str, *, autocommit: bool = True) -> Connection:
    """Return a connection whose session says what it is for."""
    return psycopg.connect(url, autocommit=autocommit, connect_timeout=10, application_name="hushtag-operation")


@contextlib.contextmanager
def as_maintainer(connection: Connection) -> Iterator[None]:
    """Open a transaction that sees the rows of everybody and may delete what has ended.

    Raises:
        OperationError: the role of the URL is not the owner of the tables.
    """
    with connection.transaction():
        try:
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(MAINTAINER)))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
            raise OperationError(
                "the database role may not step into hushtag_maintainer; let HUSHTAG_DATABASE_URL name the owner of "
                "the tables, as for `hushtag-server migrate`"
            ) from None
        yield


def check_migrated(connection: Connection) -> None:
    """Refuse a database that is not of this version.

    Raises:
        OperationError: migrations are missing.
    """
    found = connection.execute("SELECT to_regclass(%s)", [STATE_TABLE]).fetchone()
    applied: set[str] = set()
    if found is not None and found[0] is not None:
        applied = {row[0] for row in connection.execute(f"SELECT migration_id FROM {STATE_TABLE}")}  # noqa: S608
    if missing := missing_of(applied):
        raise OperationError(f"the database lacks {', '.join(missing)}; run `hushtag-server migrate` first")


def _is_held(data: Path) -> bool:
    """Tell whether a server holds this data directory."""
    with (data / "lock").open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _running_url(data: Path) -> str | None:
    """Return the owner's URL of the PostgreSQL that another process runs here; None while it does not say."""
    from hushtag_server.embedded.bootstrap import DATABASE, OWNER
    from hushtag_server.embedded.files import load_passwords

    try:
        # Line 5 is the directory of the socket: it may be a random one, where the data directory's name is too long.
        sockets = (data / "postgres" / "postmaster.pid").read_text(encoding="utf-8").splitlines()[4].strip()
    except (FileNotFoundError, IndexError):
        return None
    if not sockets:
        return None
    return f"postgresql://{OWNER}:{load_passwords(data).owner}@/{DATABASE}?host={quote(sockets, safe='')}"


def _attach(data: Path) -> Reached | None:
    from hushtag_server.embedded.account import choose_account
    from hushtag_server.embedded.files import find_programs

    url = _running_url(data)
    if url is None:
        return None
    try:
        connect(url).close()
    except psycopg.OperationalError:
        return None  # not up yet, or gone: the lock tells which
    return Reached(url, find_programs(data, choose_account()), data)


@contextlib.contextmanager
def _embedded(data: Path, ready_wait: timedelta, *, make: bool) -> Iterator[Reached]:
    from hushtag_server.embedded import EmbeddedError, EmbeddedPostgres

    if not make and not (data / "postgres" / "PG_VERSION").exists():
        raise OperationError(
            f"there is no database under {data}; set HUSHTAG_DATA to its directory, or HUSHTAG_DATABASE_URL to the "
            "URL of its owner"
        )
    give_up = time.monotonic() + _ATTACH_WAIT
    while (data / "lock").exists() and _is_held(data):
        reached = _attach(data)
        if reached is not None:
            yield reached
            return
        if time.monotonic() > give_up:
            raise EmbeddedError(f"a server holds {data}, and its database does not answer; see {data / 'postgres.log'}")
        time.sleep(0.1)
    with EmbeddedPostgres(data, ready_wait=ready_wait) as postgres:
        yield Reached(postgres.owner_url, postgres.bin_dir, postgres.data)


@contextlib.contextmanager
def reach_owner(settings: Settings, *, make: bool = False) -> Iterator[Reached]:
    """Yield the database of these settings; an embedded one is started, or shared with the server that runs it.

    `make` makes an embedded database where none is, to restore into.

    Raises:
        OperationError: there is none. EmbeddedError: it cannot run here, or does not answer.
    """
    if settings.database_url is not None:
        yield Reached(settings.database_url)
        return
    with _embedded(settings.data.absolute(), settings.ready_wait, make=make) as reached:
        yield reached
