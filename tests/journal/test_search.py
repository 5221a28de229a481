"""Search: words of the user's language, accents folded, operators, snippets that are safe, facets, paging."""

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import anyio
import psycopg
import pytest
from psycopg.errors import QueryCanceled

from hushtag.journal_messages import MAX_CONTENT, MAX_QUERY, MAX_RANKED, MAX_TITLE
from hushtag_server.journal import queries
from hushtag_server.journal.searches import MAX_SEARCHES_PER_USER, Searches
from hushtag_server.tokens import ACCOUNT, parse_bearer
from tests.journal.support import Writer, problem
from tests.server.vault_support import until_waiting

pytestmark = pytest.mark.anyio


async def test_accents_and_case_do_not_matter_either_way(ada: Writer) -> None:
    await ada.write("composed", content="un café crème")
    await ada.write("decomposed", content="un cafe\u0301 cre\u0300me")
    await ada.write("plain", content="CAFE CREME")
    await ada.write("other", content="tea")
    for query in ("cafe", "café", "CAFÉ", "cafe\u0301", "creme cafe"):
        assert sorted(await ada.found(query)) == ["composed", "decomposed", "plain"], query
    snippets = {found.journal.title: found.content_snippet for found in (await ada.search("cafe")).results}
    assert snippets["composed"] == "un <mark>café</mark> crème"


async def test_typographic_signs_separate_words_in_every_locale(ada: Writer) -> None:
    await ada.write("a", content="“quoted” — dash…end «gauche» don’t snake_case、漢字")
    for query in ("quoted", "dash", "end", "gauche", "don't", "snake", "case", "漢字"):
        assert await ada.found(query) == ["a"], query


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("red green", ["both"]),
        ("red or green", ["both", "green", "red"]),
        ("red -green", ["red"]),
        ("-red", ["blue", "green"]),
        ('"red green"', ["both"]),
        ('"green red"', []),
        ('"blue sky red"', []),
        ("RED OR blue -sky", ["both", "red"]),
        ("((( & | ! :* <-> '", []),
        ('"', []),
        ("\\", []),
        ("red:* | green", ["both"]),
        ("@", []),
        ("|", []),
        ("-" * 50, []),
        ("----- red light -- -- green", ["both"]),
        ("- - red -(-green", ["both"]),
        ("unknown", []),
    ],
)
async def test_operators_of_a_search(ada: Writer, query: str, titles: list[str]) -> None:
    await ada.write("both", content="the red green light")
    await ada.write("red", content="only red")
    await ada.write("green", content="only green")
    await ada.write("blue", content="blue sky")
    assert sorted(await ada.found(query)) == titles


async def test_nothing_searchable_finds_nothing(ada: Writer) -> None:
    ada.set_language("english")
    await ada.write("the", content="the and of")
    for query in ("the", "the and of", "-the", "...", "%", " "):
        found = await ada.search(query)
        assert (found.results, found.next, found.facets.tags, found.facets.moods) == ([], None, [], [])


async def test_a_query_has_limits(ada: Writer) -> None:
    await ada.search("x" * MAX_QUERY)
    await ada.search(" or ".join("ab" * 1 for _ in range(60))[:MAX_QUERY])
    for query in ("", "x" * (MAX_QUERY + 1), "a\0b"):
        refused = problem(await ada.ask("GET", "journals/search", 400, params={"q": query}), "malformed_request")
        assert refused.fields[0].field == "q"
    problem(await ada.ask("GET", "journals/search", 400), "malformed_request")


OPERATORS = ["-", '"', "(", ")", "!", "&", "|", ":", "*", "<", ">", "<->", "\\", "'", "@", ".", "_", "\u2014", "\u2003"]
OPERATORS += [" ", " ", " ", " or ", "OR", "red", "a", "1", "\u00e9", "\u0300", "\u6f22"]


async def test_no_query_is_too_much_for_the_database(ada: Writer) -> None:
    await ada.write("a", content="red")
    dice = random.Random(20261122)
    drawn = ["".join(dice.choices(OPERATORS, k=dice.choice((2, 3, 5, MAX_QUERY)))) for _ in range(200)]
    for query in ["-(", '-"', "- ", "-\u2003", *OPERATORS, *drawn]:
        await ada.search((query * MAX_QUERY)[: MAX_QUERY if query.isascii() else 200])  # an address has a limit too


