"""From a rule to occurrences: in the wall clock of a zone, bounded, from any point of the series.

A search begins with the period (year, month, week, day) in which it looks for the first occurrence, so it costs the
same after ten years as on the first day. The library knows no end: FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30 would keep it
busy to the year 9999. It takes one interval from period to period, and the interval it is given counts that.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from hushtag.reminder_messages import MAX_REPEAT_YEARS
from hushtag_server.errors import UnavailableError
from hushtag_server.reminders.rules import WEEKDAYS, RepeatRule, parse_rule, refuse_pattern
from hushtag_server.reminders.zones import instant_of, wall_clock

__all__ = ["Occurrence", "check_repetition", "list_occurrences", "next_occurrence"]

_SECONDS: Final = 0.25  # of this thread's processor; the dearest rule that was found takes a third of it
_PERIODS_A_YEAR: Final = {"YEARLY": 1, "MONTHLY": 12, "WEEKLY": 53, "DAILY": 366}


class Occurrence(NamedTuple):
    """One occurrence: the wall clock the rule gives, the instant in UTC, and which of the series it is, from 1."""

    local: datetime
    instant: datetime
    number: int


class _TooFarError(Exception):
    """The search has come to its end without an occurrence."""


class _TooDearError(Exception):
    """The search has taken its time."""


class _Step(int):
    """The interval of a rule; counts how often the library takes it, and refuses once it has had enough."""

    left: int
    ends: float

    def _take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise _TooFarError
        if time.thread_time() > self.ends:
            raise _TooDearError

    def __radd__(self, other: int) -> int:  # years, months and days
        self._take()
        return other + int(self)

    def __mul__(self, other: int) -> int:  # weeks
        self._take()
        return int(self) * other


def _explicit(rule: RepeatRule, start: datetime) -> RepeatRule:
    """Write out what a rule takes from its start (RFC 5545, section 3.3.10), so that it may begin elsewhere."""
    parts = {"BYHOUR": str(start.hour), "BYMINUTE": str(start.minute), "BYSECOND": str(start.second), **rule.parts}
    if not rule.parts.keys() & {"BYWEEKNO", "BYYEARDAY", "BYMONTHDAY", "BYDAY"}:
        if rule.frequency == "YEARLY":
            parts.setdefault("BYMONTH", str(start.month))
        if rule.frequency in {"YEARLY", "MONTHLY"}:
            parts["BYMONTHDAY"] = str(start.day)
        elif rule.frequency == "WEEKLY":
            parts["BYDAY"] = WEEKDAYS[start.weekday()]
    return rule._replace(parts=parts)


def _period(rule: RepeatRule, start: datetime, after: datetime) -> datetime:
    """Return where the last period of the rule begins that begins at or before `after`."""
    every = rule.interval
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if rule.frequency == "YEARLY":
        return datetime(start.year + (after.year - start.year) // every * every, 1, 1)  # noqa: DTZ001  (a wall clock)
    if rule.frequency == "MONTHLY":
        months = (after.year - start.year) * 12 + after.month - start.month
        year, month = divmod(start.year * 12 + start.month - 1 + months // every * every, 12)
        return datetime(year, month + 1, 1)  # noqa: DTZ001  (a wall clock)
    if rule.frequency == "WEEKLY":
        first = WEEKDAYS.index(rule.parts.get("WKST", "MO"))
        day -= timedelta(days=(day.weekday() - first) % 7)
        every *= 7
    return day + timedelta(days=(after - day).days // every * every)


def _wall_clocks(rule: RepeatRule, start: datetime, after: datetime) -> Iterator[datetime]:
    """Yield the rule's wall-clock times after `after`, for at most `MAX_REPEAT_YEARS`, as if it had no end."""
    begun = _explicit(rule, start).beginning(_period(rule, start, after))
    step = _Step(rule.interval)
    step.left = MAX_REPEAT_YEARS * _PERIODS_A_YEAR[rule.frequency] // rule.interval
    step.ends = time.thread_time() + _SECONDS
    stepping: Any = step
    try:
        yield from (local for local in begun.replace(interval=stepping) if local > after)
    except _TooFarError:
        return


def _following(rule: RepeatRule, zone: ZoneInfo, start: datetime, current: Occurrence) -> Iterator[Occurrence]:
    """Yield what follows `current` in a series: as many as COUNT and UNTIL allow, each instant once."""
    last, number = current.instant, current.number
    for local in _wall_clocks(rule, start, current.local):
        number += 1
        instant = instant_of(local, zone)
        if (rule.total is not None and number > rule.total) or (rule.until is not None and instant > rule.until):
            return
        if instant > last:  # a gap may move one occurrence onto the next
            last = instant
            yield Occurrence(local, instant, number)


def check_repetition(pattern: str, zone: ZoneInfo, first: datetime) -> None:
    """Refuse a pattern that a reminder at the instant `first` cannot have.

    Raises:
        MalformedRequestError: names the rule that is broken.
    """
    rule = parse_rule(pattern)
    if rule.until is not None and rule.until < first:
        raise refuse_pattern("UNTIL must not lie before the reminder's time")
    start = wall_clock(first, zone)
    try:
        following = next(_wall_clocks(rule, start, start), None)
    except _TooDearError:
        raise refuse_pattern("must take less work: fewer values in its BY parts") from None
    if following is None:
        raise refuse_pattern(f"must occur again within {MAX_REPEAT_YEARS} years")


def next_occurrence(
    pattern: str, zone: ZoneInfo, start: datetime, current: Occurrence, now: datetime
) -> Occurrence | None:
    """Return the first occurrence after `current` that lies in the future; None if the series has ended.

    Occurrences that were missed count for COUNT.

    Raises:
        UnavailableError: the search took too long.
    """
    rule = parse_rule(pattern)
    if rule.total is None:
        # Nobody counts what was missed; a day back, because the clocks may have been moved.
        missed = max(current.local, wall_clock(now, zone) - timedelta(days=1))
        current = Occurrence(missed, current.instant, current.number)
    try:
        return next((each for each in _following(rule, zone, start, current) if each.instant > now), None)
    except _TooDearError:
        raise UnavailableError("the search for the next occurrence took too long") from None


def list_occurrences(
    pattern: str | None, zone: ZoneInfo, start: datetime, current: Occurrence, limit: int
) -> list[datetime]:
    """Return up to `limit` instants, that of `current` first.

    Raises:
        UnavailableError: the search took too long.
    """
    found = [current.instant]
    if pattern is None:
        return found
    try:
        for each in _following(parse_rule(pattern), zone, start, current):
            if len(found) >= limit:
                break
            found.append(each.instant)
    except _TooDearError:
        raise UnavailableError("the search for occurrences took too long") from None
    return found
