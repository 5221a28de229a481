"""Making a cluster once: initdb, the roles and the database."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from hushtag_server.embedded.account import Account
from hushtag_server.embedded.failure import EmbeddedError
from hushtag_server.embedded.files import Passwords

__all__ = ["ADMIN", "APP", "DATABASE", "OWNER", "make_cluster", "make_roles"]

ADMIN: Final = "postgres"
OWNER: Final = "hushtag_owner"
APP: Final = "hushtag_app"
GROUP: Final = "hushtag_server"
MAINTAINER: Final = "hushtag_maintainer"
MONITOR: Final = "hushtag_monitor"
DATABASE: Final = "hushtag"


@contextlib.contextmanager
def _password_file(directory: Path, account: Account, password: str) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".initdb-") as file:  # 0600
        file.write(password.encode("ascii"))
        file.flush()
        account.own(Path(file.name))
        yield Path(file.name)


def make_cluster(bin_dir: Path, cluster: Path, account: Account, passwords: Passwords) -> None:
    """Run initdb unless the cluster is there; one cut short is thrown away and made again.

    Raises:
        EmbeddedError: initdb failed; says what it said.
    """
    if (cluster / "PG_VERSION").exists():
        return
    half = cluster.with_name(f"{cluster.name}.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    account.own(half)
    with _password_file(cluster.parent, account, passwords.admin) as password_file:
        done = account.run(
            [
                *(bin_dir / "initdb", "-D", half, "-U", ADMIN, f"--pwfile={password_file}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums", "--no-instructions"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            ]
        )
    if done.returncode != 0:
        raise EmbeddedError(f"initdb failed in {half}: {done.stdout.strip()[-500:]}")
    half.rename(cluster)  # only a complete cluster ever has this name


def make_roles(url: str, passwords: Passwords) -> None:
    """Make the owner, the server's role, the groups and the database, as far as they are missing."""
    with psycopg.connect(url, autocommit=True) as connection:
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role, password in ((OWNER, passwords.owner), (APP, passwords.app)):
            if role not in known:
                statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))
        for role in (GROUP, MAINTAINER, MONITOR):
            if role not in known:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN NOBYPASSRLS").format(sql.Identifier(role)))
        for role, member in ((GROUP, APP), (MAINTAINER, OWNER)):
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(member)))
        databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        if DATABASE not in databases:
            create = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(create.format(sql.Identifier(DATABASE), sql.Identifier(OWNER)))