def hurried(database: Any, statement: str, *values: Any) -> Any:
    """Return the one row of a statement that PostgreSQL itself ends after a few seconds.

    Three times, if it must be: a busy machine is not busy every time, and what must not be takes minutes each time.
    """
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '4s'")
        for _ in range(2):
            with suppress(QueryCanceled):
                return connection.execute(statement, values).fetchone()  # type: ignore[call-overload]
        return connection.execute(statement, values).fetchone()  # type: ignore[call-overload]


WORDS = [f"{first}{second}" for first in "bcdfg" for second in "hjklmnpqrstv"]


async def test_no_query_takes_long_whatever_it_repeats(ada: Writer) -> None:
    contents = ["x y " * 5000, " ".join(WORDS * 300), "\u00e9-" * 10_000, "aa " * 6000]
    entries = [{"title": "x y " * 100, "content": content} for content in contents for _ in range(4)]
    await ada.ask("POST", "journals/bulk", 201, json={"journals": entries})
    token = parse_bearer(f"Bearer {ada.account.token}", ACCOUNT)
    search = (
        "SELECT octet_length(results) FROM hushtag_search_journals(%s, %s, '1 day', '1 day', '', '', %s, NULL, NULL,"
        " NULL, NULL, 100, 500)"
    )
    for query in (
        "x y " * 70,
        " OR ".join(["x"] * 60),
        " ".join(WORDS),
        " OR ".join(WORDS),
        '"' + "aa " * 90,
        "\u00e9",
    ):
        assert hurried(ada.database, search, token.user_id, token.secret_hash, query[:MAX_QUERY].strip())[0] > 1000, (
            query
        )


@pytest.mark.parametrize(
    "piece", ["<!--", "<a '", "</", "&#1;", "a@b.c/", "~/", "a-1-", "\u00e9-a", "http://a.b/?", "1e-"]
)
async def test_no_text_takes_long_to_make_words_of(database: Any, piece: str) -> None:
    text = (piece * MAX_CONTENT)[:MAX_CONTENT]
    words = "SELECT hushtag_words('00000000-0000-0000-0000-000000000001', 'german', %s, %s) IS NOT NULL"
    assert hurried(database, words, text[:MAX_TITLE], text) == (True,)


async def test_of_very_many_words_the_first_count(ada: Writer) -> None:
    await ada.write("all", content=" ".join(WORDS))
    await ada.write("half", content=" ".join(WORDS[:25]))
    await ada.write("few", content=" ".join(WORDS[:15]))
    assert sorted(await ada.found(" ".join(WORDS))) == ["all", "half"]
    assert await ada.found(" ".join(WORDS[:18])) == ["half", "all"]  # the shorter one, of the same matches


async def test_what_looks_like_html_is_found_and_shown_like_any_text(ada: Writer) -> None:
    await ada.write("a", content="see <script>red</script> i <3 green, a<b <!-- unclosed blue")
    for query in ("red", "green", "blue", "script", "<3"):
        assert await ada.found(query) == ["a"], query
    found = (await ada.search("blue")).results[0]
    assert found.content_snippet == (
        "see &lt;script&gt;red&lt;/script&gt; i &lt;3 green, a&lt;b &lt;!-- unclosed <mark>blue</mark>"
    )


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("rivers", "riverless {} by the river", "<mark>river</mark>"),
        ("happy", "{} and happiness", "<mark>happiness</mark>"),
        ("cafe", "{} un cafe\u0301", "<mark>caf\u00e9</mark>"),
        ('"red light"', "red {} the red light", "<mark>red</mark> <mark>light</mark>"),
        ("red light", "red {} light", "<mark>red</mark>"),
        ("one two three four five", "one {} two one two three four five", "<mark>five</mark>"),
    ],
)
async def test_a_snippet_of_a_long_entry_is_of_the_place_that_matches(
    ada: Writer, query: str, text: str, marked: str
) -> None:
    ada.set_language("english")
    await ada.write("a", content=text.format("stra\u00dfe, nothing. " * 800))
    snippet = (await ada.search(query)).results[0].content_snippet
    assert snippet is not None
    assert marked in snippet
    assert len(snippet) < 700


