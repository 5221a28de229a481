"""Writing an event with the step it tells of: in the same statement, so that it can be neither lost nor invented.

How a step ends only its statement knows. So one row is signed for each way in which it can end, and the statement
itself stores the one that came true. That costs no round trip.
"""

import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import msgspec

from hushtag_server.asgi import EXCHANGE
from hushtag_server.peer import scope_peer
from hushtag_server.pool import Pool
from hushtag_server.security_log.audit_keys import AuditKeys
from hushtag_server.security_log.events import EVENTS, Event
from hushtag_server.security_log.rows import COLUMNS, Beginning, encode_values
from hushtag_server.settings import Settings
from hushtag_server.spelling import spelt_second, spelt_uuid

__all__ = ["INSERT", "EventSource", "RecordedPool", "Source", "Subject", "identifier", "named", "new_row_id"]

_NAMES: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_STORE: Final = (
    f"INSERT INTO security_audit_logs ({_NAMES}) SELECT {_NAMES} FROM"  # noqa: S608  (constants)
    " {source} json_populate_record(NULL::security_audit_logs, ({row})) e WHERE e.id IS NOT NULL RETURNING id"
)
_QUEUE: Final = "INSERT INTO security_audit_unsealed (id) SELECT id FROM event"
INSERT: Final = f"WITH event AS ({_STORE.format(source='', row='SELECT %s::json')}) {_QUEUE}"
"""Store one row, given as JSON, and queue it; in the transaction of what it tells of."""

_PARAMETER: Final = re.compile(r"\$(\d+)")
_encode: Final = msgspec.json.Encoder().encode


def _with_event(statement: LiteralString, event: LiteralString) -> LiteralString:
    return (
        f"WITH done AS MATERIALIZED ({statement}), event AS ({event}), queued AS ({_QUEUE})"  # noqa: S608
        " SELECT * FROM done"
    )


@cache
def _joined(statement: LiteralString, choice: LiteralString) -> LiteralString:
    last = max(int(number) for number in _PARAMETER.findall(statement))
    chosen = f"SELECT ${last + 1}::json -> ({choice}) FROM done d LIMIT 1"  # noqa: S608  (constants)
    return _with_event(statement, _STORE.format(source="", row=chosen))


@cache
def _joined_together(statement: LiteralString, choice: LiteralString) -> LiteralString:
    # The rows of every step lie in one array, in the order of the places that the statement's rows begin with; of the
    # rows of a place, the first tells how its step ended.
    last = max(int(number) for number in _PARAMETER.findall(statement))
    source = (
        f"(SELECT r.endings -> ({choice}) AS chosen FROM (SELECT DISTINCT ON (place) * FROM done ORDER BY place) d"  # noqa: S608
        f" JOIN json_array_elements(${last + 1}::json) WITH ORDINALITY r (endings, place) USING (place)) c,"
        " LATERAL"
    )
    return _with_event(statement, _STORE.format(source=source, row="SELECT c.chosen"))


@lru_cache(maxsize=4096)
def identifier(keys: AuditKeys, kind: bytes, value: bytes) -> str:
    """Return the keyed hash of an identifier in 64 hex characters; remembered, for what comes again and again."""
    return keys.identify(kind, value).hex()


def named(keys: AuditKeys, kind: bytes, value: bytes) -> str:
    """Return the beginning of the keyed hash of an identifier, spelt as the columns of type uuid want it."""
    return spelt_uuid(keys.identify(kind, value).hex())


_chance: Final = random.Random()  # noqa: S311  (of nobody else, who might give it a seed that repeats)
os.register_at_fork(after_in_child=_chance.seed)


def new_row_id(moment: int | None = None) -> str:
    """Return a UUID of version 7 of this moment (nanoseconds): rows of one time lie together in the index.

    It is unique, not secret, so no random bytes of the system are spent on it.
    """
    chance = f"{_chance.getrandbits(72):018x}"
    milliseconds = (time.time_ns() if moment is None else moment) // 1_000_000
    return spelt_uuid(f"{milliseconds:012x}7{chance[:3]}8{chance[3:]}")


def _stamped(moment: int) -> str:
    # As `rows.stamp` spells it, of nanoseconds; what is the same for a whole second is not made anew for every row.
    seconds, rest = divmod(moment, 1_000_000_000)
    return f"{spelt_second(seconds)}.{rest // 1000:06d}+00:00"


