"""Tags: names, colours, links, usage, suggestions, merging."""

import asyncio
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from hushtag.journal_messages import MAX_JOURNAL_TAGS, MAX_TAG_NAME, MAX_TAGS, JournalTagList, Tag
from hushtag_server.journal.queries_tags import find_tag, list_tags_by_name
from tests.journal.support import Writer, problem
from tests.server.vault_support import run_sql, until_waiting

pytestmark = pytest.mark.anyio


async def list_tags(writer: Writer, **query: Any) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while True:
        page = msgspec.json.decode((await writer.ask("GET", "journal-tags", params=query)).content, type=JournalTagList)
        found += [(tag.name, tag.usage_count) for tag in page.tags]
        if page.next is None:
            return found
        query["cursor"] = page.next


def only_names(tags: list[tuple[str, int]]) -> list[str]:
    return [name for name, _ in tags]


async def test_a_tag_is_read_as_it_was_made(ada: Writer) -> None:
    tag = await ada.tag("  Cafe\u0301 ", color="#ABCDEF")
    assert (tag.name, tag.color, tag.usage_count) == ("Café", "#abcdef", 0)
    read = await ada.ask("GET", f"journal-tags/{tag.id}")
    assert msgspec.json.decode(read.content, type=Tag) == tag
    assert (await ada.tag("x" * MAX_TAG_NAME)).color is None


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "   "},
        {"name": "x" * (MAX_TAG_NAME + 1)},
        {"name": "a\0"},
        {"name": "a", "color": "red"},
        {"name": "a", "color": "#12345g"},
        {"color": "#123456"},
    ],
)
async def test_what_is_no_tag_is_refused(ada: Writer, body: dict[str, str]) -> None:
    refused = problem(await ada.ask("POST", "journal-tags", 400, json=body), "malformed_request")
    assert refused.fields[0].rule


async def test_names_are_unique_whatever_their_case_or_composition(ada: Writer, eve: Writer) -> None:
    tag = await ada.tag("École")
    for name in ("école", "ÉCOLE", " E\u0301cole"):
        refused = await ada.ask("POST", "journal-tags", 409, json={"name": name})
        assert problem(refused, "already_exists").fields[0].field == "$.name"
    other = await ada.tag("other")
    refused = await ada.ask("PATCH", f"journal-tags/{other.id}", 409, json={"name": "école"})
    assert problem(refused, "already_exists").fields[0].field == "$.name"
    await ada.ask("PATCH", f"journal-tags/{tag.id}", json={"name": "ÉCOLE"})  # its own name in another case
    await eve.tag("école")
    journal = await ada.write(tags=["e\u0301cole", "new"])
    assert {item.name for item in journal.tags} == {"ÉCOLE", "new"}