async def test_the_users_language_finds_other_forms(ada: Writer) -> None:
    await ada.write("simple", content="running horses")
    assert await ada.found("run") == []
    ada.set_language("english")
    await ada.write("english", content="running horses")
    assert await ada.found("run") == ["english"]
    assert sorted(await ada.found("running")) == ["english", "simple"]  # the older one by its exact word
    assert await ada.found("runs -horse") == []
    ada.set_language("german")
    assert sorted(await ada.found("horses")) == ["english", "simple"]
    await ada.write("german", content="Häuser am Fluß")
    assert await ada.found("haus fluss") == ["german"]
    ada.set_language("klingon")  # no configuration of that name: words as they are
    assert await ada.found("hauser") == ["german"]
    await ada.write("klingon", content="Häuser")
    assert (sorted(await ada.found("hauser")), await ada.found("hausern")) == (["german", "klingon"], [])


async def test_reindexing_brings_old_entries_into_the_present_language(ada: Writer, eve: Writer) -> None:
    for writer in (ada, eve):
        for number in range(5):
            await writer.write(f"{number}", content="running")
        writer.set_language("english")
    reindex = "SELECT hushtag_reindex_journals(%s, %s)"
    assert [ada.maintain(reindex, ada.user_id, 3)[0][0] for _ in range(3)] == [3, 2, 0]
    assert len(await ada.found("runs")) == 5
    assert await eve.found("runs") == []
    assert ada.sql("SELECT DISTINCT version FROM journals") == [(1,)]  # the entries themselves are as they were


async def test_an_entry_that_is_edited_while_it_is_reindexed_is_found_by_what_it_says_now(
    ada: Writer, database: Any
) -> None:
    journal = await ada.write("a day", content="running")
    ada.set_language("english")
    with psycopg.connect(database.admin_url) as editing:
        editing.execute("UPDATE journals SET content = 'jumping' WHERE id = %s", [journal.id])
        reindex = asyncio.to_thread(ada.maintain, "SELECT hushtag_reindex_journals(%s, 1000)", ada.user_id)
        reindexing = asyncio.create_task(reindex)
        await until_waiting(database, reindexing)
        editing.commit()
    await reindexing
    assert (await ada.found("jumps"), await ada.found("runs")) == (["a day"], [])


async def test_an_edit_is_found_by_what_it_says_now(ada: Writer) -> None:
    journal = await ada.edit(await ada.write("old title", content="old"), content="fresh")
    assert (await ada.found("fresh"), await ada.found("old -title")) == (["old title"], [])
    await ada.edit(journal, title="changed", content=None)
    assert (await ada.found("changed"), await ada.found("fresh")) == (["changed"], [])
    await ada.delete(journal)
    assert (await ada.found("changed"), await ada.found("changed", deleted="true")) == ([], ["changed"])


async def test_a_snippet_smuggles_no_html(ada: Writer) -> None:
    evil = "<script>alert('x')</script> & \u0002target\u0003 \"quoted\" </mark><img src=x onerror=y> target"
    await ada.write(f"target {evil}", content=evil)
    found = (await ada.search("target")).results[0]
    for snippet in (found.title_snippet, found.content_snippet or ""):
        rest = snippet.replace("<mark>", "").replace("</mark>", "")
        assert snippet.count("<mark>") == snippet.count("</mark>") >= 1
        assert not set(rest) & set("<>\"'\u0002\u0003")
        assert "<mark>target</mark>" in snippet


async def test_titles_rank_before_contents_and_contents_before_nothing(ada: Writer) -> None:
    await ada.write("content", content="a walk by the river")
    await ada.write("river", content="a walk")
    results = (await ada.search("river")).results
    assert [found.journal.title for found in results] == ["river", "content"]
    assert results[0].rank > results[1].rank > 0


async def test_pages_of_a_search_have_every_match_once(ada: Writer) -> None:
    entries = [{"title": f"{number}", "content": "river " * (number % 4 + 1)} for number in range(25)]
    await ada.ask("POST", "journals/bulk", 201, json={"journals": entries})
    whole = await ada.found("river", limit=100)
    page, walked = await ada.search("river", limit=4), []
    while True:
        walked += [found.journal.title for found in page.results]
        if page.next is None:
            break
        await ada.write("new", content="nothing of it")
        page = await ada.search("river", limit=4, cursor=page.next)
    assert walked == whole
    assert len(set(walked)) == 25
    cursor = (await ada.search("river", limit=4)).next
    refused = await ada.ask("GET", "journals/search", 400, params={"q": "rivers", "cursor": cursor})
    assert problem(refused, "malformed_request").fields[0].field == "cursor"


