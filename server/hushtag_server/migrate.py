"""Migrations: plain SQL in `migrations/`, run by yoyo, one migration and its mark in one transaction.

An advisory lock of PostgreSQL lets only one process migrate a database at a time; unlike a row in a lock table it
vanishes with its holder, so a killed migration never blocks the next one.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import psycopg
from psycopg import sql
from yoyo import read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.migrations import Migration, MigrationList

from hushtag_server.migration_names import MIGRATIONS, STATE_TABLE, known_migrations

__all__ = ["MigrationError", "migrate", "prepare_roles", "rollback", "undoable"]

_LOCK_KEY: Final = int.from_bytes(b"hushtag", "big")


class MigrationError(Exception):
    """The migrations cannot be applied as asked; the message names the next step."""


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]  # yoyo is not typed
    """yoyo's psycopg backend, made crash-safe: our lock, our connection, one transaction per migration."""

    def __init__(self, url: str) -> None:
        super().__init__(url, STATE_TABLE)
        self.has_transactional_ddl = True

    def connect(self, dburi: str) -> Any:
        return psycopg.connect(dburi, autocommit=True)

    def list_tables(self, **_: Any) -> list[str]:
        found = self.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return [row[0] for row in found.fetchall()]

    def log_migration(self, migration: Migration, operation: str) -> None:
        pass  # the mark is the state; the log would look up this host's name in the DNS

    @contextlib.contextmanager
    def lock(self, timeout: float = 10) -> Iterator[None]:
        yield  # the advisory lock is held already

    def apply_one(self, migration: Migration, force: bool = False, mark: bool = True) -> None:
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.mark_one(migration)

    def rollback_one(self, migration: Migration, force: bool = False) -> None:
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "rollback", force=force)
            self.unmark_one(migration)


@functools.cache
def _read() -> MigrationList:
    # The files of a version do not change while it runs, and to take their statements apart takes half a second.
    return read_migrations(str(MIGRATIONS))


_OWNER: Final = """
    SELECT pg_get_userbyid(c.relowner) FROM pg_class c
    WHERE c.oid = to_regclass(%s) AND NOT pg_has_role(c.relowner, 'USAGE')
"""


def _check_owner(connection: "psycopg.Connection[Any]") -> None:
    found = connection.execute(_OWNER, [STATE_TABLE]).fetchone()
    if found is not None:
        raise MigrationError(
            f"the tables belong to {found[0]!r}, and HUSHTAG_DATABASE_URL names another role; let it name that one"
        )


def _check_encoding(connection: "psycopg.Connection[Any]") -> None:
    found = connection.info.parameter_status("server_encoding")
    if found != "UTF8":
        raise MigrationError(
            f"the database has the encoding {found}, and must have UTF8; make another one (CREATE DATABASE … ENCODING "
            "'UTF8' TEMPLATE template0): nothing was changed"
        )


def _check_role(url: str, app_role: str) -> None:
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [app_role]).rowcount:
            return
    raise MigrationError(
        f"the role {app_role!r} does not exist; create it with CREATE ROLE … LOGIN PASSWORD …, then migrate again: "
        "nothing was changed"
    )


@contextlib.contextmanager
def _locked_backend(url: str) -> Iterator[_Backend]:
    with psycopg.connect(url, autocommit=True) as holder:
        _check_owner(holder)
        holder.execute("SELECT pg_advisory_lock(%s)", [_LOCK_KEY])
        with _Backend(url) as backend:
            yield backend


def _grant(url: str, app_role: str | None) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("GRANT SELECT ON {} TO hushtag_server").format(sql.Identifier(STATE_TABLE)))
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        for (name,) in found:
            if "yoyo" in name:  # no migration makes them, and a backup holds them too
                connection.execute(sql.SQL("GRANT SELECT ON {} TO hushtag_maintainer").format(sql.Identifier(name)))
        if app_role is None:
            return
        member = connection.execute(
            "SELECT pg_has_role(oid, 'hushtag_server', 'MEMBER') FROM pg_roles WHERE rolname = %s", [app_role]
        ).fetchone()
        if member is not None and not member[0]:
            connection.execute(sql.SQL("GRANT hushtag_server TO {}").format(sql.Identifier(app_role)))


