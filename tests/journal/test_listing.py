"""Lists of entries: sorts, filters, cursors; many at once in and out."""

import itertools
import json
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from hushtag.journal_messages import MAX_BULK_JOURNALS, MAX_FILTER_TAGS, MAX_JOURNAL_PAGE, MAX_TAGS, Journal
from tests.journal.support import Writer, problem

pytestmark = pytest.mark.anyio

SORTS = ("entry_date", "created_at", "updated_at", "title", "mood_rating")
KEYS: dict[str, Any] = {"title": lambda journal: journal.title.lower(), "mood_rating": lambda j: j.mood_rating or 0}


async def write_many(writer: Writer, count: int = 23) -> list[Journal]:
    moods = itertools.cycle([None, 5, 1, 10, 5])
    days = itertools.cycle(["2024-01-01", "2023-05-05", "2024-01-02", "2024-01-01"])
    entries = [
        {
            "title": f"{'Ab'[number % 2]} {number * 7 % count}",
            "mood_rating": next(moods),
            "entry_date": next(days),
            "is_private": number % 3 == 0,
            "tags": [name for name, every in (("two", 2), ("Five", 5)) if number % every == 0],
        }
        for number in range(count)
    ]
    created = (await writer.ask("POST", "journals/bulk", 201, json={"journals": entries})).json()["created"]
    return [await writer.read(journal_id) for journal_id in created]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [False, True])
async def test_every_sort_walks_through_everything_once(ada: Writer, sort: str, descending: bool) -> None:
    journals = await write_many(ada)
    key = KEYS.get(sort, lambda journal: getattr(journal, sort))
    order = sorted(journals, key=lambda journal: (key(journal), journal.id.bytes), reverse=descending)
    for limit in (1, 4, 23, 100):
        walked = await ada.walk(sort=f"-{sort}" if descending else sort, limit=limit)
        assert walked == [journal.title for journal in order]


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{sort}" for sort in SORTS)])
async def test_a_walk_is_stable_while_entries_come_and_go(ada: Writer, sort: str) -> None:
    journals = await write_many(ada, 12)
    before = await ada.titles(sort=sort, limit=100)
    page = await ada.listed(sort=sort, limit=5)
    for journal in [journal for journal in journals if journal.title in before[:2]]:
        await ada.delete(journal)
    for date, mood in (("1999-01-01", 1), ("2030-01-01", 10)):
        await ada.write("0 new", entry_date=date, mood_rating=mood)
        await ada.write("zz new", entry_date=date)
    walked = [journal.title for journal in page.journals]
    while page.next is not None:
        page = await ada.listed(sort=sort, limit=5, cursor=page.next)
        walked += [journal.title for journal in page.journals]
    assert [title for title in walked if "new" not in title] == before


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"from": "2024-01-01"}, lambda j: str(j.entry_date) >= "2024-01-01"),
        ({"to": "2023-12-31"}, lambda j: str(j.entry_date) < "2024"),
        ({"from": "2024-01-02", "to": "2024-01-02"}, lambda j: str(j.entry_date) == "2024-01-02"),
        ({"from": "2024-01-02", "to": "2024-01-01"}, lambda j: False),
        ({"mood_min": 5}, lambda j: j.mood_rating is not None and j.mood_rating >= 5),
        ({"mood_max": 5}, lambda j: j.mood_rating is not None and j.mood_rating <= 5),
        ({"mood_min": 2, "mood_max": 9}, lambda j: j.mood_rating == 5),
        ({"private": "true"}, lambda j: j.is_private),
        ({"private": "false"}, lambda j: not j.is_private),
        ({"tag": "TWO"}, lambda j: "two" in {tag.name for tag in j.tags}),
        ({"tag": ["two", "five"]}, lambda j: len(j.tags) == 2),
        ({"tag": ["two", "unknown"]}, lambda j: False),
        ({"tag": "two", "private": "true", "mood_max": 9}, lambda j: j.tags and j.is_private and j.mood_rating in (1, 5)
            and "two" in {tag.name for tag in j.tags}),
    ],
)  # fmt: skip
async def test_every_filter_lets_through_what_it_says(ada: Writer, query: dict[str, Any], wanted: Any) -> None:
    journals = await write_many(ada)
    expected = sorted(journal.title for journal in journals if wanted(journal))
    for sort in ("-entry_date", "title"):
        assert sorted(await ada.walk(**query, sort=sort, limit=3)) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"mood_min": 0},
        {"mood_max": 11},
        {"limit": 0},
        {"limit": MAX_JOURNAL_PAGE + 1},
        {"sort": "content"},
        {"deleted": "maybe"},
        {"private": "perhaps"},
        {"tag": "a\0"},
        {"tag": " "},
        {"tag": [f"t{number}" for number in range(MAX_FILTER_TAGS + 1)]},
        {"cursor": "x"},
        {"cursor": "A" * 2000},
    ],
)
async def test_a_wrong_query_names_its_parameter(ada: Writer, query: dict[str, Any]) -> None:
    for path, words in (("journals", {}), ("journals/search", {"q": "x"})):
        if words and "sort" in query:
            continue
        refused = problem(await ada.ask("GET", path, 400, params={**words, **query}), "malformed_request")
        assert refused.fields
        assert refused.fields[0].field.split("[")[0] == next(iter(query))


