"""Objects over HTTP: compare and swap, limits, pages, and what a conflict must not have written."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from hushtag.head import set_element, set_key
from hushtag.messages import MAX_LISTED_CONTENT, ObjectList, TagList, VaultState, decode_binary, encode_binary
from hushtag.objects import MAX_ROW_BYTES, row_digest
from hushtag_server.vault import routes_objects
from tests.server.vault_support import comparable, new_id, open_vault, run_sql

pytestmark = pytest.mark.anyio

OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture
async def vault(app_client, sign_in):
    """An account with one open vault."""
    return await open_vault(app_client, await sign_in(app_client))


def everything(database) -> list[object]:
    vaults = run_sql(database, "SELECT id, generation, head, object_count FROM vaults ORDER BY id")
    return vaults + run_sql(database, "SELECT object_id, revision, iv, ciphertext FROM vault_blobs ORDER BY object_id")


async def test_every_revision_is_read_as_it_was_put(vault, database) -> None:
    object_id = new_id()
    for revision, body in enumerate((b"one", b"", b"three" * 1000), start=1):
        answer = await vault.put(object_id, body, revision=revision)
        assert answer.status_code == (201 if revision == 1 else 200)
        assert answer.json() == {"object_id": str(object_id), "revision": revision, "generation": revision + 1}
        read = await vault.get(vault.url(object_id))
        assert read.content == bytes(vault.rows[object_id].encoded)
        assert (read.headers["Hushtag-Revision"], read.headers["Hushtag-Key-Version"]) == (str(revision), "1")
        assert read.headers["Content-Type"] == "application/octet-stream"
    assert run_sql(database, "SELECT object_count, generation FROM vaults") == [(1, 4)]


async def test_the_listing_verifies_against_the_head(vault) -> None:
    for number in range(3):
        await vault.put(new_id(), bytes(number))
    listing = msgspec.json.decode((await vault.get(vault.url() + "/objects")).content, type=ObjectList)
    key = set_key(vault.vault.data_key, vault.vault_id, 1)
    elements = [
        set_element(key, entry.object_id, entry.revision, decode_binary(entry.digest)) for entry in listing.objects
    ]
    vault.head.verify(elements)
    assert listing.generation == vault.head.generation
    assert [entry.content_size for entry in listing.objects] == [
        vault.rows[entry.object_id].content_size for entry in listing.objects
    ]


async def test_the_server_computes_the_digest_of_long_rows_too(vault) -> None:
    object_id = new_id()
    assert (await vault.put(object_id, bytes(400_000))).status_code == 201
    entry = msgspec.json.decode((await vault.get(vault.url() + "/objects")).content, type=ObjectList).objects[0]
    assert decode_binary(entry.digest) == row_digest(vault.rows[object_id])


async def test_objects_are_listed_in_pages_ordered_by_id(vault) -> None:
    ids = sorted([new_id() for _ in range(5)])
    for object_id in ids:
        await vault.put(object_id, b"x")
    seen, after, pages = [], "", 0
    while True:
        answer = await vault.get(f"{vault.url()}/objects?limit=2{after}")
        page = msgspec.json.decode(answer.content, type=ObjectList)
        seen += [entry.object_id for entry in page.objects]
        pages += 1
        if page.next is None:
            break
        assert page.next == seen[-1]
        after = f"&after={page.next}"
    assert (seen, pages) == (ids, 3)


async def test_a_listing_brings_short_rows_to_who_asks_for_them(vault, database) -> None:
    # Of what is sealed, 4,096 bytes are the longest short content; an object that was replaced has its present row.
    sizes = {new_id(): size for size in (0, 100, 3900, 4096, 200_000)}
    for object_id, size in sizes.items():
        await vault.put(object_id, b"before")
        await vault.put(object_id, bytes(size), revision=2)
    await vault.delete(next(iter(sizes)), revision=2)
    rows = {entry.object_id: entry.row for entry in (await _listed(vault, "rows=short&limit=100")).objects}
    assert rows.keys() == vault.rows.keys()
    for object_id, row in vault.rows.items():
        expected = encode_binary(row.encoded) if row.content_size <= MAX_LISTED_CONTENT else None
        assert rows[object_id] == expected, sizes[object_id]
    assert {row.content_size <= MAX_LISTED_CONTENT for row in vault.rows.values()} == {True, False}
    assert all(entry.row is None for entry in (await _listed(vault, "limit=100")).objects)
    told = run_sql(
        database, "SELECT event_data FROM security_audit_logs WHERE event_type = 'objects_listed' ORDER BY id"
    )
    assert [json.loads(each[0]).get("rows") for each in told] == [1, None]


async def test_rows_come_in_pages_of_a_hundred_and_in_no_other_way(vault) -> None:
    for query in ("rows=short&limit=101", "rows=long", "rows=", "rows=true", "rows=short&rows=short&limit=101"):
        answer = await vault.get(f"{vault.url()}/objects?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), query
    answer = await vault.get(f"{vault.url()}/objects?rows=short&limit=101")
    assert answer.json()["fields"] == [{"field": "limit", "rule": "must be at most 100 with rows"}]
    assert (await vault.get(f"{vault.url()}/tags?rows=short")).status_code == 400


async def _listed(vault: Any, query: str) -> ObjectList:
    answer = await vault.get(f"{vault.url()}/objects?{query}")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=ObjectList)


async def test_an_empty_vault_lists_nothing_and_has_a_head(vault) -> None:
    assert (await vault.get(vault.url() + "/objects")).json() == {"generation": 1, "objects": [], "next": None}
    state = msgspec.json.decode((await vault.get(vault.url())).content, type=VaultState)
    assert (state.generation, state.key_version, len(decode_binary(state.head))) == (1, 1, 112)


async def test_page_parameters_out_of_range_are_malformed(vault) -> None:
    for listing in ("objects", "tags"):
        for query in ("limit=0", "limit=1001", "limit=x", "limit=", "after=x", "after=1"):
            answer = await vault.get(f"{vault.url()}/{listing}?{query}")
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), query


async def test_the_tags_of_a_vault_are_listed_to_those_inside(vault, app_client, sign_in) -> None:
    await open_vault(app_client, await sign_in(app_client))  # another phrase of the account, with a vault of its own
    tags = msgspec.json.decode((await vault.get(vault.url() + "/tags")).content, type=TagList)
    assert [(tag.tag_id, tag.current) for tag in tags.tags] == [(vault.tag.tag_id, True)]
    assert tags.next is None
    page = msgspec.json.decode((await vault.get(vault.url() + "/tags?limit=1")).content, type=TagList)
    rest = msgspec.json.decode((await vault.get(f"{vault.url()}/tags?after={page.next}")).content, type=TagList)
    assert rest.tags == []


async def test_a_put_over_an_existing_object_must_name_the_next_revision(vault, database) -> None:
    object_id = new_id()
    await vault.put(object_id, b"one")
    before = everything(database)
    for revision in (1, 3, 2**63 - 1):
        answer = await vault.put(object_id, b"two", revision=revision)
        assert (answer.status_code, answer.json()["code"]) == (409, "revision_conflict")
    assert everything(database) == before


async def test_a_put_of_a_later_revision_needs_the_object(vault, database) -> None:
    before = everything(database)
    answer = await vault.put(new_id(), b"two", revision=2)
    assert (answer.status_code, answer.json()["code"]) == (409, "revision_conflict")
    assert everything(database) == before


async def test_a_put_must_name_the_next_generation(vault, database) -> None:
    before = everything(database)
    for generation in (1, 3, 2**63 - 1):
        answer = await vault.put(new_id(), b"x", generation=generation)
        assert (answer.status_code, answer.json()["code"]) == (409, "generation_conflict")
    assert everything(database) == before


async def test_the_revision_is_compared_before_the_generation(vault) -> None:
    object_id = new_id()
    await vault.put(object_id, b"x")
    assert (await vault.put(object_id, b"x", generation=99)).json()["code"] == "revision_conflict"
    assert (await vault.delete(object_id, revision=9, generation=99)).json()["code"] == "revision_conflict"
    assert (await vault.delete(object_id, revision=1, generation=99)).json()["code"] == "generation_conflict"


async def test_a_put_under_another_key_version_than_the_vaults_is_a_conflict(vault, database) -> None:
    before = everything(database)
    answer = await vault.put(new_id(), b"x", Hushtag_Key_Version="2")
    assert (answer.status_code, answer.json()["code"]) == (409, "generation_conflict")
    assert everything(database) == before


async def test_of_twenty_concurrent_puts_one_wins_each_generation(vault, database) -> None:
    ids = [new_id() for _ in range(20)]
    for turn in range(3):
        answers = await asyncio.gather(*(vault.put(item, b"x", generation=turn + 2) for item in ids))
        won = [item for item, answer in zip(ids, answers, strict=True) if answer.status_code == 201]
        assert len(won) == 1
        assert {answer.json()["code"] for answer in answers if answer.status_code != 201} <= {
            "generation_conflict",
            "revision_conflict",
        }
        assert sum(answer.status_code == 409 for answer in answers) == 19
        ids = [item for item in ids if item != won[0]] + [new_id()]
        assert run_sql(database, "SELECT generation, object_count FROM vaults") == [(turn + 2, turn + 1)]
        assert run_sql(database, "SELECT count(*) FROM vault_blobs") == [(turn + 1,)]


async def test_of_concurrent_puts_of_one_object_one_wins_each_revision(vault, database) -> None:
    object_id = new_id()
    for revision in (1, 2, 3):
        answers = await asyncio.gather(
            *(vault.put(object_id, bytes([turn]), revision=revision, generation=revision + 1) for turn in range(10))
        )
        assert sum(answer.status_code in {200, 201} for answer in answers) == 1
    assert run_sql(database, "SELECT revision FROM vault_blobs") == [(3,)]


async def test_a_deleted_object_is_gone_and_its_id_may_be_used_again(vault, database) -> None:
    object_id = new_id()
    await vault.put(object_id, b"x")
    answer = await vault.delete(object_id, revision=1)
    assert answer.status_code == 200
    state = msgspec.json.decode(answer.content, type=VaultState)
    assert state == msgspec.json.decode((await vault.get(vault.url())).content, type=VaultState)
    assert state.generation == 3
    assert (await vault.get(vault.url(object_id))).status_code == 404
    assert run_sql(database, "SELECT object_count FROM vaults") == [(0,)]
    assert (await vault.put(object_id, b"again")).status_code == 201


async def test_a_delete_that_conflicts_deletes_nothing(vault, database) -> None:
    object_id = new_id()
    await vault.put(object_id, b"x")
    before = everything(database)
    for revision, generation in ((2, 3), (1, 2), (1, 4)):
        assert (await vault.delete(object_id, revision=revision, generation=generation)).status_code == 409
    assert everything(database) == before


async def test_an_object_nobody_put_cannot_be_deleted(vault) -> None:
    answer = await vault.delete(new_id(), revision=1)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_vault_holds_as_many_objects_as_the_settings_say(vault, app_client, database) -> None:
    services = app_client.app.application.application.state["services"]
    object.__setattr__(services, "settings", replace(services.settings, max_objects=2))
    ids = [new_id() for _ in range(3)]
    assert [(await vault.put(item, b"x")).status_code for item in ids[:2]] == [201, 201]
    answer = await vault.put(ids[2], b"x")
    assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
    assert (await vault.put(ids[0], b"y", revision=2)).status_code == 200
    assert (await vault.delete(ids[1], revision=1)).status_code == 200
    assert (await vault.put(ids[2], b"x")).status_code == 201


async def raw_put(vault, body: bytes, **changed: str | None) -> httpx.Response:
    headers: dict[str, str | None] = {
        "Hushtag-Revision": "1",
        "Hushtag-Key-Version": "1",
        "Hushtag-Generation": "2",
        "Hushtag-Head": encode_binary(bytes(112)),
        "Content-Type": "application/octet-stream",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    sent = {name: value for name, value in headers.items() if value is not None}
    return await vault.client.put(vault.url(new_id()), content=body, headers=vault.headers | sent)


async def test_a_body_too_short_to_be_a_row_is_malformed(vault) -> None:
    for length in (0, 1, 59):
        answer = await raw_put(vault, bytes(length))
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


async def test_the_largest_row_is_stored_and_one_byte_more_is_refused(vault) -> None:
    assert (await raw_put(vault, bytes(MAX_ROW_BYTES))).status_code == 201
    answer = await raw_put(vault, bytes(MAX_ROW_BYTES + 1), Hushtag_Generation="3")
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_the_server_may_store_less_than_the_format_allows(vault, app_client) -> None:
    services = app_client.app.application.application.state["services"]
    object.__setattr__(services, "settings", replace(services.settings, max_object_bytes=1024))
    assert (await raw_put(vault, bytes(1024 + 60))).status_code == 201
    answer = await raw_put(vault, bytes(1025 + 60), Hushtag_Generation="3")
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


NO_NUMBERS = (None, "", "0", "-1", "+1", "1 1", "01", "1.0", "1e1", "0x1", "9223372036854775808", "9" * 40, "x")


@pytest.mark.parametrize("name", ["Hushtag_Revision", "Hushtag_Key_Version", "Hushtag_Generation", "Hushtag_Head"])
async def test_a_header_that_is_not_its_one_spelling_is_malformed(vault, database, name) -> None:
    before = everything(database)
    for value in NO_NUMBERS:
        answer = await raw_put(vault, bytes(60), **{name: value})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request"), value
    assert everything(database) == before


@pytest.mark.parametrize(
    ("confirm", "generation", "field"), [("other", "1", "Hushtag-Confirm"), ("own", "9" * 19, "Hushtag-Generation")]
)
async def test_a_destruction_says_which_of_its_headers_is_wrong(vault, database, confirm, generation, field) -> None:
    before = everything(database)
    named = {"Hushtag-Confirm": str(vault.vault_id if confirm == "own" else new_id()), "Hushtag-Generation": generation}
    answer = await vault.client.delete(vault.url(), headers=vault.headers | named)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert [each["field"] for each in answer.json()["fields"]] == [field]
    assert everything(database) == before


async def test_a_key_version_beyond_the_column_is_malformed(vault) -> None:
    assert (await raw_put(vault, bytes(60), Hushtag_Key_Version=str(2**31))).status_code == 400


async def test_another_content_type_is_unsupported(vault) -> None:
    answer = await raw_put(vault, bytes(60), Content_Type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_token_that_ended_while_its_body_travelled_stores_nothing(vault, database, monkeypatch) -> None:
    original = routes_objects.read_octets

    async def lock_meanwhile(request):
        body = await original(request)
        run_sql(database, "DELETE FROM opaque_sessions")
        return body

    monkeypatch.setattr(routes_objects, "read_octets", lock_meanwhile)
    before = everything(database)
    answer = await vault.put(new_id(), b"x")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert everything(database) == before


async def test_a_vault_of_another_tag_is_as_unknown_as_none(vault, app_client, sign_in) -> None:
    account = await sign_in(app_client)
    other = await open_vault(app_client, account)
    object_id = new_id()
    await other.put(object_id, b"x")
    for method, path in (
        ("GET", ""),
        ("GET", "/tags"),
        ("GET", "/objects"),
        ("GET", f"/objects/{object_id}"),
        ("PUT", f"/objects/{object_id}"),
        ("DELETE", f"/objects/{object_id}"),
    ):
        headers = vault.headers | {
            "Hushtag-Revision": "2" if method == "PUT" else "1",
            "Hushtag-Key-Version": "1",
            "Hushtag-Generation": "3",
            "Hushtag-Head": encode_binary(bytes(112)),
        }
        answers = [
            await app_client.request(
                method,
                f"/v1/vaults/{vault_id}{path}",
                headers=headers | OCTETS if method == "PUT" else headers,
                content=bytes(60) if method == "PUT" else None,
            )
            for vault_id in (other.vault_id, new_id())
        ]
        assert comparable(answers[0]) == comparable(answers[1])
        assert answers[0].status_code == 404


async def test_deleting_a_sibling_tag_never_deletes_objects(vault, database) -> None:
    object_id = new_id()
    await vault.put(object_id, b"x")
    tag_id = vault.tag.tag_id
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run_sql(database, "DELETE FROM secret_tags WHERE id = %s", tag_id)
    # A second tag that opens the vault: the objects move to its key, then the first may go.
    sibling, key = new_id(), new_id()
    run_sql(
        database,
        "INSERT INTO secret_tags SELECT user_id, %s, '\\x00112233445566778899aabbccddeeff', salt, verifier_kv,"
        " opaque_envelope, suite, 'sibling', color_code, sealed_label, public_key, server_key_id FROM secret_tags",
        sibling,
    )
    run_sql(
        database,
        "INSERT INTO wrapped_keys (user_id, id, tag_id, vault_id, wrapped_key)"
        " SELECT user_id, %s, %s, vault_id, wrapped_key FROM wrapped_keys",
        key,
        sibling,
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run_sql(database, "DELETE FROM secret_tags WHERE id = %s", tag_id)
    run_sql(database, "UPDATE vault_blobs SET wrapped_key_id = %s", key)
    run_sql(database, "DELETE FROM secret_tags WHERE id = %s", tag_id)
    assert run_sql(database, "SELECT object_id FROM vault_blobs") == [(object_id,)]
    assert run_sql(database, "SELECT count(*) FROM wrapped_keys") == [(1,)]
    # The deleted tag's vault session ended with it.
    assert (await vault.get(vault.url(object_id))).status_code == 401
