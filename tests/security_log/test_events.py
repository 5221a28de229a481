"""Every step of the vault side leaves its event, with the step or not at all; and nothing in it tells who it was."""

import json
import os
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import anyio
import psycopg
import pytest

from hushtag.messages import FinishUnlock, encode_binary
from hushtag.unlock import start_unlock
from hushtag_server.keyfile import KeyRing
from hushtag_server.security_log import events as events_of_the_vault
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.events import EVENTS, Event
from hushtag_server.streams.routes import STREAM_ROUTES
from hushtag_server.vault.routes import VAULT_ROUTES
from tests.security_log.support import kinds, seal
from tests.server.vault_support import enrol, locate, new_id, new_password, open_vault, run_sql, send, unlock

pytestmark = pytest.mark.anyio

# The event of every route of the vault side. A new route needs one.
OF_ROUTE = {
    "start_registration": "enrolment_started",
    "enrol_tag": "tag_enrolled",
    "locate": "unlock_located",
    "start_unlock": "unlock_started",
    "finish_unlock": "unlock_finished",
    "move_tag": "tag_moved",
    "add_tag": "phrase_added",
    "rotate_vault": "vault_rotated",
    "rewrap_key": "key_rewrapped",
    "put_orders": "orders_put",
    "list_old_keys": "old_keys_read",
    "forget_old_keys": "old_keys_forgotten",
    "destroy_vault": "vault_destroyed",
    "lock": "vault_locked",
    "read_vault": "vault_read",
    "list_tags": "tags_listed",
    "list_objects": "objects_listed",
    "put_object": "object_put",
    "put_objects": "objects_put",
    "get_object": "object_read",
    "delete_object": "object_deleted",
    "delete_objects": "objects_deleted",
    "put_segment": "segment_put",
    "list_segments": "segments_listed",
    "get_segment": "segments_read",
    "get_stream": "segments_read",
    "end_stream": "stream_ended",
}
ELSEWHERE = {"vaults_exported", "vault_session_ended"}


def events(database: Any, **where: Any) -> list[tuple[Any, ...]]:
    """Kind and error of each event, in the order in which they were written."""
    rows = run_sql(database, "SELECT event_type, error_code FROM security_audit_logs ORDER BY timestamp, id")
    return [tuple(row) for row in rows]


def test_every_route_of_the_vault_side_has_an_event() -> None:
    routers = (*VAULT_ROUTES, *STREAM_ROUTES)
    handlers = {handler for router in routers for route in router.routes for handler in route.route_handlers}
    assert {handler.handler_name for handler in handlers} - {"options_handler"} == set(OF_ROUTE)
    assert set(OF_ROUTE.values()) | ELSEWHERE == set(EVENTS)


def test_events_of_one_name_end_alike_and_the_whole_step_stands_for_them() -> None:
    every = [kind for kind in vars(events_of_the_vault).values() if isinstance(kind, Event)]
    assert {kind.name for kind in every} == set(EVENTS)
    for kind in every:
        assert kind._replace(choice="") == EVENTS[kind.name]._replace(choice="")
    assert EVENTS["tag_enrolled"].choice == "d.outcome"


async def test_every_operation_leaves_its_event(app_client, sign_in, database, keys) -> None:
    account, password, object_id = await sign_in(app_client), new_password(), new_id()
    await enrol(app_client, account.headers, password)
    vault = await unlock(app_client, account, password)
    assert (await vault.put(object_id, b"secret")).status_code == 201
    assert (await vault.put(object_id, b"secret", revision=2)).status_code == 200
    assert (await vault.get(vault.url(object_id))).status_code == 200
    assert (await vault.get(vault.url())).status_code == 200
    assert (await vault.get(f"{vault.url()}/tags")).status_code == 200
    assert (await vault.get(f"{vault.url()}/objects")).status_code == 200
    assert (await vault.delete(object_id, revision=2)).status_code == 200
    taken = {"Hushtag-Vault-Token": vault.headers["Authorization"].removeprefix("Bearer ")}
    assert (await app_client.get("/v1/me/export", headers=account.headers | taken)).status_code == 200
    assert (await app_client.delete("/v1/vault-session", headers=vault.headers)).status_code == 204
    assert events(database) == [
        ("enrolment_started", None),
        ("tag_enrolled", None),
        ("unlock_located", None),
        ("unlock_started", None),
        ("unlock_finished", None),
        ("object_put", None),
        ("object_put", None),
        ("object_read", None),
        ("vault_read", None),
        ("tags_listed", None),
        ("objects_listed", None),
        ("object_deleted", None),
        ("vaults_exported", None),
        ("vault_locked", None),
    ]
    await _sealed(database, keys)
    assert ("vault_session_ended", None) in events(database)


