"""The operations `phrase.…`: canonical form, self-check, strength."""

from typing import Final

from hushtag.phrase import canonicalize, check_phrase, passes_self_check
from hushtag.vectors._operation import Implementation

_Result = dict[str, object]


def _canonicalize(transcript: str) -> _Result:
    return {"canonical": canonicalize(transcript)}


def _self_check(canonical: str) -> _Result:
    return {"passes": passes_self_check(canonical)}


def _strength(canonical: str) -> _Result:
    return {"bits": check_phrase(canonical).bits}


OPERATIONS: Final[dict[str, Implementation]] = {
    "phrase.canonicalize": _canonicalize,
    "phrase.self_check": _self_check,
    "phrase.strength": _strength,
}