async def test_filters_and_facets_count_the_same_matches(ada: Writer) -> None:
    for number in range(12):
        await ada.write(
            f"{number}",
            content="river" if number < 9 else "lake",
            mood_rating=number % 3 or None,
            tags=["even"] if number % 2 == 0 else ["odd", "all"],
        )
    facets = (await ada.search("river", limit=1)).facets
    assert [(tag.name, tag.count) for tag in facets.tags] == [("even", 5), ("all", 4), ("odd", 4)]
    assert {(mood.mood_rating, mood.count) for mood in facets.moods} == {(None, 3), (1, 3), (2, 3)}
    narrowed = await ada.search("river", tag="odd", mood_min=2)
    assert sorted(found.journal.title for found in narrowed.results) == ["5"]
    assert [(tag.name, tag.count) for tag in narrowed.facets.tags] == [("all", 1), ("odd", 1)]


async def test_common_words_cost_no_more_than_the_limit_and_find_the_newest(ada: Writer) -> None:
    ada.sql(
        "INSERT INTO journals (user_id, title, content, entry_date, mood_rating) SELECT %s, n::text,"
        " 'river', date '2020-01-01' + n, 1 FROM generate_series(1, %s) n",
        ada.user_id,
        3 * MAX_RANKED,
    )
    newest = await ada.found("river", limit=3)
    assert newest == [str(3 * MAX_RANKED - number) for number in range(3)]
    counted = sum(mood.count for mood in (await ada.search("river")).facets.moods)
    assert MAX_RANKED <= counted <= 2 * MAX_RANKED
    assert await ada.found("river", **{"from": "2020-02-01", "to": "2020-02-02"}) == ["32", "31"]


async def test_words_of_every_third_entry_are_sought_among_the_newest_alone(ada: Writer) -> None:
    written = 11 * MAX_RANKED
    ada.sql(
        "INSERT INTO journals (user_id, title, content, entry_date, mood_rating) SELECT %s, n::text,"
        " CASE WHEN n %% 2 = 0 THEN 'river' WHEN n %% 100 = 1 THEN 'lake' END, date '2020-01-01' + n, 1 + n %% 2"
        " FROM generate_series(1, %s) n",
        ada.user_id,
        written,
    )
    assert await ada.found("river", limit=3) == [str(written - 2 * number) for number in range(3)]
    assert sum(mood.count for mood in (await ada.search("river")).facets.moods) == MAX_RANKED // 2
    assert await ada.found("river", **{"from": "2020-02-01", "to": "2020-02-04"}) == ["34", "32"]
    # A word that is rarer is missed nowhere, however old the entry.
    assert sum(mood.count for mood in (await ada.search("lake")).facets.moods) == written // 100
    assert await ada.found("lake", to="2020-01-02") == ["1"]


async def test_words_that_were_frequent_once_are_sought_among_all(ada: Writer) -> None:
    # With identifiers in order of time, as a client may choose them: none of the newest tells of the rest.
    ada.sql(
        "INSERT INTO journals (user_id, id, title, content, entry_date, mood_rating) SELECT %s,"
        " lpad(to_hex(n), 32, '0')::uuid, n::text, CASE WHEN n <= %s THEN 'brook' ELSE 'lake' END,"
        " date '2020-01-01' + n, 1 FROM generate_series(1, %s) n",
        ada.user_id,
        10 * MAX_RANKED,
        11 * MAX_RANKED,
    )
    assert sum(mood.count for mood in (await ada.search("brook")).facets.moods) == MAX_RANKED
    # Where a filter lets the old ones through alone, its newest are the ones that tell.
    assert await ada.found("brook", limit=2, to="2026-01-01") == ["2192", "2191"]