async def test_many_at_once_make_one_tag(ada: Writer) -> None:
    bodies = [{"title": f"{number}", "tags": ["same", f"own {number}"]} for number in range(20)]
    answers = await asyncio.gather(
        *(ada.client.post("/v1/journals", json=body, headers=ada.account.headers) for body in bodies)
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({tag["id"] for answer in answers for tag in answer.json()["tags"] if tag["name"] == "same"}) == 1
    assert all(len(answer.json()["tags"]) == 2 for answer in answers)


async def test_a_tag_that_changes_makes_new_versions_of_its_entries(ada: Writer) -> None:
    tagged, other = await ada.write(tags=["old"]), await ada.write()
    tag_id = tagged.tags[0].id
    answer = await ada.ask("PATCH", f"journal-tags/{tag_id}", json={"name": "new", "color": "#00ff00"})
    assert answer.json()["usage_count"] == 1
    read = await ada.read(tagged.id)
    assert (read.tags[0].name, read.tags[0].color, read.version) == ("new", "#00ff00", 2)
    assert (await ada.ask("PATCH", f"journal-tags/{tag_id}", json={"color": None})).json()["name"] == "new"
    assert (await ada.read(other.id)).version == 1
    await ada.ask("DELETE", f"journal-tags/{tag_id}", 204)
    read = await ada.read(tagged.id)
    assert (read.tags, read.version) == ([], 4)
    for method in ("GET", "DELETE"):
        problem(await ada.ask(method, f"journal-tags/{tag_id}", 404), "not_found")


async def test_links_are_made_and_taken_once(ada: Writer) -> None:
    journal, tag = await ada.write(), await ada.tag("a")
    path = f"journals/{journal.id}/tags/{tag.id}"
    for _ in range(2):
        await ada.ask("PUT", path, 204)
        assert (await ada.read(journal.id)).version == 2
    await ada.ask("DELETE", path, 204)
    problem(await ada.ask("DELETE", path, 404), "not_found")
    assert ((await ada.read(journal.id)).tags, (await ada.read(journal.id)).version) == ([], 3)
    full = await ada.write(tags=[f"t{number}" for number in range(MAX_JOURNAL_TAGS)])
    problem(await ada.ask("PUT", f"journals/{full.id}/tags/{tag.id}", 409), "limit_reached")
    assert len((await ada.read(full.id)).tags) == MAX_JOURNAL_TAGS
    await ada.delete(full)
    problem(await ada.ask("DELETE", f"journals/{full.id}/tags/{full.tags[0].id}", 404), "not_found")


async def test_lists_by_name_and_by_usage(ada: Writer) -> None:
    for tags in (["b", "C"], ["b", "a"], ["b"]):
        journal = await ada.write(tags=tags)
    await ada.tag("unused")
    assert await list_tags(ada, limit=1) == [("a", 1), ("b", 3), ("C", 1), ("unused", 0)]
    by_usage = await list_tags(ada, sort="usage", limit=1)
    assert (by_usage[0], by_usage[3], {*by_usage[1:3]}) == (("b", 3), ("unused", 0), {("a", 1), ("C", 1)})
    await ada.delete(journal)
    assert ("b", 2) in await list_tags(ada)  # what is deleted does not count
    cursor = (await ada.ask("GET", "journal-tags", params={"limit": 1})).json()["next"]
    problem(await ada.ask("GET", "journal-tags", 400, params={"sort": "usage", "cursor": cursor}), "malformed_request")


async def test_suggestions_begin_alike_before_they_are_spelled_alike(ada: Writer) -> None:
    for name in ("Work", "Workout", "Homework", "Garden", "Wrok", "100%_sure"):
        await ada.tag(name)
    await ada.write(tags=["workout"])

    async def suggest(prefix: str, **query: Any) -> list[str]:
        answer = await ada.ask("GET", "journal-tags/suggest", params={"prefix": prefix, **query})
        return [tag["name"] for tag in answer.json()["tags"]]

    found = await suggest("wor")
    assert found[:2] == ["Workout", "Work"]
    assert "Garden" not in found
    assert "Garden" in await suggest("gardne")
    assert await suggest("WOR", limit=1) == ["Workout"]
    assert await suggest("%") == []
    assert await suggest("100%") == ["100%_sure"]
    for prefix in ("", "x" * (MAX_TAG_NAME + 1), "\0"):
        problem(await ada.ask("GET", "journal-tags/suggest", 400, params={"prefix": prefix}), "malformed_request")


async def test_merging_moves_every_link_once(ada: Writer, eve: Writer) -> None:
    both, first, second = await ada.write(tags=["a", "b"]), await ada.write(tags=["a"]), await ada.write(tags=["b"])
    ids = {tag.name: tag.id for tag in both.tags}
    foreign = await eve.tag("hers")
    for into in (foreign.id, uuid4()):
        problem(await ada.ask("POST", f"journal-tags/{ids['a']}/merge", 404, json={"into": str(into)}), "not_found")
    itself = await ada.ask("POST", f"journal-tags/{ids['a']}/merge", 400, json={"into": str(ids["a"])})
    problem(itself, "malformed_request")
    assert len((await ada.read(both.id)).tags) == 2
    answer = await ada.ask("POST", f"journal-tags/{ids['a']}/merge", json={"into": str(ids["b"])})
    assert (answer.json()["name"], answer.json()["usage_count"]) == ("b", 3)
    for journal in (both, first, second):
        read = await ada.read(journal.id)
        assert [tag.name for tag in read.tags] == ["b"]
        assert read.version == (1 if journal is second else 2)
    assert only_names(await list_tags(ada)) == ["b"]
    assert only_names(await list_tags(eve)) == ["hers"]


async def test_an_account_has_a_thousand_tags(ada: Writer) -> None:
    ada.sql(
        "INSERT INTO tags (user_id, name) SELECT %s, 't' || n FROM generate_series(1, %s) n", ada.user_id, MAX_TAGS - 1
    )
    await ada.tag("the last")
    problem(await ada.ask("POST", "journal-tags", 409, json={"name": "one more"}), "limit_reached")
    answer = await ada.ask("POST", "journals", 409, json={"title": "x", "tags": ["one more"]})
    assert problem(answer, "limit_reached").fields[0].field == "$.tags"
    journal = await ada.write(tags=["T1", "the last"])
    headers = {"If-Match": "*"}
    problem(
        await ada.ask("PATCH", f"journals/{journal.id}", 409, json={"tags": ["t2", "more"]}, headers=headers),
        "limit_reached",
    )
    assert await ada.read(journal.id) == journal
    assert ada.sql("SELECT count(*) FROM tags") == [(MAX_TAGS,)]


async def test_merges_and_links_at_once_settle(ada: Writer) -> None:
    journals = [await ada.write(tags=["a", "b"]) for _ in range(5)]
    ids = {tag.name: tag.id for tag in journals[0].tags}
    headers = ada.account.headers
    answers = await asyncio.gather(
        ada.client.post(f"/v1/journal-tags/{ids['a']}/merge", json={"into": str(ids["b"])}, headers=headers),
        ada.client.post(f"/v1/journal-tags/{ids['b']}/merge", json={"into": str(ids["a"])}, headers=headers),
        *(ada.client.put(f"/v1/journals/{journal.id}/tags/{ids['a']}", headers=headers) for journal in journals),
        *(ada.client.delete(f"/v1/journals/{journal.id}/tags/{ids['b']}", headers=headers) for journal in journals),
    )
    assert {answer.status_code for answer in answers} <= {200, 204, 404}
    assert len(await list_tags(ada)) == 1


@pytest.mark.parametrize("way", ["create", "edit", "bulk"])
async def test_a_tag_that_is_deleted_at_this_moment_is_made_anew(ada: Writer, database: Any, way: str) -> None:
    journal = await ada.write("one", tags=["gone", "kept"])
    body: dict[str, Any] = {"title": "two", "tags": ["Gone", "kept"]}
    asked = {
        "create": ("POST", "journals", 201, {"json": body}),
        "edit": ("PATCH", f"journals/{journal.id}", 200, {"json": body, "headers": {"If-Match": "*"}}),
        "bulk": ("POST", "journals/bulk", 201, {"json": {"journals": [body]}}),
    }[way]
    async with await psycopg.AsyncConnection.connect(database.admin_url) as admin:
        await admin.execute("DELETE FROM tags WHERE name = 'gone'")
        asking = asyncio.create_task(ada.ask(*asked[:3], **asked[3]))
        await until_waiting(database, asking)
    await asking
    [written] = (await ada.listed(tag="gone")).journals
    assert written.title == "two"
    assert [tag.name for tag in written.tags] == ["Gone", "kept"]


async def test_an_entry_that_loses_a_tag_it_got_at_this_moment_has_a_new_version(ada: Writer, database: Any) -> None:
    journal = await ada.write("one")
    tag = await ada.tag("late")
    async with await psycopg.AsyncConnection.connect(database.admin_url) as admin:
        link = "INSERT INTO journal_tags (user_id, journal_id, tag_id) VALUES (%s, %s, %s)"
        await admin.execute(link, [ada.user_id, journal.id, tag.id])
        deleting = asyncio.create_task(ada.ask("DELETE", f"journal-tags/{tag.id}", 204))
        await until_waiting(database, deleting)
    await deleting
    assert (await ada.read(journal.id)).version == journal.version + 1


async def test_no_plan_of_an_empty_journal_is_kept_for_a_full_one(ada: Writer, database: Any) -> None:
    """Entries of a tag are joined: made for three of them, the plan compared each of 20,000 with each, for minutes."""
    tag = await ada.tag("walks")
    async with await psycopg.AsyncConnection.connect(database.app_url, autocommit=True) as connection:
        for _ in range(12):  # psycopg prepares after five, and PostgreSQL keeps a plan after five more
            async with connection.transaction():
                await connection.execute("SELECT set_config('app.user_id', %s, true)", [str(ada.user_id)])
                await list_tags_by_name(connection, ada.user_id, after=None, limit=10)
                await find_tag(connection, ada.user_id, tag.id)
        kept = await connection.execute("SELECT statement FROM pg_prepared_statements WHERE generic_plans > 0")
        assert [row for row in await kept.fetchall() if "usage_count" in row[0]] == []
    renewed = run_sql(database, "SELECT proconfig FROM pg_proc WHERE proname = 'hushtag_renew_tagged'")
    assert renewed == [(["plan_cache_mode=force_custom_plan"],)]
