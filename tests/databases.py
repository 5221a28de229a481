"""Real PostgreSQL for every test: one embedded cluster per process, one database per test copied from a template."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate

__all__ = ["Database", "administer", "made_database", "make_template", "stop_syncing"]

TEMPLATE = "template_of_tests"
_numbers = itertools.count()


@dataclass(frozen=True)
class Database:
    """URLs of one test's database: owner of the tables, the server's role, superuser."""

    name: str
    owner_url: str
    app_url: str
    admin_url: str


def _database(postgres: EmbeddedPostgres, name: str) -> Database:
    return Database(name, *(postgres.url(role, name) for role in ("hushtag_owner", "hushtag_app", "postgres")))


def _roles(postgres: EmbeddedPostgres) -> dict[str, str]:
    """Return the password of each role."""
    names = ("postgres", "hushtag_owner", "hushtag_app")
    return {name: str(conninfo_to_dict(postgres.url(name, "postgres"))["password"]) for name in names}


def stop_syncing(postgres: EmbeddedPostgres) -> None:
    """Let a cluster that is thrown away skip what costs time and guards against nothing here.

    That is the disk, for only a power cut would lose what was written; and the thousands of hashes of a password by
    which a thief of the cluster would be slowed down, for every connection pays them.
    """
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        for name in ("fsync", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = off")
        connection.execute("SELECT pg_reload_conf()")
        if connection.info.server_version >= 160000:  # before, their number was fixed
            connection.execute("SET scram_iterations = 1")
            for name, password in _roles(postgres).items():
                alter = sql.SQL("ALTER ROLE {} PASSWORD {}")
                connection.execute(alter.format(sql.Identifier(name), sql.Literal(password)))


def make_template(postgres: EmbeddedPostgres) -> str:
    """Make a migrated database without rows, to be copied; return its name."""
    with administer(postgres) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER hushtag_owner")
    migrate(_database(postgres, TEMPLATE).owner_url)
    return TEMPLATE


def administer(postgres: EmbeddedPostgres) -> "psycopg.Connection[Any]":
    """Connect as the superuser of a cluster, to make databases and to drop them."""
    return psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True)


@contextmanager
def made_database(
    postgres: EmbeddedPostgres, template: str = "template1", administrator: "psycopg.Connection[Any] | None" = None
) -> Iterator[Database]:
    """Yield a database of its own, copied from the template and dropped afterwards."""
    name = f"test_{next(_numbers)}"
    with nullcontext(administrator) if administrator else administer(postgres) as connection:
        # Copied as files, not through the log: half the time for a template that nobody changes.
        copied = "STRATEGY FILE_COPY" if connection.info.server_version >= 150000 else ""
        connection.execute(f"CREATE DATABASE {name} OWNER hushtag_owner TEMPLATE {template} {copied}")
        try:
            yield _database(postgres, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
