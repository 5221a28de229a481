"""Several objects in one change over HTTP: all or none, under every condition of a single put."""

import asyncio
import json
import os
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from hushtag.head import set_element, set_key
from hushtag.messages import (
    MAX_OBJECTS_MESSAGE,
    MAX_OBJECTS_TOGETHER,
    ObjectList,
    PutObject,
    decode_binary,
    encode_binary,
)
from tests.server.test_objects import everything
from tests.server.vault_support import new_id, open_vault, run_sql, send

pytestmark = pytest.mark.anyio


@pytest.fixture
async def vault(app_client, sign_in):
    """An account with one open vault."""
    return await open_vault(app_client, await sign_in(app_client))


async def _verify(vault: Any) -> ObjectList:
    listing = msgspec.json.decode((await vault.get(vault.url() + "/objects")).content, type=ObjectList)
    key = set_key(vault.vault.data_key, vault.vault_id, 1)
    entries = [(each.object_id, each.revision, decode_binary(each.digest)) for each in listing.objects]
    vault.head.verify([set_element(key, *entry) for entry in entries])
    assert {each.object_id: each.content_size for each in listing.objects} == {
        each: row.content_size for each, row in vault.rows.items()
    }
    return listing


async def test_all_of_them_are_read_as_they_were_put(vault, database) -> None:
    bodies = {new_id(): os.urandom(size) for size in (0, 1, 300, 5000, 40_000)}
    for revision in (1, 2):
        answer = await vault.put_several(vault.several(bodies))
        assert (answer.status_code, answer.json()) == (200, {"generation": revision + 1, "objects": 5})
        for object_id in bodies:
            read = await vault.get(vault.url(object_id))
            assert read.content == bytes(vault.rows[object_id].encoded)
            assert (read.headers["Hushtag-Revision"], read.headers["Hushtag-Key-Version"]) == (str(revision), "1")
        await _verify(vault)
    more = {new_id(): b"new", next(iter(bodies)): b"replaced"}
    assert (await vault.put_several(vault.several(more))).status_code == 200
    assert [each.revision for each in (await _verify(vault)).objects].count(2) == 4
    assert run_sql(database, "SELECT object_count, generation FROM vaults") == [(6, 4)]


async def test_one_put_and_several_stand_beside_each_other(vault) -> None:
    object_id = new_id()
    await vault.put(object_id, b"one")
    await vault.put_several(vault.several({object_id: b"two", new_id(): b"new"}))
    assert (await vault.put(object_id, b"three", revision=3)).status_code == 200
    await _verify(vault)


async def test_whatever_does_not_fit_leaves_everything_as_it_was(vault, database) -> None:
    kept, other, unknown = new_id(), new_id(), new_id()
    await vault.put(kept, b"one")
    await vault.put(other, b"one")
    good = vault.several({kept: b"two", other: b"two", unknown: b"new"})
    before = everything(database)
    for place in range(3):
        for revision in {1, 2, 3, 2**63 - 1} - {good.objects[place].revision}:
            wrong = list(good.objects)
            wrong[place] = msgspec.structs.replace(wrong[place], revision=revision)
            answer = await vault.put_several(msgspec.structs.replace(good, objects=wrong))
            assert (answer.status_code, answer.json()["code"]) == (409, "revision_conflict"), (place, revision)
    for changed in ({"generation": 3}, {"generation": 5}, {"generation": 2**63 - 1}, {"key_version": 2}):
        answer = await vault.put_several(msgspec.structs.replace(good, **changed))
        assert (answer.status_code, answer.json()["code"]) == (409, "generation_conflict"), changed
    assert everything(database) == before
    assert (await vault.put_several(good)).status_code == 200
    answer = await vault.put_several(good)
    assert (answer.status_code, answer.json()["code"]) == (409, "revision_conflict")
    await _verify(vault)


