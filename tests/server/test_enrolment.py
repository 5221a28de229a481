"""Enrolment over HTTP: what is stored, and everything that is refused."""

import asyncio

import msgspec
import pytest

from hushtag.enrollment import start_enrollment
from hushtag.messages import RegistrationStarted, encode_binary
from hushtag_server.vault.seals import SEALED_ENVELOPE
from tests.server.vault_support import (
    comparable,
    enrol,
    new_id,
    new_password,
    run_sql,
    send,
    send_enrolment,
    stored_record,
    unlock,
)

pytestmark = pytest.mark.anyio

TABLES = ("secret_tags", "vaults", "wrapped_keys")


def stored(database) -> list[int]:
    return [run_sql(database, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]


@pytest.fixture
async def account(app_client, sign_in):
    return await sign_in(app_client)


async def prepare(client, account, password=None):
    """Everything up to the last message of an enrolment, which is returned."""
    awaiting = start_enrollment(password or new_password())
    answer = await send(client, account.headers, "/v1/registrations", awaiting.message)
    assert answer.status_code == 201
    return awaiting.finish(msgspec.json.decode(answer.content, type=RegistrationStarted), label="x").message


async def test_an_enrolment_stores_tag_vault_and_key_under_the_current_server_key(
    app_client, account, database, keys
) -> None:
    enrolled = await enrol(app_client, account.headers, new_password())
    assert stored(database) == [1, 1, 1]
    row = run_sql(
        database,
        "SELECT t.id, v.id, v.generation, v.key_version, v.object_count, w.key_version, t.server_key_id,"
        " octet_length(t.opaque_envelope), t.suite"
        " FROM secret_tags t JOIN wrapped_keys w ON w.tag_id = t.id JOIN vaults v ON v.id = w.vault_id",
    )[0]
    assert row[:7] == (enrolled.tag_id, enrolled.vault_id, 1, 1, 0, 1, keys.current.id)
    assert row[7] == SEALED_ENVELOPE
    assert encode_binary(stored_record(database)) == enrolled.message.record
    assert run_sql(database, "SELECT count(*) FROM opaque_sessions") == [(0,)]


async def test_two_phrases_of_one_account_open_different_vaults(app_client, account) -> None:
    passwords = [new_password(), new_password()]
    enrolled = [await enrol(app_client, account.headers, password) for password in passwords]
    opened = [await unlock(app_client, account, password) for password in passwords]
    assert [vault.vault_id for vault in opened] == [item.vault_id for item in enrolled]


async def test_a_phrase_that_is_enrolled_already_is_refused_and_stores_nothing(app_client, account, database) -> None:
    password = new_password()
    await enrol(app_client, account.headers, password)
    answer, _ = await send_enrolment(app_client, account.headers, password)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert stored(database) == [1, 1, 1]


async def test_the_same_phrase_may_be_enrolled_by_two_accounts(app_client, account, sign_in) -> None:
    password, other = new_password(), await sign_in(app_client, "eve@example.org")
    first = await enrol(app_client, account.headers, password)
    second = await enrol(app_client, other.headers, password)
    assert first.message.phrase_hash != second.message.phrase_hash
    assert (await unlock(app_client, other, password)).vault_id == second.vault_id


@pytest.mark.parametrize("field", ["tag_id", "vault_id", "wrapped_key_id", "tag_name"])
async def test_an_id_in_use_is_refused_and_stores_nothing(app_client, account, database, field) -> None:
    first = msgspec.to_builtins(await prepare(app_client, account))
    assert (await send(app_client, account.headers, "/v1/tags", first)).status_code == 201
    second = msgspec.to_builtins(await prepare(app_client, account))
    place = {"vault_id": "vault", "wrapped_key_id": "wrapped_key"}.get(field)
    (second[place] if place else second)[field] = (first[place] if place else first)[field]
    answer = await send(app_client, account.headers, "/v1/tags", second)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert stored(database) == [1, 1, 1]
    # The state was used all the same.
    assert (await send(app_client, account.headers, "/v1/tags", second)).json()["code"] == "ceremony_failed"


async def test_ids_of_another_account_are_free(app_client, account, sign_in, database) -> None:
    first = await prepare(app_client, account)
    assert (await send(app_client, account.headers, "/v1/tags", first)).status_code == 201
    other = await sign_in(app_client, "eve@example.org")
    second = msgspec.to_builtins(await prepare(app_client, other))
    second["tag_id"], second["vault"]["vault_id"] = str(first.tag_id), str(first.vault.vault_id)
    second["wrapped_key"]["wrapped_key_id"] = str(first.wrapped_key.wrapped_key_id)
    assert (await send(app_client, other.headers, "/v1/tags", second)).status_code == 201
    assert stored(database) == [2, 2, 2]


async def test_a_registration_enrols_once(app_client, account, database) -> None:
    message = await prepare(app_client, account)
    answers = await asyncio.gather(*(send(app_client, account.headers, "/v1/tags", message) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 5
    assert stored(database) == [1, 1, 1]


@pytest.mark.parametrize("case", ["unknown", "late", "another session", "another account", "another step"])
async def test_a_registration_that_is_not_this_ones_is_refused_alike(
    app_client, account, sign_in, database, case
) -> None:
    message, headers = await prepare(app_client, account), account.headers
    if case == "unknown":
        message = msgspec.structs.replace(message, session_id="0" * 64)
    if case == "late":
        run_sql(database, "UPDATE opaque_sessions SET expires_at = now() - interval '1 ms'")
    if case == "another session":
        headers = (await sign_in(app_client)).headers
    if case == "another account":
        headers = (await sign_in(app_client, "eve@example.org")).headers
    if case == "another step":
        run_sql(database, "UPDATE opaque_sessions SET session_state = 'located'")
    status, body = comparable(await send(app_client, headers, "/v1/tags", message))
    assert (status, body) == (
        401,
        {
            "type": "urn:hushtag:problem:ceremony_failed",
            "title": "The ceremony failed",
            "status": 401,
            "code": "ceremony_failed",
        },
    )
    assert stored(database) == [0, 0, 0]


async def test_a_phrase_hash_that_is_not_the_records_is_malformed_and_keeps_the_state(
    app_client, account, database
) -> None:
    message = await prepare(app_client, account)
    wrong = msgspec.structs.replace(message, phrase_hash=encode_binary(bytes(16)))
    answer = await send(app_client, account.headers, "/v1/tags", wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert stored(database) == [0, 0, 0]
    assert (await send(app_client, account.headers, "/v1/tags", message)).status_code == 201


async def test_a_record_that_could_never_log_in_is_malformed(app_client, account, database) -> None:
    message = await prepare(app_client, account)
    wrong = msgspec.structs.replace(message, record=encode_binary(b"\xff" * 192))
    answer = await send(app_client, account.headers, "/v1/tags", wrong)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("element", [b"\xff" * 32, bytes(32)], ids=["not canonical", "identity"])
async def test_a_registration_request_outside_the_group_is_malformed(app_client, account, element) -> None:
    message = {"suite": "hushtag-v1", "registration_request": encode_binary(element)}
    answer = await send(app_client, account.headers, "/v1/registrations", message)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("path", ["/v1/registrations", "/v1/tags"])
async def test_another_suite_is_unknown_and_costs_nothing(app_client, account, database, path) -> None:
    message = (
        msgspec.to_builtins(start_enrollment(new_password()).message)
        if path == "/v1/registrations"
        else msgspec.to_builtins(await prepare(app_client, account))
    )
    before = run_sql(database, "SELECT tokens, refilled_at FROM unlock_budget")
    answer = await send(app_client, account.headers, path, message | {"suite": "hushtag-v2"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_suite")
    assert run_sql(database, "SELECT tokens, refilled_at FROM unlock_budget") == before


async def test_a_tag_cannot_have_the_id_of_its_account(app_client, account, database) -> None:
    message = msgspec.to_builtins(await prepare(app_client, account)) | {"tag_id": account.user_id}
    answer = await send(app_client, account.headers, "/v1/tags", message)
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (400, "$.tag_id")
    assert stored(database) == [0, 0, 0]


@pytest.mark.parametrize("key_version", [0, 2**31])
async def test_a_key_version_out_of_range_is_malformed(app_client, account, key_version) -> None:
    message = msgspec.to_builtins(await prepare(app_client, account))
    message["wrapped_key"]["key_version"] = key_version
    assert (await send(app_client, account.headers, "/v1/tags", message)).status_code == 400


async def test_unknown_fields_are_malformed(app_client, account) -> None:
    message = msgspec.to_builtins(await prepare(app_client, account)) | {"note": str(new_id())}
    assert (await send(app_client, account.headers, "/v1/tags", message)).status_code == 400


async def test_a_new_vault_begins_at_key_version_one(app_client, account, database) -> None:
    message = msgspec.to_builtins(await prepare(app_client, account))
    message["wrapped_key"]["key_version"] = 7
    answer = await send(app_client, account.headers, "/v1/tags", message)
    assert (answer.status_code, stored(database)) == (400, [0, 0, 0])
