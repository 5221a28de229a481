"""Repetition rules: RRULE text (RFC 5545, section 3.3.10), read strictly; python-dateutil expands them.

What a rule may be is narrower than the RFC: FREQ is DAILY or rarer, and BYMINUTE and BYSECOND hold one value each, so
two occurrences lie an hour apart or more. COUNT and UNTIL are kept here and never given to the library: they are of
the series, and the library only ever sees the period in which the search begins.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from dateutil.rrule import rrule, rrulestr

from hushtag.messages import FieldProblem
from hushtag.reminder_messages import MAX_REPEAT_COUNT, MAX_REPEAT_INTERVAL
from hushtag_server.errors import MalformedRequestError

__all__ = ["WEEKDAYS", "RepeatRule", "parse_rule", "refuse_pattern"]

WEEKDAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_WEEKDAY: Final = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,4}")
_WEEKS_OF_A_MONTH: Final = 5
_UNTIL: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")


class RepeatRule(NamedTuple):
    """A rule: its parts by name without COUNT and UNTIL, which stand apart."""

    parts: dict[str, str]
    total: int | None
    until: datetime | None

    @property
    def frequency(self) -> str:
        """YEARLY, MONTHLY, WEEKLY or DAILY."""
        return self.parts["FREQ"]

    @property
    def interval(self) -> int:
        """Every how many years, months, weeks or days."""
        return int(self.parts.get("INTERVAL", "1"))

    def beginning(self, start: datetime) -> rrule:
        """Return the library's rule from `start` on, a wall-clock time without zone."""
        made = rrulestr(";".join(f"{name}={value}" for name, value in self.parts.items()), dtstart=start)
        if not isinstance(made, rrule):
            raise TypeError("one rule gives one rrule")
        return made


def refuse_pattern(rule: str) -> MalformedRequestError:
    """Return the error of a rule that is not taken."""
    return MalformedRequestError([FieldProblem(field="$.repeat_pattern", rule=rule)])


def _is_number(low: int, high: int, *, signed: bool = False) -> Callable[[str], bool]:
    def fits(value: str) -> bool:
        if not _NUMBER.fullmatch(value) or (not signed and value[0] in "+-"):
            return False
        return low <= (abs(int(value)) if signed else int(value)) <= high

    return fits


def _is_weekday(value: str) -> bool:
    found = _WEEKDAY.fullmatch(value)
    return found is not None and (found[1] is None or 1 <= abs(int(found[1])) <= 53)


# name: does one value fit, how many values, what it must be
_PARTS: Final[dict[str, tuple[Callable[[str], bool], int, str]]] = {
    "FREQ": (lambda value: value in _FREQUENCIES, 1, "one of DAILY, WEEKLY, MONTHLY and YEARLY"),
    "INTERVAL": (_is_number(1, MAX_REPEAT_INTERVAL), 1, f"a number from 1 to {MAX_REPEAT_INTERVAL}"),
    "COUNT": (_is_number(1, MAX_REPEAT_COUNT), 1, f"a number from 1 to {MAX_REPEAT_COUNT}"),
    "UNTIL": (lambda value: _UNTIL.fullmatch(value) is not None, 1, "a time in UTC, such as 20301231T235959Z"),
    "BYMONTH": (_is_number(1, 12), 12, "numbers from 1 to 12"),
    "BYMONTHDAY": (_is_number(1, 31, signed=True), 62, "numbers from 1 to 31 or -31 to -1"),
    "BYYEARDAY": (_is_number(1, 366, signed=True), 366, "numbers from 1 to 366 or -366 to -1"),
    "BYWEEKNO": (_is_number(1, 53, signed=True), 106, "numbers from 1 to 53 or -53 to -1"),
    "BYDAY": (_is_weekday, 100, "weekdays such as MO, 1MO or -1FR"),
    "BYHOUR": (_is_number(0, 23), 24, "numbers from 0 to 23"),
    "BYMINUTE": (_is_number(0, 59), 1, "one number from 0 to 59"),
    "BYSECOND": (_is_number(0, 59), 1, "one number from 0 to 59"),
    "BYSETPOS": (_is_number(1, 366, signed=True), 100, "numbers from 1 to 366 or -366 to -1"),
    "WKST": (lambda value: value in WEEKDAYS, 1, "a weekday"),
}


def _read_parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.upper().split(";"):
        name, _, value = part.partition("=")
        if name not in _PARTS:
            raise refuse_pattern("must be an RRULE of RFC 5545 without its name, such as FREQ=WEEKLY;BYDAY=MO")
        if name in parts:
            raise refuse_pattern(f"must name {name} once")
        fits, most, words = _PARTS[name]
        values = value.split(",")
        if len(values) > most or not all(map(fits, values)):
            raise refuse_pattern(f"{name} must be {words}")
        parts[name] = value
    return parts


def _check_together(parts: dict[str, str]) -> None:
    frequency = parts.get("FREQ")
    numbers = [int(found) for found in re.findall("[0-9]+", parts.get("BYDAY", ""))]
    numbered = bool(numbers)
    by = {name for name in parts if name.startswith("BY")}
    # Then they count within each month, and the library looks for the fortieth Friday beyond the end of its calendar.
    of_months = frequency == "MONTHLY" or (frequency == "YEARLY" and "BYMONTH" in by)
    for refused, rule in (
        (frequency is None, "must name FREQ"),
        ({"COUNT", "UNTIL"} <= parts.keys(), "must not name both COUNT and UNTIL"),
        ("BYMONTHDAY" in by and frequency == "WEEKLY", "must not name BYMONTHDAY with FREQ=WEEKLY"),
        ("BYYEARDAY" in by and frequency != "YEARLY", "may name BYYEARDAY only with FREQ=YEARLY"),
        ("BYWEEKNO" in by and frequency != "YEARLY", "may name BYWEEKNO only with FREQ=YEARLY"),
        (numbered and frequency not in {"MONTHLY", "YEARLY"}, "may number BYDAY only with FREQ=MONTHLY or YEARLY"),
        (
            of_months and max(numbers, default=0) > _WEEKS_OF_A_MONTH,
            "must number BYDAY within months from 1 to 5 or -5 to -1",
        ),
        (numbered and "BYWEEKNO" in by, "must not number BYDAY together with BYWEEKNO"),
        (by == {"BYSETPOS"}, "must name BYSETPOS only together with another BY part"),
    ):
        if refused:
            raise refuse_pattern(rule)


def parse_rule(text: str) -> RepeatRule:
    """Read a rule.

    Raises:
        MalformedRequestError: names the part and what it must be.
    """
    parts = _read_parts(text)
    _check_together(parts)
    count, ending = parts.pop("COUNT", None), parts.pop("UNTIL", None)
    try:
        until = datetime.strptime(ending, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) if ending else None
        rule = RepeatRule(parts, int(count) if count else None, until)
        rule.beginning(datetime(2000, 1, 1))  # noqa: DTZ001  (a wall clock has no zone)
    except ValueError:  # a day that does not exist, or something the library knows better
        raise refuse_pattern("must be an RRULE of RFC 5545 without its name, such as FREQ=WEEKLY;BYDAY=MO") from None
    return rule
