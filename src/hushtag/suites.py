"""The suite: one id fixes every parameter in code, so nobody can negotiate any of them down (SPEC.md, "Suite").

No parameter ever comes from the server. The client looks a suite id up here before it touches a phrase.
"""

from dataclasses import dataclass
from typing import Final

from hushtag.errors import UnknownSuiteError

__all__ = ["HUSHTAG_V1", "Suite", "suite_by_id"]


@dataclass(frozen=True, slots=True)
class Suite:
    """Parameters of one suite; sizes in bytes, memory in KiB."""

    id: str
    phrase_form: str
    word_list: str
    stretch_memory: int
    stretch_passes: int
    stretch_lanes: int
    stretch_length: int
    salt_length: int


HUSHTAG_V1: Final = Suite(
    id="hushtag-v1",
    phrase_form="phrase-v1",
    word_list="words-v1",
    stretch_memory=65536,
    stretch_passes=3,
    stretch_lanes=4,
    stretch_length=32,
    salt_length=16,
)

_SUITES: Final = {HUSHTAG_V1.id: HUSHTAG_V1}


def suite_by_id(suite_id: str) -> Suite:
    """Return the suite of that id.

    Raises:
        UnknownSuiteError: this version does not implement it.
    """
    try:
        return _SUITES[suite_id]
    except (KeyError, TypeError):
        raise UnknownSuiteError("the server asks for a suite this version does not implement") from None
