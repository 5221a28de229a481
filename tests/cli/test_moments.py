"""Days, times and spans as people type them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushtag.cli.failures import UsageError
from hushtag.cli.moments import parse_day, parse_moment, parse_span, time_in, zone_named

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 12, 23, 23, 30, tzinfo=UTC)  # the 24th in Berlin


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", date(2026, 1, 31)),
        ("today", date(2026, 12, 24)),
        (" Yesterday ", date(2026, 12, 23)),
        ("tomorrow", date(2026, 12, 25)),
    ],
)
def test_days(text: str, expected: date) -> None:
    assert parse_day(text, BERLIN, NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-24 18:00", "2026-12-24T17:00:00+00:00"),
        ("2026-07-01T18:00", "2026-07-01T16:00:00+00:00"),
        ("2026-07-01 8:05:09", "2026-07-01T06:05:09+00:00"),
        ("tomorrow 8:30", "2026-12-25T07:30:00+00:00"),
        ("today 23:59", "2026-12-24T22:59:00+00:00"),
        ("2026-12-24T18:00Z", "2026-12-24T18:00:00+00:00"),
        ("2026-10-25T02:30+02:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00+00:00"),
    ],
)
def test_moments(text: str, expected: str) -> None:
    assert parse_moment(text, BERLIN, NOW).astimezone(UTC).isoformat() == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-03-29 02:30", "does not exist"),
        ("2026-10-25 02:30", r"comes twice.*2026-10-25T02:30\+02:00"),
        ("2026-12-24", "no time"),
        ("18:00", "no time"),
        ("2026-12-24 25:00", "time of day"),
        ("2026-13-24 18:00", "no day"),
        ("Christmas 18:00", "no day"),
        ("", "no time"),
        ("now", "no time"),
    ],
)
def test_what_is_no_moment_says_how_to_write_one(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_moment(text, BERLIN, NOW)


@pytest.mark.parametrize(
    ("text", "minutes"), [("90m", 90), ("2h", 120), ("1h30m", 90), ("1h 30min", 90), ("3D", 4320), ("2w", 20160)]
)
def test_spans(text: str, minutes: int) -> None:
    assert parse_span(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["", "0m", "90", "m", "-5m", "1.5h", "5m1h", "soon", "99999999999d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_span(text)


@given(st.text(max_size=30))
def test_nocrash_anything_typed(text: str) -> None:
    for read in (lambda: parse_day(text, BERLIN), lambda: parse_moment(text, BERLIN), lambda: parse_span(text)):
        try:
            read()
        except UsageError:
            continue


@pytest.mark.parametrize("name", ["", "Nowhere/Atlantis", "../../etc/passwd", "/etc/passwd", "Europe", "x\0"])
def test_a_zone_this_machine_does_not_know_is_none(name: str) -> None:
    assert zone_named(name) is None
    assert time_in(NOW, name)