async def _sealed(database: Any, keys: KeyRing) -> None:
    await anyio.to_thread.run_sync(seal, database.app_url, keys)
    while run_sql(database, "SELECT id FROM security_audit_unsealed"):
        await anyio.to_thread.run_sync(seal, database.app_url, keys)  # the application's own sealer is at it
    assert await anyio.to_thread.run_sync(kinds, database, keys) == []


async def test_what_fails_leaves_an_event_that_says_how(app_client, sign_in, database, keys) -> None:
    account, password, object_id = await sign_in(app_client), new_password(), new_id()
    await enrol(app_client, account.headers, password)
    vault = await unlock(app_client, account, password)
    await vault.put(object_id, b"secret")
    before = len(events(database))
    proving = await locate(app_client, account.headers, new_password())
    started = await send(app_client, account.headers, "/v1/unlock/start", proving.message)
    unproven = FinishUnlock(
        session_id=started.json()["session_id"],
        state=started.json()["state"],
        candidate=0,
        ke3=encode_binary(bytes(64)),
        release=encode_binary(bytes(32)),
    )
    assert (await send(app_client, account.headers, "/v1/unlock/finish", unproven)).status_code == 401
    assert (await send(app_client, account.headers, "/v1/unlock/start", proving.message)).status_code == 401
    assert (await vault.put(object_id, b"again")).status_code == 409
    assert (await vault.put(new_id(), b"late", generation=9)).status_code == 409
    assert (await vault.get(vault.url(new_id()))).status_code == 404
    assert (await vault.get(f"/v1/vaults/{new_id()}")).status_code == 404
    assert (await vault.get(f"/v1/vaults/{new_id()}/tags")).status_code == 404
    assert (await vault.get(f"/v1/vaults/{new_id()}/objects")).status_code == 404
    assert events(database)[before:] == [
        ("unlock_located", None),
        ("unlock_started", None),
        ("unlock_finished", "ceremony_failed"),
        ("unlock_started", "ceremony_failed"),
        ("object_put", "revision_conflict"),
        ("object_put", "generation_conflict"),
        ("object_read", "not_found"),
        ("vault_read", "not_found"),
        ("tags_listed", "not_found"),
        ("objects_listed", "not_found"),
    ]
    await _sealed(database, keys)


async def test_a_spent_budget_leaves_an_event(serve_in_process, settings, keys, sign_in, database) -> None:
    scarce = replace(settings, guess_capacity=1, guess_refill_per_day=0)
    async with serve_in_process(scarce, keys) as client:
        account = await sign_in(client)
        for expected in (200, 429):
            message = start_unlock([new_password()]).message
            assert (await send(client, account.headers, "/v1/unlock/locate", message)).status_code == expected
    assert events(database) == [("unlock_located", None), ("unlock_located", "too_many_guesses")]


async def test_nobody_leaves_nothing(app_client, sign_in, database) -> None:
    """Whoever has no valid token cannot fill the log."""
    account = await sign_in(app_client)
    stranger = {"Authorization": "Bearer hta_" + encode_binary(UUID(account.user_id).bytes + os.urandom(32))}
    intruder = {"Authorization": "Bearer htv_" + encode_binary(UUID(account.user_id).bytes + os.urandom(32))}

    message = start_unlock([new_password()]).message
    assert (await send(app_client, stranger, "/v1/unlock/locate", message)).status_code == 401
    unknown = FinishUnlock(
        session_id="0" * 64, state="AAAA", candidate=0, ke3=encode_binary(bytes(64)), release=encode_binary(bytes(32))
    )
    assert (await send(app_client, stranger, "/v1/unlock/finish", unknown)).status_code == 401
    for path in (f"/v1/vaults/{uuid4()}", f"/v1/vaults/{uuid4()}/objects/{uuid4()}"):
        assert (await app_client.get(path, headers=intruder)).status_code == 401
    assert events(database) == []


