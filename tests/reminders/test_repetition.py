"""Rules and zones without a server: daylight saving, the RFC's rules, and work that must stay bounded."""

# ruff: noqa: DTZ001  (wall clocks have no zone; that is the subject)

import contextlib
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushtag.reminder_messages import MAX_REPEAT_COUNT, MAX_REPEAT_INTERVAL
from hushtag_server.errors import MalformedRequestError
from hushtag_server.reminders.repetition import Occurrence, check_repetition, list_occurrences, next_occurrence
from hushtag_server.reminders.rules import parse_rule
from hushtag_server.reminders.zones import given_zone, instant_of, stored_zone, wall_clock

BERLIN, NEW_YORK, LORD_HOWE = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))
HOURS = ",".join(map(str, range(24)))


def local_times(pattern: str, zone: ZoneInfo, first: str, limit: int) -> list[str]:
    start = datetime.fromisoformat(first)
    current = Occurrence(start, instant_of(start, zone), 1)
    instants = list_occurrences(pattern, zone, start, current, limit)
    return [each.astimezone(zone).isoformat(timespec="minutes") for each in instants]


# The gap: the offset before it counts (RFC 5545, section 3.3.5), so the clocks show an hour, or half of one, more.
@pytest.mark.parametrize(
    ("zone", "first", "expected"),
    [
        (BERLIN, "2026-03-28T02:30", ["2026-03-28T02:30+01:00", "2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"]),
        (NEW_YORK, "2026-03-07T02:30", ["2026-03-07T02:30-05:00", "2026-03-08T03:30-04:00", "2026-03-09T02:30-04:00"]),
        (
            LORD_HOWE,
            "2026-10-03T02:15",
            ["2026-10-03T02:15+10:30", "2026-10-04T02:45+11:00", "2026-10-05T02:15+11:00"],
        ),
    ],
)
def test_a_time_that_does_not_exist_takes_the_offset_before_the_gap(
    zone: ZoneInfo, first: str, expected: list[str]
) -> None:
    assert local_times("FREQ=DAILY", zone, first, 3) == expected


