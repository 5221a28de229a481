"""How many sessions, entries and reminders an account may have, and sessions a phrase; what happens to one more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from anyio import to_thread

from hushtag_server.security_log.audit_keys import audit_keys
from tests.people import SignedIn
from tests.security_log.support import seal
from tests.server.vault_support import OpenedVault, enrol, new_password, open_vault, run_sql, same_password, unlock
from tests.transfer.support import export, send

pytestmark = pytest.mark.anyio

SOON = (datetime.now(UTC) + timedelta(days=2)).isoformat()
Served = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def served(serve_in_process: Any, settings: Any, keys: Any) -> Served:
    """`async with served(max_entries=3) as client`; whoever logs in need not wait."""
    return lambda **most: serve_in_process(replace(settings, login_attempts_per_account=1000, **most), keys)


@pytest.fixture
async def app_client(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with served(max_sessions=3, max_entries=3, max_reminders=3) as client:
        yield client


@pytest.fixture
async def ada(app_client: httpx.AsyncClient, sign_in: Any) -> Any:
    return await sign_in(app_client, "ada@example.org")


@pytest.fixture
async def eve(app_client: httpx.AsyncClient, sign_in: Any) -> Any:
    return await sign_in(app_client, "eve@example.org")


async def lives(client: httpx.AsyncClient, session: SignedIn) -> bool:
    return (await client.get("/v1/account", headers=session.headers)).status_code == 200


async def ask(client: httpx.AsyncClient, who: Any, path: str, message: dict[str, Any]) -> tuple[int, str | None]:
    answer = await client.post(f"/v1/{path}", json=message, headers=who.headers)
    if answer.status_code < 400:
        return answer.status_code, None
    assert answer.json()["code"] == "limit_reached", answer.text
    (field,) = answer.json()["fields"]
    return answer.status_code, field["rule"]


async def test_a_log_in_too_many_ends_the_session_that_was_unused_longest(app_client, sign_in, ada, database) -> None:
    second, third = await sign_in(app_client), await sign_in(app_client)
    assert await lives(app_client, ada)
    idle = "UPDATE user_sessions SET last_activity = now() - %s::interval WHERE id = %s"
    ids = [row[0] for row in run_sql(database, "SELECT id FROM user_sessions ORDER BY created_at")]
    run_sql(database, idle, "1 hour", ids[0])
    run_sql(database, idle, "2 hours", ids[1])
    fourth = await sign_in(app_client)
    assert [await lives(app_client, each) for each in (ada, second, third, fourth)] == [True, False, True, True]
    trail = "SELECT record_id FROM audit_logs WHERE action = 'LOGOUT' AND table_name = 'user_sessions'"
    assert run_sql(database, trail) == [(ids[1],)]


async def test_a_session_is_in_use_where_its_vaults_are(app_client, sign_in, ada, database) -> None:
    second, third = await sign_in(app_client), await sign_in(app_client)
    run_sql(database, "UPDATE user_sessions SET last_activity = created_at - interval '1 hour'")
    unlock = (
        "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, session_state, expires_at)"
        " SELECT user_id, repeat('0', 64), id, 'login_started', now() + interval '1 minute' FROM user_sessions"
        " WHERE id = %s"
    )
    run_sql(database, unlock, ada.session_id)
    assert await lives(app_client, await sign_in(app_client))
    assert [await lives(app_client, each) for each in (ada, second, third)] == [True, False, True]


async def test_log_ins_at_once_leave_as_many_sessions_as_there_may_be(app_client, sign_in, ada, eve, database) -> None:
    sessions = await asyncio.gather(*(sign_in(app_client) for _ in range(9)))
    count = "SELECT count(*) FROM user_sessions WHERE user_id = %s"
    assert run_sql(database, count, ada.user_id) == [(3,)]
    assert sum([await lives(app_client, each) for each in sessions]) == 3
    assert await lives(app_client, eve)


async def opens(vault: OpenedVault) -> bool:
    return (await vault.get(vault.url())).status_code == 200


async def ends_told(database: Any, keys: Any) -> list[str]:
    """The vault sessions whose end the security log tells of, by the hash of their id."""
    waiting = "SELECT id FROM security_audit_ends UNION ALL SELECT id FROM security_audit_unsealed"
    async with asyncio.timeout(20):
        while run_sql(database, waiting):  # the application's own sealer is at it too
            await to_thread.run_sync(seal, database.app_url, keys)
    told = "SELECT session_id_hash FROM security_audit_logs WHERE event_type = 'vault_session_ended'"
    return [row[0] for row in run_sql(database, told)]


async def test_an_unlock_too_many_ends_the_vault_session_that_was_unused_longest(
    served, sign_in, database, keys
) -> None:
    async with served(max_vault_sessions=3) as client:
        ada, password = await sign_in(client), new_password()
        other = await open_vault(client, ada)  # of another phrase, and unused longer than any
        run_sql(database, "UPDATE opaque_sessions SET last_activity = now() - interval '10 minutes'")
        await enrol(client, ada.headers, password)
        first, second, third = [await unlock(client, ada, same_password(password)) for _ in range(3)]
        ids = "SELECT session_id FROM opaque_sessions WHERE tag_id = %s ORDER BY created_at"
        (one, two, _) = [row[0] for row in run_sql(database, ids, first.tag.tag_id)]
        idle = "UPDATE opaque_sessions SET last_activity = now() - %s::interval WHERE session_id = %s"
        run_sql(database, idle, "4 minutes", one)
        run_sql(database, idle, "5 minutes", two)
        fourth = await unlock(client, ada, same_password(password))
        assert [await opens(each) for each in (first, second, third, fourth)] == [True, False, True, True]
        assert await opens(other)
        assert await ends_told(database, keys) == [
            audit_keys(keys.current).identify(b"session", bytes.fromhex(two)).hex()
        ]


async def test_the_session_that_an_unlock_opens_is_never_the_one_that_ends(served, sign_in, database) -> None:
    async with served(max_vault_sessions=1) as client:
        ada, password = await sign_in(client), new_password()
        await enrol(client, ada.headers, password)
        before = await unlock(client, ada, same_password(password))
        run_sql(
            database, "UPDATE opaque_sessions SET last_activity = now() + interval '1 second'"
        )  # used at this moment
        assert await opens(await unlock(client, ada, same_password(password)))
        assert not await opens(before)


async def test_unlocks_at_once_leave_as_many_vault_sessions_as_there_may_be(served, sign_in, database) -> None:
    async with served(max_vault_sessions=3) as client:
        ada, password = await sign_in(client), new_password()
        await enrol(client, ada.headers, password)
        devices = [ada, *[await sign_in(client) for _ in range(7)]]
        opened = await asyncio.gather(*(unlock(client, each, same_password(password)) for each in devices))
        # Of those at the same moment none sees the others; the next one does.
        last = await unlock(client, ada, same_password(password))
        count = "SELECT count(*) FROM opaque_sessions WHERE tag_id = %s"
        assert run_sql(database, count, last.tag.tag_id) == [(3,)]
        assert await opens(last)
        assert sum([await opens(each) for each in opened]) == 2


async def test_many_vault_sessions_are_counted_now_and_then(served, sign_in, database) -> None:
    async with served(max_vault_sessions=20) as client:
        ada, password = await sign_in(client), new_password()
        await enrol(client, ada.headers, password)
        tag = (await unlock(client, ada, same_password(password))).tag.tag_id
        fill = (
            "INSERT INTO opaque_sessions (user_id, session_id, user_session_id, tag_id, session_state, expires_at,"
            " last_activity) SELECT user_id, lpad(to_hex(n), 64, '0'), user_session_id, tag_id, session_state,"
            " expires_at, now() - interval '1 hour' FROM opaque_sessions, generate_series(1, 40) n"
        )
        run_sql(database, fill)
        count, left = "SELECT count(*) FROM opaque_sessions WHERE tag_id = %s", 41
        for _ in range(80):  # each is looked at by a chance of a quarter
            await unlock(client, ada, same_password(password))
            found = run_sql(database, count, tag)[0][0]
            if found <= left:
                break
            left = found
        assert found == 20


async def test_an_account_has_as_many_entries_as_the_settings_say(app_client, ada, eve, database) -> None:
    full = (409, "must leave at most 3 entries of the account")
    assert await ask(app_client, ada, "journals", {"title": "one"}) == (201, None)
    assert await ask(app_client, ada, "journals/bulk", {"journals": [{"title": "x"}] * 3}) == full
    assert run_sql(database, "SELECT title FROM journals") == [("one",)]
    assert await ask(app_client, ada, "journals/bulk", {"journals": [{"title": "x"}] * 2}) == (201, None)
    assert await ask(app_client, ada, "journals", {"title": "four", "tags": ["new"]}) == full
    assert run_sql(database, "SELECT name FROM tags") == []
    assert await ask(app_client, eve, "journals", {"title": "hers"}) == (201, None)
    (one,) = run_sql(database, "SELECT id FROM journals WHERE title = 'one'")
    named, any_version = f"/v1/journals/{one[0]}", ada.headers | {"If-Match": "*"}
    answer = await app_client.patch(named, json={"title": "1"}, headers=any_version)
    assert answer.status_code == 200
    assert (await app_client.delete(named, headers=any_version)).status_code == 204
    assert await ask(app_client, ada, "journals", {"title": "four"}) == full  # one that can be restored is there
    run_sql(database, "DELETE FROM journals WHERE id = %s", one[0])
    assert await ask(app_client, ada, "journals", {"title": "four"}) == (201, None)


async def test_many_entries_are_counted_now_and_then(served, sign_in, database) -> None:
    async with served(max_entries=2000) as client:
        ada = await sign_in(client)
        fill = "INSERT INTO journals (user_id, title, entry_date) SELECT %s, n, now() FROM generate_series(1, 2000) n"
        run_sql(database, fill, ada.user_id)  # the owner of the tables is held to nothing
        # Each is looked at by a chance of one half.
        answers = [await ask(client, ada, "journals", {"title": "more"}) for _ in range(60)]
        assert {status for status, _ in answers} <= {201, 409}
        assert (409, "must leave at most 2000 entries of the account") in answers
        # What is under the limit is never refused.
        run_sql(database, "DELETE FROM journals WHERE user_id = %s AND title::text > '100'", ada.user_id)
        assert {await ask(client, ada, "journals", {"title": "again"}) for _ in range(20)} == {(201, None)}


async def test_an_account_has_as_many_reminders_as_the_settings_say(app_client, ada, eve, database) -> None:
    full = (409, "must leave at most 3 reminders of the account")
    daily = {"title": "tea", "reminder_time": SOON, "repeat_pattern": "FREQ=DAILY"}
    assert [await ask(app_client, ada, "reminders", daily) for _ in range(4)] == [(201, None)] * 3 + [full]
    assert await ask(app_client, eve, "reminders", daily) == (201, None)
    # A series goes on; what it leaves behind counts.
    (some,) = run_sql(database, "SELECT id FROM reminders WHERE user_id = %s LIMIT 1", ada.user_id)
    answer = await app_client.post(f"/v1/reminders/{some[0]}/complete", headers=ada.headers)
    assert (answer.status_code, answer.json()["successor"]["title"]) == (200, "tea")
    assert run_sql(database, "SELECT count(*) FROM reminders WHERE user_id = %s", ada.user_id) == [(4,)]
    assert await ask(app_client, ada, "reminders", daily) == full


async def test_an_import_stops_where_the_account_is_full_and_goes_on_when_there_is_room(
    app_client, served, ada, eve, database
) -> None:
    for number in range(3):
        assert await ask(app_client, ada, "journals", {"title": f"{number}"}) == (201, None)
        assert await ask(app_client, ada, "reminders", {"title": f"{number}", "reminder_time": SOON}) == (201, None)
    archive = await export(app_client, ada)
    again = await send(app_client, ada, archive)  # there already, all of it
    assert (again.status_code, again.json()["journals"]["already_there"]) == (200, 3)
    assert await ask(app_client, eve, "reminders", {"title": "hers", "reminder_time": SOON}) == (201, None)
    refused = await send(app_client, eve, archive)
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    assert refused.json()["fields"][0]["rule"] == "must leave at most 3 reminders of the account"
    async with served(max_entries=3, max_reminders=4) as client:
        done = await send(client, eve, archive)
        assert done.status_code == 200, done.text
        assert (done.json()["journals"]["already_there"], done.json()["reminders"]["created"]) == (3, 3)
