"""What `doctor` looks at: each check asks one question and returns what it found."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple
from uuid import UUID

import psycopg

from hushtag_server.errors import StartError
from hushtag_server.keyfile import load_keys
from hushtag_server.migration_names import STATE_TABLE, missing_of
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.key_copies import tell_keys_apart
from hushtag_server.operation.key_sets import count_tags
from hushtag_server.operation.manifest import KEY_SETS
from hushtag_server.operation.partitions import AHEAD, missing_months
from hushtag_server.operation.reach import Connection, Reached
from hushtag_server.operation.seals import SealCounts, count_seals
from hushtag_server.operation.segment_checks import compare_store, count_leftovers
from hushtag_server.operation.segments import is_needed, stores_of
from hushtag_server.settings import Settings
from hushtag_server.streams.object_store import ObjectStoreError
from hushtag_server.streams.opening import directory_of

__all__ = ["Examined", "Finding", "examine", "size_text"]

MAX_CONNECTION_SHARE: Final = 0.8
MAX_DISK_SHARE: Final = 0.8
MAX_MEAN_MS: Final = 100.0
MAX_BACKUP_AGE: Final = timedelta(hours=25)
MAX_SEALS_AGE: Final = timedelta(hours=25)
MAX_REPLICA_LAG: Final = timedelta(minutes=5)
MAX_CLOCK_DIFFERENCE: Final = 2.0  # seconds
MAX_SEAL_LAG: Final = 60.0  # seconds
MAX_CHECKPOINT_AGE: Final = 600.0  # seconds
_MIN_DEAD: Final = 10_000
_MAX_DEAD_SHARE: Final = 0.2

Level = Literal["fine", "warning", "unknown"]


class Finding(NamedTuple):
    """The answer to one question; `next_step` is what to do about a warning."""

    check: str
    level: Level
    says: str
    next_step: str | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """What a check may look at."""

    connection: Connection
    settings: Settings
    reached: Reached

    def state(self) -> dict[str, float | None]:
        """Return `hushtag_database_state()` by column."""
        found = self.connection.execute("SELECT * FROM hushtag_database_state()")
        row = found.fetchone()
        assert found.description is not None  # noqa: S101  (a query has columns; for the type checker)
        return dict(zip((column.name for column in found.description), row or (), strict=False))


def size_text(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _age_text(seconds: float) -> str:
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def migrations(examined: Examined) -> Iterator[Finding]:
    """Whether the database is of this version."""
    applied = {row[0] for row in examined.connection.execute(f"SELECT migration_id FROM {STATE_TABLE}")}  # noqa: S608
    if missing := missing_of(applied):
        yield Finding("migrations", "warning", f"{', '.join(missing)} missing", "run `hushtag-server migrate`")
    else:
        yield Finding("migrations", "fine", f"all {len(applied)} applied")


def _without_keys(examined: Examined) -> dict[UUID, int]:
    ring = load_keys(examined.settings)
    held = {} if ring is None else ring.by_id
    return {key_id: tags for key_id, tags in count_tags(examined.connection).items() if key_id not in held}


def keys(examined: Examined) -> Iterator[Finding]:
    """Whether the key file is the one this database was made under."""
    rows = examined.connection.execute(KEY_SETS).fetchall()
    problem = tell_keys_apart(examined.settings, dict(rows))
    if problem is not None:
        says, _, step = problem.partition("; ")
        yield Finding("keys", "warning", says, step or "restore the key file from its backup")
    elif lost := _without_keys(examined):
        says = f"{sum(lost.values())} secret tags are under {len(lost)} key sets that are not here, and open nothing"
        step = "run `hushtag-server keys import FILE` with a copy that holds them; tags that are deleted count no more"
        yield Finding("keys", "warning", says, step)
    elif rows:
        yield Finding("keys", "fine", f"the key file fits the database ({len(rows)} key sets)")
    else:
        yield Finding("keys", "fine", "no server has started on this database yet")


def connections(examined: Examined) -> Iterator[Finding]:
    """How many of the possible connections are in use."""
    state = examined.state()
    used, most = state["connections"] or 0, state["max_connections"] or 1
    says = f"{used:.0f} of {most:.0f} in use"
    if used / most > MAX_CONNECTION_SHARE:
        step = "lower HUSHTAG_WORKERS or HUSHTAG_POOL_SIZE, or raise max_connections"
        yield Finding("connections", "warning", says, step)
    else:
        yield Finding("connections", "fine", says)


def backup_age(examined: Examined) -> Iterator[Finding]:
    """How old the last backup is."""
    age = examined.state()["backup_age"]
    step = "run `hushtag-server backup FILE`, daily"
    if age is None:
        yield Finding("backup", "warning", "there has never been one", step)
    else:
        late = age > MAX_BACKUP_AGE.total_seconds()
        says = f"the last one is {_age_text(age)} old"
        yield Finding("backup", "warning", says, step) if late else Finding("backup", "fine", says)


_SEALS_AGE: Final = "SELECT extract(epoch FROM clock_timestamp() - max(c.taken_at)) FROM seal_copies c"


def seals(examined: Examined) -> Iterator[Finding]:
    """How old the copy of the seals is, and whether every secret tag has its seal.

    Until the copy is replaced, what was deleted since opens from the backups, and what was made since from none.
    """
    counts = count_seals(examined.connection)
    if counts.without:
        says = f"{counts.without} of {counts.tags} secret tags open nothing: their seal is not in this database"
        yield Finding("seals", "warning", says, "run `hushtag-server restore-seals FILE` with the newest copy")
    if counts.unsealed:
        says = f"{counts.unsealed} of {counts.tags} secret tags are of an earlier version and have no seal yet"
        yield Finding("seals", "warning", says, "run `hushtag-server maintain`, daily")
    yield from _copy_of_seals(examined, counts)


def _copy_of_seals(examined: Examined, counts: SealCounts) -> Iterator[Finding]:
    row = examined.connection.execute(_SEALS_AGE).fetchone()
    age = None if row is None or row[0] is None else float(row[0])
    step = "run `hushtag-server backup-seals FILE`, as often as deletions should reach the backups"
    if age is None and not counts.tags:
        yield Finding("seals", "fine", "there is no secret tag yet, and no copy of the seals")
    elif age is None:
        yield Finding("seals", "warning", "no copy of the seals was ever made: a restored backup opens no tag", step)
    elif age < 0:
        yield Finding("seals", "warning", "the copy of the seals was made while the clock was ahead", step)
    else:
        late = age > MAX_SEALS_AGE.total_seconds()
        says = f"the copy of the seals is {_age_text(age)} old"
        yield Finding("seals", "warning", says, step) if late else Finding("seals", "fine", says)


class _Fill(NamedTuple):
    """How full a disk is: the share that is taken, and the bytes that are free."""

    share: float
    free: int

    def __str__(self) -> str:
        return f"{self.share:.0%} full ({size_text(self.free)} free)"


def _fill_of(directory: Path) -> _Fill:
    usage = shutil.disk_usage(directory)
    return _Fill((usage.total - usage.free) / usage.total, usage.free)


def disk(examined: Examined) -> Iterator[Finding]:
    """How full the disk of the database is, where the database lies on this host."""
    size = examined.state()["database_bytes"] or 0
    if examined.reached.data is None:
        yield Finding("disk", "unknown", f"the database has {size_text(size)}; its disk is on its own host, look there")
        return
    fill = _fill_of(examined.reached.data)
    says = f"the database has {size_text(size)}; its disk is {fill}"
    if fill.share > MAX_DISK_SHARE or size > MAX_DISK_SHARE * (size + fill.free):
        yield Finding("disk", "warning", says, "free some of it, or move HUSHTAG_DATA to a larger disk")
    else:
        yield Finding("disk", "fine", says)


def replication(examined: Examined) -> Iterator[Finding]:
    """How far replicas are behind."""
    state = examined.state()
    lag = state["replication_lag"]
    if lag is not None:
        late = lag > MAX_REPLICA_LAG.total_seconds()
        step = "look at the replica's log and network"
        says = f"the slowest replica is {lag:.1f} s behind"
        yield Finding("replication", "warning", says, step) if late else Finding("replication", "fine", says)
    elif state["replicas"]:
        step = "to see it, a superuser runs: GRANT pg_monitor TO the owner"
        yield Finding("replication", "unknown", "the lag of the replicas is hidden from this role", step)
    else:
        yield Finding("replication", "fine", "no replicas")


def clock(examined: Examined) -> Iterator[Finding]:
    """Whether this host and the database's agree on the time; times of sessions and reminders depend on it."""
    before = datetime.now(UTC)
    row = examined.connection.execute("SELECT clock_timestamp()").fetchone()
    after = datetime.now(UTC)
    assert row is not None  # noqa: S101  (one row always; for the type checker)
    # The database answered somewhen in between: only what lies outside counts.
    difference = max((before - row[0]).total_seconds(), (row[0] - after).total_seconds(), 0.0)
    says = f"this host and the database differ by {difference:.1f} s"
    if difference > MAX_CLOCK_DIFFERENCE:
        yield Finding("clock", "warning", says, "let both hosts keep their time by NTP (timedatectl set-ntp true)")
    else:
        yield Finding("clock", "fine", says)


