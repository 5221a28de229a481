"""Numbers as English words, as a speaker of `phrase-v1` says them: without “and”.

Source: SPEC.md, “Numbers”. Only strings of ASCII digits come in; nothing longer than six digits is ever converted to
an integer.
"""

from typing import Final

__all__ = ["NUMBER_WORDS", "cardinal", "ordinal", "ordinal_suffix"]

_BELOW_TEN: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS: Final = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen")
_SMALL: Final = (*_BELOW_TEN, *_TEENS, "nineteen")
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_IRREGULAR_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_LONGEST_CARDINAL = 6
_YEARS: Final = range(1100, 2100)
_YEARS_READ_AS_CARDINALS: Final = range(2000, 2010)


def _ordinal_word(word: str) -> str:
    if word.endswith("y"):
        return word[:-1] + "ieth"
    return _IRREGULAR_ORDINALS.get(word, word + "th")


NUMBER_WORDS: Final = frozenset(
    word for base in (*_SMALL, *_TENS, "hundred", "thousand") for word in (base, _ordinal_word(base))
)
"""Every word this module writes, except the “oh” of a year, which is also an exclamation."""


def cardinal(digits: str, *, may_be_year: bool) -> str:
    """Read one or more ASCII digits as words.

    `may_be_year` is false where the number was written with a thousands comma or as an ordinal.
    """
    if _is_read_digit_by_digit(digits):
        return " ".join(_SMALL[int(digit)] for digit in digits)
    value = int(digits)
    return _year(value) if may_be_year and _is_year(value) else " ".join(_words(value))


def ordinal(digits: str) -> str:
    """Read ASCII digits that `ordinal_suffix` has a suffix for as an ordinal: `21` becomes “twenty first”."""
    *words, last = _words(int(digits))
    return " ".join([*words, _ordinal_word(last)])


def ordinal_suffix(digits: str) -> str:
    """Return the suffix English writes after these digits, or "" if they cannot be read as an ordinal."""
    if _is_read_digit_by_digit(digits):
        return ""
    if digits[-2:] in {"11", "12", "13"}:
        return "th"
    return {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")


def _is_read_digit_by_digit(digits: str) -> bool:
    return len(digits) > _LONGEST_CARDINAL or (len(digits) > 1 and digits[0] == "0")


def _is_year(value: int) -> bool:
    return value in _YEARS and value % 100 != 0 and value not in _YEARS_READ_AS_CARDINALS


def _year(value: int) -> str:
    century, year = divmod(value, 100)
    return " ".join([*_words(century), *(["oh"] if year < 10 else []), *_words(year)])


def _words(value: int) -> list[str]:
    if value < 20:
        return [_SMALL[value]]
    if value < 100:
        tens, rest = divmod(value, 10)
        return [_TENS[tens - 2], *(_words(rest) if rest else [])]
    size, name = (100, "hundred") if value < 1000 else (1000, "thousand")
    count, rest = divmod(value, size)
    return [*_words(count), name, *(_words(rest) if rest else [])]
