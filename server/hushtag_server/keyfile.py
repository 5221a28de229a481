"""The server's own secrets: a key file of mode 0600 (or `HUSHTAG_KEYS`), never the database.

The database stores, per key set, only a keyed check value, so that a server refuses a database that was made under
other keys before it does any harm there.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from secrets import token_bytes
from typing import Annotated, Any, Final, NoReturn
from uuid import UUID, uuid4

import msgspec
import psycopg

from hushtag._labels import KEY_CHECK
from hushtag.errors import MalformedError
from hushtag.messages import B32, MAX_SETUPS, decode_binary, encode_binary
from hushtag_server.errors import StartError
from hushtag_server.key_stores import absent, key_store
from hushtag_server.settings import Settings

__all__ = [
    "LOCK_KEY",
    "KeyRing",
    "ServerKeys",
    "encode_key_ring",
    "ensure_keys",
    "load_keys",
    "new_keys",
    "present_keys",
    "read_key_ring",
    "register_keys",
]

_VERSION: Final = 1
_SETUP: Final = 128
LOCK_KEY: Final = int.from_bytes(b"hushkeys", "big")

_B128 = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{171}$")]


class _KeyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: UUID
    created_at: datetime
    opaque_setup: _B128
    sealing_key: B32
    audit_key: B32
    decoy_seed: B32

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]

    def __repr__(self) -> str:
        return f"_KeyEntry({self.id}, not shown)"


class _RetiredEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: UUID
    audit_key: B32

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id)]

    def __repr__(self) -> str:
        return f"_RetiredEntry({self.id}, not shown)"


# Servers from before sets were retired know no such field, and none is written that they need not know.
class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    version: int
    current: UUID
    keys: list[_KeyEntry]
    retired_audit_keys: list[_RetiredEntry] = []


@dataclass(frozen=True, slots=True, repr=False)
class ServerKeys:
    """One set of keys: OPAQUE setup (128 bytes), sealing key, audit key and decoy seed (32 bytes each)."""

    id: UUID
    created_at: datetime
    opaque_setup: bytes
    sealing_key: bytes
    audit_key: bytes
    decoy_seed: bytes

    @property
    def fingerprint(self) -> bytes:
        """Check value (32 bytes) of all four secrets; it tells nothing of them, for each has 256 bits or more."""
        covered = KEY_CHECK + self.id.bytes + self.opaque_setup + self.audit_key + self.decoy_seed
        return hashlib.blake2s(covered, key=self.sealing_key).digest()

    def __hash__(self) -> int:
        return hash(self.id.int)  # what is derived of a set is remembered by it, and looked up in every request

    def __repr__(self) -> str:
        return f"ServerKeys({self.id}, not shown)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("server keys are not serialised")


@dataclass(frozen=True)
class KeyRing:
    """Every set of keys the server knows, and the one new records are made under.

    Of a set that was retired only the audit key (32 bytes) is left, to verify what it once signed.
    """

    current: ServerKeys
    by_id: dict[UUID, ServerKeys]
    retired_audit_keys: dict[UUID, bytes] = field(default_factory=dict, repr=False)

    @cached_property
    def by_key_id(self) -> dict[bytes, ServerKeys]:
        """Every set by the 16 bytes of its id."""
        return {key_id.bytes: keys for key_id, keys in self.by_id.items()}

    @cached_property
    def in_use(self) -> tuple[ServerKeys, ...]:
        """Every set, the current one first, then the newest first."""
        others = sorted(self.by_id.values(), key=lambda keys: (keys.created_at, keys.id), reverse=True)
        return self.current, *(keys for keys in others if keys.id != self.current.id)


def new_keys(make_setup: Callable[[], bytes], after: Iterable[ServerKeys] = ()) -> KeyRing:
    """Return a ring of one fresh set, newer than those of `after` whatever the clock says: their times are their order.

    `make_setup` returns an OPAQUE server setup of 128 bytes.
    """
    made = max([datetime.now(UTC), *(keys.created_at + timedelta.resolution for keys in after)])
    keys = ServerKeys(uuid4(), made, make_setup(), token_bytes(32), token_bytes(32), token_bytes(32))
    if len(keys.opaque_setup) != _SETUP:
        raise StartError(f"the OPAQUE setup is {len(keys.opaque_setup)} bytes, expected {_SETUP}")
    return KeyRing(keys, {keys.id: keys})


def encode_key_ring(ring: KeyRing) -> bytes:
    """Return the content of the key file."""
    entries = [
        _KeyEntry(
            id=keys.id,
            created_at=keys.created_at,
            opaque_setup=encode_binary(keys.opaque_setup),
            sealing_key=encode_binary(keys.sealing_key),
            audit_key=encode_binary(keys.audit_key),
            decoy_seed=encode_binary(keys.decoy_seed),
        )
        for keys in ring.by_id.values()
    ]
    retired = [
        _RetiredEntry(id=key_id, audit_key=encode_binary(key)) for key_id, key in ring.retired_audit_keys.items()
    ]
    content = msgspec.to_builtins(
        _KeyFile(version=_VERSION, current=ring.current.id, keys=entries, retired_audit_keys=retired)
    )
    return json.dumps(content, indent=2).encode("ascii") + b"\n"


def read_key_ring(content: bytes | str, source: str) -> KeyRing:
    """Read the content of a key file; `source` names it in messages, which never hold any of it.

    Raises:
        StartError: not a key file of this version.
    """
    try:
        parsed = msgspec.json.decode(content, type=_KeyFile)
        by_id = {
            entry.id: ServerKeys(
                entry.id,
                entry.created_at,
                decode_binary(entry.opaque_setup, _SETUP),
                decode_binary(entry.sealing_key, 32),
                decode_binary(entry.audit_key, 32),
                decode_binary(entry.decoy_seed, 32),
            )
            for entry in parsed.keys
        }
        retired = {entry.id: decode_binary(entry.audit_key, 32) for entry in parsed.retired_audit_keys}
    except (msgspec.DecodeError, UnicodeError, MalformedError):
        raise StartError(f"{source} is not a key file; restore it from a backup") from None
    if (
        parsed.version != _VERSION
        or parsed.current not in by_id
        or len(by_id) != len(parsed.keys)
        or set(retired) & set(by_id)
    ):
        raise StartError(f"{source} is not a key file of version {_VERSION}; restore it from a backup")
    if len(by_id) > MAX_SETUPS:
        raise StartError(f"{source} holds {len(by_id)} key sets, at most {MAX_SETUPS} can be in use; retire one")
    return KeyRing(by_id[parsed.current], by_id, retired)


def load_keys(settings: Settings) -> KeyRing | None:
    """Return the keys from where `HUSHTAG_KEYS`, `HUSHTAG_KEY_STORE` or the key file has them; None if there are none.

    Raises:
        StartError: unreadable, malformed, or open to others.
    """
    store = key_store(settings)
    content = store.load()
    return None if content is None else read_key_ring(content, store.name)


def present_keys(settings: Settings) -> KeyRing:
    """Return the keys as `load_keys` does, where a server has made or checked them before.

    Raises:
        StartError: there are none, or they are not usable.
    """
    keys = load_keys(settings)
    if keys is None:
        raise StartError(f"{absent(settings)} yet; `hushtag-server serve` makes them")
    return keys


def register_keys(connection: "psycopg.Connection[psycopg.rows.TupleRow]", ring: KeyRing) -> None:
    """Check the keys against those the database was made under; record those it does not know yet.

    Raises:
        StartError: the database was made under other keys, or the current set was retired.
    """
    rows = connection.execute("SELECT id, fingerprint, retired_at IS NOT NULL FROM server_keys").fetchall()
    known: dict[UUID, bytes] = {row[0]: row[1] for row in rows}
    retired = {row[0] for row in rows if row[2]}
    for key_id, fingerprint in known.items():
        keys = ring.by_id.get(key_id)
        if keys is None and key_id in retired:
            continue
        if keys is None or not hmac.compare_digest(keys.fingerprint, fingerprint):
            raise StartError(
                f"the database was made under other server keys (id {key_id}); restore the key file that belongs to it"
            )
    if ring.current.id in retired:
        raise StartError(
            f"the newest key set here (id {ring.current.id}) was retired, and nothing may be stored under it; bring "
            "the keys of now: `hushtag-server keys export FILE` where they were retired, `keys import FILE` here"
        )
    for keys in ring.by_id.values():
        if keys.id not in known:
            connection.execute("INSERT INTO server_keys (id, fingerprint) VALUES (%s, %s)", [keys.id, keys.fingerprint])


def ensure_keys(url: str, settings: Settings, make_setup: Callable[[], bytes]) -> KeyRing:
    """Load the keys, or make them on the very first start, and check them against the database.

    A lock in the database lets one server at a time do this, so two first starts cannot make two key sets.

    Raises:
        StartError: the keys are missing, open to others, or not those of this database.
    """
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        ring = load_keys(settings)
        if ring is None:
            if connection.execute("SELECT FROM server_keys LIMIT 1").rowcount:
                raise StartError(
                    f"{key_store(settings).name} is missing, and the database was made under one; "
                    "restore it from a backup: without it no phrase opens anything"
                )
            ring = new_keys(make_setup)
            key_store(settings).store(encode_key_ring(ring), first=True)
        register_keys(connection, ring)
        return ring