async def test_a_cursor_is_good_for_its_own_listing_alone(ada: Writer, eve: Writer) -> None:
    await write_many(ada, 8)
    await write_many(eve, 8)
    cursor = (await ada.listed(limit=2, mood_min=1)).next
    assert cursor is not None
    assert await ada.titles(limit=3, mood_min=1, cursor=cursor)
    for writer, query in (
        (eve, {"mood_min": 1}),
        (ada, {}),
        (ada, {"mood_min": 2}),
        (ada, {"mood_min": 1, "sort": "title"}),
        (ada, {"mood_min": 1, "deleted": "any"}),
    ):
        refused = await writer.ask("GET", "journals", 400, params={**query, "cursor": cursor})
        assert problem(refused, "malformed_request").fields[0].field == "cursor"
    await ada.ask("GET", "journals/search", 400, params={"q": "a", "mood_min": 1, "cursor": cursor})
    flipped = cursor[:30] + ("A" if cursor[30] != "A" else "B") + cursor[31:]
    await ada.ask("GET", "journals", 400, params={"mood_min": 1, "cursor": flipped})


async def test_titles_sort_whatever_their_case_and_length(ada: Writer) -> None:
    long = "ü" * 499
    for title in (long + "b", "apple", "Banana", "cherry", long + "a", "'; DROP TABLE journals; --"):
        await ada.write(title)
    walked = await ada.walk(sort="title", limit=1)
    assert walked[1:4] == ["apple", "Banana", "cherry"]
    assert len(walked) == len(set(walked)) == 6
    assert await ada.walk(sort="-title", limit=1) == walked[::-1]


async def test_bulk_is_all_or_nothing(ada: Writer) -> None:
    taken = str(uuid4())
    await ada.write("there", id=taken)
    good = {"title": "good", "tags": ["made on the way"]}
    for bad, status in (
        ({"title": "bad", "id": taken}, 409),
        ({"title": ""}, 400),
        ({"title": "bad", "tags": [" "]}, 400),
        ({"title": "bad", "published_at": "0001-01-01T00:00:00Z"}, 400),
    ):
        answer = await ada.ask("POST", "journals/bulk", status, json={"journals": [good, bad]})
        assert answer.json()["fields"]
    twice = {"title": "twice", "id": str(uuid4())}
    answer = await ada.ask("POST", "journals/bulk", 409, json={"journals": [twice, twice]})
    assert [each.field for each in problem(answer, "already_exists").fields or []] == ["$.journals[1].id"]
    old = [{"title": "new", "id": str(uuid4())}, {"title": "old", "id": taken}]
    answer = await ada.ask("POST", "journals/bulk", 409, json={"journals": old})
    assert [each.field for each in problem(answer, "already_exists").fields or []] == ["$.journals[1].id"]
    too_many = [{"title": "t", "tags": [f"{part}-{number}" for number in range(50)]} for part in range(21)]
    answer = await ada.ask("POST", "journals/bulk", 409, json={"journals": too_many})
    assert str(MAX_TAGS) in problem(answer, "limit_reached").fields[0].rule
    await ada.ask("POST", "journals/bulk", 400, json={"journals": []})
    await ada.ask("POST", "journals/bulk", 400, json={"journals": [good] * (MAX_BULK_JOURNALS + 1)})
    assert await ada.titles() == ["there"]
    assert ada.sql("SELECT FROM tags") == []


async def test_bulk_stores_what_single_entries_would(ada: Writer) -> None:
    entry = {"title": "T", "content": "some \"words\" \\ é 😀", "mood_rating": 2, "entry_date": "2024-01-01",
             "published_at": "2024-01-01T01:00:00+01:00", "tags": ["a", "A", "b"], "is_private": True}  # fmt: skip
    single = await ada.write(**entry)
    answer = await ada.ask("POST", "journals/bulk", 201, json={"journals": [entry, {"title": "second"}] * 250})
    created = answer.json()["created"]
    assert len(set(created)) == MAX_BULK_JOURNALS
    same = await ada.read(created[0])
    differ = {"id": single.id, "created_at": single.created_at, "updated_at": single.updated_at}
    assert msgspec.structs.replace(same, **differ) == single
    assert (await ada.read(created[499])).title == "second"
    assert len(await ada.found("words")) == 20


async def test_export_streams_every_entry_once(ada: Writer, eve: Writer) -> None:
    journals = await write_many(ada, 130)
    await write_many(eve, 3)
    await ada.delete(journals[0])
    answer = await ada.ask("GET", "journals/export")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = answer.text.splitlines()
    exported = [msgspec.json.decode(line, type=Journal) for line in lines]
    assert sorted(exported, key=lambda journal: str(journal.id)) == sorted(journals[1:], key=lambda j: str(j.id))
    assert len((await ada.ask("GET", "journals/export", params={"deleted": "any"})).text.splitlines()) == 130
    assert (await ada.ask("GET", "journals/export", params={"tag": "nope"})).text == ""
    some = (await ada.ask("GET", "journals/export", params={"tag": "Five", "mood_max": 4})).text.splitlines()
    assert all(json.loads(line)["tags"] for line in some)
