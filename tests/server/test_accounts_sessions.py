"""Account sessions: opaque tokens, expiry, idle timeout, listing, revoking."""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from hushtag_server.accounts import credential_queries, profile_queries, queries
from hushtag_server.audit.queries import list_entries
from hushtag_server.audit.schemas import Filters
from hushtag_server.auth_queries import find_account_session, find_vault_session

pytestmark = pytest.mark.anyio

SignIn = Callable[..., Any]


def _execute(database: Any, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(database.admin_url) as connection:
        done = connection.execute(statement, values)  # type: ignore[arg-type]
        return done.fetchall() if done.description else []


async def _status(client: httpx.AsyncClient, token: str) -> int:
    return (await client.get("/v1/account", headers={"Authorization": f"Bearer {token}"})).status_code


async def test_two_devices_that_end_each_others_sessions_at_once_take_turns(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await sign_in(app_client), await sign_in(app_client)
    _execute(database, "UPDATE user_sessions SET last_activity = now() - interval '2 minutes'")
    end, both = queries.end_sessions, asyncio.Barrier(2)
    left = 2

    async def together(*values: Any, **named: Any) -> int:
        nonlocal left
        if left:  # each has noted the use of its own session by now, and so locked it
            left -= 1
            await asyncio.wait_for(both.wait(), 10)
        return await end(*values, **named)

    monkeypatch.setattr(queries, "end_sessions", together)
    answers = await asyncio.gather(
        *(
            app_client.delete(f"/v1/sessions/{other.session_id}", headers=own.headers)
            for own, other in ((first, second), (second, first))
        )
    )
    assert sorted(answer.status_code for answer in answers) == [204, 401]
    assert _execute(database, "SELECT count(*) FROM user_sessions") == [(1,)]


async def test_only_the_hash_of_a_token_is_stored(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    signed_in = await sign_in(app_client)
    raw = base64.urlsafe_b64decode(signed_in.token.removeprefix("hta_"))
    assert raw[:16] == UUID(signed_in.user_id).bytes
    [(stored,)] = _execute(database, "SELECT token_hash FROM user_sessions")
    assert stored == hashlib.blake2s(raw[16:]).digest()
    [(row,)] = _execute(database, "SELECT s::text FROM user_sessions s")
    assert raw[16:].hex() not in row


async def test_other_tokens_are_refused_alike(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    signed_in = await sign_in(app_client)
    other = await sign_in(app_client, "bob@example.org")
    raw = bytearray(base64.urlsafe_b64decode(signed_in.token.removeprefix("hta_")))
    raw[-1] ^= 1
    flipped = base64.urlsafe_b64encode(raw).decode()
    swapped = UUID(other.user_id).bytes + raw[16:-1] + bytes([raw[-1] ^ 1])
    headers = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {signed_in.token}"},
        {"Authorization": f"Bearer hta_{flipped}"},
        {"Authorization": f"Bearer hta_{base64.urlsafe_b64encode(swapped).decode()}"},
        {"Authorization": f"Bearer htv_{signed_in.token[4:]}"},
        {"Authorization": f"Bearer {signed_in.token}="},
        {"Authorization": f"Bearer {signed_in.token[:-1]}"},
        {"Authorization": "Bearer hta_ä".encode()},
    ]
    answers = [await app_client.get("/v1/account", headers=given) for given in headers]  # type: ignore[arg-type]
    bodies = {str({**answer.json(), "request_id": None}) for answer in answers}
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    assert answers[0].json()["code"] == "unauthenticated"
    assert answers[0].headers["www-authenticate"] == "Bearer"


async def test_a_session_ends_when_it_expires(app_client: httpx.AsyncClient, sign_in: SignIn, database: Any) -> None:
    signed_in = await sign_in(app_client)
    _execute(database, "UPDATE user_sessions SET expires_at = clock_timestamp()")
    assert await _status(app_client, signed_in.token) == 401


async def test_a_session_ends_when_it_is_idle(app_client: httpx.AsyncClient, sign_in: SignIn, database: Any) -> None:
    signed_in = await sign_in(app_client)
    _execute(database, "UPDATE user_sessions SET last_activity = now() - interval '6 days 23 hours'")
    assert await _status(app_client, signed_in.token) == 200
    [(fresh,)] = _execute(database, "SELECT last_activity > now() - interval '1 minute' FROM user_sessions")
    assert fresh  # using the session is what keeps it
    _execute(database, "UPDATE user_sessions SET last_activity = now() - interval '7 days 1 second'")
    assert await _status(app_client, signed_in.token) == 401


async def test_activity_is_written_at_most_once_a_minute(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    signed_in = await sign_in(app_client)
    _execute(database, "UPDATE user_sessions SET last_activity = now() - interval '30 seconds'")
    [before] = _execute(database, "SELECT last_activity, xmin::text FROM user_sessions")
    assert await _status(app_client, signed_in.token) == 200
    assert _execute(database, "SELECT last_activity, xmin::text FROM user_sessions") == [before]


async def test_a_session_of_an_inactive_account_is_refused(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    signed_in = await sign_in(app_client)
    _execute(database, "UPDATE users SET is_active = false")
    assert await _status(app_client, signed_in.token) == 401


async def test_logging_out_ends_this_session_alone(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    first, second = await sign_in(app_client), await sign_in(app_client)
    assert (await app_client.delete("/v1/sessions/current", headers=first.headers)).status_code == 204
    assert await _status(app_client, first.token) == 401
    assert await _status(app_client, second.token) == 200


async def test_sessions_are_listed_in_pages_and_marked(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    opened = [await sign_in(app_client) for _ in range(5)]
    await sign_in(app_client, "bob@example.org")
    seen: list[dict[str, Any]] = []
    after = None
    for _ in range(10):
        query = {"limit": 2} | ({"after": after} if after else {})
        page = (await app_client.get("/v1/sessions", params=query, headers=opened[0].headers)).json()
        assert len(page["sessions"]) <= 2
        seen += page["sessions"]
        after = page["next"]
        if after is None:
            break
    ids = [entry["session_id"] for entry in seen]
    assert ids == sorted(item.session_id for item in opened)
    assert [entry["session_id"] for entry in seen if entry["current"]] == [opened[0].session_id]


async def test_a_session_can_be_revoked(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    first, second = await sign_in(app_client), await sign_in(app_client)
    revoke = f"/v1/sessions/{second.session_id}"
    assert (await app_client.delete(revoke, headers=first.headers)).status_code == 204
    assert await _status(app_client, second.token) == 401
    assert (await app_client.delete(revoke, headers=first.headers)).status_code == 404


async def test_anothers_session_looks_like_none_at_all(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    theirs = await app_client.delete(f"/v1/sessions/{bob.session_id}", headers=ada.headers)
    nobodys = await app_client.delete(f"/v1/sessions/{uuid4()}", headers=ada.headers)
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() | {"request_id": 0} == nobodys.json() | {"request_id": 0}
    assert await _status(app_client, bob.token) == 200


async def test_dead_sessions_are_cleared_away_at_login(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    await sign_in(app_client)
    _execute(database, "UPDATE user_sessions SET expires_at = created_at + interval '1 microsecond'")
    signed_in = await sign_in(app_client)
    assert _execute(database, "SELECT id::text FROM user_sessions") == [(signed_in.session_id,)]


async def test_ending_a_session_ends_its_vault_sessions(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    signed_in = await sign_in(app_client)
    _execute(
        database,
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)"
        " VALUES (%s, repeat('a', 64), %s, 'located', now() + interval '1 hour')",
        signed_in.user_id,
        signed_in.session_id,
    )
    assert (await app_client.delete("/v1/sessions/current", headers=signed_in.headers)).status_code == 204
    assert _execute(database, "SELECT FROM opaque_sessions") == []


async def test_a_strange_user_agent_is_stored_harmlessly(app_client: httpx.AsyncClient, sign_in: SignIn) -> None:
    signed_in = await sign_in(app_client)
    credentials = {"email": signed_in.email, "password": "correct horse battery"}
    odd = {"User-Agent": b"a\x01b\xff" + b"c" * 500}
    answer = await app_client.post("/v1/sessions", json=credentials, headers=odd)  # type: ignore[arg-type]
    assert answer.status_code == 201
    listed = (await app_client.get("/v1/sessions", headers=signed_in.headers)).json()["sessions"]
    agents = [entry["user_agent"] for entry in listed if entry["session_id"] == answer.json()["session_id"]]
    assert agents[0].startswith("ab")
    assert len(agents[0]) == 200


async def test_queries_called_as_the_wrong_user_find_and_change_nothing(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    ada, bob = await sign_in(app_client), await sign_in(app_client, "bob@example.org")
    services = app_client.app.application.application.state["services"]  # type: ignore[attr-defined]
    theirs, session = UUID(bob.user_id), UUID(bob.session_id)
    hashed = hashlib.blake2s(base64.urlsafe_b64decode(bob.token[4:])[16:]).digest()
    week = timedelta(days=7)
    [(old,)] = _execute(database, "SELECT password_hash FROM users WHERE id = %s", theirs)
    for user_id in (UUID(ada.user_id), None):
        async with services.transaction(user_id) as connection:
            assert await queries.find_account(connection, theirs) is None
            assert await queries.find_login(connection, bob.email) is None
            assert await queries.list_sessions(connection, theirs, idle=week, after=None, limit=9) == []
            assert await queries.end_sessions(connection, theirs, only=session) == 0
            assert await find_account_session(connection, theirs, hashed, idle=week, touch=week) is None
            assert await credential_queries.find_credentials(connection, theirs) is None
            assert await credential_queries.change_email(connection, theirs, proven=old, email="x@y") is False
            assert await credential_queries.deactivate(connection, theirs, proven=old) is False
            gone = {"grace": week, "credential_id": bytes(32)}
            assert await credential_queries.schedule_deletion(connection, theirs, proven=old, **gone) is None
            assert await profile_queries.find_settings(connection, theirs) is None
            assert await profile_queries.list_consents(connection, theirs, after=None, limit=9) == []
            filters = Filters(None, None, None, None)
            assert await list_entries(connection, theirs, filters, after=None, limit=9) == []
            assert await queries.update_password(connection, theirs, old=old, new="stolen") is False
            assert await queries.end_sessions(connection, theirs, but=UUID(ada.session_id)) == 0
    assert await _status(app_client, bob.token) == 200
    credentials = {"email": bob.email, "password": "correct horse battery"}
    assert (await app_client.post("/v1/sessions", json=credentials)).status_code == 201


async def test_a_vault_token_must_be_unlocked_unexpired_and_used(
    app_client: httpx.AsyncClient, sign_in: SignIn, database: Any
) -> None:
    signed_in = await sign_in(app_client)
    services = app_client.app.application.application.state["services"]  # type: ignore[attr-defined]
    user_id, name = UUID(signed_in.user_id), "b" * 64
    add_key = "INSERT INTO server_keys VALUES ('00000000-0000-4000-8000-000000000001', decode(%s, 'hex'))"
    _execute(database, add_key, "00" * 32)
    tag = uuid4()
    _execute(
        database,
        "INSERT INTO secret_tags (user_id, id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
        " sealed_label, public_key, server_key_id) VALUES (%s, %s, decode(repeat('00', 16), 'hex'),"
        " decode(repeat('00', 16), 'hex'), decode(repeat('00', 32), 'hex'), decode(repeat('00', 160), 'hex'), 's', 'n',"
        " decode(repeat('00', 316), 'hex'), decode(repeat('00', 32), 'hex'), '00000000-0000-4000-8000-000000000001')",
        user_id,
        tag,
    )
    _execute(
        database,
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at)"
        " VALUES (%s, %s, %s, %s, 'unlocked', now() + interval '12 hours')",
        user_id,
        name,
        signed_in.session_id,
        tag,
    )

    async def found() -> Any:
        async with services.transaction(user_id) as connection:
            return await find_vault_session(
                connection, user_id, name, idle=timedelta(minutes=15), touch=timedelta(minutes=1)
            )

    assert (await found()).tag_id == tag
    for spoil, repair in (
        ("session_state = 'located'", "session_state = 'unlocked'"),
        ("last_activity = now() - interval '16 minutes'", "last_activity = now()"),
        ("expires_at = clock_timestamp()", "expires_at = now() + interval '1 hour'"),
    ):
        _execute(database, f"UPDATE opaque_sessions SET {spoil}")
        assert await found() is None, spoil
        _execute(database, f"UPDATE opaque_sessions SET {repair}")
        assert await found() is not None
    _execute(database, "UPDATE user_sessions SET expires_at = clock_timestamp()")
    assert await found() is None