def partitions(examined: Examined) -> Iterator[Finding]:
    """Whether the audit log has its partitions ahead."""
    missing = missing_months(examined.connection)
    if missing:
        months = ", ".join(f"{month:%Y-%m}" for month in missing)
        yield Finding("audit partitions", "warning", f"{months} missing", "run `hushtag-server maintain`, daily")
    else:
        yield Finding("audit partitions", "fine", f"made {AHEAD} months ahead")


_UNSEALED: Final = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(l."timestamp")), 0)
    FROM security_audit_unsealed u JOIN security_audit_logs l ON l.id = u.id
"""
_SIGNED: Final = """
    SELECT (SELECT max(seq) FROM security_audit_links), (SELECT max(last_seq) FROM security_audit_checkpoints),
        (SELECT extract(epoch FROM clock_timestamp() - max(signed_at)) FROM security_audit_checkpoints)
"""


def security_log(examined: Examined) -> Iterator[Finding]:
    """Whether events of the security log get their place in the chain, and checkpoints are signed."""
    row = examined.connection.execute(_UNSEALED).fetchone()
    waiting, oldest = row or (0, 0)
    if waiting and oldest > MAX_SEAL_LAG:
        says = f"{waiting} events wait for their seal, the oldest for {_age_text(float(oldest))}"
        step = "see the server's log, or run `hushtag-server maintain` with the key file at hand"
        yield Finding("security log", "warning", says, step)
        return
    head, signed, age = examined.connection.execute(_SIGNED).fetchone() or (None, None, None)
    if head is not None and head > (signed or 0) and (age is None or age > MAX_CHECKPOINT_AGE):
        says = f"the chain reaches row {head}, and no checkpoint does"
        yield Finding("security log", "warning", says, "see the server's log, or run `hushtag-server maintain`")
        return
    yield Finding("security log", "fine", f"sealed up to row {head or 0}, signed up to row {signed or 0}")


_UNINDEXED: Final = """
    SELECT c.conrelid::regclass::text, c.conname, (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place)
        FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number)
    FROM pg_constraint c
    WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace AND c.conparentid = 0
      AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
                      AND (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)
