"""Everything out of one account and into another: equal but for what must differ."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from hushtag_server.transfer import import_queries
from hushtag_server.transfer.archive import Archive
from tests.server.vault_support import run_sql, until_waiting
from tests.transfer.support import LONG, TITLES, ZIP, create, export, fill, members, pack, rows, send

pytestmark = pytest.mark.anyio
ANEW = {"version"}


def content(archive: bytes) -> dict[str, Any]:
    """What an import takes over: without versions, which count in the new account from 1."""
    found = members(archive)
    account = json.loads(found["account.json"])
    kinds = {kind: rows(found, kind) for kind in ("tags", "journals", "reminders")}
    for row in (row for kind in kinds.values() for row in kind):
        row.pop("version", None)
    markdown = {name: body for name, body in found.items() if name.startswith("markdown/")}
    kept = {name: account[name] for name in ("first_name", "last_name", "settings")}
    return {**kinds, "markdown": markdown, **kept}


async def test_an_archive_imported_into_a_new_account_exports_as_the_same(app_client, ada, bob) -> None:
    await fill(app_client, ada)
    archive = await export(app_client, ada)
    answer = await send(app_client, bob, archive)
    assert answer.status_code == 200, answer.text
    again = await export(app_client, bob)
    before, after = content(archive), content(again)
    assert len(before["journals"]) == len(TITLES) + 3
    assert len(before["reminders"]) == 3
    assert [row["content"] for row in before["journals"] if row["title"] == "long"] == [LONG[:100_000]]
    assert before == after
    assert json.loads(members(again)["account.json"])["email"] == "bob@example.org"
    done = answer.json()
    assert done["journals"] == {"created": len(TITLES) + 3, "already_there": 0, "skipped": 0}
    assert done["reminders"] == {"created": 3, "already_there": 0, "skipped": 0}
    assert done["tags"] == {"created": 4, "already_there": 0, "skipped": 0}
    assert done["profile"]["created"] == done["settings"]["created"] == done["consents"]["skipped"] == 1
    assert done["audit"]["skipped"] == len(rows(members(archive), "audit")) > 20


@pytest.mark.parametrize("zone", ["Factory", "localtime", "Mars/Olympus"])
async def test_an_import_sets_no_time_zone_that_the_settings_refuse(app_client, ada, bob, zone: str) -> None:
    await fill(app_client, ada)
    found = members(await export(app_client, ada))
    account = json.loads(found["account.json"])
    account["settings"]["time_zone"] = zone
    done = (await send(app_client, bob, pack(found | {"account.json": json.dumps(account).encode()}))).json()
    assert done["settings"] == {"created": 0, "already_there": 0, "skipped": 1}
    assert (await app_client.get("/v1/account/settings", headers=bob.headers)).json()["time_zone"] == "UTC"


async def test_an_account_without_names_brings_none(app_client, ada, bob) -> None:
    """Each such import was told as names that were made, and left a change of the profile in the trail."""
    done = (await send(app_client, bob, await export(app_client, ada))).json()
    assert done["profile"] == {"created": 0, "already_there": 0, "skipped": 0}
    trail = await app_client.get("/v1/account/audit?table=users&action=UPDATE", headers=bob.headers)
    assert trail.json()["entries"] == []


async def test_an_import_that_is_repeated_makes_nothing_twice(app_client, ada, bob, database) -> None:
    await fill(app_client, ada)
    archive = await export(app_client, ada)
    assert (await send(app_client, bob, archive)).status_code == 200
    tables = ("journals", "tags", "journal_tags", "reminders", "journal_words", "user_settings")
    before = {table: run_sql(database, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}
    for _ in range(2):
        done = (await send(app_client, bob, archive)).json()
        kinds = ("journals", "tags", "reminders", "settings", "profile")
        assert [done[kind]["created"] for kind in kinds] == [0] * 5
        assert [done[kind]["already_there"] for kind in kinds] == [len(TITLES) + 3, 4, 3, 1, 1]
    assert {table: run_sql(database, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables} == before


async def _renewed(database: Any) -> None:
    """Wait until the one lease there is was renewed twice."""
    until = "SELECT until FROM transfers"
    for _ in range(2):
        before = run_sql(database, until)
        with anyio.fail_after(20):
            while run_sql(database, until) == before:
                await anyio.sleep(0.01)  # what another task commits could not be awaited


@pytest.mark.parametrize("phase", ["receiving", "checking"])
async def test_an_import_holds_its_lease_while_it_takes_long(
    settings, keys, serve_in_process, sign_in, database, monkeypatch, phase: str
) -> None:
    shown, may_go_on = anyio.Event(), threading.Event()
    check = Archive.check

    async def body(archive: bytes) -> AsyncIterator[bytes]:
        yield archive[:100]
        if phase == "receiving":
            await shown.wait()
        yield archive[100:]

    def slow_check(archive: Archive) -> None:
        assert phase == "receiving" or may_go_on.wait(30)
        check(archive)

    async with serve_in_process(replace(settings, request_timeout=timedelta(seconds=4)), keys) as client:
        who = await sign_in(client)
        archive = await export(client, who)
        monkeypatch.setattr(Archive, "check", slow_check)
        try:
            sending = asyncio.create_task(
                client.post("/v1/me/import", content=body(archive), headers=who.headers | ZIP)
            )
            with anyio.fail_after(20):
                while not run_sql(database, "SELECT until FROM transfers"):
                    await anyio.sleep(0.01)
            await _renewed(database)
            assert (await send(client, who, archive)).json()["code"] == "transfer_running"
        finally:
            shown.set()
            may_go_on.set()
        assert (await sending).status_code == 200


async def test_an_import_into_the_same_account_restores_what_is_gone_and_overwrites_nothing(
    app_client, ada, database
) -> None:
    await fill(app_client, ada)
    archive = await export(app_client, ada)
    first, second = sorted(row["id"] for row in rows(members(archive), "journals") if not row["deleted_at"])[:2]
    headers = ada.headers | {"If-Match": "*"}
    changed = await app_client.patch(f"/v1/journals/{second}", json={"title": "edited since"}, headers=headers)
    assert changed.status_code == 200
    run_sql(database, "DELETE FROM journals WHERE id = %s", first)
    done = (await send(app_client, ada, archive)).json()
    assert done["journals"] == {"created": 1, "already_there": len(TITLES) + 2, "skipped": 0}
    assert (await app_client.get(f"/v1/journals/{first}", headers=ada.headers)).status_code == 200
    kept = (await app_client.get(f"/v1/journals/{second}", headers=ada.headers)).json()
    assert kept["title"] == "edited since"


async def test_a_tag_of_the_same_name_is_used_and_keeps_its_colour(app_client, ada, bob) -> None:
    await fill(app_client, ada)
    mine = await app_client.post("/v1/journal-tags", json={"name": "WALD", "color": "#ffffff"}, headers=bob.headers)
    done = (await send(app_client, bob, await export(app_client, ada))).json()
    assert done["tags"] == {"created": 3, "already_there": 1, "skipped": 0}
    found = rows(members(await export(app_client, bob)), "tags")
    assert [tag["color"] for tag in found if tag["id"] == mine.json()["id"]] == ["#ffffff"]
    assert {tag["name"] for tag in found} == {"WALD", "Übung", "only here", "unused"}


async def test_names_of_tags_are_the_same_where_the_database_says_so(app_client, ada, bob) -> None:
    names = ["Stra\u00dfe", "strasse", "\ufb01n", "fin", "FIN"]
    made = await create(app_client, ada, "/v1/journals", {"title": "here", "tags": names})
    kept = [tag["name"] for tag in made["tags"]]
    assert len(kept) == 4
    found = members(await export(app_client, ada))
    entry = rows(found, "journals")[0] | {"tags": names}
    found |= {"tags.ndjson": b"", "journals/00001.ndjson": json.dumps(entry).encode() + b"\n"}
    assert (await send(app_client, bob, pack(found))).status_code == 200
    assert rows(members(await export(app_client, bob)), "journals")[0]["tags"] == kept


async def test_imported_entries_are_found_by_search_and_stand_in_the_new_trail_alone(
    app_client, ada, bob, database
) -> None:
    await fill(app_client, ada)
    assert (await send(app_client, bob, await export(app_client, ada))).status_code == 200
    answer = await app_client.get("/v1/journals/search", params={"q": "spaziergang"}, headers=bob.headers)
    assert [each["journal"]["title"] for each in answer.json()["results"]] == [TITLES[0]]
    trail = run_sql(
        database,
        "SELECT action, count(*) FROM audit_logs WHERE user_id = %s AND table_name = 'journals' GROUP BY 1",
        bob.user_id,
    )
    assert trail == [("CREATE", len(TITLES) + 3)]  # not ada's edits and deletions: bob did not make them


async def test_the_sums_and_the_manifest_say_what_is_in_the_archive(app_client, ada) -> None:
    await fill(app_client, ada)
    found = members(await export(app_client, ada))
    manifest = json.loads(found["manifest.json"])
    listed = dict(reversed(line.split("  ", 1)) for line in found["SHA256SUMS"].decode().splitlines())
    assert list(found)[-2:] == ["SHA256SUMS", "manifest.json"]
    assert list(listed) == list(found)[:-2]
    assert all(hashlib.sha256(found[name]).hexdigest() == digest for name, digest in listed.items())
    assert manifest["sums_sha256"] == hashlib.sha256(found["SHA256SUMS"]).hexdigest()
    assert manifest["members"] == len(found) - 1
    for kind in ("tags", "journals", "reminders", "audit"):
        assert manifest["counts"][kind] == len(rows(found, kind))


async def test_a_tag_that_is_deleted_during_an_import_fails_nothing(app_client, bob, database) -> None:
    for name in ("gone", "kept"):
        await create(app_client, bob, "/v1/journal-tags", {"name": name})
    entry = {"id": str(uuid4()), "title": "a day", "content": None, "mood_rating": None, "is_private": False}
    entry |= {"entry_date": "2026-01-02", "published_at": None, "deleted_at": None, "tags": ["Gone", "kept", "KEPT"]}
    entry |= {"created_at": "2026-01-02T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"}
    services = app_client.app.application.application.state["services"]

    async def write() -> int:
        async with services.transaction(bob.user_id) as connection:
            return await import_queries.insert_journals(connection, bob.user_id, json.dumps([entry]).encode())

    async with await psycopg.AsyncConnection.connect(database.admin_url) as admin:
        await admin.execute("DELETE FROM tags WHERE name = 'gone'")
        writing = asyncio.create_task(write())
        await until_waiting(database, writing)
    assert await writing == 1
    read = await app_client.get(f"/v1/journals/{entry['id']}", headers=bob.headers)
    assert [tag["name"] for tag in read.json()["tags"]] == ["kept"]
