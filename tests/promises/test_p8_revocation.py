"""P8: a revoked phrase opens nothing that was written or re-sealed after its revocation.

Whoever held the phrase keeps it, and every key it ever gave; and they have the database as it was the day before, and
every row as it is after. With that they try each key on each value they could open with it. What did not change since
they could read it they have read: that is said here as well, and in SECURITY.md.
"""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from hushtag import unlock as unlock_module
from hushtag.client import AsyncClient, ConflictError, IntegrityError
from hushtag.errors import AuthenticationError, HushtagError
from hushtag.head import open_head
from hushtag.keys import derive_kek, derive_tag_key_pair, unwrap_key
from hushtag.objects import ObjectRow, open_object, padded_length
from hushtag.phrase import draw_phrase
from hushtag.rotation import open_old_key, open_to_tag
from hushtag.streams import SegmentKind, StreamInfo, open_segment, seal_segment, sealed_length, segment_context
from hushtag.tag_label import open_label
from hushtag.types import DataKey, ExportKey, StreamKey, WrappedKey
from tests.client.support import NO_PAUSE
from tests.people import PASSWORD
from tests.stretching import stretched_once

__all__ = ["stretched_once"]

pytestmark = pytest.mark.anyio

TABLES = ("secret_tags", "vaults", "wrapped_keys", "sealed_keys", "key_rotations", "vault_blobs")
MINE, FRIENDS = draw_phrase().text, draw_phrase().text
Dump = dict[str, list[dict[str, Any]]]


def dump(database: Any) -> Dump:
    """Every row of the vault side, as a thief of the database has it."""
    with psycopg.connect(database.admin_url, row_factory=dict_row) as connection:
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


class Friend(NamedTuple):
    """What the phrase gave its holder while it was good: everything an unlock computes."""

    tag_id: UUID
    export_key: ExportKey
    data_keys: list[DataKey]


