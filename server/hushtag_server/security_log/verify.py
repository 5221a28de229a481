"""Verification of the security log: one snapshot, from the oldest kept row to the last, in constant memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import IsolationLevel

from hushtag_server.operation.reach import Connection, as_maintainer
from hushtag_server.security_log.audit_keys import AuditKeys
from hushtag_server.security_log.chain import GENESIS, Checkpoint, Head, is_authentic
from hushtag_server.security_log.rows import COLUMNS, is_signed, row_of, stamp

__all__ = ["LATE", "MOST_FINDINGS", "Keys", "Tampering", "Verified", "stored_checkpoints", "verify", "walk"]

MOST_FINDINGS: Final = 20
"""Findings after which a verification stops: the first is what counts."""
LATE: Final = 3600.0
"""Seconds by which a row may be older than one before it: hosts' clocks differ, and a row waits for its seal."""
_AT_ONCE: Final = 2000
_TOLD: Final = 500

_NAMES: Final = ", ".join(f'l."{name}"' for name in COLUMNS)
_LINKS: Final = f"""
    SELECT k.seq, k.log_id, k.link, k.key_id, {_NAMES}
    FROM security_audit_links k LEFT JOIN security_audit_logs l ON l.id = k.log_id
    WHERE k.seq > %s AND k.seq <= %s ORDER BY k.seq
"""  # noqa: S608  (constants)
_LOOSE: Final = f"""
    SELECT u.id IS NOT NULL, k.seq, {_NAMES} FROM security_audit_logs l
    LEFT JOIN security_audit_unsealed u ON u.id = l.id LEFT JOIN security_audit_links k ON k.log_id = l.id
    WHERE k.seq IS NULL OR k.seq <= %s ORDER BY l.id
"""  # noqa: S608  (constants)
_GONE: Final = """
    SELECT u.id, k.seq FROM security_audit_unsealed u LEFT JOIN security_audit_links k ON k.log_id = u.id
    WHERE k.seq IS NOT NULL OR NOT EXISTS (SELECT FROM security_audit_logs l WHERE l.id = u.id) ORDER BY u.id
"""
_CHECKPOINTS: Final = """
    SELECT kind, first_seq, last_seq, link, key_id, signed_at, signature FROM security_audit_checkpoints
    WHERE kind = %s ORDER BY last_seq, signed_at
"""
_COUNT: Final = "SELECT count(*), max(seq) FROM security_audit_links WHERE seq > %s"

Keys = dict[UUID, AuditKeys]


class Tampering(NamedTuple):
    """Something that nobody with the keys has done: its kind, the row, its place in the chain, and what was found.

    Kinds: `edited`, `inserted`, `deleted`, `reordered`, `replayed`, `cut`, `unknown_key`, `forged_checkpoint`.
    """

    kind: str
    seq: int | None
    row: str | None
    says: str


class Verified(NamedTuple):
    """What a verification found; `kept_from` and `head` bound the rows that are in the chain now."""

    rows: int
    kept_from: int
    head: int
    waiting: int
    checkpoints: int
    tampering: list[Tampering]


def _unsigned(row: Any, keys: Keys) -> tuple[str, str] | None:
    known = keys.get(UUID(row.key_id)) if row.key_id else None
    if known is None:
        return "unknown_key", f"the row names key set {row.key_id}, which the key file does not hold"
    return None if is_signed(row, known) else ("edited", "its signature does not cover the row as it is")


