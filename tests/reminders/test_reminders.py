"""Reminders through HTTP: every state, what is refused, and what holds when many act at once."""

import asyncio
import json
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import msgspec
import psycopg
import pytest

from hushtag.reminder_messages import (
    MAX_REMINDER_DESCRIPTION,
    MAX_REMINDER_TITLE,
    MAX_STREAMS_PER_USER,
    Reminder,
    ReminderCompleted,
)
from hushtag_server.reminders import changes, streams

pytestmark = pytest.mark.anyio
HOUR = timedelta(hours=1)


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + hours * HOUR).isoformat()


async def make(client: Any, who: Any, **fields: Any) -> Any:
    body = {"title": "tea", "reminder_time": in_hours(1), **fields}
    answer = await client.post("/v1/reminders", json=body, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer


def move(database: Any, reminder_id: str, hours: float) -> None:
    """Let time pass: the reminder now lies this many hours from now, and with it its series."""
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(
            "UPDATE reminders SET reminder_time = now() + %(by)s,"
            " series_start = (now() + %(by)s) AT TIME ZONE time_zone,"
            " occurrence_time = (now() + %(by)s) AT TIME ZONE time_zone WHERE id = %(id)s",
            {"by": hours * HOUR, "id": reminder_id},
        )


async def test_a_reminder_is_made_read_edited_and_deleted(app_client: Any, ada: Any) -> None:
    reminder_id = str(uuid4())
    made = await make(app_client, ada, id=reminder_id, description="green", priority=5, time_zone="Europe/Berlin")
    path = made.headers["location"]
    assert path == f"/v1/reminders/{reminder_id}"
    assert made.headers["etag"] == '"1"'
    shown = msgspec.json.decode(made.content, type=Reminder)
    assert (shown.status, shown.priority, shown.time_zone, shown.series_id) == ("pending", 5, "Europe/Berlin", shown.id)
    got = await app_client.get(path, headers=ada.headers)
    assert got.json() == made.json()
    edited = await app_client.patch(path, json={"description": None}, headers=ada.headers | {"If-Match": '"1"'})
    assert edited.headers["etag"] == '"2"'
    assert edited.json()["description"] is None
    assert {**edited.json(), "description": "green", "version": 1, "updated_at": shown.updated_at} == {
        **made.json(),
        "updated_at": shown.updated_at,
    }  # what was absent stayed
    assert (await app_client.delete(path, headers=ada.headers)).json()["code"] == "precondition_required"
    late = await app_client.delete(path, headers=ada.headers | {"If-Match": '"1"'})
    assert late.status_code == 412
    assert (await app_client.delete(path, headers=ada.headers | {"If-Match": '"2"'})).status_code == 204
    assert (await app_client.get(path, headers=ada.headers)).status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"title": ""}, "$.title"),
        ({"title": "x" * (MAX_REMINDER_TITLE + 1)}, "$.title"),
        ({"title": "a\0b"}, "$.title"),
        ({"description": "x" * (MAX_REMINDER_DESCRIPTION + 1)}, "$.description"),
        ({"priority": 0}, "$.priority"),
        ({"priority": 6}, "$.priority"),
        ({"time_zone": "Mars/Olympus"}, "$.time_zone"),
        ({"time_zone": "localtime"}, "$.time_zone"),
        ({"time_zone": "Factory"}, "$.time_zone"),
        ({"repeat_pattern": "FREQ=HOURLY"}, "$.repeat_pattern"),
        ({"repeat_pattern": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "$.repeat_pattern"),
        ({"reminder_time": "2026-01-01T00:00:00Z"}, "$.reminder_time"),
        ({"reminder_time": "2026-01-01T00:00:00"}, "$.reminder_time"),
        ({"reminder_time": "9999-12-31T23:59:59-12:00"}, "$.reminder_time"),
        ({"reminder_time": "0001-01-01T00:00:00+12:00"}, "$.reminder_time"),
        ({"colour": "red"}, "$"),
    ],
)
async def test_what_a_reminder_may_not_be_is_named(app_client: Any, ada: Any, fields: Any, field: str) -> None:
    body = {"title": "tea", "reminder_time": in_hours(1), **fields}
    answer = await app_client.post("/v1/reminders", json=body, headers=ada.headers)
    assert answer.status_code == 400
    [problem] = answer.json()["fields"]
    assert problem["field"] == field
    assert problem["rule"]


