"""Time zones by IANA name; the machine's zone files, or those of the tzdata package where it has none."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from hushtag.messages import FieldProblem
from hushtag_server.errors import MalformedRequestError

__all__ = ["DEFAULT_ZONE", "given_zone", "instant_of", "is_zone", "stored_zone", "unknown_zone", "wall_clock"]

DEFAULT_ZONE: Final = "UTC"


@cache
def _known() -> frozenset[str]:
    # What a machine calls its own zone means something else on every machine, and nothing in a calendar.
    return frozenset(available_timezones() - {"Factory", "localtime"})


def is_zone(name: str) -> bool:
    """Tell whether there is a zone of that name, which means the same on every machine."""
    return name in _known()


def unknown_zone() -> MalformedRequestError:
    """Return the error of a zone that is not taken."""
    rule = "must be the name of a time zone of the IANA database, such as Europe/Berlin"
    return MalformedRequestError([FieldProblem(field="$.time_zone", rule=rule)])


def given_zone(name: str) -> ZoneInfo:
    """Return the zone a request names.

    Raises:
        MalformedRequestError: there is none of that name.
    """
    if not is_zone(name):
        raise unknown_zone()
    return ZoneInfo(name)


def stored_zone(name: str) -> ZoneInfo:
    """Return the zone of a stored name; UTC for one that this machine has never heard of."""
    return ZoneInfo(name if is_zone(name) else DEFAULT_ZONE)


def wall_clock(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return what the clocks of the zone show, in whole seconds and without zone."""
    return instant.astimezone(zone).replace(tzinfo=None, microsecond=0)


def instant_of(local: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clocks of the zone show `local` (RFC 5545, section 3.3.5), in UTC.

    A time that happens twice is the first. One that does not exist takes the offset before the gap: 02:30 in a gap from
    02:00 to 03:00 is what the clocks then call 03:30. Both are what fold 0 says (PEP 495).
    """
    try:
        return local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