class _Walk:
    """The chain, link by link."""

    def __init__(self, keys: Keys, start: Head, newest: str = "") -> None:
        self._keys = keys
        self.head = start
        self._newest = newest

    def step(self, seq: int, log_id: UUID, link: bytes, key_id: UUID, columns: Sequence[Any]) -> Iterator[Tampering]:
        """Yield what is wrong with the next link and its row; goes on behind the link as it is stored."""
        before, self.head = self.head, Head(seq, link)
        name = str(log_id)
        if seq != before.seq + 1:
            gap = f"rows {before.seq + 1} to {seq - 1} are missing from the chain"
            yield Tampering("deleted", before.seq + 1, None, gap)
            return  # what this link was chained to is gone
        if columns[0] is None:
            yield Tampering("deleted", seq, name, "the chain names this row, and it is gone")
            return
        row, keys = row_of(tuple(columns)), self._keys.get(key_id)
        if (wrong := _unsigned(row, self._keys)) is not None:
            yield Tampering(wrong[0], seq, name, wrong[1])
        elif keys is None:
            yield Tampering(
                "unknown_key", seq, name, f"its link names key set {key_id}, which the key file does not hold"
            )
        elif keys.link(before.link, seq, log_id, row.log_signature) != link:
            yield Tampering("reordered", seq, name, "this row was not sealed behind the row before it")
        elif self._is_late(row.timestamp):
            yield Tampering("replayed", seq, name, f"it is of {row.timestamp}, long before rows in front of it")
        else:
            self._newest = max(self._newest, row.timestamp)

    def _is_late(self, timestamp: str) -> bool:
        if timestamp >= self._newest:
            return False
        return (datetime.fromisoformat(self._newest) - datetime.fromisoformat(timestamp)).total_seconds() > LATE


def walk(
    connection: Connection, keys: Keys, start: Head, last: int, done: Callable[[int], None], newest: str = ""
) -> Iterator[Tampering]:
    """Yield what is wrong from behind `start` up to `last`; `done` is told how many more are through. In a transaction.

    `newest` is a time at which the chain was known to reach `start` already.
    """
    chain = _Walk(keys, start, newest)
    with connection.cursor(name="security_log") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(_LINKS, [start.seq, last])
        for number, (seq, log_id, link, key_id, *columns) in enumerate(cursor, start=1):
            yield from chain.step(seq, log_id, bytes(link), key_id, columns)
            if number % _TOLD == 0:
                done(_TOLD)


def _loose(connection: Connection, keys: Keys, start: Head, waiting: list[int]) -> Iterator[Tampering]:
    # One snapshot, and rows are queued as they are written: a row is in the chain, or waits for it, or was smuggled in.
    # Rows before `start` are left by a removal that was stopped; the next one takes them along.
    with connection.cursor(name="security_log_loose") as cursor:
        cursor.execute(_LOOSE, [start.seq])
        for queued, seq, *columns in cursor:
            row = row_of(tuple(columns))
            wrong = _unsigned(row, keys)
            if not queued and seq is None:
                says = "it is not in the chain, and does not wait for it"
                yield Tampering("inserted", None, row.id, says if wrong is None else f"{says}; {wrong[1]}")
            elif wrong is not None:
                yield Tampering(wrong[0], seq, row.id, wrong[1])
            elif queued:
                waiting[0] += 1
    for log_id, seq in connection.execute(_GONE):
        if seq is None:
            yield Tampering("deleted", None, str(log_id), "it waited for its place in the chain, and is gone")
        else:
            yield Tampering("replayed", seq, str(log_id), "it is in the chain, and was queued for it again")


def stored_checkpoints(connection: Connection, kind: str) -> list[Checkpoint]:
    return [
        Checkpoint(kind, first, last, bytes(link), key_id, signed_at, bytes(signature))
        for kind, first, last, link, key_id, signed_at, signature in connection.execute(_CHECKPOINTS, [kind])
    ]


def _forged(checkpoints: Iterable[tuple[str, Checkpoint]], keys: Keys) -> Iterator[Tampering]:
    for place, checkpoint in checkpoints:
        if not is_authentic(checkpoint, keys.get(checkpoint.key_id)):
            says = (
                f"{place} says so of {checkpoint.signed_at:%Y-%m-%d %H:%M:%S %Z}, and no key of the key file signed it"
            )
            yield Tampering("forged_checkpoint", checkpoint.last_seq, None, says)