@pytest.fixture
def export_keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The export key of every unlock, as a client that does not forget it would have it."""
    kept: list[bytes] = []
    finish = unlock_module.Finishing.finish

    def remembering(self: Any, answer: Any) -> Any:
        kept.append(self._export_key.expose())
        return finish(self, answer)

    monkeypatch.setattr(unlock_module.Finishing, "finish", remembering)
    return kept


def every_key(friend: Friend, rows: Dump) -> list[DataKey]:
    """Every data key the friend reaches, trying each known key on everything, until there is nothing new."""
    private_key, _ = derive_tag_key_pair(friend.export_key, friend.tag_id)
    found = {key.expose() for key in friend.data_keys}
    tags = [row["id"] for row in rows["secret_tags"]] + [friend.tag_id]
    vaults = [row["id"] for row in rows["vaults"]]
    salts = [row["salt"] for row in rows["secret_tags"]]
    versions = range(1, 6)
    for wrapped, salt, tag, vault, version in itertools.product(rows["wrapped_keys"], salts, tags, vaults, versions):
        kek = derive_kek(friend.export_key, salt=salt, tag_id=tag, vault_id=vault, key_version=version)
        with contextlib.suppress(AuthenticationError):
            found.add(unwrap_key(kek, WrappedKey(wrapped["wrapped_key"])).expose())
    for sealed, tag, vault, version in itertools.product(rows["sealed_keys"], tags, vaults, versions):
        with contextlib.suppress(AuthenticationError):
            key = open_to_tag(private_key, sealed["sealed_key"], vault_id=vault, tag_id=tag, key_version=version)
            found.add(key.expose())
    while True:
        new = {key for known in found for key in _older(known, rows, vaults, versions)} - found
        if not new:
            return [DataKey(key) for key in found]
        found |= new


def _older(known: bytes, rows: Dump, vaults: list[UUID], versions: Any) -> Iterator[bytes]:
    for row, vault, version in itertools.product(rows["key_rotations"], vaults, versions):
        if row["old_key"] is not None:
            with contextlib.suppress(AuthenticationError):
                yield open_old_key(DataKey(known), row["old_key"], vault_id=vault, key_version=version).expose()


def read(keys: list[DataKey], rows: Dump) -> dict[str, bytes]:
    """Name and content of every object that one of the keys opens."""
    found = {}
    for key, row in itertools.product(keys, rows["vault_blobs"]):
        parts = (row["iv"], row["ciphertext"], row["auth_tag"])
        whole = ObjectRow.from_columns(*parts, key_version=row["key_version"], revision=row["revision"])
        with contextlib.suppress(HushtagError):
            opened = open_object(key, whole, vault_id=row["vault_id"], object_id=row["object_id"])
            found[opened.meta.name] = opened.body
    return found


def heads(keys: list[DataKey], rows: Dump) -> int:
    """How many heads and labels one of the keys opens."""
    count = 0
    for key, vault in itertools.product(keys, rows["vaults"]):
        with contextlib.suppress(HushtagError):
            numbers = {"generation": vault["generation"], "key_version": vault["key_version"], "ring": vault["ring"]}
            open_head(key, vault["id"], vault["head"], **numbers)
            count += 1
        for tag, version in itertools.product(rows["secret_tags"], range(1, 6)):
            with contextlib.suppress(HushtagError):
                names = {"vault_id": vault["id"], "tag_id": tag["id"], "public_key": tag["public_key"]}
                open_label(key, tag["sealed_label"], key_version=version, **names)
                count += 1
    return count


def connect(app_client: httpx.AsyncClient) -> AsyncClient:
    transport = httpx.ASGITransport(app_client.app)  # type: ignore[attr-defined]
    return AsyncClient("http://localhost", transport=transport, retry=NO_PAUSE)


async def test_p8_a_dump_from_before_and_every_row_after_open_nothing_that_came_after(
    app_client: httpx.AsyncClient, database: Any, export_keys: list[bytes]
) -> None:
    async with connect(app_client) as client:
        await client.sign_up("ada@example.org", PASSWORD)
        await client.log_in("ada@example.org", PASSWORD)
        await client.enrol(MINE, label="mine")
        vault = await client.unlock(MINE)
        theirs = await vault.add_phrase(FRIENDS, label="the friend's")
        for name in ("kept", "changed", "gone"):
            await vault.put(f"the first {name}".encode(), name=name)
        friends = await client.unlock(FRIENDS)
        known = DataKey(friends._steps.witness.data_key.expose())
        friend = Friend(theirs.tag_id, ExportKey(export_keys[-1]), [known])
        before = dump(database)
        # While the phrase was good it opened everything: without this, the rest would show nothing.
        assert len(read(every_key(friend, before), before)) == 3
        assert heads([known], before) == 3

        await vault.revoke_phrase(theirs.tag_id)
        await vault.put(b"after the revocation", name="new")
        changed = (await vault.find("changed")).object_id
        await vault.put(b"the second changed", name="changed", replace=changed)
        revoked = dump(database)
        both = {table: before[table] + revoked[table] for table in TABLES}
        keys = every_key(friend, both)
        assert [key.expose() for key in keys] == [known.expose()]
        assert heads(keys, revoked) == 0
        # What did not change since the friend read it is what the friend has read.
        assert read(keys, revoked) == {"kept": b"the first kept", "gone": b"the first gone"}

        assert await vault.reseal() == 2
        after = dump(database)
        everything = {table: both[table] + after[table] for table in TABLES}
        keys = every_key(friend, everything)
        assert [key.expose() for key in keys] == [known.expose()]
        assert read(keys, after) == {}
        assert heads(keys, after) == 0
        assert [row["old_key"] for row in after["key_rotations"]] == [None]
        with pytest.raises(AuthenticationError, match="opens nothing here"):
            await client.unlock(FRIENDS)

        # And the phrase that stays loses nothing, in the session that was open and in the next ones.
        for _ in range(2):
            async with await client.unlock(MINE) as again:
                bodies = {each.name: (await again.get(each.object_id)).body for each in await again.list()}
            expected = {"kept": b"the first kept", "gone": b"the first gone"}
            assert bodies == expected | {"new": b"after the revocation", "changed": b"the second changed"}
        wrapped_anew = dump(database)
        assert wrapped_anew["sealed_keys"] == []
        assert wrapped_anew["key_rotations"] == []
        assert [row["key_version"] for row in wrapped_anew["wrapped_keys"]] == [2]
        assert read(every_key(friend, wrapped_anew), wrapped_anew) == {}


async def test_p8_the_open_sessions_of_a_revoked_phrase_end_at_once(app_client: httpx.AsyncClient) -> None:
    async with connect(app_client) as client:
        await client.sign_up("ada@example.org", PASSWORD)
        await client.log_in("ada@example.org", PASSWORD)
        await client.enrol(MINE, label="mine")
        vault = await client.unlock(MINE)
        theirs = await vault.add_phrase(FRIENDS, label="the friend's")
        kept = await vault.put(b"a letter", name="letter")
        sessions = [await client.unlock(FRIENDS) for _ in range(2)]
        mine = await client.unlock(MINE)
        await vault.revoke_phrase(theirs.tag_id)
        for session in sessions:
            answer = await app_client.get(
                f"/v1/vaults/{vault.vault_id}/objects/{kept.object_id}",
                headers={"Authorization": f"Bearer {session.token}"},
            )
            assert answer.status_code == 401
        with pytest.raises(ConflictError, match="unlock it again"):
            await mine.list()
        assert (await vault.get(kept.object_id)).body == b"a letter"


def stream_keys(keys: list[DataKey], rows: Dump) -> dict[str, StreamInfo]:
    """What opens the stream of every large object whose descriptor one of the keys opens, by its name."""
    found = {}
    for key, row in itertools.product(keys, rows["vault_blobs"]):
        parts = (row["iv"], row["ciphertext"], row["auth_tag"])
        whole = ObjectRow.from_columns(*parts, key_version=row["key_version"], revision=row["revision"])
        with contextlib.suppress(HushtagError):
            opened = open_object(key, whole, vault_id=row["vault_id"], object_id=row["object_id"])
            if opened.meta.stream is not None:
                found[opened.meta.name] = opened.meta.stream
    return found


def opens(info: StreamInfo, vault_id: UUID, stream_id: UUID, sealed: bytes) -> bool:
    """Tell whether the only segment of a stream opens with another stream's key, wherever it is said to belong."""
    for stream, version in itertools.product((stream_id, info.id), range(1, 4)):
        context = segment_context(vault_id, stream, version, 0, SegmentKind.LAST)
        with contextlib.suppress(AuthenticationError):
            open_segment(StreamKey(info.key), context, memoryview(sealed), bytearray(len(sealed)))
            return True
    return False


