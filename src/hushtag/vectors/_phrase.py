"""The operations `phrase.…`: canonical form, candidates, self-check, strength."""

from typing import Final

from hushtag.phrase import PhraseKind, canonicalize, check_phrase, filter_candidates, passes_self_check
from hushtag.vectors._operation import Implementation

_Result = dict[str, object]


def _canonicalize(transcript: str) -> _Result:
    return {"canonical": canonicalize(transcript)}


def _candidates(transcripts: list[str], kind: PhraseKind | None = None) -> _Result:
    return {"candidates": filter_candidates(transcripts, kind=kind)}


def _self_check(canonical: str) -> _Result:
    return {"passes": passes_self_check(canonical)}


def _strength(canonical: str) -> _Result:
    return {"bits": check_phrase(canonical).bits}


OPERATIONS: Final[dict[str, Implementation]] = {
    "phrase.candidates": _candidates,
    "phrase.canonicalize": _canonicalize,
    "phrase.self_check": _self_check,
    "phrase.strength": _strength,
}
