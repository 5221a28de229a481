"""The strength floor of phrases: computed for drawn ones, estimated low for those a person chose.

Source: SPEC.md, “Strength”. The estimate answers one question: how many phrases does an attacker try first who goes
through words in order of their frequency, each independent of the others? It gives no credit for spelling, and to no
word more than a word drawn from the list would bring. It is a floor to reject at, not a measure to be proud of.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Final

from hushtag._canonical import canonicalize
from hushtag._common_words import COMMON_WORDS
from hushtag._drawn import drawn_bits, looks_drawn, passes_self_check
from hushtag._known_lines import KNOWN_RUNS, RUN
from hushtag._numbers import NUMBER_WORDS
from hushtag.errors import LimitError, MisuseError, PhraseError, WeakPhraseError
from hushtag.recovery import recovery_form

__all__ = ["FLOOR_BITS", "MIN_FREE_WORDS", "Strength", "check_phrase"]

FLOOR_BITS: Final = 50.0
MIN_FREE_WORDS: Final = 6

_RANKS: Final = {word: rank for rank, word in enumerate(COMMON_WORDS, 1)}
_SPOKEN_DIGITS: Final = NUMBER_WORDS | {"oh"}
_WRITTEN_OF_DIGITS: Final = _SPOKEN_DIGITS | {"dollars"}
_MOST_QUARTERS: Final = 40  # 10 bits: what one of a thousand words brings
_QUARTERS_PER_LETTER: Final = 16  # 4 bits for each different letter, so that single letters are no words
_NUMBER_QUARTERS: Final = 12  # 3 bits: a spoken digit


@dataclass(frozen=True, slots=True)
class Strength:
    """What a canonical phrase withstands: effective bits, number of words, and whether it is a drawn phrase."""

    bits: float
    words: int
    drawn: bool


def check_phrase(canonical: str, *, floor_bits: float = FLOOR_BITS) -> Strength:
    """Return the strength of a canonical phrase that may be enrolled.

    Every enrolment calls it: a phrase made of 6 to 24 different list words is refused unless it passes the
    self-check, and only so may an unlock drop candidates that look drawn and fail it.

    Raises:
        WeakPhraseError: below the floor; the message says what to add.
        PhraseError: the text has no canonical form, or is the text of a recovery code.
        MisuseError: the text is not canonical.
        LimitError: `floor_bits` is not a finite number of at least 50.
    """
    _refuse_floor(floor_bits)
    if canonicalize(canonical) != canonical:
        raise MisuseError("the phrase is not canonical: canonicalize it first")
    if _reads_as_code(canonical):
        raise PhraseError("these are the words of a recovery code; enrol it as one, or take another phrase")
    strength = _drawn_strength(canonical) if looks_drawn(canonical) else _free_strength(canonical.split(" "))
    if strength.bits < floor_bits:
        raise WeakPhraseError(_too_weak(strength, floor_bits))
    return strength


def _reads_as_code(canonical: str) -> bool:
    # A code is read with its words numbered, so what numbers make of themselves may not tell a phrase from a code.
    return recovery_form(" ".join(word for word in canonical.split(" ") if word not in _WRITTEN_OF_DIGITS)) is not None


def _refuse_floor(floor_bits: float) -> None:
    is_number = isinstance(floor_bits, int | float) and isfinite(floor_bits)
    if not is_number or floor_bits < FLOOR_BITS:
        raise LimitError(f"the floor may be raised, never lowered: a finite number of at least {FLOOR_BITS:g} bits")


def _drawn_strength(canonical: str) -> Strength:
    if not passes_self_check(canonical):
        raise WeakPhraseError(
            "every word is of the word list, but the self-check of drawn phrases fails: "
            "let the library draw the phrase, or add a word that is not of the list"
        )
    words = canonical.count(" ") + 1
    return Strength(drawn_bits(words), words, drawn=True)


def _free_strength(words: list[str]) -> Strength:
    if len(words) < MIN_FREE_WORDS:
        raise WeakPhraseError(
            f"the phrase has {len(words)} words, at least {MIN_FREE_WORDS} are needed: "
            f"add {MIN_FREE_WORDS - len(words)} or more that do not follow from the others"
            + (", and put spaces between the words" if len(words) == 1 else "")
        )
    known = _known(words)
    if all(known):
        raise WeakPhraseError("the phrase is a well-known line: add words of your own that nobody would expect there")
    return Strength(sum(_quarters(words, known)) / 4, len(words), drawn=False)


def _known(words: list[str]) -> list[bool]:
    """Tell for each word whether it is part of a run that a well-known line holds."""
    starts = [tuple(words[start : start + RUN]) in KNOWN_RUNS for start in range(len(words))]
    return [any(starts[max(0, place - RUN + 1) : place + 1]) for place in range(len(words))]


def _quarters(words: list[str], known: list[bool]) -> Iterator[int]:
    """Yield the credits in quarter bits: once for each stretch of known words, once for each other different word."""
    seen: set[str] = set()
    for place, word in enumerate(words):
        if known[place]:
            yield 0 if place and known[place - 1] else _MOST_QUARTERS
        elif word not in seen:
            yield _word_quarters(word)
        seen.add(word)


def _word_quarters(word: str) -> int:
    if word in _SPOKEN_DIGITS:
        return _NUMBER_QUARTERS
    rank = _RANKS.get(word)
    by_frequency = _MOST_QUARTERS if rank is None else (rank**4).bit_length() - 1  # floor(4 log2 rank), exactly
    return min(by_frequency, _QUARTERS_PER_LETTER * len(set(word)))


def _too_weak(strength: Strength, floor_bits: float) -> str:
    missing = ceil((floor_bits - strength.bits) * 4 / _MOST_QUARTERS)
    how = "draw a phrase with" if strength.drawn else "add"
    return (
        f"the phrase has about {strength.bits:g} effective bits, {floor_bits:g} are needed: {how} at least {missing} "
        f"more uncommon word{'s' if missing > 1 else ''}, different from the others"
    )
