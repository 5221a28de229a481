"""Recovery codes (SPEC.md, "Recovery codes"): a phrase of a kind of its own, drawn, written down, typed in need.

13 words of `words-v1` drawn one by one (129.5 bits) and 2 check words, which tell a client that something was mistyped,
and mostly which word, before the server is asked anything.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2s
from typing import Final, NoReturn

from hushtag import _labels
from hushtag._listed import LISTED, read_listed
from hushtag._words import WORDS
from hushtag.errors import ListedWordError, MisuseError, PhraseError

__all__ = [
    "CHECK_WORDS",
    "CODE_WORDS",
    "DRAWN_CODE_WORDS",
    "RECOVERY_BITS",
    "RECOVERY_MARK",
    "RecoveryCode",
    "draw_recovery_code",
    "parse_recovery_code",
    "recovery_form",
]

DRAWN_CODE_WORDS: Final = 13
CHECK_WORDS: Final = 2
CODE_WORDS: Final = DRAWN_CODE_WORDS + CHECK_WORDS
RECOVERY_BITS: Final = 129.5
"""log2(1000^13), rounded down to a tenth; the check words add nothing."""
RECOVERY_MARK: Final = "recovery-v1:"
"""No canonical phrase holds a digit, a hyphen or a colon: no phrase is ever a code's canonical form (tested)."""


class RecoveryCode:
    """A recovery code: 15 words. Prints redacted; `words` is for the sheet alone.

    Raises:
        PhraseError, ListedWordError: the words are no recovery code; `parse_recovery_code` says more.
    """

    __slots__ = ("_words",)

    def __init__(self, words: Sequence[str]) -> None:
        if len(words) != CODE_WORDS or not LISTED.issuperset(words):
            raise PhraseError(f"a recovery code is {CODE_WORDS} words of the list")
        if tuple(words[DRAWN_CODE_WORDS:]) != _check_words(words[:DRAWN_CODE_WORDS]):
            raise ListedWordError({}, "the words do not fit together")
        self._words = tuple(words)

    @property
    def words(self) -> tuple[str, ...]:
        """The 15 words in order, check words last."""
        return self._words

    @property
    def canonical(self) -> str:
        """What is stretched in the place of a canonical phrase: `recovery-v1:` and the words, single spaces between."""
        return RECOVERY_MARK + " ".join(self._words)

    def __eq__(self, other: object) -> bool:
        return self._words == other._words if isinstance(other, RecoveryCode) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._words)

    def __repr__(self) -> str:
        return "RecoveryCode(<redacted>)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise MisuseError("a RecoveryCode must not be pickled or copied")


def _check_words(drawn: Sequence[str]) -> tuple[str, ...]:
    digest = blake2s(" ".join(drawn).encode(), person=_labels.RECOVERY_PERSON).digest()
    number = int.from_bytes(digest[:8], "big") % len(WORDS) ** CHECK_WORDS
    return tuple(WORDS[number // len(WORDS) ** at % len(WORDS)] for at in reversed(range(CHECK_WORDS)))


def draw_recovery_code(*, _rng: Callable[[int], int] = secrets.randbelow) -> RecoveryCode:
    """Draw a recovery code; `_rng` gives an integer in `range(n)` and exists so that tests can repeat a draw."""
    drawn = [WORDS[_rng(len(WORDS))] for _ in range(DRAWN_CODE_WORDS)]
    return RecoveryCode([*drawn, *_check_words(drawn)])


def recovery_form(canonical: str) -> str | None:
    """Return the canonical form of the recovery code that a canonical phrase reads as; `None` if it is none.

    One in a million texts of 15 listed words is one by chance: drawing avoids it and enrolment refuses it, so no
    phrase and no code are ever taken for each other.
    """
    try:
        return RecoveryCode(canonical.split(" ")).canonical
    except PhraseError:
        return None


def parse_recovery_code(text: str) -> RecoveryCode:
    """Return the code that was typed from a sheet, whatever its case, numbering and line ends.

    Raises:
        PhraseError: another number of words than 15.
        ListedWordError: words are not in the list, or do not fit together. `near` maps the places of the words that
            must be wrong to what may be meant; empty if more than one word is wrong.
    """
    words = read_listed(text, CODE_WORDS)
    try:
        return RecoveryCode(words)
    except ListedWordError:
        raise ListedWordError(_single_repairs(words), "the words do not fit together") from None


def _single_repairs(words: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Return the places at which one other word makes a code, with those words.

    15 × 999 texts against a check of one in a million: what is found is by chance wrong in 1.5 % of the cases.
    """
    found: dict[int, tuple[str, ...]] = {}
    for place, word in _repairs(words):
        found[place] = (*found.get(place, ()), word)
    return found


def _repairs(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    drawn, check = list(words[:DRAWN_CODE_WORDS]), tuple(words[DRAWN_CODE_WORDS:])
    expected = _check_words(drawn)
    wrong = [at for at in range(CHECK_WORDS) if check[at] != expected[at]]
    if len(wrong) == 1:
        yield DRAWN_CODE_WORDS + wrong[0] + 1, expected[wrong[0]]
    for at, own in enumerate(drawn):
        for word in WORDS:
            if word != own and _check_words([*drawn[:at], word, *drawn[at + 1 :]]) == check:
                yield at + 1, word