@cache
def _ending(event_name: str, outcome: str) -> tuple[bytes, bytes]:
    # What an event and its outcome fix of a row: as it is signed, and as JSON up to the signature.
    event = EVENTS[event_name]
    message, error, severity = event.outcomes[outcome]
    # A failed ceremony shows nothing: anybody with the account can make one.
    sensitive = event.sensitive and error != "ceremony_failed"
    ending = (event.name, event.category, severity, message, sensitive, error is None, error)
    columns = dict(zip(COLUMNS[-len(ending) - 1 : -1], ending, strict=True))
    return encode_values(ending), b"," + _encode(columns)[1:-1] + b',"log_signature":"'


Source = Mapping[str, Any]
"""The ASGI scope of a request, read only."""


class Subject(NamedTuple):
    """Whom an event is about: the user, the session, the ceremony (hex, if it is of one), and hashed particulars."""

    user_id: UUID
    session: bytes
    ceremony: str | None = None
    particulars: dict[str, Any] | None = None


class EventSource:
    """Where an event comes from: one request, known by its scope, at a server with these keys."""

    __slots__ = ("_keys", "_scope", "_settings", "kick")

    def __init__(self, keys: AuditKeys, settings: Settings, scope: Mapping[str, Any], kick: Any) -> None:
        self._keys, self._settings, self._scope, self.kick = keys, settings, scope, kick

    def hashed(self, kind: bytes, value: bytes) -> str:
        """Return the keyed hash of something that the particulars name."""
        return self._keys.identify(kind, value).hex()

    def named_ceremony(self, session_id: str) -> str:
        """Return what names a step of a ceremony (64 hex characters) in the log."""
        return named(self._keys, b"ceremony", bytes.fromhex(session_id))

    def rows(self, event: Event, subject: Subject, outcomes: Sequence[str]) -> dict[str, bytes]:
        """Return the signed row of each outcome as JSON. They share their id: one of them will be stored."""
        keys, scope = self._keys, self._scope
        address, agent = scope_peer(scope, self._settings)
        exchange = scope.get(EXCHANGE)
        ceremony, moment = subject.ceremony, time.time_ns()
        shared: tuple[Any, ...] = (
            new_row_id(moment),
            keys.text_id,
            identifier(keys, b"user", subject.user_id.bytes),
            identifier(keys, b"session", subject.session),
            None if ceremony is None else named(keys, b"ceremony", bytes.fromhex(ceremony)),
            named(keys, b"request", scope["state"]["request_id"].encode()),
            None if address is None else identifier(keys, b"address", address.encode()),
            None if agent is None else identifier(keys, b"agent", agent.encode()),
            None if subject.particulars is None else _encode(subject.particulars).decode(),
            _stamped(moment),
            None if exchange is None else int((time.perf_counter() - exchange.started) * 1000),
        )
        begin, columns, made = encode_values(shared), _encode(Beginning(*shared))[:-1], {}
        for name in outcomes:
            encoded, ending = _ending(event.name, name)
            made[name] = b'%b%b%b"}' % (columns, ending, keys.sign_row(begin + encoded).encode())
        return made

    def through(self, pool: Pool, event: Event, subject: Subject, *outcomes: str) -> "RecordedPool":
        """Return a pool whose next call stores this event with its statement; of `outcomes`, or of all."""
        return RecordedPool(pool, self, event, subject, outcomes or tuple(event.outcomes))

    async def record(self, connection: Any, event: Event, subject: Subject, outcome: str = "done") -> None:
        """Store an event in the transaction of this connection."""
        row = self.rows(event, subject, (outcome,))[outcome]
        await connection.execute(INSERT, [row.decode()])
        self.kick()


class RecordedPool(NamedTuple):
    """A pool and the event that a call of it tells of; `database.call` takes it in the place of a pool."""

    pool: Pool
    source: EventSource
    event: Event
    subject: Subject
    outcomes: tuple[str, ...]

    def endings(self) -> bytes:
        """Return the signed row of each way in which the event can end, as JSON by their names."""
        rows = self.source.rows(self.event, self.subject, self.outcomes)
        return b"{" + b",".join([b'"%b":%b' % (name.encode(), row) for name, row in rows.items()]) + b"}"

    def join(self, statement: LiteralString, values: Sequence[object]) -> tuple[LiteralString, Sequence[object]]:
        """Return the statement that also stores the event, and its values."""
        return _joined(statement, self.event.choice), (*values, self.endings().decode())

    def join_together(self, statement: LiteralString) -> LiteralString:
        """Return the statement of several steps that also stores the event of each; its last value are all endings."""
        return _joined_together(statement, self.event.choice)