async def test_malformed_messages_are_refused_before_anything_is_written(vault, database) -> None:
    one, two = new_id(), new_id()
    good = vault.several({one: b"one", two: b"two"})
    before = everything(database)
    first, second = good.objects
    row = first.row
    for objects, field in (
        ([], "$.objects"),
        ([first, msgspec.structs.replace(second, object_id=one)], "$.objects"),
        ([PutObject(new_id(), 1, row) for _ in range(MAX_OBJECTS_TOGETHER + 1)], "$.objects"),
        ([msgspec.structs.replace(first, row=row[:79])], "$.objects[0].row"),
        ([msgspec.structs.replace(first, row=row[:-1] + "+")], "$.objects[0].row"),
        ([msgspec.structs.replace(first, row=row + "\n")], "$.objects[0].row"),
        ([msgspec.structs.replace(first, revision=0)], "$.objects[0].revision"),
    ):
        answer = await vault.put_several(msgspec.structs.replace(good, objects=objects))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), objects
        assert [each["field"] for each in answer.json()["fields"]] == [field], answer.text
    # One spelling of a row is its own; 77 bytes leave two bits of its last character unused.
    bent = encode_binary(bytes(77))[:-1] + "B"
    answer = await vault.put_several(msgspec.structs.replace(good, objects=[msgspec.structs.replace(first, row=bent)]))
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    for raw in (b"", b"{}", b"[]", b'{"objects": 1}', msgspec.json.encode(good)[:-1]):
        answer = await vault.client.post(
            f"{vault.url()}/objects", content=raw, headers=vault.headers | {"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), raw
    unknown = msgspec.to_builtins(good) | {"more": 1}
    assert (await vault.client.post(f"{vault.url()}/objects", json=unknown, headers=vault.headers)).status_code == 400
    assert everything(database) == before


async def test_a_message_is_as_long_as_it_may_be_and_no_longer(vault) -> None:
    # The padding makes 128 KiB of each: 174,844 characters.
    message = vault.several({new_id(): bytes(130_000)})
    assert MAX_OBJECTS_MESSAGE - 30_000 < len(msgspec.json.encode(message)) < MAX_OBJECTS_MESSAGE
    assert (await vault.put_several(message)).status_code == 200
    too_long = vault.several({new_id(): bytes(130_000), new_id(): bytes(20_000)})
    answer = await vault.put_several(too_long)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.fixture
def small_vaults(settings) -> Any:
    return replace(settings, max_objects=4, max_object_bytes=1000)


async def test_a_vault_takes_no_more_objects_than_it_may(small_vaults, keys, serve_in_process, sign_in) -> None:
    async with serve_in_process(small_vaults, keys) as client:
        vault = await open_vault(client, await sign_in(client))
        assert (await vault.put_several(vault.several({new_id(): b"" for _ in range(3)}))).status_code == 200
        for more in (2, 3):
            answer = await vault.put_several(vault.several({new_id(): b"" for _ in range(more)}))
            assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
        assert (await vault.put_several(vault.several({new_id(): b""}))).status_code == 200
        assert (await vault.put_several(vault.several(dict.fromkeys(vault.rows, b"again")))).status_code == 200
        answer = await vault.put_several(vault.several({next(iter(vault.rows)): bytes(1000)}))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        await _verify(vault)


async def test_of_two_changes_for_one_generation_one_is_made_whole(vault, database) -> None:
    mine, theirs = ({new_id(): b"x" for _ in range(10)} for _ in range(2))
    messages = [vault.several(bodies) for bodies in (mine, theirs)]
    answers: list[httpx.Response] = await asyncio.gather(
        *(send(vault.client, vault.headers, f"{vault.url()}/objects", message) for message in messages)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    winner = messages[[answer.status_code for answer in answers].index(200)]
    stored = {row[0] for row in run_sql(database, "SELECT object_id FROM vault_blobs")}
    assert stored == {each.object_id for each in winner.objects}
    assert run_sql(database, "SELECT generation, object_count FROM vaults") == [(2, 10)]


async def test_without_a_token_or_with_anothers_vault_nothing_is_told(vault, app_client, sign_in, database) -> None:
    other = await open_vault(app_client, await sign_in(app_client, "eve@example.org"))
    message, path = vault.several({new_id(): b"x"}), f"{vault.url()}/objects"
    before = everything(database)
    assert (await send(app_client, {}, path, message)).status_code == 401
    answer = await send(app_client, other.headers, path, message)
    unknown = await send(app_client, other.headers, f"/v1/vaults/{new_id()}/objects", message)
    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert {**answer.json(), "request_id": 0} == {**unknown.json(), "request_id": 0}
    await app_client.delete("/v1/vault-session", headers=vault.headers)
    assert (await vault.put_several(message)).status_code == 401
    assert everything(database) == before


async def test_the_security_log_names_every_object_of_a_change(vault, database) -> None:
    one, two = new_id(), new_id()
    await vault.put(one, b"alone")
    await vault.put_several(vault.several({one: b"x", two: b"y"}))
    wrong = vault.several({two: b"z"}, generation=9)
    await vault.put_several(wrong)
    rows = run_sql(
        database,
        "SELECT event_type, error_code, event_data FROM security_audit_logs "
        " WHERE event_type IN ('object_put', 'objects_put') ORDER BY id",
    )
    told = [(kind, error, json.loads(data)) for kind, error, data in rows]
    assert [each[:2] for each in told] == [
        ("object_put", None),
        ("objects_put", None),
        ("objects_put", "generation_conflict"),
    ]
    alone, together, refused = (data["object"] for _, _, data in told)
    assert (together[0], together[1:]) == (alone, refused)
    assert len(set(together)) == 2
