"""Several objects deleted in one change over HTTP: all or none, under every condition of a single deletion."""

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest

from hushtag.head import set_element, set_key
from hushtag.messages import MAX_OBJECTS_TOGETHER, DeleteObject, ObjectList, decode_binary
from tests.server.test_objects import everything
from tests.server.vault_support import new_id, open_vault, run_sql, send

pytestmark = pytest.mark.anyio


@pytest.fixture
async def vault(app_client, sign_in):
    """An account with one open vault, in which are five objects."""
    vault = await open_vault(app_client, await sign_in(app_client))
    assert (await vault.put_several(vault.several({new_id(): b"%d" % each for each in range(5)}))).status_code == 200
    return vault


async def _verify(vault: Any) -> None:
    listing = msgspec.json.decode((await vault.get(vault.url() + "/objects")).content, type=ObjectList)
    key = set_key(vault.vault.data_key, vault.vault_id, 1)
    entries = [(each.object_id, each.revision, decode_binary(each.digest)) for each in listing.objects]
    vault.head.verify([set_element(key, *entry) for entry in entries])
    assert {each.object_id for each in listing.objects} == set(vault.rows)
    assert listing.generation == vault.head.generation


async def test_all_of_them_go_at_once(vault, database) -> None:
    one, two, three, *_ = vault.rows
    await vault.put(two, b"again", revision=2)
    answer = await vault.delete_several(vault.several_deletions([three, one, two]))
    assert (answer.status_code, answer.json()) == (200, {"generation": 4, "objects": 3})
    await _verify(vault)
    assert (await vault.get(vault.url(one))).status_code == 404
    assert run_sql(database, "SELECT object_count, generation FROM vaults") == [(2, 4)]
    assert (await vault.delete_several(vault.several_deletions(list(vault.rows)))).status_code == 200
    await _verify(vault)
    assert run_sql(database, "SELECT object_count, generation FROM vaults") == [(0, 5)]
    assert (await vault.put_several(vault.several({one: b"new"}))).status_code == 200
    await _verify(vault)


async def test_whatever_does_not_fit_leaves_everything_as_it_was(vault, database) -> None:
    one, two, three, *_ = vault.rows
    await vault.put(two, b"again", revision=2)
    good = vault.several_deletions([one, two, three])
    before = everything(database)
    for place in range(3):
        right = good.objects[place]
        for revision in {1, 2, 3, 2**63 - 1} - {right.revision}:
            wrong = [*good.objects]
            wrong[place] = DeleteObject(right.object_id, revision)
            answer = await vault.delete_several(msgspec.structs.replace(good, objects=wrong))
            assert (answer.status_code, answer.json()["code"]) == (409, "revision_conflict"), (place, revision)
        wrong[place] = DeleteObject(new_id(), right.revision)
        answer = await vault.delete_several(msgspec.structs.replace(good, objects=wrong))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), place
    for generation in (1, 3, 5, 2**63 - 1):
        answer = await vault.delete_several(msgspec.structs.replace(good, generation=generation))
        assert (answer.status_code, answer.json()["code"]) == (409, "generation_conflict"), generation
    assert everything(database) == before
    assert (await vault.delete_several(good)).status_code == 200
    answer = await send(vault.client, vault.headers, f"{vault.url()}/objects/deletion", good)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    await _verify(vault)


async def test_malformed_messages_are_refused_before_anything_is_deleted(vault, database) -> None:
    one, two, *_ = vault.rows
    good = vault.several_deletions([one, two])
    before = everything(database)
    first, second = good.objects
    for objects, field in (
        ([], "$.objects"),
        ([first, second, first], "$.objects"),
        ([DeleteObject(new_id(), 1) for _ in range(MAX_OBJECTS_TOGETHER + 1)], "$.objects"),
        ([DeleteObject(one, 0)], "$.objects[0].revision"),
        ([DeleteObject(one, 2**63)], "$.objects[0].revision"),
    ):
        answer = await vault.delete_several(msgspec.structs.replace(good, objects=objects))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), objects
        assert [each["field"] for each in answer.json()["fields"]] == [field], answer.text
    path = f"{vault.url()}/objects/deletion"
    for raw in (b"", b"{}", b"[]", b'{"objects": 1}', msgspec.json.encode(good)[:-1]):
        headers = vault.headers | {"Content-Type": "application/json"}
        answer = await vault.client.post(path, content=raw, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), raw
    unknown = msgspec.to_builtins(good) | {"more": 1}
    assert (await vault.client.post(path, json=unknown, headers=vault.headers)).status_code == 400
    assert everything(database) == before


