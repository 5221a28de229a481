"""Drawn phrases: words of `words-v1` chosen by the operating system's randomness, with a self-check.

Source: SPEC.md, “Drawn phrases”. The self-check is one byte of a public hash of the phrase. It costs eight bits of
strength and tells a client that it misheard before a guess is charged.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from math import floor, log2, perm
from typing import Final, NoReturn

from hushtag._labels import SELF_CHECK_PERSON
from hushtag._words import WORDS
from hushtag.errors import LimitError, MisuseError
from hushtag.recovery import recovery_form

__all__ = [
    "DRAWN_WORDS",
    "MAX_DRAWN_WORDS",
    "MIN_DRAWN_WORDS",
    "DrawnPhrase",
    "draw_phrase",
    "drawn_bits",
    "looks_drawn",
    "passes_self_check",
]

DRAWN_WORDS: Final = 6
MIN_DRAWN_WORDS: Final = 6  # the fewest that reach 50 effective bits (tested)
MAX_DRAWN_WORDS: Final = 24  # keeps the text within the 512 code points of a canonical form

_SELF_CHECK_BITS: Final = 8
_LISTED: Final = frozenset(WORDS)


@dataclass(frozen=True, slots=True, repr=False)
class DrawnPhrase:
    """A phrase to show to its owner once: canonical text, and the bits an attacker must guess. Prints redacted."""

    text: str
    effective_bits: float

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise MisuseError("a DrawnPhrase must not be pickled or copied")

    def __repr__(self) -> str:
        # Two words are below every floor: taken for the text by mistake, this is never enrolled as a phrase.
        return "DrawnPhrase(<redacted>)"


def draw_phrase(words: int = DRAWN_WORDS, *, _rng: Callable[[int], int] = secrets.randbelow) -> DrawnPhrase:
    """Draw a phrase of different words, uniformly among those that pass the self-check.

    `_rng` gives an integer in `range(n)`; it exists so that tests can repeat a draw.

    Raises:
        LimitError: fewer than 6 or more than 24 words.
    """
    if not MIN_DRAWN_WORDS <= words <= MAX_DRAWN_WORDS:
        raise LimitError(f"{words} words asked for, {MIN_DRAWN_WORDS} to {MAX_DRAWN_WORDS} can be drawn")
    while True:  # one draw in 256 passes; rejection leaves the others equally likely
        drawn = [WORDS[_rng(len(WORDS))] for _ in range(words)]
        text = " ".join(drawn)
        if looks_drawn(text) and passes_self_check(text) and recovery_form(text) is None:
            return DrawnPhrase(text, drawn_bits(words))


def drawn_bits(words: int) -> float:
    """Return the effective bits of a drawn phrase, rounded down to a tenth."""
    return floor((log2(perm(len(WORDS), words)) - _SELF_CHECK_BITS) * 10) / 10


def looks_drawn(canonical: str) -> bool:
    """Tell whether `draw_phrase` could have drawn these words, self-check aside."""
    words = canonical.split(" ")
    distinct = set(words)
    return MIN_DRAWN_WORDS <= len(words) <= MAX_DRAWN_WORDS and len(distinct) == len(words) and distinct <= _LISTED


def passes_self_check(canonical: str) -> bool:
    """Tell whether the first byte of the 32-byte BLAKE2s (person `hushchk1`, RFC 7693) of the phrase is zero."""
    return blake2s(canonical.encode(), person=SELF_CHECK_PERSON).digest()[0] == 0
