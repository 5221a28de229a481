"""The calendar feed: what it says, who may read it, and that its address is a secret."""

import asyncio
import io
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
from dateutil.tz import tzical
from icalendar import Calendar

from hushtag.messages import decode_binary, encode_binary
from hushtag_server.reminders import calendars, routes_feed
from hushtag_server.reminders.calendar import ZONE_YEARS
from hushtag_server.tokens import token_hash
from tests.coming import COMING, last_sunday
from tests.server.vault_support import comparable

pytestmark = pytest.mark.anyio

EVE = last_sunday(3) - timedelta(days=1)
"""The day before summer time begins in Berlin."""


async def open_feed(client: Any, who: Any) -> str:
    answer = await client.post("/v1/reminders/feed", headers=who.headers)
    assert answer.status_code == 201
    path: str = answer.json()["url_path"]
    return path


async def make(client: Any, who: Any, **fields: Any) -> Any:
    body = {"title": "tea", "reminder_time": f"{EVE}T01:30:00Z", **fields}
    answer = await client.post("/v1/reminders", json=body, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def read(client: Any, path: str) -> list[Any]:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    return list(Calendar.from_ical(answer.content).walk("VEVENT"))


async def test_the_feed_holds_the_open_reminders(app_client: Any, ada: Any, sign_in: Any) -> None:
    eve = await sign_in(app_client, "eve@example.org")
    await make(app_client, eve, title="not hers")
    single = await make(app_client, ada, title="once; with, signs\nand lines", description="é", priority=5)
    repeating = await make(app_client, ada, repeat_pattern="FREQ=DAILY;COUNT=5", time_zone="Europe/Berlin")
    done = await make(app_client, ada, title="done")
    await app_client.post(f"/v1/reminders/{done['id']}/complete", headers=ada.headers)
    events = {str(event["uid"]): event for event in await read(app_client, await open_feed(app_client, ada))}
    assert set(events) == {f"{single['id']}@hushtag", f"{repeating['id']}@hushtag"}
    event = events[f"{single['id']}@hushtag"]
    assert str(event["summary"]) == "once; with, signs\nand lines"
    assert event["dtstart"].dt == datetime(EVE.year, EVE.month, EVE.day, 1, 30, tzinfo=UTC)
    assert (int(event["priority"]), str(event["status"])) == (1, "CONFIRMED")
    assert [alarm["trigger"].dt for alarm in event.walk("VALARM")] == [timedelta(0)]
    event = events[f"{repeating['id']}@hushtag"]
    assert event["dtstart"].params["TZID"] == "Europe/Berlin"
    assert event["dtstart"].dt.isoformat() == f"{EVE}T02:30:00+01:00"
    assert event["rrule"].to_ical() == b"FREQ=DAILY;COUNT=5"
    assert event["last-modified"].dt.tzinfo is not None


async def test_a_zone_is_defined_whenever_a_repetition_begins(app_client: Any, ada: Any, database: Any) -> None:
    decades = COMING + 30
    late = await make(
        app_client,
        ada,
        reminder_time=f"{decades}-07-01T10:00:00Z",
        repeat_pattern="FREQ=DAILY",
        time_zone="Europe/Berlin",
    )
    early = await make(app_client, ada, repeat_pattern="FREQ=DAILY", time_zone="Europe/Berlin")
    with psycopg.connect(database.admin_url) as connection:  # one that nobody has done for years
        connection.execute(
            "UPDATE reminders SET reminder_time = '2019-07-01 10:00+00', series_start = '2019-07-01 12:00',"
            " occurrence_time = '2019-07-01 12:00' WHERE id = %s",
            [early["id"]],
        )
    answer = await app_client.get(await open_feed(app_client, ada))
    calendar = Calendar.from_ical(answer.content)
    [zone] = calendar.walk("VTIMEZONE")
    defined = zone.to_tz(lookup_tzid=False)  # as a reader does that knows no zone of this name
    begins = {str(event["uid"]): event["dtstart"].dt.replace(tzinfo=None) for event in calendar.walk("VEVENT")}
    assert {begun.replace(tzinfo=defined).utcoffset() for begun in begins.values()} == {timedelta(hours=2)}
    assert begins[f"{late['id']}@hushtag"] == datetime(decades, 7, 1, 12)  # noqa: DTZ001  (a wall clock)


async def test_clocks_that_are_changed_for_a_month_are_defined(app_client: Any, ada: Any) -> None:
    """Morocco's are for Ramadan; two of ten were left out, and every reminder of that month was an hour off."""
    zone = ZoneInfo("Africa/Casablanca")
    await make(app_client, ada, repeat_pattern="FREQ=DAILY", time_zone=zone.key)
    text = (await app_client.get(await open_feed(app_client, ada))).text
    defined = tzical(
        io.StringIO(re.sub("\r\n ", "", text).replace("\r\n", "\n"))
    ).get()  # another reader than its writer
    first = datetime(datetime.now(UTC).year, 1, 1, 12)  # noqa: DTZ001  (a wall clock)
    days = [first + timedelta(days=number) for number in range(9 * 365)]
    assert {zone.utcoffset(day) for day in days} == {timedelta(0), timedelta(hours=1)}
    assert [day for day in days if zone.utcoffset(day) != day.replace(tzinfo=defined).utcoffset()] == []


async def test_zones_are_not_defined_for_centuries(app_client: Any, ada: Any) -> None:
    for zone in ("Europe/Berlin", "America/New_York"):
        await make(app_client, ada, reminder_time="2199-07-01T10:00:00Z", repeat_pattern="FREQ=DAILY", time_zone=zone)
    answer = await app_client.get(await open_feed(app_client, ada))
    calendar = Calendar.from_ical(answer.content)
    assert len(calendar.walk("VEVENT")) == len(calendar.walk("VTIMEZONE")) == 2
    years = {
        int(year) for year in re.findall(r"(?:DTSTART|RDATE)[^:\r]*:(?:[^\r]*,)?(\d{4})", answer.text) if year != "2199"
    }
    assert max(years) <= datetime.now(UTC).year + ZONE_YEARS + 1


async def test_one_calendar_of_a_user_is_written_at_a_time(
    app_client: Any, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, written = threading.Event(), threading.Event(), calendars._written

    def slow(rows: Any) -> bytes:
        begun.set()
        assert may_end.wait(30)
        return written(rows)

    monkeypatch.setattr(calendars, "_written", slow)
    path = await open_feed(app_client, ada)
    reading = asyncio.create_task(app_client.get(path))
    assert await asyncio.to_thread(begun.wait, 30)
    refused = await app_client.get(path)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    may_end.set()
    assert (await reading).status_code == 200
    assert (await app_client.get(path)).status_code == 200


async def test_a_successor_carries_what_is_left_of_its_rule(app_client: Any, ada: Any) -> None:
    first = await make(app_client, ada, repeat_pattern="FREQ=DAILY;COUNT=3")
    done = await app_client.post(f"/v1/reminders/{first['id']}/complete", headers=ada.headers)
    await app_client.post(
        f"/v1/reminders/{done.json()['successor']['id']}/snooze",
        json={"until": f"{COMING + 1}-01-01T00:00:00Z"},
        headers=ada.headers,
    )
    [event] = await read(app_client, await open_feed(app_client, ada))
    assert event["rrule"].to_ical() == b"FREQ=DAILY;COUNT=2"
    assert [alarm["trigger"].dt for alarm in event.walk("VALARM")] == [datetime(COMING + 1, 1, 1, tzinfo=UTC)]


async def test_a_title_cannot_add_lines_to_the_calendar(app_client: Any, ada: Any) -> None:
    title = "x\r\nATTACH:http://example.org\rEND:VEVENT\x0b\x1b[2J"
    await make(app_client, ada, title=title, description=title)
    path = await open_feed(app_client, ada)
    text = (await app_client.get(path)).text
    assert not any(line.startswith(("ATTACH", "END:VEVENT\x0b")) for line in text.splitlines())
    assert "\x1b" not in text
    assert text.count("END:VEVENT\r\n") == 1
    assert len(await read(app_client, path)) == 1


async def test_the_tag_changes_exactly_when_a_reminder_does(app_client: Any, ada: Any) -> None:
    made = await make(app_client, ada)
    path = await open_feed(app_client, ada)
    tag = (await app_client.get(path)).headers["etag"]
    same = await app_client.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert (await app_client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200
    change = ada.headers | {"If-Match": "*"}
    await app_client.patch(f"/v1/reminders/{made['id']}", json={"title": "coffee"}, headers=change)
    changed = await app_client.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_an_address_ends_with_the_next_one_and_with_its_revocation(app_client: Any, ada: Any) -> None:
    first = await open_feed(app_client, ada)
    second = await open_feed(app_client, ada)
    nothing = comparable(await app_client.get(f"/v1/feeds/{encode_binary(bytes(48))}.ics"))
    assert nothing[0] == 404
    assert comparable(await app_client.get(first)) == nothing
    assert (await app_client.get(second)).status_code == 200
    assert (await app_client.get("/v1/reminders/feed", headers=ada.headers)).json()["last_used"] is not None
    assert (await app_client.delete("/v1/reminders/feed", headers=ada.headers)).status_code == 204
    assert comparable(await app_client.get(second)) == nothing
    for method in ("GET", "DELETE"):
        gone = await app_client.request(method, "/v1/reminders/feed", headers=ada.headers)
        assert gone.status_code == 404
    wrong = decode_binary(second.removeprefix("/v1/feeds/").removesuffix(".ics"))[:16] + bytes(32)
    for name in (encode_binary(wrong) + ".ics", "x.ics", ".ics", second[len("/v1/feeds/") : -len(".ics")], "é.ics"):
        assert comparable(await app_client.get(f"/v1/feeds/{name}")) == nothing


async def test_an_account_that_is_not_active_has_no_feed(app_client: Any, ada: Any, database: Any) -> None:
    path = await open_feed(app_client, ada)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE users SET is_active = false")
    assert (await app_client.get(path)).status_code == 404


async def test_the_feed_is_bounded(app_client: Any, ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_feed, "MAX_FEED_REMINDERS", 2)
    for year in (COMING + 2, COMING, COMING + 1):
        await make(app_client, ada, title=str(year), reminder_time=f"{year}-01-01T00:00:00Z")
    events = await read(app_client, await open_feed(app_client, ada))
    assert {str(event["summary"]) for event in events} == {str(COMING), str(COMING + 1)}


async def test_only_the_hash_of_the_secret_is_stored(app_client: Any, ada: Any, database: Any) -> None:
    path = await open_feed(app_client, ada)
    secret = decode_binary(path.removeprefix("/v1/feeds/").removesuffix(".ics"))[16:]
    with psycopg.connect(database.admin_url) as connection:
        assert connection.execute("SELECT secret_hash FROM reminder_feeds").fetchone() == (token_hash(secret),)
        trail = str(connection.execute("SELECT * FROM audit_logs").fetchall())
    assert "secret_hash" not in trail
    assert token_hash(secret).hex() not in trail


def test_the_address_reaches_neither_log_nor_metrics(data_directory: Path, run_server: Any) -> None:
    credentials = {"email": "ada@example.org", "password": "correct horse battery"}
    with (
        run_server(data_directory, HUSHTAG_LOG_LEVEL="debug", HUSHTAG_METRICS_LOOPBACK="yes") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        client.post("/v1/accounts", json=credentials)
        token = client.post("/v1/sessions", json=credentials).json()["token"]
        path = client.post("/v1/reminders/feed", headers={"Authorization": f"Bearer {token}"}).json()["url_path"]
        assert client.get(path).status_code == 200
        assert client.get(path + "x").status_code == 404
        written = server.log.read_text() + client.get("/metrics").text
    assert "/v1/feeds/{feed" in written
    assert path.removeprefix("/v1/feeds/").removesuffix(".ics") not in written