async def test_the_limits_themselves_are_allowed_however_json_spells_them(app_client: Any, ada: Any) -> None:
    fields = {"title": "😀" * MAX_REMINDER_TITLE, "description": "😀" * MAX_REMINDER_DESCRIPTION}
    headers = ada.headers | {"Content-Type": "application/json"}
    content = json.dumps(fields | {"reminder_time": in_hours(1)}).encode()  # twelve bytes a character
    made = await app_client.post("/v1/reminders", content=content, headers=headers)
    assert (made.status_code, made.json()["description"]) == (201, fields["description"])
    path, headers = f"/v1/reminders/{made.json()['id']}", headers | {"If-Match": '"1"'}
    assert (await app_client.patch(path, content=content, headers=headers)).status_code == 200


async def test_an_id_is_taken_once_per_user(app_client: Any, ada: Any, sign_in: Any) -> None:
    reminder_id, eve = str(uuid4()), await sign_in(app_client, "eve@example.org")
    await make(app_client, ada, id=reminder_id)
    again = await app_client.post(
        "/v1/reminders", json={"id": reminder_id, "title": "x", "reminder_time": in_hours(1)}, headers=ada.headers
    )
    assert again.json()["code"] == "already_exists"
    assert again.json()["fields"][0]["field"] == "$.id"
    await make(app_client, eve, id=reminder_id)  # another's ids are nobody's business


async def test_the_zone_of_the_settings_is_the_default(app_client: Any, ada: Any, database: Any) -> None:
    assert (await make(app_client, ada)).json()["time_zone"] == "UTC"
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(
            "INSERT INTO user_settings (user_id, time_zone) VALUES (%s, 'Australia/Lord_Howe')", [ada.user_id]
        )
    assert (await make(app_client, ada)).json()["time_zone"] == "Australia/Lord_Howe"


async def test_an_edit_may_lie_in_the_past_and_ends_a_snooze(app_client: Any, ada: Any) -> None:
    path = (await make(app_client, ada)).headers["location"]
    snoozed = await app_client.post(f"{path}/snooze", json={"minutes": 90}, headers=ada.headers)
    assert snoozed.json()["status"] == "pending"
    any_version = ada.headers | {"If-Match": "*"}
    moved = await app_client.patch(path, json={"reminder_time": "2020-01-01T00:00:00Z"}, headers=any_version)
    assert moved.json()["status"] == "overdue"
    assert moved.json()["snoozed_until"] is None
    refused = await app_client.patch(path, json={"repeat_pattern": "FREQ=NEVER"}, headers=any_version)
    assert refused.json()["fields"][0]["field"] == "$.repeat_pattern"
    repeating = await app_client.patch(path, json={"repeat_pattern": "freq=daily"}, headers=any_version)
    assert repeating.json()["repeat_pattern"] == "FREQ=DAILY"
    single = await app_client.patch(path, json={"repeat_pattern": None}, headers=any_version)
    assert single.json()["repeat_pattern"] is None