async def test_as_many_as_one_message_takes(vault) -> None:
    more = MAX_OBJECTS_TOGETHER - len(vault.rows)
    assert (await vault.put_several(vault.several({new_id(): b"" for _ in range(more)}))).status_code == 200
    answer = await vault.delete_several(vault.several_deletions(list(vault.rows)))
    assert (answer.status_code, answer.json()["objects"]) == (200, MAX_OBJECTS_TOGETHER)
    await _verify(vault)


async def test_of_two_changes_for_one_generation_one_is_made_whole(vault, database) -> None:
    one, two, three, *_ = vault.rows
    deletions = [vault.several_deletions(ids) for ids in ([one, two], [three, two])]
    paths = [f"{vault.url()}/objects/deletion"] * 2 + [f"{vault.url()}/objects"]
    messages = [*deletions, vault.several({one: b"again", new_id(): b"new"})]
    answers: list[httpx.Response] = await asyncio.gather(
        *(send(vault.client, vault.headers, *each) for each in zip(paths, messages, strict=True))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert (codes[0], set(codes[1:]) <= {404, 409}) == (200, True)
    expected = [set(vault.rows) - {one, two}, set(vault.rows) - {two, three}][: codes.count(200) and 2]
    stored = {row[0] for row in run_sql(database, "SELECT object_id FROM vault_blobs")}
    winner = [answer.status_code for answer in answers].index(200)
    assert stored == (expected[winner] if winner < 2 else {each.object_id for each in messages[2].objects} | stored)
    assert run_sql(database, "SELECT generation, object_count FROM vaults") == [(3, len(stored))]


async def test_without_a_token_or_with_anothers_vault_nothing_is_told(vault, app_client, sign_in, database) -> None:
    other = await open_vault(app_client, await sign_in(app_client, "eve@example.org"))
    message, path = vault.several_deletions(list(vault.rows)), f"{vault.url()}/objects/deletion"
    before = everything(database)
    assert (await send(app_client, {}, path, message)).status_code == 401
    answer = await send(app_client, other.headers, path, message)
    unknown = await send(app_client, other.headers, f"/v1/vaults/{new_id()}/objects/deletion", message)
    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert {**answer.json(), "request_id": 0} == {**unknown.json(), "request_id": 0}
    # Anothers' objects, named in one's own vault.
    own = msgspec.structs.replace(message, generation=2)
    answer = await send(app_client, other.headers, f"{other.url()}/objects/deletion", own)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    await app_client.delete("/v1/vault-session", headers=vault.headers)
    assert (await vault.delete_several(message)).status_code == 401
    assert everything(database) == before


async def test_the_security_log_names_every_object_of_a_deletion(vault, database) -> None:
    one, two, three, *_ = vault.rows
    await vault.delete(one, revision=1)
    await vault.delete_several(vault.several_deletions([two, three], generation=9))
    await vault.delete_several(vault.several_deletions([two, three]))
    rows = run_sql(
        database,
        "SELECT event_type, error_code, event_data FROM security_audit_logs "
        " WHERE event_type IN ('object_deleted', 'objects_deleted') ORDER BY id",
    )
    told = [(kind, error, json.loads(data)) for kind, error, data in rows]
    assert [each[:2] for each in told] == [
        ("object_deleted", None),
        ("objects_deleted", "generation_conflict"),
        ("objects_deleted", None),
    ]
    alone, refused, together = (data["object"] for _, _, data in told)
    assert refused == together
    assert len({alone, *together}) == 3