"""


def foreign_keys(examined: Examined) -> Iterator[Finding]:
    """Whether every foreign key has an index that starts with its columns."""
    missing = examined.connection.execute(_UNINDEXED).fetchall()
    for table, name, columns in missing:
        step = f"CREATE INDEX CONCURRENTLY ON {table} ({columns})"
        yield Finding("foreign keys", "warning", f"{name} of {table} has no index", step)
    if not missing:
        yield Finding("foreign keys", "fine", "all indexed")


def slow_statements(examined: Examined) -> Iterator[Finding]:
    """Which statements of the server take longer than 100 ms in the mean, where pg_stat_statements counts them."""
    row = examined.connection.execute("SELECT to_regclass('pg_stat_statements') IS NOT NULL").fetchone()
    if not row or not row[0]:
        step = "shared_preload_libraries = 'pg_stat_statements', then CREATE EXTENSION pg_stat_statements"
        yield Finding("slow statements", "unknown", "pg_stat_statements is not there", step)
        return
    slow = examined.connection.execute("SELECT * FROM hushtag_slow_statements(%s, 5)", [MAX_MEAN_MS]).fetchall()
    for _, calls, mean, _, statement in slow:
        says = f"{mean:.0f} ms in the mean of {calls} calls: {' '.join(str(statement).split())[:100]}"
        yield Finding("slow statements", "warning", says, "look at its plan with EXPLAIN (ANALYZE, BUFFERS)")
    if not slow:
        yield Finding("slow statements", "fine", f"none above {MAX_MEAN_MS:.0f} ms in the mean")


_DEAD: Final = """
    SELECT s.relname, s.n_dead_tup, s.n_live_tup FROM pg_stat_user_tables s
    WHERE s.schemaname = current_schema() AND s.n_dead_tup > %s AND s.n_dead_tup > %s * (s.n_live_tup + s.n_dead_tup)
    ORDER BY s.n_dead_tup DESC LIMIT 5
