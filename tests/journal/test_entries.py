"""One entry: create, read, edit, delete, restore, erase; and many writers at once."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from hushtag.journal_messages import MAX_CONTENT, MAX_JOURNAL_TAGS, MAX_TITLE, Journal
from tests.journal.support import Writer, problem
from tests.server.vault_support import until_waiting

pytestmark = pytest.mark.anyio


async def test_an_entry_is_read_as_it_was_written(ada: Writer) -> None:
    answer = await ada.ask(
        "POST",
        "journals",
        201,
        json={
            "title": "Zürich",
            "content": "two  words\n\tand three\u3000more",
            "mood_rating": 7,
            "is_private": True,
            "entry_date": "2024-02-29",
            "published_at": "2024-03-01T10:00:00+02:00",
            "tags": ["trip", " Trip ", "über"],
        },
    )
    assert answer.headers["etag"] == '"1"'
    journal = await ada.read(answer.json()["id"])
    assert answer.headers["location"] == f"/v1/journals/{journal.id}"
    assert (journal.title, journal.content) == ("Zürich", "two  words\n\tand three\u3000more")
    assert (journal.mood_rating, journal.is_private, str(journal.entry_date)) == (7, True, "2024-02-29")
    assert journal.published_at == datetime(2024, 3, 1, 8, tzinfo=UTC)
    assert journal.word_count == 5
    assert [tag.name for tag in journal.tags] == ["trip", "über"]
    assert (journal.version, journal.deleted_at) == (1, None)


async def test_an_entry_needs_only_a_title(ada: Writer) -> None:
    journal = await ada.write("x")
    assert (journal.content, journal.mood_rating, journal.is_private, journal.tags) == (None, None, False, [])
    assert journal.word_count == 0
    assert (await ada.write("x", content="", tags=[])).word_count == 0


async def test_every_white_space_of_unicode_parts_words(ada: Writer) -> None:
    spaces = [sign for sign in map(chr, range(1, 0x3001)) if sign.isspace() and not "\x1c" <= sign <= "\x1f"]
    assert len(spaces) == 25
    assert (await ada.write("x", content="a".join(["", *spaces, ""]))).word_count == 26
    assert (await ada.write("x", content="ä" + "\u200b\x1f" + "b")).word_count == 1


async def test_today_is_the_users_day(ada: Writer) -> None:
    days = {}
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12", "Nowhere/Land"):
        ada.sql(
            "INSERT INTO user_settings (user_id, time_zone) VALUES (%s, %s)"
            " ON CONFLICT (user_id) DO UPDATE SET time_zone = excluded.time_zone",
            ada.user_id,
            zone,
        )
        days[zone] = (await ada.write()).entry_date
    # Fourteen hours before and twelve behind UTC: never the same day.
    assert days["Pacific/Kiritimati"] - days["Etc/GMT+12"] in {timedelta(days=1), timedelta(days=2)}
    assert abs(days["Nowhere/Land"] - datetime.now(UTC).date()) <= timedelta(days=1)


async def test_times_are_in_utc_whatever_zone_the_database_is_set_to(
    database: Any, settings: Any, keys: Any, serve_in_process: Any, sign_in: Any
) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database.name} SET timezone = 'Europe/Athens'")
    async with serve_in_process(settings, keys) as client:
        ada = Writer(client, await sign_in(client), database)
        # Athens was 1:34:52 ahead then, an offset with seconds, which no reader of RFC 3339 takes.
        journal = await ada.write(published_at="1910-01-01T00:00:00Z")
        assert journal.published_at == datetime(1910, 1, 1, tzinfo=UTC)
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        reminder = (await ada.ask("POST", "reminders", 201, json={"title": "tea", "reminder_time": soon})).json()
        # From a clock in a zone, minutes would be added to what the clocks show, and those may be put forward between.
        snoozed = await ada.ask("POST", f"reminders/{reminder['id']}/snooze", json={"minutes": 40_320})
        assert snoozed.json()["snoozed_until"].endswith("Z")


async def test_an_id_of_the_client_makes_a_repeat_safe(ada: Writer, eve: Writer) -> None:
    journal_id = str(uuid4())
    await ada.write("first", id=journal_id)
    answer = await ada.ask("POST", "journals", 409, json={"title": "second", "id": journal_id})
    assert problem(answer, "already_exists").fields[0].field == "$.id"
    assert (await ada.read(journal_id)).title == "first"
    await eve.write("hers", id=journal_id)  # an id tells nobody that somebody else has it
    assert (await ada.read(journal_id)).title == "first"


async def test_many_at_once_with_one_id_make_one_entry(ada: Writer) -> None:
    journal_id = str(uuid4())
    body = {"title": "once", "id": journal_id, "tags": ["new"]}
    answers = await asyncio.gather(
        *(ada.client.post("/v1/journals", json=body, headers=ada.account.headers) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 9]


@pytest.mark.parametrize(
    "fields",
    [
        {"title": ""},
        {"title": "x" * (MAX_TITLE + 1)},
        {"title": "a\0b"},
        {"title": "a", "content": "a\0b"},
        {"title": "a", "content": "x" * (MAX_CONTENT + 1)},
        {"title": "a", "mood_rating": 0},
        {"title": "a", "mood_rating": 11},
        {"title": "a", "mood_rating": 5.5},
        {"title": "a", "entry_date": "2024-02-30"},
        {"title": "a", "published_at": "2024-02-29T10:00:00"},
        {"title": "a", "published_at": "0001-01-01T00:00:00+14:00"},
        {"title": "a", "published_at": "9999-12-31T23:59:59-14:00"},
        # In UTC, as an archive has it, the years before and after: the archive would be refused.
        {"title": "a", "published_at": "1900-01-01T00:00:00+14:00"},
        {"title": "a", "published_at": "9998-12-31T23:59:59-14:00"},
        {"title": "a", "tags": ["x"] * (MAX_JOURNAL_TAGS + 1)},
        {"title": "a", "tags": ["  "]},
        {"title": "a", "tags": ["\u0958" * 60]},
        {"title": "a", "version": 3},
        {"content": "no title"},
    ],
)
async def test_what_is_refused_names_its_field(ada: Writer, fields: dict[str, object]) -> None:
    refused = problem(await ada.ask("POST", "journals", 400, json=fields), "malformed_request")
    assert refused.fields
    assert refused.fields[0].rule
    assert await ada.titles() == []


async def test_the_limits_themselves_are_allowed(ada: Writer) -> None:
    names = [f"tag {number}" for number in range(MAX_JOURNAL_TAGS)]
    # Four bytes each, and in JSON that keeps to ASCII twelve: the body's own limit must leave room for it.
    entry = {"title": "😀" * MAX_TITLE, "content": "\U0001f600" * MAX_CONTENT, "tags": names}
    ascii_only, asked = json.dumps(entry).encode(), {"Content-Type": "application/json"}
    assert len(ascii_only) > 12 * MAX_CONTENT
    answer = await ada.ask("POST", "journals", 201, content=ascii_only, headers=asked)
    journal = msgspec.json.decode(answer.content, type=Journal)
    await ada.ask("PATCH", f"journals/{journal.id}", content=ascii_only, headers=asked | {"If-Match": '"1"'})
    assert len(journal.tags) == MAX_JOURNAL_TAGS
    assert len((await ada.read(journal.id)).content or "") == MAX_CONTENT
    assert len((await ada.listed()).journals[0].excerpt or "") == 200


@pytest.mark.parametrize("piece", ["a_", "-1.e", "a-", "ab ", "é-ü ", "http://a/b?", "\u0001\u0002\u0003"])
async def test_no_text_takes_long_to_index(ada: Writer, piece: str) -> None:
    # The parser of PostgreSQL takes time that grows with the square of a word's length; the server must not.
    journal = await asyncio.wait_for(ada.write(content=piece * (MAX_CONTENT // len(piece))), 10)
    assert await asyncio.wait_for(ada.found("day"), 10) == [journal.title]


async def test_more_words_than_an_index_entry_holds_are_found_by_the_first(ada: Writer) -> None:
    ada.set_language("english")
    signs = [chr(0x20000 + number) for number in range(40_000)]
    content = "first " + "-".join("".join(signs[number : number + 3]) for number in range(25_000))
    journal = await ada.write("long", content=content[:MAX_CONTENT])
    assert await ada.found("first") == [journal.title]


async def test_reading_again_what_is_known_costs_no_body(ada: Writer) -> None:
    journal = await ada.write()
    path = f"journals/{journal.id}"
    assert (await ada.ask("GET", path, 304, headers={"If-None-Match": 'W/"9", "1"'})).content == b""
    await ada.edit(journal, title="new")
    assert (await ada.ask("GET", path, 200, headers={"If-None-Match": '"1"'})).json()["title"] == "new"


async def test_absent_stays_and_null_clears(ada: Writer) -> None:
    journal = await ada.write("t", content="c", mood_rating=3, published_at="2024-01-01T00:00:00Z", tags=["a", "b"])
    journal = await ada.edit(journal, title="new title")
    assert (journal.title, journal.content, journal.mood_rating) == ("new title", "c", 3)
    assert (len(journal.tags), journal.published_at is None) == (2, False)
    journal = await ada.edit(journal, content=None, mood_rating=None, published_at=None, is_private=True, tags=["c"])
    assert (journal.title, journal.content, journal.mood_rating, journal.published_at) == (
        "new title",
        None,
        None,
        None,
    )
    assert [tag.name for tag in journal.tags] == ["c"]
    assert (journal.is_private, journal.word_count, journal.version) == (True, 0, 3)
    journal = await ada.edit(journal, tags=[], entry_date="2020-01-02")
    assert (journal.tags, str(journal.entry_date)) == ([], "2020-01-02")
    for refused in ({"title": None}, {"is_private": None}, {"entry_date": None}, {"tags": None}, {"id": str(uuid4())}):
        answer = await ada.ask("PATCH", f"journals/{journal.id}", 400, json=refused, headers={"If-Match": "*"})
        problem(answer, "malformed_request")
    assert await ada.read(journal.id) == journal


async def test_a_change_must_name_the_present_version(ada: Writer) -> None:
    journal = await ada.edit(await ada.write("first"), title="second")
    path, body = f"journals/{journal.id}", {"title": "third"}
    for method in ("PATCH", "DELETE"):
        given = {"json": body} if method == "PATCH" else {}
        problem(await ada.ask(method, path, 428, **given), "precondition_required")
        problem(await ada.ask(method, path, 400, headers={"If-Match": "2"}, **given), "malformed_request")
        conflict = problem(await ada.ask(method, path, 412, headers={"If-Match": '"1"'}, **given), "version_conflict")
        assert conflict.fields
        assert '"2"' in conflict.fields[0].rule
        conflict = await ada.ask(method, path, 412, headers={"If-Match": '"99999999999999999"'}, **given)
    assert await ada.read(journal.id) == journal
    await ada.ask("PATCH", path, json=body, headers={"If-Match": "*"})
    assert (await ada.read(journal.id)).title == "third"


async def test_of_fifty_writers_one_wins_each_version(ada: Writer) -> None:
    journal = await ada.write("start", tags=["a"])
    path = f"/v1/journals/{journal.id}"
    for version in (1, 2):
        headers = ada.account.headers | {"If-Match": f'"{version}"'}
        answers = await asyncio.gather(
            *(
                ada.client.patch(path, json={"title": f"{version}/{number}", "tags": [f"t{number}"]}, headers=headers)
                for number in range(50)
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, *[412] * 49]
        won = next(answer.json() for answer in answers if answer.status_code == 200)
        stored = await ada.read(journal.id)
        assert (stored.title, stored.version) == (won["title"], version + 1)
        assert [tag.name for tag in stored.tags] == [f"t{stored.title.split('/')[1]}"]
    names = {row[0] for row in ada.sql("SELECT name FROM tags")}
    assert len(names) == len({"a"} | {tag for tag in names if tag.startswith("t")})
    assert len(names) <= 3  # what did not win made nothing


async def test_deleting_keeps_until_it_is_erased(ada: Writer) -> None:
    journal = await ada.write("gone", tags=["a"])
    path = f"journals/{journal.id}"
    problem(await ada.ask("DELETE", f"{path}/permanently", 404), "not_found")
    await ada.ask("DELETE", path, 204, headers={"If-Match": '"1"'})
    assert (await ada.titles(), await ada.titles(deleted="true"), await ada.titles(deleted="any")) == (
        [],
        ["gone"],
        ["gone"],
    )
    assert (await ada.read(journal.id)).deleted_at is not None
    for method, more in (("PATCH", {"json": {"title": "x"}}), ("DELETE", {})):
        problem(await ada.ask(method, path, 404, headers={"If-Match": "*"}, **more), "not_found")
    answer = await ada.ask("POST", f"{path}/restore")
    assert (answer.json()["deleted_at"], answer.headers["etag"]) == (None, '"3"')
    assert (await ada.ask("POST", f"{path}/restore")).headers["etag"] == '"3"'  # nothing was left to restore
    assert await ada.titles() == ["gone"]
    await ada.delete(journal)
    await ada.ask("DELETE", f"{path}/permanently", 204)
    for method, where in (("GET", path), ("POST", f"{path}/restore"), ("DELETE", f"{path}/permanently")):
        problem(await ada.ask(method, where, 404), "not_found")
    assert ada.sql("SELECT FROM journal_words") == ada.sql("SELECT FROM journal_tags") == []


async def test_purging_erases_what_was_deleted_long_ago_of_one_user(ada: Writer, eve: Writer) -> None:
    for writer in (ada, eve):
        for number in range(5):
            journal = await writer.write(f"old {number}")
            await writer.delete(journal)
        await writer.write("kept")
    ada.sql("UPDATE journals SET deleted_at = now() - interval '31 days' WHERE title <> 'old 4' AND title <> 'kept'")
    eve.sql("UPDATE journals SET deleted_at = now() - interval '31 days' WHERE title <> 'kept'")
    before = datetime.now(UTC) - timedelta(days=30)
    purge = "SELECT hushtag_purge_journals(%s, %s, %s)"
    assert [ada.maintain(purge, ada.user_id, before, 3)[0][0] for _ in range(3)] == [3, 1, 0]
    assert sorted(await ada.titles(deleted="any")) == ["kept", "old 4"]
    assert len(await eve.titles(deleted="any")) == 6
    # It acts for the user it names, whoever else is in the session.
    assert ada.maintain(purge, eve.user_id, before, 100) == [(5,)]


async def test_an_entry_that_is_restored_while_it_is_purged_stays(ada: Writer, database: Any) -> None:
    journal = await ada.write("kept", tags=["walks"])
    await ada.delete(journal)
    ada.sql("UPDATE journals SET deleted_at = now() - interval '31 days'")
    purge = "SELECT hushtag_purge_journals(%s, now() - interval '30 days', 1000)"
    with psycopg.connect(database.admin_url) as restoring:
        restoring.execute("UPDATE journals SET deleted_at = NULL, version = version + 1 WHERE id = %s", [journal.id])
        purging = asyncio.create_task(asyncio.to_thread(ada.maintain, purge, ada.user_id))
        await until_waiting(database, purging)
        restoring.commit()
    assert await purging == [(0,)]
    assert await ada.titles() == ["kept"]


async def test_the_trail_has_every_change_but_no_text(ada: Writer) -> None:
    journal = await ada.write("title", content="the secret text", tags=["a"])
    await ada.edit(journal, content="another text")
    await ada.delete(journal)
    rows = ada.sql("SELECT action, old_values, new_values, ip_address FROM audit_logs WHERE table_name = 'journals'"
                   " ORDER BY created_at")  # fmt: skip
    assert [row[0] for row in rows] == ["CREATE", "UPDATE", "UPDATE"]
    assert rows[0][2]["content"] == {"characters": 15}
    assert rows[1][1]["content"] == {"characters": 15}
    assert set(rows[1][2]) <= {"content", "word_count"}
    assert str(rows[1][3]) == "192.0.2.1"
    everything = repr(ada.sql("SELECT * FROM audit_logs"))
    assert "secret text" not in everything
    assert "title_order" not in everything
    await ada.ask("DELETE", f"journal-tags/{journal.tags[0].id}", 204)
    links = ada.sql("SELECT action, record_id FROM audit_logs WHERE table_name = 'journal_tags' ORDER BY created_at")
    assert links == [("CREATE", journal.id), ("DELETE", journal.id)]


async def test_another_users_entry_is_like_none(ada: Writer, eve: Writer) -> None:
    journal = await ada.write("hers", tags=["private"])
    tag_id = journal.tags[0].id
    own = await eve.write("mine")
    for method, path, given in (
        ("GET", "journals/{}", {}),
        ("PATCH", "journals/{}", {"json": {"title": "x"}, "headers": {"If-Match": "*"}}),
        ("DELETE", "journals/{}", {"headers": {"If-Match": "*"}}),
        ("POST", "journals/{}/restore", {}),
        ("DELETE", "journals/{}/permanently", {}),
        ("PUT", f"journals/{{}}/tags/{tag_id}", {}),
        ("DELETE", f"journals/{{}}/tags/{tag_id}", {}),
    ):
        answers = []
        for journal_id in (journal.id, uuid4()):
            body = (await eve.ask(method, path.format(journal_id), 404, **dict(given))).json()
            answers.append({**body, "request_id": None})
        assert answers[0] == answers[1], (method, path)
    problem(await eve.ask("PUT", f"journals/{own.id}/tags/{tag_id}", 404), "not_found")
    assert await ada.read(journal.id) == journal


async def test_without_a_valid_token_nothing_happens(ada: Writer) -> None:
    journal = await ada.write()
    token = ada.account.headers["Authorization"]
    foreign = {"Authorization": token[:-2] + ("00" if token[-2:] != "00" else "11")}
    for method, path, given in (
        ("POST", "", {"json": {"title": "x"}}),
        ("GET", "", {}),
        ("GET", "/search?q=x", {}),
        ("GET", "/export", {}),
        ("POST", "/bulk", {"json": {"journals": [{"title": "x"}]}}),
        ("GET", f"/{journal.id}", {}),
        ("PATCH", f"/{journal.id}", {"json": {"title": "x"}, "headers": {"If-Match": "*"}}),
    ):
        headers = foreign | given.pop("headers", {})
        answer = await ada.client.request(method, f"/v1/journals{path}", headers=headers, **given)
        problem(answer, "unauthenticated")
    assert await ada.titles() == [journal.title]