@contextlib.contextmanager
def _explained_privileges(app_role: str | None) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile) as error:
        if "extension" not in (error.diag.message_primary or ""):
            raise
        raise MigrationError(
            "this PostgreSQL lacks the extensions unaccent and pg_trgm; install the contrib package of its version "
            "(postgresql-contrib) and migrate again"
        ) from None
    except psycopg.errors.InsufficientPrivilege as error:
        if "extension" in (error.diag.message_primary or ""):
            raise MigrationError(
                "the owner of the tables may not make extensions in this database; as a superuser run once in it: "
                "CREATE EXTENSION unaccent; CREATE EXTENSION pg_trgm;"
            ) from None
        if "for schema" in (error.diag.message_primary or ""):
            raise MigrationError(
                "this role may not make tables here; let HUSHTAG_DATABASE_URL name their owner"
            ) from None
        raise MigrationError(
            "the owner of the tables may not make roles; as a superuser run once what is missing of: "
            f"CREATE ROLE hushtag_server NOLOGIN NOBYPASSRLS; GRANT hushtag_server TO {app_role or 'hushtag_app'}; "
            "CREATE ROLE hushtag_maintainer NOLOGIN NOBYPASSRLS; GRANT hushtag_maintainer TO the owner; "
            "CREATE ROLE hushtag_monitor NOLOGIN NOBYPASSRLS;"
        ) from None


def migrate(url: str, *, app_role: str | None = None, most: int | None = None) -> list[str]:
    """Apply every migration that is missing and return their ids; safe to call from several processes at once.

    `url` is that of the owner of the tables. `app_role` becomes a member of `hushtag_server`. With `most` no more than
    so many are applied, the oldest first.

    Raises:
        MigrationError: the role does not exist, the owner may not make roles, extensions are missing, or the database
            is not UTF-8; says the next step.
        psycopg.Error: the database refused; nothing of the refused migration is left.
    """
    with _explained_privileges(app_role), _locked_backend(url) as backend:
        _check_encoding(backend.connection)
        if app_role is not None:
            _check_role(url, app_role)
        missing = list(backend.to_apply(_read()))[:most]
        for migration in missing:
            backend.apply_one(migration)
        _grant(url, app_role)
        return [migration.id for migration in missing]


_ROLES: Final = re.compile(r"^DO \$\$.*?^END \$\$;$", re.MULTILINE | re.DOTALL)


def prepare_roles(url: str) -> None:
    """Make the roles that grants and policies name, as the migrations do; for a database that is restored.

    Raises:
        MigrationError: the owner may not make roles, or the database is not UTF-8; says the next step.
    """
    with _explained_privileges(None), psycopg.connect(url, autocommit=True) as connection:
        _check_encoding(connection)
        for name in known_migrations():
            for block in _ROLES.findall((MIGRATIONS / f"{name}.sql").read_text(encoding="utf-8")):
                if "CREATE ROLE" in block:
                    connection.execute(block)


_DROPPED: Final = re.compile(r"^DROP TABLE ([^;]+);", re.MULTILINE)


def undoable(url: str, count: int) -> dict[str, list[str]]:
    """Return the last `count` migrations that were applied, the latest first, and the tables that each would drop."""
    with _locked_backend(url) as backend:
        names = [migration.id for migration in list(backend.to_rollback(_read()))[:count]]
    dropped: dict[str, list[str]] = {}
    for name in names:
        text = (MIGRATIONS / f"{name}.rollback.sql").read_text(encoding="utf-8")
        dropped[name] = [table.strip() for found in _DROPPED.findall(text) for table in found.split(",")]
    return dropped


def rollback(url: str, count: int, tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """Undo the last `count` migrations and return their ids; `tell` is told each once it is undone.

    What their tables held is lost.

    Raises:
        MigrationError: the database refused one: says which; it and those before it stay, those after it are undone.
    """
    with _locked_backend(url) as backend:
        undone = list(backend.to_rollback(_read()))[:count]
        for migration in undone:
            try:
                backend.rollback_one(migration)
            except psycopg.Error as error:
                why = error.diag.message_primary or type(error).__name__
                raise MigrationError(
                    f"{migration.id} cannot be undone: {why}; it stays, and so do those before it; `hushtag-server "
                    "migrate` applies again what was undone, without the rows that are lost"
                ) from None
            tell(migration.id)
        return [migration.id for migration in undone]
