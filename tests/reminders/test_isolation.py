"""No query of reminders finds or changes a row of somebody else, even asked by a route that forgot every check."""

import inspect
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from hushtag_server.reminders import deliveries, feed_queries, queries
from hushtag_server.reminders.schemas import ReminderValues
from hushtag_server.tokens import token_hash

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
TABLES = ("reminders", "reminder_deliveries", "reminder_feeds")


def everything(database: Any) -> dict[str, list[str]]:
    with psycopg.connect(database.admin_url) as connection:
        return {table: sorted(map(repr, connection.execute(f"SELECT * FROM {table}"))) for table in TABLES}  # type: ignore[call-overload]


async def _calls(
    services: Any, acting: UUID | None, user_id: UUID, session_id: UUID, reminder_id: UUID
) -> dict[str, Any]:
    wall = NOW.replace(tzinfo=None)
    values = ReminderValues(reminder_id, "forged", None, NOW, None, 1, None, "UTC", reminder_id, wall, wall)
    calls: dict[str, Any] = {
        "complete_reminder": lambda on: queries.complete_reminder(on, user_id, reminder_id),
        "delete_reminder": lambda on: queries.delete_reminder(on, user_id, reminder_id),
        "find_reminder": lambda on: queries.find_reminder(on, user_id, reminder_id, lock=True),
        "find_successor": lambda on: queries.find_successor(on, user_id, reminder_id),
        "find_time_zone": lambda on: queries.find_time_zone(on, user_id),
        "list_reminders": lambda on: queries.list_reminders(
            on, user_id, status="all", sort="time", after=None, limit=10
        ),
        "reopen_reminder": lambda on: queries.reopen_reminder(on, user_id, reminder_id),
        "snooze_reminder": lambda on: queries.snooze_reminder(on, user_id, reminder_id, NOW),
        "update_reminder": lambda on: queries.update_reminder(on, user_id, values),
        "close_feed": lambda on: feed_queries.close_feed(on, user_id),
        "enter_feed": lambda on: feed_queries.enter_feed(on, user_id, token_hash(b"secret")),
        "find_feed": lambda on: feed_queries.find_feed(on, user_id),
        "list_open_reminders": lambda on: feed_queries.list_open_reminders(on, user_id, limit=10),
        "deliver_due": lambda on: deliveries.deliver_due(on, user_id, session_id, limit=10),
        "find_position": lambda on: deliveries.find_position(on, user_id, session_id),
        "list_delivered": lambda on: deliveries.list_delivered(on, user_id, session_id, after=0, limit=10),
        "look_ahead": lambda on: deliveries.look_ahead(on, user_id, session_id),
    }
    found = {}
    for name, call in calls.items():
        async with services.transaction(acting) as connection:
            found[name] = await call(connection)
    for name, call in (
        ("insert_reminder", lambda on: queries.insert_reminder(on, user_id, values)),
        ("open_feed", lambda on: feed_queries.open_feed(on, user_id, bytes(32))),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with services.transaction(acting) as connection:
                await call(connection)
        found[name] = None
    return found


async def test_a_query_that_mixes_two_users_finds_and_changes_nothing(
    app_client: Any, ada: Any, sign_in: Any, soon: str, database: Any
) -> None:
    eve = await sign_in(app_client, "eve@example.org")
    made = await app_client.post("/v1/reminders", json={"title": "x", "reminder_time": soon}, headers=ada.headers)
    await app_client.post("/v1/reminders/feed", headers=ada.headers)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE reminders SET reminder_time = now() - interval '1 hour'")
        connection.execute("UPDATE reminder_feeds SET secret_hash = %s", [token_hash(b"secret")])
    services = app_client.app.application.application.state["services"]
    hers = UUID(ada.user_id), UUID(ada.session_id), UUID(made.json()["id"])
    before = everything(database)
    asked: set[str] = set()
    for acting in (UUID(eve.user_id), None):
        for name, found in (await _calls(services, acting, *hers)).items():
            assert not found or found == (False, None), name
            asked.add(name)
    assert everything(database) == before
    modules = (queries, deliveries, feed_queries)
    named = {
        name for module in modules for name in module.__all__ if inspect.iscoroutinefunction(getattr(module, name))
    }
    assert named - {"find_clock"} == asked
    # The same queries find everything for the right user; without this, they could be queries that never find.
    services_of_ada = services.transaction(hers[0])
    async with services_of_ada as connection:
        assert await queries.find_reminder(connection, hers[0], hers[2])
        assert await deliveries.look_ahead(connection, hers[0], hers[1]) == (True, None)
        assert await feed_queries.enter_feed(connection, hers[0], token_hash(b"secret"))
        assert await deliveries.deliver_due(connection, hers[0], hers[1], limit=10)
        assert await deliveries.deliver_due(connection, hers[0], uuid4(), limit=10) == []


def test_every_query_names_its_user() -> None:
    for module in (queries, deliveries, feed_queries):
        for name in set(module.__all__) - {"COLUMNS", "SORTS", "find_clock"}:
            assert "user_id" in inspect.signature(getattr(module, name)).parameters, name