"""


def dead_rows(examined: Examined) -> Iterator[Finding]:
    """Which tables hold many rows that nobody sees any more."""
    found = examined.connection.execute(_DEAD, [_MIN_DEAD, _MAX_DEAD_SHARE]).fetchall()
    for table, dead, live in found:
        says = f"{table} holds {dead} dead rows beside {live} living ones"
        yield Finding("dead rows", "warning", says, f"VACUUM (ANALYZE) {table}; see that autovacuum is on")
    if not found:
        yield Finding("dead rows", "fine", "autovacuum keeps up")


def segments(examined: Examined) -> Iterator[Finding]:
    """Whether anything is left of uploads and large objects that ended, and whether all bytes are there."""
    found = count_leftovers(examined.connection, examined.settings)
    if found.rows or found.objects:
        says = f"{found.rows} rows and {found.objects} objects are left of what ended"
        yield Finding("large objects", "warning", says, "run `hushtag-server maintain`, daily, or `doctor --repair`")
    if found.miscounted:
        says = f"{found.miscounted} counts of segments or bytes are wrong"
        yield Finding("large objects", "warning", says, "run `hushtag-server doctor --repair`")
    if found.hollow:
        says = f"{found.hollow} segments lack bytes: their objects cannot be read"
        yield Finding("large objects", "warning", says, "restore a backup; see OPERATING.md, Large objects")
    if not any(found):
        yield Finding("large objects", "fine", "nothing is left over")


def _room(url: str) -> Iterator[Finding]:
    directory = directory_of(url)
    if directory is None:
        return
    fill = _fill_of(directory)
    if fill.share > MAX_DISK_SHARE:
        says = f"the disk of {url} is {fill}"
        step = "free some of it, or set HUSHTAG_SEGMENT_STORE to another place and run `hushtag-server segments move`"
        yield Finding("segment store", "warning", says, step)


def segment_stores(examined: Examined) -> Iterator[Finding]:
    """Whether each object store holds what the rows name, and nothing else of ours."""
    for store_id, url in stores_of(examined.connection).items():
        try:
            found = compare_store(examined.connection, examined.settings, store_id)
        except (StartError, ObjectStoreError) as error:
            if not is_needed(examined.connection, examined.settings, store_id, url):
                yield Finding("segment store", "fine", f"{url} cannot be listed, and no row names anything of it")
                continue
            if isinstance(error, StartError):
                yield Finding("segment store", "warning", str(error), "nothing of it is removed until it is this one's")
                continue
            step = "see the store's address and credentials"
            yield Finding("segment store", "warning", f"{url} cannot be listed: {error}", step)
            continue
        if found.missing:
            says = f"{url} lacks {found.missing} segments, or bytes of them: their objects cannot be read"
            yield Finding("segment store", "warning", says, "restore the store from its own backup")
        if found.nobodys:
            says = f"{url} has {len(found.nobodys)} objects that nothing names"
            yield Finding("segment store", "warning", says, "run `hushtag-server doctor --repair`")
        if found.staged:
            says = f"{url} has {found.staged} unfinished files that killed servers left"
            yield Finding(
                "segment store", "warning", says, "run `hushtag-server maintain`, daily, or `doctor --repair`"
            )
        yield from _room(url)
        if not (found.missing or found.nobodys or found.staged):
            yield Finding("segment store", "fine", f"{url} has all {found.objects} objects")


_CHECKS: Final[tuple[Callable[[Examined], Iterator[Finding]], ...]] = (
    migrations, keys, backup_age, seals, connections, disk, replication, clock, partitions, security_log,
    foreign_keys, slow_statements, dead_rows, segments, segment_stores,
)  # fmt: skip


def examine(examined: Examined) -> list[Finding]:
    """Run every check; one that is refused is a finding too, and stops no other."""
    findings: list[Finding] = []
    for check in _CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            findings.extend(check(examined))
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedFunction):
            step = "run `hushtag-server migrate`, then doctor again"
            findings.append(Finding(name, "warning", "this database cannot tell yet", step))
        except psycopg.errors.InsufficientPrivilege:
            step = "let HUSHTAG_DATABASE_URL name the owner of the tables"
            findings.append(Finding(name, "warning", "this role may not look", step))
        except (OperationError, StartError) as error:
            says, _, step = str(error).partition("; ")
            findings.append(Finding(name, "warning", says, step or None))
    return findings