@pytest.mark.parametrize(
    ("zone", "first", "expected"),
    [
        (BERLIN, "2026-10-24T02:30", ["2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]),
        (NEW_YORK, "2026-10-31T01:30", ["2026-10-31T01:30-04:00", "2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]),
        (
            LORD_HOWE,
            "2026-04-04T01:45",
            ["2026-04-04T01:45+11:00", "2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"],
        ),
    ],
)
def test_a_time_that_happens_twice_is_the_first_and_only_once(zone: ZoneInfo, first: str, expected: list[str]) -> None:
    assert local_times("FREQ=DAILY", zone, first, 3) == expected


def test_two_times_that_a_gap_makes_one_are_told_once() -> None:
    # 02:30 becomes 03:30 on the 29th, which is an occurrence itself.
    times = local_times("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30", BERLIN, "2026-03-28T03:30", 4)
    assert times == [
        "2026-03-28T03:30+01:00",
        "2026-03-29T03:30+02:00",
        "2026-03-30T02:30+02:00",
        "2026-03-30T03:30+02:00",
    ]


def test_the_wall_clock_stays_when_the_offset_changes() -> None:
    times = local_times("FREQ=WEEKLY", NEW_YORK, "2026-10-26T09:00", 2)
    assert times == ["2026-10-26T09:00-04:00", "2026-11-02T09:00-05:00"]


# Each against what RFC 5545, section 3.8.5.3, lists for the same rule, from 2 September 1997, 9:00 in New York.
@pytest.mark.parametrize(
    ("pattern", "days"),
    [
        ("FREQ=DAILY;COUNT=3", ["09-02", "09-03", "09-04"]),
        ("FREQ=DAILY;INTERVAL=10;COUNT=5", ["09-02", "09-12", "09-22", "10-02", "10-12"]),
        ("FREQ=WEEKLY;UNTIL=19970923T130000Z", ["09-02", "09-09", "09-16", "09-23"]),
        ("FREQ=WEEKLY;INTERVAL=2;WKST=SU;COUNT=4", ["09-02", "09-16", "09-30", "10-14"]),
        ("FREQ=WEEKLY;INTERVAL=2;COUNT=5;WKST=SU;BYDAY=TU,TH", ["09-02", "09-04", "09-16", "09-18", "09-30"]),
        ("FREQ=MONTHLY;COUNT=3;BYMONTHDAY=2,15", ["09-02", "09-15", "10-02"]),
        ("FREQ=YEARLY;COUNT=3;BYMONTH=6,7", ["09-02", "06-02", "07-02"]),
        ("FREQ=MONTHLY;COUNT=4;BYDAY=TU,WE,TH;BYSETPOS=3", ["09-02", "09-04", "10-07", "11-06"]),
    ],
)
def test_rules_of_the_rfc(pattern: str, days: list[str]) -> None:
    # Where the start does not match the rule, it is the first occurrence all the same.
    assert [each[5:10] for each in local_times(pattern, NEW_YORK, "1997-09-02T09:00", 20)] == days


@pytest.mark.parametrize(("first", "days"), [("MO", ["05", "10", "19", "24"]), ("SU", ["05", "17", "19", "31"])])
def test_the_start_of_the_week_matters(first: str, days: list[str]) -> None:
    times = local_times(f"FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST={first}", NEW_YORK, "1997-08-05T09:00", 9)
    assert [each[8:10] for each in times] == days


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "RRULE"),
        ("FREQ=HOURLY", "one of DAILY"),
        ("FREQ=SECONDLY;INTERVAL=1", "one of DAILY"),
        ("INTERVAL=2", "must name FREQ"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ once"),
        ("RRULE:FREQ=DAILY", "RRULE"),
        ("FREQ=DAILY;BYEASTER=0", "RRULE"),
        ("FREQ=DAILY;X-THING=1", "RRULE"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL must"),
        (f"FREQ=DAILY;INTERVAL={MAX_REPEAT_INTERVAL + 1}", "INTERVAL must"),
        (f"FREQ=DAILY;COUNT={MAX_REPEAT_COUNT + 1}", "COUNT must"),
        ("FREQ=DAILY;COUNT=0", "COUNT must"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20300101T000000Z", "both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=20300101", "UNTIL must"),
        ("FREQ=DAILY;UNTIL=20301301T000000Z", "RRULE"),
        ("FREQ=DAILY;UNTIL=20000101T000000Z", "before the reminder"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYYEARDAY=3", "BYYEARDAY"),
        ("FREQ=MONTHLY;BYWEEKNO=3", "BYWEEKNO"),
        ("FREQ=WEEKLY;BYDAY=1MO", "number BYDAY"),
        ("FREQ=YEARLY;BYWEEKNO=3;BYDAY=1MO", "number BYDAY"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=MONTHLY;BYDAY=54MO", "BYDAY must"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH must"),
        ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH must"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY must"),
        ("FREQ=DAILY;BYMINUTE=0,30", "BYMINUTE must"),
        ("FREQ=DAILY;BYSECOND=60", "BYSECOND must"),
        ("FREQ=DAILY;BYHOUR=", "BYHOUR must"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "within 40 years"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "within 40 years"),
        ("FREQ=MONTHLY;BYDAY=MO,6MO", "within months"),
        ("FREQ=MONTHLY;BYDAY=41FR", "within months"),
        ("FREQ=YEARLY;BYMONTH=12;BYDAY=-6SU", "within months"),
        ("FREQ=YEARLY;INTERVAL=41", "within 40 years"),
    ],
)
def test_rules_that_are_refused_name_the_part(pattern: str, words: str) -> None:
    with pytest.raises(MalformedRequestError) as refused:
        check_repetition(pattern, BERLIN, datetime(2026, 3, 1, 12, tzinfo=UTC))
    [problem] = refused.value.fields or []
    assert problem.field == "$.repeat_pattern"
    assert words in problem.rule


@pytest.mark.parametrize(
    "pattern",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYMONTH=2;BYDAY=MO;BYSETPOS=366",
        f"FREQ=MONTHLY;BYDAY=MO,TU;BYHOUR={HOURS};BYSETPOS={','.join(map(str, range(267, 317)))}",
        f"FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYHOUR={HOURS};BYMONTHDAY=30;BYMONTH=2",
    ],
)
def test_rules_that_never_occur_cost_little(pattern: str) -> None:
    begun = time.thread_time()
    with pytest.raises(MalformedRequestError):
        check_repetition(pattern, BERLIN, datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert time.thread_time() - begun < 1.0  # to the year 9999 they take from seconds to minutes


def test_the_longest_wait_of_the_calendar_is_found() -> None:
    # 29 February is a Monday in 2072 and, as 2100 is no leap year, not again before 2112.
    assert [
        each[:10] for each in local_times("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", BERLIN, "2072-02-29T09:00", 2)
    ] == [
        "2072-02-29",
        "2112-02-29",
    ]


def following(pattern: str, first: str, now: str, number: int = 1) -> Occurrence | None:
    start = datetime.fromisoformat(first)
    current = Occurrence(start, instant_of(start, BERLIN), number)
    return next_occurrence(pattern, BERLIN, start, current, datetime.fromisoformat(now))


def test_the_next_occurrence_lies_in_the_future_and_missed_ones_count() -> None:
    found = following("FREQ=DAILY;COUNT=10", "2026-06-01T09:00", "2026-06-05T12:00+00:00")
    assert found is not None
    assert (found.local, found.number) == (datetime(2026, 6, 6, 9), 6)
    assert following("FREQ=DAILY;COUNT=10", "2026-06-01T09:00", "2026-06-10T12:00+00:00") is None
    last = following("FREQ=DAILY;UNTIL=20260606T070000Z", "2026-06-01T09:00", "2026-06-05T12:00+00:00")
    assert last is not None
    assert last.instant == datetime(2026, 6, 6, 7, tzinfo=UTC)
    assert following("FREQ=DAILY;UNTIL=20260606T065959Z", "2026-06-01T09:00", "2026-06-05T12:00+00:00") is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("FREQ=WEEKLY;INTERVAL=4", datetime(2026, 6, 16, 9)),  # 2424 weeks after the first
        ("FREQ=MONTHLY;INTERVAL=7", datetime(2026, 9, 1, 9)),  # 560 months
        ("FREQ=YEARLY;INTERVAL=5", datetime(2030, 1, 1, 9)),
    ],
)
def test_a_search_from_between_two_periods_keeps_the_step(pattern: str, expected: datetime) -> None:
    found = following(pattern, "1980-01-01T09:00", "2026-06-05T12:00+00:00")
    assert found is not None
    assert found.local == expected


def test_a_series_keeps_its_step_after_decades() -> None:
    begun = time.thread_time()
    found = following("FREQ=DAILY;INTERVAL=3", "1980-01-01T09:00", "2026-06-05T12:00+00:00")
    assert found is not None
    assert (found.local - datetime(1980, 1, 1, 9)).days % 3 == 0
    assert datetime(2026, 6, 5) < found.local < datetime(2026, 6, 9)
    assert time.thread_time() - begun < 0.2


PATTERNS = st.sampled_from(
    [
        "FREQ=DAILY;INTERVAL=3",
        "FREQ=DAILY;BYMONTH=1,7;BYHOUR=8,20",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,SU;WKST=SU",
        "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=2",
        "FREQ=WEEKLY;INTERVAL=5",
        "FREQ=MONTHLY;INTERVAL=2",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=YEARLY",
        "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO,SU",
        "FREQ=YEARLY;BYYEARDAY=1,-1,200;BYHOUR=9",
    ]
)


@settings(max_examples=60, deadline=None, database=None)
@given(
    pattern=PATTERNS,
    start=st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    steps=st.integers(1, 12),
)
def test_a_search_from_the_middle_finds_what_the_whole_series_has(pattern: str, start: datetime, steps: int) -> None:
    # The library from the period of the start on, without our jumps, is the judge.
    zone = ZoneInfo("UTC")
    current = Occurrence(start, start.replace(tzinfo=UTC), 1)
    whole = list_occurrences(pattern, zone, start, current, steps + 6)
    if len(whole) <= steps:
        return
    middle = Occurrence(whole[steps].replace(tzinfo=None), whole[steps], steps + 1)
    assert list_occurrences(pattern, zone, start, middle, 6) == whole[steps:]
    if "BYSETPOS" not in pattern:  # of the first, cut period the library takes positions in what is left of it
        judged = parse_rule(pattern).beginning(start)
        assert judged.after(start) == whole[1].replace(tzinfo=None)


@pytest.mark.parametrize(
    "rest", ["FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=12", "FREQ=MONTHLY", "FREQ=MONTHLY;BYMONTHDAY=31"]
)
def test_whatever_number_a_weekday_has_the_rule_occurs_or_is_refused(rest: str) -> None:
    for number in [*range(-53, 0), *range(1, 54)]:
        with contextlib.suppress(MalformedRequestError):
            check_repetition(f"{rest};BYDAY={number}SU", BERLIN, datetime(2026, 3, 1, 12, tzinfo=UTC))


@given(st.text(alphabet="FREQ=DAILYWKMONTHBUSP;,0123456789-+:", max_size=60))
@settings(max_examples=300, deadline=None, database=None)
def test_nocrash_rules(text: str) -> None:
    with contextlib.suppress(MalformedRequestError):
        check_repetition(text, BERLIN, datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_unknown_zones_are_refused_and_stored_ones_fall_back() -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", "Europe", "posixrules", ""):
        with pytest.raises(MalformedRequestError):
            given_zone(name)
    assert stored_zone("Gone/Away").key == "UTC"
    assert given_zone("Europe/Berlin").key == "Europe/Berlin"


@given(st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30), timezones=st.just(UTC)))
@settings(max_examples=200, deadline=None, database=None)
def test_an_instant_and_its_wall_clock_belong_together(instant: datetime) -> None:
    for zone in (BERLIN, NEW_YORK, LORD_HOWE):
        again = instant_of(wall_clock(instant, zone), zone)
        # Of an hour that happens twice the wall clock does not say which.
        assert instant.replace(microsecond=0) - again in {timedelta(0), timedelta(hours=1), timedelta(minutes=30)}
