"""100,000 entries of one account, and what is searched in them.

Words follow Zipf's law: the rank of each is log-uniform over 20,000 words. 60 to 180 words an entry, ten years of days,
twelve tags of which each entry has two. Stored by plain INSERTs, so that the triggers index every entry.
"""

import random
from datetime import timedelta
from typing import Any, Final

import psycopg

from benchmarks.plain_stage import FIRST_DAY, TAGS, Account, Writer

SEARCHED: Final = 100_000
YEARS: Final = 10

_TAG: Final = "INSERT INTO tags (user_id, name) SELECT %s, unnest(%s::text[])"
_WRITE: Final = """
INSERT INTO journals (user_id, title, content, mood_rating, is_private, entry_date)
SELECT %s, substr(w.text, 1, 40), w.text, 1 + floor(random() * 10), random() < 0.5,
    %s::date + floor(random() * %s)::integer
FROM written w
"""
_MARK: Final = """
INSERT INTO journal_tags (user_id, journal_id, tag_id)
SELECT j.user_id, j.id, g.ids[1 + ((hashtext(j.id::text) & 1023) + n.step * 5) %% 12]
FROM journals j CROSS JOIN generate_series(0, 1) n (step)
CROSS JOIN (SELECT array_agg(t.id) AS ids FROM tags t WHERE t.user_id = %s) g
WHERE j.user_id = %s
"""


def fill_searched(url: str, account: Account, entries: int = SEARCHED) -> None:
    """Store the entries of an account that has none (`url`: the superuser's)."""
    writer, user = Writer(seed=5), account.user_id
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5), set_config('app.user_id', %s, true)", [str(user)])
        cursor.execute("CREATE TEMPORARY TABLE written (text text) ON COMMIT DROP")
        with cursor.copy("COPY written FROM STDIN") as copy:
            for number in range(entries):
                copy.write_row([writer.text(60 + number * 7919 % 121)])
        cursor.execute(_TAG, [user, TAGS])
        cursor.execute(_WRITE, [user, FIRST_DAY, YEARS * 365])
        cursor.execute(_MARK, [user, user])


def _filter(drawn: random.Random) -> dict[str, Any]:
    first = FIRST_DAY + timedelta(days=drawn.randrange((YEARS - 1) * 365))
    year = {"from": first.isoformat(), "to": (first + timedelta(days=365)).isoformat()}
    return drawn.choice([year, {"tag": drawn.choice(TAGS)}, {"mood_min": 7}, {**year, "mood_max": 4}])


def searches(count: int) -> dict[str, list[dict[str, Any]]]:
    """Return `count` filtered searches of each kind, as the parameters of `GET /v1/journals/search`.

    One word of middling frequency, two of which one is frequent, and a very common one, which half of all entries hold.
    """
    writer, drawn = Writer(seed=23), random.Random(29)
    return {
        "one word": [{"q": writer.word(100), **_filter(drawn)} for _ in range(count)],
        "two words": [{"q": f"{writer.word(10, 100)} {writer.word(200)}", **_filter(drawn)} for _ in range(count)],
        "very common": [{"q": writer.word(1, 20), **_filter(drawn)} for _ in range(count)],
    }
