"""Days that are still to come whenever the tests run."""

from datetime import UTC, date, datetime, timedelta

__all__ = ["COMING", "last_sunday"]

COMING = datetime.now(UTC).year + 2
"""A year that has not begun, and does not begin while the tests run."""


def last_sunday(month: int, year: int = COMING) -> date:
    """Return the day on which clocks are changed in Europe, in March and in October; both months have 31 days."""
    last = date(year, month, 31)
    return last - timedelta(days=last.isoweekday() % 7)