async def test_nobody_finds_what_is_anothers(ada: Writer, eve: Writer) -> None:
    await ada.write("hers", content="river")
    for query in ("river", "-lake", f'river or "{ada.user_id}"', f"@{ada.user_id}"):
        assert await eve.found(query) == []
    assert eve.sql("SELECT FROM journal_words") == []
    with psycopg.connect(ada.database.app_url) as connection:
        # Neither does a search for everything, in nobody's transaction or in hers with ada's word.
        for user in ("", eve.user_id):
            connection.execute(
                "SELECT set_config('app.user_id', %s, true), set_config('app.search', %s, true)",
                [user, f"'@{ada.user_id}' | !'x'"],
            )
            assert connection.execute("SELECT FROM journal_words").rowcount == 0


async def test_a_search_goes_by_the_index_of_words(ada: Writer) -> None:
    await ada.write("a", content="river")
    ada.sql(
        "INSERT INTO journals (user_id, title, entry_date)"
        " SELECT %s, 'lake ' || n, now() FROM generate_series(1, 2000) n",
        ada.user_id,
    )
    with psycopg.connect(ada.database.admin_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE journal_words")
    with psycopg.connect(ada.database.app_url) as connection:
        connection.execute(
            "SELECT set_config('app.user_id', %s, true), set_config('app.search', %s, true)",
            [ada.user_id, f"'@{ada.user_id}' & 'river'"],
        )
        plan = str(connection.execute("EXPLAIN SELECT journal_id FROM journal_words").fetchall())
    assert "journal_words_words_idx" in plan


async def test_a_planner_that_knows_nothing_yet_searches_the_index_once(ada: Writer) -> None:
    # Tables that were filled a moment ago have no statistics; an entry must not cost a search of its own even then.
    entries = [{"title": f"day {number}", "content": "sea and storm " * 20, "tags": ["x"]} for number in range(500)]
    for start in range(0, len(entries), 100):
        await ada.ask("POST", "journals/bulk", 201, json={"journals": entries[start : start + 100]})
    token = parse_bearer(f"Bearer {ada.account.token}", ACCOUNT)
    with psycopg.connect(ada.database.app_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_stats WHERE tablename = 'journal_words'").fetchone() == (0,)
        found = connection.execute(
            "SELECT more FROM hushtag_search_journals(%s, %s, '1 day', '1 day', '', '', 'sea', NULL, NULL, NULL, NULL,"
            " 20, 1000)",
            [token.user_id, token.secret_hash],
        ).fetchone()
        assert found == (True,)
        scans = "SELECT pg_stat_get_xact_numscans('journal_words_words_idx'::regclass)"
        assert connection.execute(scans).fetchone() == (1,)


class Slow:
    """Searches that have reached the database and wait there until they are let through."""

    def __init__(self, search: Any) -> None:
        self._search = search
        self._through = asyncio.Event()
        self.running: Counter[UUID] = Counter()

    async def search(self, pool: Any, caller: Any, *given: Any, **named: Any) -> Any:
        self.running[caller.user_id] += 1
        await self._through.wait()
        return await self._search(pool, caller, *given, **named)

    def let_through(self) -> None:
        self._through.set()


async def test_nobody_keeps_the_connections_busy_with_searches(
    ada: Writer, eve: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(queries.search_journals)
    monkeypatch.setattr(queries, "search_journals", slow.search)
    await ada.write("mine", content="green")
    searches: Searches = ada.client.app.application.application.state["services"].searches  # type: ignore[attr-defined]

    async def in_line(user_id: str, length: int, running: int) -> None:
        line = UUID(user_id)
        with anyio.fail_after(30):
            while line not in searches._lines or searches._lines[line].length < length or slow.running[line] < running:
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ada.found("green")) for _ in range(20)]
        await in_line(ada.user_id, 20, MAX_SEARCHES_PER_USER)
        assert slow.running == {UUID(ada.user_id): MAX_SEARCHES_PER_USER}
        others = group.create_task(eve.found("green"))
        await in_line(eve.user_id, 1, 1)  # whoever has many waiting is in nobody else's way
        gone = asked.pop()
        gone.cancel()
        slow.let_through()
    assert gone.cancelled()
    assert [each.result() for each in asked] == [["mine"]] * 19
    assert others.result() == []
    assert not searches._lines


async def test_searches_leave_half_of_the_connections_to_others() -> None:
    searches, through, running = Searches(10), asyncio.Event(), 0

    async def search() -> None:
        nonlocal running
        async with searches.turn(uuid4()):
            running += 1
            await through.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(search())
        await anyio.wait_all_tasks_blocked()
        assert running == 5
        through.set()
    assert running == 20