async def test_an_event_is_written_with_its_step_or_not_at_all(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE security_audit_logs ADD CONSTRAINT x CHECK (event_type <> 'unlock_located')")
        answer = await _locate(app_client, account)
        assert answer.status_code == 500
        assert run_sql(database, "SELECT FROM opaque_sessions") == []
        assert run_sql(database, "SELECT tokens FROM unlock_budget") == [(20.0,)]
        admin.execute("ALTER TABLE security_audit_logs DROP CONSTRAINT x")
        admin.execute("ALTER TABLE opaque_sessions ADD CONSTRAINT x CHECK (session_state <> 'located')")
        assert (await _locate(app_client, account)).status_code == 500
    assert events(database) == []
    assert run_sql(database, "SELECT id FROM security_audit_unsealed") == []


async def _locate(client: Any, account: Any) -> Any:

    return await send(client, account.headers, "/v1/unlock/locate", start_unlock([new_password()]).message)


async def test_no_identifier_stands_in_the_log_in_clear(app_client, sign_in, database) -> None:
    account, password, object_id, request = await sign_in(app_client), new_password(), new_id(), str(uuid4())
    enrolled = await enrol(app_client, account.headers, password)
    app_client.headers.update({"Hushtag-Request-Id": request, "User-Agent": "canary-agent"})
    vault = await unlock(app_client, account, password)
    await vault.put(object_id, b"canary-content")
    await vault.get(vault.url(object_id))
    await app_client.delete("/v1/vault-session", headers=vault.headers)
    rows = run_sql(database, "SELECT l::text FROM security_audit_logs l")
    assert len(rows) >= 8
    text = "\n".join(row[0] for row in rows).lower()
    sessions = run_sql(database, "SELECT encode(token_hash, 'hex'), id FROM user_sessions")
    secrets = {
        *(account.user_id, account.session_id, account.email, account.token, request, "canary", "192.0.2.1"),
        *(password.expose().decode(), vault.token, vault.tag.vault_token.expose().hex()),
        *(str(vault.vault_id), str(object_id), str(vault.tag.tag_id), enrolled.message.phrase_hash),
        *(str(value) for row in sessions for value in row),
    }
    for secret in secrets:
        for spelling in (secret, secret.replace("-", "")):
            assert spelling.lower() not in text, secret


async def test_a_phrase_that_opens_nothing_looks_the_same_until_its_proof(app_client, sign_in, database) -> None:
    """Start does not tell the log whether a record was found; finish does, and has to."""
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    for guess in (password, new_password()):
        proving = await locate(app_client, account.headers, guess)
        assert (await send(app_client, account.headers, "/v1/unlock/start", proving.message)).status_code == 200
    columns = "event_type, severity, event_message, is_sensitive, success, error_code, length(event_data), user_id_hash"
    rows = run_sql(database, f"SELECT {columns} FROM security_audit_logs ORDER BY timestamp OFFSET 2")
    assert rows[:2] == rows[2:]
    assert not any(row[3] for row in rows)


async def test_the_steps_of_an_unlock_can_be_followed(app_client, sign_in, database, keys) -> None:
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    vault = await unlock(app_client, account, password)
    await vault.get(vault.url())
    columns = "user_id_hash, session_id_hash, correlation_id, event_data, request_id, ip_address_hash"
    rows = run_sql(database, f"SELECT {columns} FROM security_audit_logs ORDER BY timestamp OFFSET 2")
    located, started, finished, read = rows
    assert {row[0] for row in rows} == {audit_keys(keys.current).identify(b"user", UUID(account.user_id).bytes).hex()}
    assert located[1] == started[1] == finished[1] != read[1]
    assert located[2] == started[2]
    assert json.loads(started[3])["next"] == str(finished[2])
    assert json.loads(finished[3])["vault_session"] == read[1]
    assert len({row[4] for row in rows}) == 4
    assert {row[5] for row in rows} == {audit_keys(keys.current).identify(b"address", b"192.0.2.1").hex()}
    waited = run_sql(database, "SELECT min(processing_time_ms) FROM security_audit_logs")
    assert waited[0][0] >= 0


async def test_a_vault_session_that_ends_with_its_account_session_leaves_an_event(
    app_client, sign_in, database, keys
) -> None:
    account, password = await sign_in(app_client), new_password()
    await enrol(app_client, account.headers, password)
    await unlock(app_client, account, password)
    await locate(app_client, account.headers, password)  # a step that is dropped is no vault session
    assert (await app_client.delete("/v1/sessions/current", headers=account.headers)).status_code == 204
    await _sealed(database, keys)
    rows = run_sql(database, "SELECT event_message, session_id_hash FROM security_audit_logs"
                   " WHERE event_type = 'vault_session_ended'")  # fmt: skip
    finished = run_sql(database, "SELECT event_data FROM security_audit_logs WHERE event_type = 'unlock_finished'")
    assert rows == [("a vault session is gone", json.loads(finished[0][0])["vault_session"])]


async def test_the_account_reads_nothing_of_it(app_client, sign_in, database) -> None:
    account = await sign_in(app_client)
    before = (await app_client.get("/v1/account/audit", headers=account.headers)).json()
    await open_vault(app_client, account)
    assert (await app_client.get("/v1/account/audit", headers=account.headers)).json() == before
