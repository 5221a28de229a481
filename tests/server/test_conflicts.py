"""Transactions that PostgreSQL gives up to others: routes that write make them again, and say so when it does not help.

Conflicts are made by a trigger. What it counts with is a sequence, which no transaction takes back.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.server.vault_support import open_vault, run_sql

pytestmark = pytest.mark.anyio
SOON = (datetime.now(UTC) + timedelta(days=2)).isoformat()
_COUNTED = "CREATE SEQUENCE conflicts MINVALUE -100 START 1"
# Gives up at every turn up to the 0th, for one and the other of the two reasons there are.
_GIVES_UP = """
    CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
    DECLARE
        v_turn bigint := nextval('conflicts');
    BEGIN
        IF v_turn <= 0 THEN
            RAISE 'given up' USING ERRCODE = CASE v_turn & 1 WHEN 0 THEN 'deadlock_detected'
                ELSE 'serialization_failure' END;
        END IF;
        RETURN NULL;
    END $$
"""
_TRIGGER = "CREATE TRIGGER given_up AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW EXECUTE FUNCTION give_up()"
_TABLES = ("reminders", "reminder_feeds", "pairings", "users", "user_settings", "consents", "opaque_sessions")
Again = Callable[[Awaitable[httpx.Response], int], Awaitable[httpx.Response]]


@pytest.fixture
def again(database: Any) -> Again:
    """`await again(request, 200)`: three attempts are given up, the fourth answers this."""
    for statement in (_COUNTED, _GIVES_UP, *(_TRIGGER.format(table) for table in _TABLES)):
        run_sql(database, statement)

    async def do(request: Awaitable[httpx.Response], status: int) -> httpx.Response:
        run_sql(database, "SELECT setval('conflicts', -2, false)")
        answer = await request
        assert answer.status_code == status, answer.text
        assert run_sql(database, "SELECT last_value > 0 FROM conflicts") == [(True,)], "it wrote into no such table"
        return answer

    return do


@pytest.fixture
async def ada(app_client: httpx.AsyncClient, sign_in: Any) -> Any:
    return await sign_in(app_client)


async def test_routes_of_reminders_make_a_given_up_transaction_again(app_client, ada, again, database) -> None:
    headers = ada.headers | {"If-Match": "*"}
    new = {"title": "tea", "reminder_time": SOON, "repeat_pattern": "FREQ=DAILY"}
    made = await again(app_client.post("/v1/reminders", json=new, headers=headers), 201)
    path = made.headers["location"]
    change = {"reminder_time": SOON, "repeat_pattern": "FREQ=WEEKLY"}
    await again(app_client.patch(path, json=change, headers=headers), 200)
    await again(app_client.post(f"{path}/snooze", json={"minutes": 5000}, headers=headers), 200)
    done = await again(app_client.post(f"{path}/complete", headers=headers), 200)
    assert done.json()["reminder"]["version"] == 4
    assert run_sql(database, "SELECT count(*) FROM reminders") == [(2,)]
    await again(app_client.post(f"{path}/reopen", headers=headers), 200)
    await again(app_client.delete(path, headers=headers), 204)
    assert run_sql(database, "SELECT id::text FROM reminders") == [(done.json()["successor"]["id"],)]


async def test_routes_of_the_calendar_feed_make_a_given_up_transaction_again(app_client, ada, again) -> None:
    opened = await again(app_client.post("/v1/reminders/feed", headers=ada.headers), 201)
    await again(app_client.get(opened.json()["url_path"]), 200)
    await again(app_client.delete("/v1/reminders/feed", headers=ada.headers), 204)


async def test_routes_of_pairings_make_a_given_up_transaction_again(app_client, sign_in, ada, again, database) -> None:
    other = await sign_in(app_client)
    opened = await again(app_client.post("/v1/pairings", json={"offer": "htp1o.AAAA"}, headers=ada.headers), 201)
    assert run_sql(database, "SELECT id::text, place FROM pairings") == [(opened.json()["pairing_id"], 1)]
    path = f"/v1/pairings/{opened.json()['pairing_id']}"
    message = {"message": "htp1a.BBBB"}
    await again(app_client.put(f"{path}/answer", json=message, headers=other.headers), 204)
    taken = await again(app_client.get(f"{path}/answer", headers=ada.headers), 200)
    assert taken.json() == message
    await again(app_client.delete(path, headers=ada.headers), 204)


async def test_routes_of_the_profile_make_a_given_up_transaction_again(app_client, ada, again, database) -> None:
    names = {"first_name": "Ada"}
    await again(app_client.patch("/v1/account", json=names, headers=ada.headers), 200)
    await again(app_client.patch("/v1/account/settings", json={"theme": "dark"}, headers=ada.headers), 200)
    consent = {"document": "terms", "version": "2"}
    await again(app_client.post("/v1/account/consents", json=consent, headers=ada.headers), 201)


async def test_a_lock_that_was_given_up_is_made_again_and_told_once(app_client, ada, again, database) -> None:
    vault = await open_vault(app_client, ada)
    await again(app_client.delete("/v1/vault-session", headers=vault.headers), 204)
    told = "SELECT count(*) FROM security_audit_logs WHERE event_type = 'vault_locked'"
    assert run_sql(database, told) == [(1,)]
    assert (await app_client.get(vault.url(), headers=vault.headers)).status_code == 401


async def test_a_transaction_that_is_given_up_four_times_is_unavailable_and_left_nothing(
    app_client, ada, again, database
) -> None:
    run_sql(database, "SELECT setval('conflicts', -99, false)")
    answer = await app_client.post("/v1/pairings", json={"offer": "htp1o.AAAA"}, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert run_sql(database, "SELECT last_value + 100 FROM conflicts") == [(4,)]
    assert run_sql(database, "SELECT count(*) FROM pairings") == [(0,)]
