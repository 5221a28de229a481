"""Names of tags and moments as they are stored."""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import UnsetType

from hushtag.journal_messages import MAX_TAG_NAME
from hushtag.messages import FieldProblem
from hushtag_server.errors import MalformedRequestError

__all__ = ["check_moment", "tidy_name", "tidy_names"]

_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 9998  # whatever the offset, it is shown in a year of four digits


def tidy_name(name: str, field: str) -> str:
    """Return a tag's name composed (NFC) and without white space at its ends: names that look alike are alike.

    Raises:
        MalformedRequestError: nothing is left, or too much.
    """
    tidy = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(tidy) <= MAX_TAG_NAME:
        rule = f"must have 1 to {MAX_TAG_NAME} characters besides white space at its ends"
        raise MalformedRequestError([FieldProblem(field=field, rule=rule)])
    return tidy


def tidy_names(names: Sequence[str], field: str = "$.tags") -> list[str]:
    """Return each name as `tidy_name` does; which of them are the same tag, the database says.

    Raises:
        MalformedRequestError: nothing is left of one, or too much.
    """
    return [tidy_name(name, f"{field}[{place}]") for place, name in enumerate(names)]


def _in_range(moment: datetime) -> bool:
    # The second only where the first holds: the year 1 may have no time in UTC.
    return _FIRST_YEAR <= moment.year <= _LAST_YEAR and _FIRST_YEAR <= moment.astimezone(UTC).year <= _LAST_YEAR


def check_moment(moment: datetime | UnsetType | None, field: str = "$.published_at") -> None:
    """Refuse what no calendar of a journal holds.

    Raises:
        MalformedRequestError: not a moment of the years 1900 to 9998, where it was written and in UTC, in which an
            archive has it.
    """
    if isinstance(moment, datetime) and not _in_range(moment):
        rule = f"must be in the years {_FIRST_YEAR} to {_LAST_YEAR}"
        raise MalformedRequestError([FieldProblem(field=field, rule=rule)])
