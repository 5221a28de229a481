"""What the adversary does to the database: every state of one account's vault side is kept, and any comes back.

Whatever table hangs on vaults or secret tags by a foreign key belongs to a state; the sessions alone stay as they are,
as those of an operator who puts rows back would. One vault can be taken back alone, beside another of today.
"""

from typing import Any, NamedTuple
from uuid import UUID

import psycopg

__all__ = ["Look", "Past", "Row"]

_SIDE = """
    WITH RECURSIVE side AS (
        SELECT c.oid FROM pg_class c WHERE c.oid IN ('vaults'::regclass, 'secret_tags'::regclass)
        UNION SELECT f.conrelid FROM pg_constraint f JOIN side s ON f.confrelid = s.oid WHERE f.contype = 'f')
    SELECT s.oid::regclass::text, (SELECT string_agg(a.attname, ' ') FROM pg_attribute a
        WHERE a.attrelid = s.oid AND a.attnum > 0) FROM side s ORDER BY 1
"""
_SESSIONS = "opaque_sessions"


class Row(NamedTuple):
    """One stored row, as far as a head vouches for it."""

    revision: int
    digest: bytes
    key_version: int


class Look(NamedTuple):
    """One vault as it lies in the database."""

    generation: int
    key_version: int
    head: bytes
    rows: dict[UUID, Row]
    tags: frozenset[UUID]


class Past:
    """The states of all accounts, by number."""

    def __init__(self, admin_url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(admin_url, autocommit=True)
        found = self._connection.execute(_SIDE).fetchall()
        self._columns = {table: columns.split() for table, columns in found if table != _SESSIONS}
        self._connection.execute("CREATE SCHEMA past")
        for table in self._columns:
            self._connection.execute(f"CREATE TABLE past.{table} (number integer, user_id uuid, kept {table})")
            self._connection.execute(f"CREATE INDEX ON past.{table} (number)")
        self._count = 0

    def close(self) -> None:
        self._connection.close()

    def look(self, user_id: UUID) -> dict[UUID, Look]:
        """Return every vault of an account as it lies there now."""
        with self._connection.pipeline():
            vaults = self._connection.execute(
                "SELECT id, generation, key_version, head FROM vaults WHERE user_id = %s", [user_id]
            )
            rows = self._connection.execute(
                "SELECT vault_id, object_id, revision, row_digest, key_version FROM vault_blobs WHERE user_id = %s",
                [user_id],
            )
            tags = self._connection.execute("SELECT vault_id, tag_id FROM wrapped_keys WHERE user_id = %s", [user_id])
            stored, opening = rows.fetchall(), tags.fetchall()
            return {
                vault_id: Look(
                    generation,
                    version,
                    head,
                    {each[1]: Row(*each[2:]) for each in stored if each[0] == vault_id},
                    frozenset(tag for vault, tag in opening if vault == vault_id),
                )
                for vault_id, generation, version, head in vaults.fetchall()
            }

    def keep(self, user_id: UUID) -> int:
        """Remember the state of now; return its number."""
        self._count += 1
        with self._connection.pipeline():
            for table in self._columns:
                statement = f"INSERT INTO past.{table} SELECT %s, t.user_id, t FROM {table} t WHERE t.user_id = %s"
                self._connection.execute(statement, [self._count, user_id])
        return self._count

    def bring_back(self, user_id: UUID, number: int, vault_id: UUID | None = None) -> None:
        """Put a remembered state in the place of today's: of everything, or of one vault."""
        with self._connection.transaction():
            # No trigger and no cascade: whoever has the files of a database is not bound by either.
            self._connection.execute("SET LOCAL session_replication_role = replica")
            mine = [(table, self._filter(table, vault_id)) for table in self._columns]
            then = f"(SELECT (k.kept).tag_id FROM past.wrapped_keys k WHERE k.number = {number} AND (k.kept).vault_id"
            now = "(SELECT k.tag_id FROM wrapped_keys k WHERE k.vault_id"
            # What says which tags are a vault's goes last.
            for table, which in sorted(mine, key=lambda each: each[0] == "wrapped_keys"):
                gone = which.format(row="t", tags=f"{now} = '{vault_id}')")
                self._connection.execute(f"DELETE FROM {table} t WHERE t.user_id = %s AND {gone}", [user_id])
            for table, which in mine:
                back = which.format(row="(p.kept)", tags=f"{then} = '{vault_id}')")
                self._connection.execute(
                    f"INSERT INTO {table} SELECT (p.kept).* FROM past.{table} p"
                    f" WHERE p.number = %s AND p.user_id = %s AND {back}",
                    [number, user_id],
                )
            self._connection.execute(
                f"DELETE FROM {_SESSIONS} o WHERE o.user_id = %s AND o.tag_id IS NOT NULL AND NOT EXISTS"
                " (SELECT FROM secret_tags t WHERE t.user_id = o.user_id AND t.id = o.tag_id)",
                [user_id],
            )

    def _filter(self, table: str, vault_id: UUID | None) -> str:
        if vault_id is None:
            return "true"
        if table == "vaults":
            return f"{{row}}.id = '{vault_id}'"
        if "vault_id" in self._columns[table]:
            return f"{{row}}.vault_id = '{vault_id}'"
        return f"{{row}}.{'id' if table == 'secret_tags' else 'tag_id'} IN {{tags}}"

    def alike(self, user_id: UUID, phrase_salt: bytes) -> None:
        """Give an account a phrase salt that others have too: a phrase is then stretched once for all of them."""
        self._connection.execute("UPDATE users SET phrase_salt = %s WHERE id = %s", [phrase_salt, user_id])
