"""What must hold of the rows of an archive beyond their shape: the rules that the routes of each domain keep.

One exception: a reminder may lie in the past.
"""

from datetime import datetime, timedelta
from typing import Final

from hushtag.journal_messages import MAX_TAGS
from hushtag.messages import FieldProblem
from hushtag.reminder_messages import MAX_REMINDER_YEAR, MIN_REMINDER_YEAR
from hushtag.transfer_messages import ArchivedJournal, ArchivedReminder, ArchivedTag
from hushtag_server.errors import MalformedRequestError
from hushtag_server.journal.names import check_moment, tidy_name, tidy_names
from hushtag_server.reminders.repetition import check_repetition
from hushtag_server.reminders.zones import given_zone, instant_of

__all__ = ["Checks"]

_MOST_RULES: Final = 1000


def _refuse(field: str, rule: str) -> MalformedRequestError:
    return MalformedRequestError([FieldProblem(field=field, rule=rule)])


def _check_year(moment: datetime | None, field: str) -> None:
    if moment is not None and not MIN_REMINDER_YEAR - 1 <= moment.year <= MAX_REMINDER_YEAR + 1:
        raise _refuse(field, f"must lie in the years {MIN_REMINDER_YEAR - 1} to {MAX_REMINDER_YEAR + 1}")


class Checks:
    """Looks at one row after the other and remembers what concerns them together."""

    def __init__(self) -> None:
        self._names: dict[str, None] = {}  # in order: of several spellings, the first makes the tag
        self._rules: set[str] = set()

    def tag_names(self) -> list[str]:
        """Return every tag name seen; which of them are the same tag, the database says."""
        return list(self._names)

    def _note(self, name: str, field: str) -> None:
        self._names[name] = None
        if len(self._names) > MAX_TAGS:
            raise _refuse(field, f"must not be one more: an archive spells at most {MAX_TAGS} names of tags")

    def look_at_tag(self, tag: ArchivedTag) -> None:
        """Refuse a name that is nothing but white space, and moments of no calendar."""
        self._note(tidy_name(tag.name, "$.name"), "$.name")
        check_moment(tag.created_at, "$.created_at")
        check_moment(tag.updated_at, "$.updated_at")

    def look_at_journal(self, entry: ArchivedJournal) -> None:
        """Refuse tags without a name, and moments of no calendar."""
        for place, name in enumerate(tidy_names(entry.tags)):
            self._note(name, f"$.tags[{place}]")
        for field in ("published_at", "deleted_at", "created_at", "updated_at"):
            check_moment(getattr(entry, field), f"$.{field}")

    def look_at_reminder(self, reminder: ArchivedReminder) -> None:
        """Refuse unknown zones, rules that are none, and what contradicts itself."""
        for field in ("reminder_time", "snoozed_until", "completed_at", "series_start", "occurrence_time"):
            _check_year(getattr(reminder, field), f"$.{field}")
        for field in ("created_at", "updated_at"):
            check_moment(getattr(reminder, field), f"$.{field}")
        zone = given_zone(reminder.time_zone)
        if reminder.is_completed != (reminder.completed_at is not None):
            raise _refuse("$.completed_at", "must be set where is_completed is true, and null where it is false")
        if reminder.occurrence_time < reminder.series_start:
            raise _refuse("$.occurrence_time", "must not lie before series_start")
        # Occurrences lie an hour apart or more, but for the series' first, which its rule need not name. So the numbers
        # that follow fit into their column as well: the years end first.
        hours = (reminder.occurrence_time - reminder.series_start) // timedelta(hours=1)
        if reminder.occurrence_number > hours + 2:
            raise _refuse(
                "$.occurrence_number", "must not be more than 2 and the hours from series_start to occurrence_time"
            )
        if reminder.repeat_pattern is None or reminder.repeat_pattern in self._rules:
            return
        # Looking ahead may take a quarter of a second for each different rule.
        if len(self._rules) >= _MOST_RULES:
            raise _refuse("$.repeat_pattern", f"must be one of at most {_MOST_RULES} different ones in an archive")
        check_repetition(reminder.repeat_pattern, zone, instant_of(reminder.series_start, zone))
        self._rules.add(reminder.repeat_pattern)