def sealed_alone(info: StreamInfo, vault_id: UUID, plain: bytes) -> bytes:
    """Seal something as the only segment of a stream."""
    room = bytearray(sealed_length(len(plain)))
    seal_segment(StreamKey(info.key), info.context(vault_id, 0, SegmentKind.LAST), memoryview(plain), room)
    return bytes(room)


async def test_p8_holds_for_large_objects(
    app_client: httpx.AsyncClient, database: Any, export_keys: list[bytes]
) -> None:
    """Old phrase and new rows open no stream, not even one of before; who kept its descriptor opens that one alone."""
    async with connect(app_client) as client:
        await client.sign_up("ada@example.org", PASSWORD)
        await client.log_in("ada@example.org", PASSWORD)
        await client.enrol(MINE, label="mine")
        vault = await client.unlock(MINE)
        theirs = await vault.add_phrase(FRIENDS, label="the friend's")
        before_body, after_body = bytes(300_000), b"\1" * 300_000
        old = await vault.put(before_body, name="old")
        friends = await client.unlock(FRIENDS)
        known = DataKey(friends._steps.witness.data_key.expose())
        friend = Friend(theirs.tag_id, ExportKey(export_keys[-1]), [known])
        before = dump(database)
        await vault.revoke_phrase(theirs.tag_id)
        new = await vault.put(after_body, name="new")
        assert await vault.reseal() == 1
        after = dump(database)
        assert (await vault.get(old.object_id)).body == before_body
        assert (await vault.get(new.object_id)).body == after_body

        keys = every_key(friend, {table: before[table] + after[table] for table in TABLES})
        assert stream_keys(keys, after) == {}
        kept = stream_keys(keys, before)
        assert set(kept) == {"old"}
        streams = {row["object_id"]: row["stream_id"] for row in after["vault_blobs"]}
        segments = {}
        for object_id, stream_id in streams.items():
            path = f"/v1/vaults/{vault.vault_id}/streams/{stream_id}/segments/0"
            answer = await app_client.get(path, headers={"Authorization": f"Bearer {vault.token}"})
            segments[object_id] = answer.content
        assert opens(kept["old"], vault.vault_id, streams[old.object_id], segments[old.object_id])
        assert not opens(kept["old"], vault.vault_id, streams[new.object_id], segments[new.object_id])
        for key in keys:
            guess = msgspec.structs.replace(kept["old"], key=key.expose())
            assert not any(opens(guess, vault.vault_id, streams[each], segments[each]) for each in streams)

        # With the whole server, too, what they seal under the key they kept is not given out (tests/client has more).
        forged = sealed_alone(kept["old"], vault.vault_id, b"\2" * padded_length(len(before_body)))
        assert opens(kept["old"], vault.vault_id, streams[old.object_id], forged)
        with psycopg.connect(database.admin_url) as connection:
            connection.execute(
                "UPDATE segment_parts SET bytes = %s WHERE stream_id = %s", [forged, streams[old.object_id]]
            )
        file = await vault.open(old.object_id)
        with pytest.raises(IntegrityError):
            await file.read(1)
        assert (await vault.get(new.object_id)).body == after_body