async def list_all(client: Any, who: Any, limit: int = 2, **query: Any) -> list[Any]:
    found: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = await client.get("/v1/reminders", params={**query, "limit": limit, **cursor}, headers=who.headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()["reminders"]
        if answer.json()["next"] is None:
            return found
        cursor = {"cursor": answer.json()["next"]}


async def test_listings_by_status_and_order(app_client: Any, ada: Any, database: Any) -> None:
    ids = {}
    for name, hours, priority in (("a", 5, 1), ("b", 2, 5), ("c", -1, 3), ("d", -23, 3), ("e", -25, 5), ("f", 3, 5)):
        ids[name] = (await make(app_client, ada, title=name, priority=priority)).json()["id"]
        move(database, ids[name], hours)
    await app_client.post(f"/v1/reminders/{ids['f']}/complete", headers=ada.headers)

    async def titles(**query: Any) -> str:
        return "".join(each["title"] for each in await list_all(app_client, ada, **query))

    assert await titles(status="pending") == "ba"
    assert await titles(status="due") == "dc"
    assert await titles(status="overdue") == "e"
    assert await titles(status="done") == "f"
    assert await titles() == "edcbfa"
    assert await titles(sort="-time") == "afbcde"
    assert await titles(sort="priority") == "ebfdca"
    for each in await list_all(app_client, ada, status="due"):
        assert each["status"] == "due"


async def test_a_cursor_is_good_for_its_own_listing(app_client: Any, ada: Any, sign_in: Any) -> None:
    for _ in range(2):
        await make(app_client, ada)
    eve = await sign_in(app_client, "eve@example.org")
    first = await app_client.get("/v1/reminders?limit=1", headers=ada.headers)
    cursor = first.json()["next"]
    for query, who in (("status=pending", ada), ("sort=-time", ada), ("", eve)):
        answer = await app_client.get(f"/v1/reminders?cursor={cursor}&{query}", headers=who.headers)
        assert answer.status_code == 400
        assert answer.json()["fields"][0]["field"] == "cursor"


async def complete(client: Any, who: Any, reminder_id: Any) -> ReminderCompleted:
    answer = await client.post(f"/v1/reminders/{reminder_id}/complete", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=ReminderCompleted)


async def test_completing_makes_the_next_and_count_holds_over_the_series(app_client: Any, ada: Any) -> None:
    first = (await make(app_client, ada, repeat_pattern="FREQ=DAILY;COUNT=3", description="x", priority=4)).json()
    done = await complete(app_client, ada, first["id"])
    second = done.successor
    assert done.reminder.status == "done"
    assert second is not None
    assert str(second.series_id) == first["series_id"] == first["id"]
    assert (second.title, second.description, second.priority) == ("tea", "x", 4)
    start = datetime.fromisoformat(first["reminder_time"]).replace(microsecond=0)
    assert second.reminder_time == start + timedelta(days=1)
    assert await complete(app_client, ada, first["id"]) == done  # again: the same answer, nothing new
    third = (await complete(app_client, ada, second.id)).successor
    assert third is not None
    assert third.reminder_time == start + timedelta(days=2)
    assert (await complete(app_client, ada, third.id)).successor is None
    assert len(await list_all(app_client, ada)) == 3


async def test_until_holds_over_the_series_and_a_single_reminder_has_no_successor(app_client: Any, ada: Any) -> None:
    until = (datetime.now(UTC) + timedelta(days=1, hours=2)).strftime("%Y%m%dT%H%M%SZ")
    first = (await make(app_client, ada, repeat_pattern=f"FREQ=DAILY;UNTIL={until}")).json()
    second = (await complete(app_client, ada, first["id"])).successor
    assert second is not None
    assert (await complete(app_client, ada, second.id)).successor is None
    assert (await complete(app_client, ada, (await make(app_client, ada)).json()["id"])).successor is None


async def test_a_series_ends_where_no_reminder_can_be_made(app_client: Any, ada: Any) -> None:
    first = (
        await make(app_client, ada, reminder_time="2190-05-01T10:00:00Z", repeat_pattern="FREQ=YEARLY;INTERVAL=9")
    ).json()
    second = (await complete(app_client, ada, first["id"])).successor
    assert second is not None
    assert second.reminder_time.year == 2199
    assert (await complete(app_client, ada, second.id)).successor is None


async def test_what_was_missed_is_left_out(app_client: Any, ada: Any, database: Any) -> None:
    first = (await make(app_client, ada, repeat_pattern="FREQ=DAILY")).json()
    move(database, first["id"], -24 * 5 + 1)
    successor = (await complete(app_client, ada, first["id"])).successor
    assert successor is not None
    ahead = successor.reminder_time - datetime.now(UTC)
    assert timedelta(0) < ahead <= timedelta(days=1)


async def test_twenty_completions_at_once_make_one_successor(app_client: Any, ada: Any, database: Any) -> None:
    first = (await make(app_client, ada, repeat_pattern="FREQ=WEEKLY")).json()
    answers = await asyncio.gather(*(complete(app_client, ada, first["id"]) for _ in range(20)))
    assert len({answer.successor.id for answer in answers if answer.successor is not None}) == 1
    assert all(answer == answers[0] for answer in answers)
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT count(*) FROM reminders").fetchone() == (2,)
        assert connection.execute("SELECT max(version) FROM reminders").fetchone() == (2,)


async def test_reopening_keeps_the_successor_and_completing_again_makes_no_other(app_client: Any, ada: Any) -> None:
    first = (await make(app_client, ada, repeat_pattern="FREQ=DAILY")).json()
    done = await complete(app_client, ada, first["id"])
    path = f"/v1/reminders/{first['id']}/reopen"
    reopened = (await app_client.post(path, headers=ada.headers)).json()
    assert (reopened["status"], reopened["completed_at"], reopened["version"]) == ("pending", None, 3)
    assert (await app_client.post(path, headers=ada.headers)).json() == reopened
    assert (await complete(app_client, ada, first["id"])).successor == done.successor
    assert len(await list_all(app_client, ada)) == 2


async def test_snooze_takes_a_time_or_minutes_that_lie_ahead(app_client: Any, ada: Any) -> None:
    path = (await make(app_client, ada)).headers["location"]
    before = datetime.now(UTC)
    until = datetime.fromisoformat(
        (await app_client.post(f"{path}/snooze", json={"minutes": 10}, headers=ada.headers)).json()["snoozed_until"]
    )
    assert timedelta(minutes=9) < until - before < timedelta(minutes=11)
    for body, field in (
        ({}, "$"),
        ({"minutes": 5, "until": in_hours(1)}, "$"),
        ({"minutes": 0}, "$.minutes"),
        ({"until": in_hours(-1)}, "$.until"),
        ({"until": "9999-12-31T23:59:59-12:00"}, "$.until"),
    ):
        answer = await app_client.post(f"{path}/snooze", json=body, headers=ada.headers)
        assert answer.status_code == 400
        assert answer.json()["fields"][0]["field"] == field
    done = await app_client.post(f"{path}/complete", headers=ada.headers | {"If-Match": '"2"'})
    assert done.json()["reminder"]["snoozed_until"] is None
    refused = await app_client.post(f"{path}/snooze", json={"minutes": 5}, headers=ada.headers)
    assert "not completed" in refused.json()["fields"][0]["rule"]


@pytest.mark.parametrize("action", ["complete", "reopen", "snooze"])
async def test_a_version_that_is_named_must_be_the_present_one(app_client: Any, ada: Any, action: str) -> None:
    path = (await make(app_client, ada)).headers["location"]
    body = {"json": {"minutes": 5}} if action == "snooze" else {}
    answer = await app_client.post(f"{path}/{action}", headers=ada.headers | {"If-Match": '"7"'}, **body)
    assert answer.status_code == 412
    assert (await app_client.get(path, headers=ada.headers)).json()["version"] == 1


async def test_of_many_editors_one_wins_each_version(app_client: Any, ada: Any) -> None:
    path = (await make(app_client, ada)).headers["location"]
    first = ada.headers | {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(app_client.patch(path, json={"title": f"by {number}"}, headers=first) for number in range(20))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + 19 * [412]
    [winner] = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await app_client.get(path, headers=ada.headers)).json() == winner


async def test_occurrences_are_bounded_and_begin_with_the_reminder(app_client: Any, ada: Any) -> None:
    made = await make(app_client, ada, repeat_pattern="FREQ=DAILY;BYHOUR=8,20")
    path = made.headers["location"] + "/occurrences"
    times = (await app_client.get(f"{path}?limit=5", headers=ada.headers)).json()["occurrences"]
    assert len(times) == 5
    assert times == sorted(times)
    assert times[0] == made.json()["reminder_time"]
    assert (await app_client.get(f"{path}?limit=101", headers=ada.headers)).status_code == 400
    single = (await make(app_client, ada)).headers["location"]
    assert len((await app_client.get(f"{single}/occurrences", headers=ada.headers)).json()["occurrences"]) == 1


async def test_the_trail_has_every_change_and_no_description(app_client: Any, ada: Any, database: Any) -> None:
    made = await make(app_client, ada, description="canary in a coal mine")
    await complete(app_client, ada, made.json()["id"])
    await app_client.delete(made.headers["location"], headers=ada.headers | {"If-Match": "*"})
    with psycopg.connect(database.admin_url) as connection:
        trail = connection.execute(
            "SELECT action, old_values::text || coalesce(new_values::text, '') FROM audit_logs"
            " WHERE table_name = 'reminders' ORDER BY created_at"
        ).fetchall()
        words = connection.execute("SELECT coalesce(string_agg(new_values::text, ''), '') FROM audit_logs").fetchone()
    assert [row[0] for row in trail] == ["CREATE", "UPDATE", "DELETE"]
    assert "canary" not in str(trail) + str(words)


async def test_a_user_has_so_many_streams_and_no_more(app_client: Any, ada: Any, sign_in: Any) -> None:
    bell = app_client.app.application.application.state["bell"]
    with ExitStack() as stack:
        for _ in range(MAX_STREAMS_PER_USER):
            stack.enter_context(bell.subscribed(UUID(ada.user_id)))
        refused = await app_client.get("/v1/reminders/events?wait=0", headers=ada.headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert int(refused.headers["retry-after"]) >= 1
        eve = await sign_in(app_client, "eve@example.org")
        assert (await app_client.get("/v1/reminders/events?wait=0", headers=eve.headers)).status_code == 200
    assert (await app_client.get("/v1/reminders/events?wait=0", headers=ada.headers)).status_code == 200
    assert bell.streams == 0


async def test_a_worker_that_stops_or_is_full_takes_no_stream(
    app_client: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hushtag_server.reminders.bell.MAX_STREAMS_PER_WORKER", 0)
    assert (await app_client.get("/v1/reminders/events?wait=0", headers=ada.headers)).status_code == 503
    monkeypatch.undo()
    app_client.app.application.application.state["bell"].stop()
    assert (await app_client.get("/v1/reminders/events?wait=0", headers=ada.headers)).status_code == 503


async def test_a_quiet_stream_speaks_and_notices_the_end_of_its_session(
    app_client: Any, ada: Any, sign_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.2)
    phone = await sign_in(app_client, "ada@example.org")
    quiet = await app_client.get("/v1/reminders/events?wait=3", headers=phone.headers)
    assert quiet.text.count(":\n\n") >= 2
    asked = asyncio.create_task(app_client.get("/v1/reminders/events?wait=60", headers=phone.headers))
    bell = app_client.app.application.application.state["bell"]
    async with asyncio.timeout(10):
        while bell.streams == 0:
            assert not asked.done()
            await asyncio.sleep(0.01)
        await app_client.delete(f"/v1/sessions/{phone.session_id}", headers=ada.headers)
        assert (await asked).status_code == 200


async def test_the_bell_is_heard_again_after_its_connection_broke(app_client: Any, ada: Any, database: Any) -> None:
    bell = app_client.app.application.application.state["bell"]
    async with asyncio.timeout(20):
        await bell.listens.wait()
        with psycopg.connect(database.admin_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'hushtag-bell' AND datname = current_database()"
            )
        while bell.listens.is_set():
            await asyncio.sleep(0.01)
        await bell.listens.wait()
        with bell.subscribed(UUID(ada.user_id)) as woken:
            woken.clear()
            await make(app_client, ada)
            await woken.wait()


class Dear:
    """Lets every rule take until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self._may_go_on = threading.Semaphore(0), threading.Event()
        for name in ("check_repetition", "next_occurrence"):
            monkeypatch.setattr(changes, name, self._slow(getattr(changes, name)))

    def _slow(self, work: Any) -> Any:
        def slow(*given: Any) -> Any:
            self.begun.release()
            assert self._may_go_on.wait(30)
            return work(*given)

        return slow

    async def begins(self) -> None:
        """Wait until one more rule is expanded."""
        assert await anyio.to_thread.run_sync(self.begun.acquire, True, 20)

    def go_on(self) -> None:
        self._may_go_on.set()


@pytest.mark.parametrize("deed", ["make", "edit", "complete"])
async def test_a_dear_rule_holds_neither_a_connection_nor_the_reminder(
    settings: Any, keys: Any, serve_in_process: Any, sign_in: Any, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    async with serve_in_process(replace(settings, pool_size=1), keys) as client:
        who = await sign_in(client)
        made = await make(client, who, repeat_pattern="FREQ=DAILY")
        path, any_version = made.headers["location"], who.headers | {"If-Match": "*"}
        dear = Dear(monkeypatch)
        asked = {
            "make": lambda: make(client, who, repeat_pattern="FREQ=WEEKLY"),
            "edit": lambda: client.patch(path, json={"repeat_pattern": "FREQ=WEEKLY"}, headers=any_version),
            "complete": lambda: client.post(f"{path}/complete", headers=who.headers),
        }
        answering = asyncio.create_task(asked[deed]())
        try:
            await dear.begins()
            with anyio.fail_after(10):
                assert (await client.patch(path, json={"title": "cake"}, headers=any_version)).status_code == 200
        finally:
            dear.go_on()
        answer = await answering
        assert answer.is_success, answer.text
        listed = (await client.get("/v1/reminders", headers=who.headers)).json()["reminders"]
        series = {"make": {"FREQ=DAILY", "FREQ=WEEKLY"}, "edit": {"FREQ=WEEKLY"}, "complete": {"FREQ=DAILY"}}
        assert {each["repeat_pattern"] for each in listed} == series[deed]
        assert {each["title"] for each in listed} == ({"cake", "tea"} if deed == "make" else {"cake"})


async def test_a_rule_is_looked_at_anew_where_the_reminder_changed_meanwhile(
    app_client: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await make(app_client, ada, repeat_pattern="FREQ=DAILY")
    path, any_version = made.headers["location"], ada.headers | {"If-Match": "*"}
    with monkeypatch.context() as slow:
        dear = Dear(slow)
        editing = asyncio.create_task(app_client.patch(path, json={"time_zone": "Europe/Berlin"}, headers=any_version))
        await dear.begins()
    once = await app_client.patch(path, json={"repeat_pattern": "FREQ=YEARLY"}, headers=any_version)
    dear.go_on()
    assert once.status_code == (await editing).status_code == 200
    shown = (await app_client.get(path, headers=ada.headers)).json()
    assert (shown["repeat_pattern"], shown["time_zone"]) == ("FREQ=YEARLY", "Europe/Berlin")


async def test_dear_rules_leave_the_other_threads_alone(
    app_client: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = Dear(monkeypatch)
    making = [asyncio.create_task(make(app_client, ada, repeat_pattern="FREQ=DAILY")) for _ in range(6)]
    try:
        for _ in range(2):
            await dear.begins()
        with anyio.fail_after(10):
            assert (await app_client.get("/v1/me/export", headers=ada.headers)).status_code == 200
    finally:
        dear.go_on()
    await asyncio.gather(*making)


async def test_a_rule_is_expanded_for_nobody_without_a_session(
    app_client: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = Dear(monkeypatch)
    assert (await app_client.delete("/v1/sessions/current", headers=ada.headers)).status_code == 204
    body = {"title": "tea", "reminder_time": in_hours(1), "repeat_pattern": "FREQ=DAILY"}
    assert (await app_client.post("/v1/reminders", json=body, headers=ada.headers)).status_code == 401
    assert not dear.begun.acquire(blocking=False)
