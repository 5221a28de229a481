"""100,000 entries of one account, made in the database, and what is searched in them.

Words follow Zipf's law: the rank of each is log-uniform over 20,000 words. 60 to 180 words an entry, ten years of days,
twelve tags of which each entry has two. Made by plain INSERTs, so that the triggers index every entry.
"""

import random
from datetime import timedelta
from typing import Any, Final

from benchmarks.plain_stage import FIRST_DAY, TAGS, Writer, vocabulary

SEARCHED: Final = 100_000
YEARS: Final = 10

_WORDS = " ".join(vocabulary())
_NAMES = ", ".join(f"('{{user}}'::uuid, '{name}')" for name in TAGS)
FILL_SEARCHED: Final = f"""
DO $fill$
DECLARE
    v_words text[] := string_to_array('{_WORDS}', ' ');
    v_count integer := cardinality(v_words);
    v_tags uuid[];
BEGIN
    PERFORM setseed(0.5), set_config('app.user_id', '{{user}}', true);
    INSERT INTO tags (user_id, name) VALUES {_NAMES};
    SELECT array_agg(t.id) INTO v_tags FROM tags t WHERE t.user_id = '{{user}}';
    INSERT INTO journals (user_id, title, content, mood_rating, is_private, entry_date)
    SELECT '{{user}}', substr(w.text, 1, 40), w.text, 1 + floor(random() * 10), random() < 0.5,
        date '{FIRST_DAY.isoformat()}' + floor(random() * {YEARS * 365})::integer
    FROM generate_series(1, {{entries}}) e
    CROSS JOIN LATERAL (
        SELECT string_agg(v_words[floor(power(v_count, random()))::integer], ' ') AS text
        FROM generate_series(1, 60 + (e * 7919) % 121)
    ) w;
    INSERT INTO journal_tags (user_id, journal_id, tag_id)
    SELECT j.user_id, j.id, v_tags[1 + ((hashtext(j.id::text) & 1023) + n.step * 5) % 12]
    FROM journals j CROSS JOIN generate_series(0, 1) n (step) WHERE j.user_id = '{{user}}';
END $fill$
"""


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
