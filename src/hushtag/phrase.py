"""Phrases: canonical form `phrase-v1`, word list `words-v1`, drawn phrases, candidates of an unlock, strength floor.

Source: SPEC.md, “Phrases”. Text in, text out; nothing here keeps, logs or repeats a phrase in a message.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, Literal

from hushtag._canonical import MAX_CODE_POINTS, canonicalize, without_digits
from hushtag._drawn import (
    DRAWN_WORDS,
    MAX_DRAWN_WORDS,
    MIN_DRAWN_WORDS,
    DrawnPhrase,
    draw_phrase,
    looks_drawn,
    passes_self_check,
)
from hushtag._strength import FLOOR_BITS, MIN_FREE_WORDS, Strength, check_phrase
from hushtag._words import WORDS
from hushtag.errors import LimitError, MisuseError, PhraseError
from hushtag.recovery import RECOVERY_MARK, recovery_form

__all__ = [
    "DRAWN_WORDS",
    "FLOOR_BITS",
    "MAX_CANDIDATES",
    "MAX_CANDIDATES_IN",
    "MAX_CODE_POINTS",
    "MAX_DRAWN_WORDS",
    "MIN_DRAWN_WORDS",
    "MIN_FREE_WORDS",
    "WORDS",
    "DrawnPhrase",
    "PhraseKind",
    "Strength",
    "candidate_form",
    "canonicalize",
    "check_phrase",
    "draw_phrase",
    "filter_candidates",
    "looks_drawn",
    "passes_self_check",
]

MAX_CANDIDATES: Final = 5
MAX_CANDIDATES_IN: Final = 100

PhraseKind = Literal["drawn", "free"]


def candidate_form(transcript: str) -> str:
    """Return what is stretched for a transcript: its canonical phrase, or the form of the recovery code that it is.

    A code is one with its words numbered, too.

    Raises:
        PhraseError: it has no canonical form.
    """
    return _code_form(transcript) or canonicalize(transcript)


def _code_form(transcript: str) -> str | None:
    # A sheet numbers the words of its code. No phrase is lost by it: `check_phrase` refuses one that, without its
    # number words, would be read as a code.
    try:
        return recovery_form(canonicalize(without_digits(transcript)))
    except PhraseError:
        return None


def filter_candidates(transcripts: Iterable[str], *, kind: PhraseKind | None = None) -> list[str]:
    """Return 1 to 5 different canonical phrases that the transcripts, best first, may stand for.

    A transcript without a canonical form is dropped; one that is a recovery code stands for itself, whatever `kind`.
    `kind` tells what is known of the phrase sought:

    * `"drawn"`: whatever `draw_phrase` cannot have returned is dropped;
    * `"free"`: nothing more is dropped;
    * `None`, unknown: what looks drawn and fails the self-check is dropped. No enrolled phrase is lost by it, because
      `check_phrase` refuses to enrol one.

    Raises:
        PhraseError: nothing is left.
        LimitError: more than 100 transcripts.
        MisuseError: a transcript is not a `str`, or `kind` is none of the three.
    """
    if kind not in {"drawn", "free", None}:
        raise MisuseError("kind is 'drawn', 'free' or None")
    offered = _bounded(transcripts)
    candidates = dict.fromkeys(canonical for canonical in map(_canonical_or_none, offered) if canonical)
    kept = [candidate for candidate in candidates if _may_be(candidate, kind)]
    if not kept:
        raise PhraseError(f"none of {len(offered)} transcripts can be the phrase: say or type it again")
    return kept[:MAX_CANDIDATES]


def _bounded(transcripts: Iterable[str]) -> list[str]:
    if isinstance(transcripts, str):
        raise MisuseError("transcripts is a collection of str, not one str")
    offered = list(islice(transcripts, MAX_CANDIDATES_IN + 1))
    if len(offered) > MAX_CANDIDATES_IN:
        raise LimitError(f"more than {MAX_CANDIDATES_IN} transcripts")
    return offered


def _canonical_or_none(transcript: str) -> str | None:
    try:
        return candidate_form(transcript)
    except PhraseError:
        return None


def _may_be(candidate: str, kind: PhraseKind | None) -> bool:
    if kind == "free" or candidate.startswith(RECOVERY_MARK):
        return True
    if looks_drawn(candidate):
        return passes_self_check(candidate)
    return kind is None
