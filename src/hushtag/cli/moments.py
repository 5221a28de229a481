"""Days, times and spans as a person types them, in the time zone of the account's settings."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache, partial
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hushtag.cli.failures import UsageError

if TYPE_CHECKING:
    from hushtag.client import Client

__all__ = [
    "account_moment",
    "account_moments",
    "account_zone",
    "parse_day",
    "parse_moment",
    "parse_span",
    "time_in",
    "zone_named",
]

_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_SPAN: Final = re.compile(r"(?:(\d{1,4})w)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m(?:in)?)?(?:(\d{1,8})s)?")
_CLOCK: Final = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")


def zone_named(name: str) -> ZoneInfo | None:
    """Return the zone of an IANA name, if this machine knows it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def account_zone(client: "Client") -> ZoneInfo:
    """Return the time zone of the account's settings.

    Raises:
        UsageError: this machine does not know it.
    """
    zone = zone_named(client.profile.settings().time_zone)
    if zone is None:
        raise UsageError("this machine does not know the account's time zone; give times like 2026-12-24T18:00+01:00")
    return zone


def account_moment(client: "Client", text: str) -> datetime:
    """Return the moment that `parse_moment` reads on the wall clock of the account's settings.

    They are asked for only where a time does not bring its own offset.

    Raises:
        UsageError: as `parse_moment` and `account_zone`.
    """
    return account_moments(client, text)[0]


def account_moments(client: "Client", *texts: str) -> list[datetime]:
    """Return what `account_moment` reads in each text; the settings are asked for once at most."""
    zone = cache(partial(account_zone, client))
    return [_with_offset(text) or parse_moment(text, zone()) for text in texts]


def time_in(moment: datetime, zone_name: str) -> str:
    """Return a moment on the wall clock of a zone, to the minute; in that of this machine if it does not know it."""
    zone = zone_named(zone_name)
    if zone is None:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M %z")
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {zone_name}"


def parse_day(text: str, zone: tzinfo, now: datetime | None = None) -> date:
    """Return the day of `2026-12-24`, `yesterday`, `today` or `tomorrow`.

    Raises:
        UsageError: it is none of these.
    """
    word = text.strip().lower()
    if word in _DAYS:
        return (now or datetime.now(UTC)).astimezone(zone).date() + timedelta(days=_DAYS[word])
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise UsageError(f"{text!r} is no day; write 2026-12-24, yesterday, today or tomorrow") from None


def _parse_clock(text: str) -> time:
    try:
        hours, minutes, seconds = (int(part) for part in f"{text}:0".split(":")[:3])
        return time(hours, minutes, seconds)
    except ValueError:
        raise UsageError(f"{text!r} is no time of day; write 18:00") from None


def parse_moment(text: str, zone: tzinfo, now: datetime | None = None) -> datetime:
    """Return the moment of `2026-12-24 18:00` in the zone, of `tomorrow 8:30`, or of a time that brings its own offset.

    Raises:
        UsageError: it is none of these, or the clock shows it never or twice that day.
    """
    tidy = text.strip()
    day, _, clock = tidy.replace("T", " ", 1).partition(" ") if tidy[:1].isdigit() else tidy.partition(" ")
    if _CLOCK.fullmatch(clock.strip()):
        wall = datetime.combine(parse_day(day, zone, now), _parse_clock(clock.strip()))
        return _on_the_clock(wall, zone)
    moment = _with_offset(text)
    if moment is None:
        raise UsageError(f'{text!r} is no time; write "2026-12-24 18:00", "tomorrow 8:30" or 2026-12-24T18:00+01:00')
    return moment


def _with_offset(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment


def _on_the_clock(wall: datetime, zone: tzinfo) -> datetime:
    early, late = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if early.utcoffset() == late.utcoffset():
        return early
    # A wall clock that was put forward comes back from UTC as another one (PEP 495).
    if early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        raise UsageError(f"{wall:%H:%M} does not exist on {wall:%Y-%m-%d} in {zone}: the clocks go forward then")
    offset = early.isoformat(timespec="minutes")
    raise UsageError(f"{wall:%H:%M} comes twice on {wall:%Y-%m-%d} in {zone}; say which, the first being {offset}")


def parse_span(text: str) -> timedelta:
    """Return the length of `90m`, `2h`, `1h30m`, `3d` or `2w`.

    Raises:
        UsageError: it is no such length, or none at all.
    """
    found = _SPAN.fullmatch(text.strip().lower().replace(" ", ""))
    if found is None or not any(found.groups()):
        raise UsageError(f"{text!r} is no length of time; write 90m, 2h, 1h30m, 3d or 2w")
    weeks, days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not span:
        raise UsageError("a length of time is more than nothing")
    return span
