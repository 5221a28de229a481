"""The calendar of a user's open reminders (RFC 5545), through the icalendar library.

Each reminder is an event without length that reminds at its time; calendars that subscribe to an address show events,
and most of them no to-dos. A repeating one carries its rule, so the occurrences to come are in it.
"""

import unicodedata
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from icalendar import Alarm, Calendar, Event, Timezone, vDatetime, vRecur

from hushtag import __version__
from hushtag_server.reminders.rules import parse_rule
from hushtag_server.reminders.schemas import ReminderRow

__all__ = ["ZONE_YEARS", "write_calendar"]

ZONE_YEARS: Final = 50
"""How many years ahead a zone is defined at most: each takes two transitions of every zone that is named."""

_PRIORITIES: Final = {1: 9, 2: 7, 3: 5, 4: 3, 5: 1}  # RFC 5545, section 3.8.1.9: 1 is the highest, 9 the lowest


class _Zone(Timezone):
    """A zone's definition, of which no change of the clocks is left out that lasts 16 days or longer."""

    # The library looks on by 64 days, and so over Ramadan, for which Morocco puts its clocks back.
    _from_tzinfo_skip_search = [timedelta(days=days) for days in (16, 8, 4, 2, 1)] + [
        step
        for step in Timezone._from_tzinfo_skip_search  # noqa: SLF001  (the one place where it can be said)
        if step < timedelta(days=1)
    ]


def _zones(calendar: Calendar, first: date, last: date) -> list[Timezone]:
    names = sorted(calendar.get_missing_tzids())
    return [_Zone.from_tzid(name, first_date=first, last_date=last) for name in names]


def _printable(text: str) -> str:
    # A line of a calendar ends at CR LF; some readers end it at a lone CR, and none wants control characters.
    return "".join(sign for sign in text if sign in "\n\t" or unicodedata.category(sign) != "Cc")


def _remaining_rule(row: ReminderRow, pattern: str) -> vRecur:
    rule = parse_rule(pattern)
    parts = dict(rule.parts)
    if rule.total is not None:
        parts["COUNT"] = str(max(1, rule.total - row.occurrence_number + 1))
    if rule.until is not None:
        parts["UNTIL"] = rule.until.strftime("%Y%m%dT%H%M%SZ")
    made: vRecur = vRecur.from_ical(";".join(f"{name}={value}" for name, value in parts.items()))
    return made


def _alarm(row: ReminderRow) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("description", _printable(row.title))
    if row.snoozed_until is None:
        alarm.add("trigger", timedelta(0))
    else:
        alarm.add("trigger", vDatetime(row.snoozed_until.astimezone(UTC)), parameters={"VALUE": "DATE-TIME"})
    return alarm


def _event(row: ReminderRow) -> Event:
    event = Event()
    event.add("uid", f"{row.id}@hushtag")
    event.add("dtstamp", row.updated_at.astimezone(UTC))
    event.add("created", row.created_at.astimezone(UTC))
    event.add("last-modified", row.updated_at.astimezone(UTC))
    event.add("sequence", row.version - 1)
    event.add("summary", _printable(row.title))
    if row.description is not None:
        event.add("description", _printable(row.description))
    event.add("priority", _PRIORITIES[row.priority])
    event.add("status", "CONFIRMED")
    event.add("transp", "TRANSPARENT")
    if row.repeat_pattern is None:
        event.add("dtstart", row.reminder_time.astimezone(UTC).replace(microsecond=0))
    else:
        # The wall clock of the rule, not the instant: the reader applies daylight saving as this server does.
        event.add("dtstart", row.occurrence_time.replace(tzinfo=row.zone))
        event.add("rrule", _remaining_rule(row, row.repeat_pattern))
    event.add_component(_alarm(row))
    return event


def write_calendar(rows: Iterable[ReminderRow]) -> bytes:
    """Return the calendar as text/calendar in UTF-8, with the definitions of the zones it names.

    They reach from before its first event to ten years ahead, or to the last that begins within `ZONE_YEARS`.
    """
    calendar = Calendar()
    calendar.add("prodid", f"-//Hushtag//Hushtag {__version__}//EN")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "Reminders")
    this_year = datetime.now(UTC).year
    years = {this_year, this_year + 9}
    for row in rows:
        calendar.add_component(_event(row))
        if row.repeat_pattern is not None:  # only these name a zone, which must be defined when they begin
            years.add(row.occurrence_time.year)
    last = min(max(years), this_year + ZONE_YEARS)
    # Before what refers to them, as some readers want it.
    calendar.subcomponents[:0] = _zones(calendar, date(min(years) - 1, 1, 1), date(last + 1, 1, 1))
    written: bytes = calendar.to_ical()
    return written
