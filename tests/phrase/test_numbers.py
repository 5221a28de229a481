"""Numbers as words, against a second reading written from the rules, over every number that is read as one."""

from functools import cache

import pytest

from hushtag._numbers import NUMBER_WORDS, cardinal, ordinal, ordinal_suffix
from hushtag.phrase import canonicalize

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety"


def below_hundred(number):
    if number < 20:
        return UNITS.split()[number]
    return TENS.split()[number // 10] + (f" {UNITS.split()[number % 10]}" if number % 10 else "")


@cache
def below_thousand(number):
    if number < 100:
        return below_hundred(number)
    rest = f" {below_hundred(number % 100)}" if number % 100 else ""
    return f"{below_hundred(number // 100)} hundred{rest}"


def spoken(number):
    if number < 1000:
        return below_thousand(number)
    rest = f" {below_thousand(number % 1000)}" if number % 1000 else ""
    return f"{below_thousand(number // 1000)} thousand{rest}"


def test_every_number_below_a_million_is_its_english_words():
    for number in range(1_000_000):
        assert cardinal(str(number), may_be_year=False) == spoken(number)


def test_every_four_digits_are_a_year_where_one_would_say_one():
    for number in range(1000, 10_000):
        is_year = 1100 <= number <= 2099 and number % 100 and not 2000 <= number <= 2009
        century, rest = below_hundred(number // 100), below_hundred(number % 100)
        year = f"{century} oh {rest}" if number % 100 < 10 else f"{century} {rest}"
        assert cardinal(str(number), may_be_year=True) == (year if is_year else spoken(number))


def test_ordinals_end_in_their_own_word_and_in_no_other():
    last_words = {ordinal(str(number)).split()[-1] for number in range(1100)}
    assert last_words == {word for word in NUMBER_WORDS if word[-2:] in {"st", "nd", "rd", "th"} and word != "thousand"}
    assert len(last_words) == 20 + 8 + 2
    assert len({ordinal(str(number)) for number in range(11_000)}) == 11_000


@pytest.mark.parametrize(
    ("digits", "suffix"),
    [
        *(("1", "st"), ("2", "nd"), ("3", "rd"), ("4", "th"), ("11", "th"), ("12", "th"), ("13", "th"), ("21", "st")),
        *(("111", "th"), ("1012", "th"), ("1022", "nd"), ("0", "th"), ("01", ""), ("1000001", "")),
    ],
)
def test_the_suffix_is_the_one_english_writes(digits, suffix):
    assert ordinal_suffix(digits) == suffix


def test_digits_and_words_of_one_number_are_one_phrase():
    for number in range(0, 1_000_000, 997):
        words = spoken(number)
        assert canonicalize(f"{number:,} dogs") == canonicalize(f"{words} dogs") == f"{words} dogs"
        assert canonicalize(words.replace("hundred ", "hundred and ")) == words
