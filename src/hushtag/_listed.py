"""Reading words of `words-v1` that somebody typed from a sheet or a screen: which word is wrong, and what it may be."""

from difflib import get_close_matches
from typing import Final

from hushtag._canonical import canonicalize, without_digits
from hushtag._words import WORDS
from hushtag.errors import ListedWordError, PhraseError

__all__ = ["LISTED", "near_words", "read_listed"]

LISTED: Final = frozenset(WORDS)
_NEAR: Final = 3
_NEAR_ENOUGH: Final = 0.6


def near_words(word: str) -> tuple[str, ...]:
    """Return at most 3 words of the list that look like this one, the nearest first."""
    return tuple(get_close_matches(word, WORDS, _NEAR, _NEAR_ENOUGH))


def read_listed(text: str, count: int) -> tuple[str, ...]:
    """Return the `count` words of the list that a text consists of, whatever its case, punctuation and numbering.

    Raises:
        PhraseError: the text has no canonical form, or another number of words.
        ListedWordError: words that are not in the list; it names their places and, apart from its message, near ones.
    """
    # A sheet numbers its words: figures are dropped before the canonical form would read them as number words.
    words = tuple(canonicalize(without_digits(text)).split(" "))
    unlisted = {place: near_words(word) for place, word in enumerate(words, 1) if word not in LISTED}
    if len(words) != count:
        raise PhraseError(f"{len(words)} words, expected {count}")
    if unlisted:
        raise ListedWordError(unlisted)
    return words