def _compare(connection: Connection, start: Head, head: int, place: str, checkpoint: Checkpoint) -> Tampering | None:
    """Compare an authentic checkpoint with what stands at its place now."""
    seq, when = checkpoint.last_seq, f"{checkpoint.signed_at:%Y-%m-%d %H:%M:%S %Z}"
    if seq < start.seq:
        return None  # removed, as a signed statement says
    if seq > max(head, start.seq):
        says = f"{place} of {when} reached row {seq}, and the chain ends at {max(head, start.seq)}"
        return Tampering("cut", max(head, start.seq) + 1, None, says)
    if seq == start.seq:
        stands = start.link
    else:
        row = connection.execute("SELECT link FROM security_audit_links WHERE seq = %s", [seq]).fetchone()
        stands = b"" if row is None else bytes(row[0])
    if stands == checkpoint.link:
        return None
    return Tampering("cut", seq, None, f"{place} of {when} has another row at {seq}: the chain was cut and grown anew")


class _Verification:
    """One verification in its transaction."""

    def __init__(self, connection: Connection, keys: Keys, given: Sequence[Checkpoint]) -> None:
        self._connection, self._keys = connection, keys
        cuts = [*stored_checkpoints(connection, "cut"), *(each for each in given if each.kind == "cut")]
        self._given = [("the checkpoint file", each) for each in given]
        self._given += [("a checkpoint of the database", each) for each in stored_checkpoints(connection, "head")]
        self._given += [("a statement of removal", each) for each in stored_checkpoints(connection, "cut")]
        good = [cut for cut in cuts if is_authentic(cut, keys.get(cut.key_id))]
        # Also of a file: who deletes the last statement of removal must not make the rows before it look deleted.
        last = max(good, key=lambda cut: cut.last_seq, default=None)
        self.start = GENESIS if last is None else Head(last.last_seq, last.link)
        count, head = connection.execute(_COUNT, [self.start.seq]).fetchone() or (0, None)
        self.count, self.head = int(count), int(head or self.start.seq)
        self.waiting = [0]

    def _checkpoints(self) -> Iterator[Tampering]:
        yield from _forged(self._given, self._keys)
        for place, checkpoint in self._given:
            if is_authentic(checkpoint, self._keys.get(checkpoint.key_id)):
                found = _compare(self._connection, self.start, self.head, place, checkpoint)
                if found is not None:
                    yield found

    def tampering(self, done: Callable[[int], None]) -> Iterator[Tampering]:
        """Yield everything, the chain first."""
        yield from walk(self._connection, self._keys, self.start, self.head, done, self._newest())
        yield from _loose(self._connection, self._keys, self.start, self.waiting)
        yield from self._checkpoints()

    def _newest(self) -> str:
        # Rows behind the start were sealed after this, so a removed one that is put back shows by its time.
        heads = (each for _, each in self._given if each.kind == "head" and each.last_seq <= self.start.seq)
        return max(
            (stamp(each.signed_at) for each in heads if is_authentic(each, self._keys.get(each.key_id))), default=""
        )

    @property
    def compared(self) -> int:
        """How many checkpoints were looked at."""
        return len(self._given)


def verify(
    connection: Connection,
    keys: Keys,
    given: Sequence[Checkpoint] = (),
    *,
    begin: Callable[[int], None] = lambda _: None,
    done: Callable[[int], None] = lambda _: None,
) -> Verified:
    """Verify the whole log in one snapshot; `given` are checkpoints that were kept outside the database.

    `begin` is told the number of rows, `done` how many more are through. At most `MOST_FINDINGS` are returned, those of
    the chain first and in its order.

    Raises:
        OperationError: the role may not step into the maintainer's.
    """
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with as_maintainer(connection):
        verification = _Verification(connection, keys, given)
        begin(verification.count)
        found: list[Tampering] = []
        for each in verification.tampering(done):
            found.append(each)
            if len(found) == MOST_FINDINGS:
                break
    start = verification.start.seq
    return Verified(
        verification.count, start + 1, verification.head, verification.waiting[0], verification.compared, found
    )
