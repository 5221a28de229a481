"""The strength floor: the vectors, the monotone estimate, well-known lines, and a floor that only rises."""

import math
import random
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hushtag._common_words import COMMON_WORDS
from hushtag._known_lines import LINES, RUN
from hushtag._strength import _RANKS, _word_quarters
from hushtag.errors import LimitError, MisuseError, PhraseError, WeakPhraseError
from hushtag.phrase import (
    FLOOR_BITS,
    MIN_FREE_WORDS,
    WORDS,
    Strength,
    canonicalize,
    check_phrase,
    draw_phrase,
    looks_drawn,
    passes_self_check,
)
from hushtag.recovery import draw_recovery_code
from tests.phrase.reading import examples, vectors

STRONG = "walrus juggles purple teapots beside frozen harbours"  # 70 bits, seven words
OWN_WORDS = st.lists(
    st.sampled_from([*COMMON_WORDS[::9], *STRONG.split(), "seven", "oh"]),
    min_size=MIN_FREE_WORDS,
    max_size=14,
)


@pytest.mark.parametrize("vector", vectors("strength"))
def test_vector(vector):
    canonical = vector["given"]["canonical"]
    if vector["expect"] == "malformed":
        with pytest.raises(WeakPhraseError):
            check_phrase(canonical)
    else:
        assert check_phrase(canonical).bits == vector["expected"]["bits"]


def test_fewer_than_six_words_are_refused_and_told_how_many_to_add():
    with pytest.raises(WeakPhraseError, match="has 2 words, at least 6 are needed: add 4 or more"):
        check_phrase("walrus teapots")


def test_a_weak_phrase_is_told_how_many_words_to_add_and_they_suffice():
    weak = "i love my wife and my kids very much"
    with pytest.raises(WeakPhraseError, match="add at least 1 more uncommon word,"):
        check_phrase(weak)
    assert check_phrase(f"{weak} walrus").bits >= FLOOR_BITS


def test_every_well_known_line_is_refused_alone():
    for line in LINES:
        assert canonicalize(line) == line
        why = "well-known line: add words of your own" if len(line.split()) >= MIN_FREE_WORDS else "at least 6"
        with pytest.raises(WeakPhraseError, match=why):
            check_phrase(line)


def test_there_are_a_few_hundred_lines_of_at_least_a_run():
    assert len(set(LINES)) == len(LINES) >= 200
    assert sum(len(line.split()) < RUN for line in LINES) == 0


def test_a_well_known_line_adds_no_more_than_one_word():
    line = next(line for line in LINES if len(line.split()) > 9)
    assert check_phrase(f"{STRONG} {line}").bits == check_phrase(STRONG).bits + 10


def test_the_common_words_are_canonical_and_their_credit_grows_with_their_rank():
    assert len(set(COMMON_WORDS)) == len(COMMON_WORDS) <= 1023
    assert [canonicalize(word) for word in COMMON_WORDS] == list(COMMON_WORDS)
    for word, rank in _RANKS.items():
        exact = min(math.log2(rank), 10, 4 * len(set(word)))
        assert word == "oh" or exact - 0.25 < _word_quarters(word) / 4 <= exact


@examples(300)
@given(OWN_WORDS, st.randoms(use_true_random=False))
def test_order_and_repetition_add_nothing(words, chance):
    bits = _bits(words)
    shuffled = chance.sample(words, len(words))
    assume(bits and _bits(shuffled))
    assert _bits(shuffled) == bits == _bits([*words, words[0]])


@examples(300)
@given(OWN_WORDS)
def test_no_word_counts_more_than_a_drawn_one(words):
    assert _bits(words) <= 10 * len(set(words))


def _bits(words):
    text = " ".join(words)
    try:
        return 0 if looks_drawn(text) or canonicalize(text) != text else check_phrase(text).bits
    except PhraseError:
        return 0


def test_the_floor_may_be_raised():
    assert check_phrase(STRONG, floor_bits=70).bits == 70
    with pytest.raises(WeakPhraseError, match="about 70 effective bits, 71 are needed: add at least 1 more"):
        check_phrase(STRONG, floor_bits=71)
    with pytest.raises(
        WeakPhraseError, match=r"51\.7 effective bits, 60 are needed: draw a phrase with at least 1 more"
    ):
        check_phrase(draw_phrase().text, floor_bits=60)


@pytest.mark.parametrize("floor", [49.99, 0, -1, math.nan, math.inf, -math.inf, True, "60", None, Decimal(60)])
def test_the_floor_may_never_be_lowered(floor):
    with pytest.raises(LimitError, match="raised, never lowered"):
        check_phrase(STRONG, floor_bits=floor)


@pytest.mark.parametrize("text", [STRONG.upper(), f" {STRONG}", f"{STRONG} 7", STRONG.replace(" ", "  ")])
def test_what_is_not_canonical_is_misuse(text):
    with pytest.raises(MisuseError, match="not canonical"):
        check_phrase(text)


def test_a_refusal_never_repeats_the_phrase():
    for weak in ("walrus teapots", "walrus walrus walrus walrus walrus walrus", LINES[0]):
        with pytest.raises(WeakPhraseError) as refusal:
            check_phrase(weak)
        assert not any(word in str(refusal.value).split() for word in ("walrus", "teapots", "question"))


RECOVERY = draw_recovery_code(_rng=random.Random(1).randrange)
LISTED_AND_FAILING = next(
    text for text in (" ".join(WORDS[start : start + 6]) for start in range(990)) if not passes_self_check(text)
)


@pytest.mark.parametrize(
    ("error", "text", "words"),
    [
        (
            WeakPhraseError,
            "walrus",
            "the phrase has 1 words, at least 6 are needed: add 5 or more that do not follow from the others, "
            "and put spaces between the words",
        ),
        (
            WeakPhraseError,
            "walrus teapots",
            "the phrase has 2 words, at least 6 are needed: add 4 or more that do not follow from the others",
        ),
        (
            WeakPhraseError,
            next(line for line in LINES if len(line.split()) >= MIN_FREE_WORDS),
            "the phrase is a well-known line: add words of your own that nobody would expect there",
        ),
        (
            WeakPhraseError,
            LISTED_AND_FAILING,
            "every word is of the word list, but the self-check of drawn phrases fails: "
            "let the library draw the phrase, or add a word that is not of the list",
        ),
        (
            WeakPhraseError,
            "walrus walrus walrus walrus walrus walrus",
            "the phrase has about 10 effective bits, 50 are needed: add at least 4 more uncommon words, "
            "different from the others",
        ),
        (
            WeakPhraseError,
            "walrus juggles purple teapots walrus seven",
            "the phrase has about 43 effective bits, 50 are needed: add at least 1 more uncommon word, "
            "different from the others",
        ),
        (
            WeakPhraseError,
            "walrus juggles purple walrus seven oh",
            "the phrase has about 36 effective bits, 50 are needed: add at least 2 more uncommon words, "
            "different from the others",
        ),
        (MisuseError, "My dog", "the phrase is not canonical: canonicalize it first"),
        (
            PhraseError,
            " ".join(RECOVERY.words),
            "these are the words of a recovery code; enrol it as one, or take another phrase",
        ),
    ],
)
def test_a_refusal_is_said_in_these_words(error, text, words):
    with pytest.raises(error) as refusal:
        check_phrase(text)
    assert type(refusal.value) is error
    assert str(refusal.value) == words


def test_a_drawn_phrase_below_a_raised_floor_is_to_be_drawn_longer():
    with pytest.raises(WeakPhraseError) as refusal:
        check_phrase(draw_phrase().text, floor_bits=72)
    assert str(refusal.value) == (
        "the phrase has about 51.7 effective bits, 72 are needed: draw a phrase with at least 3 more uncommon words, "
        "different from the others"
    )
    words = r"^the floor may be raised, never lowered: a finite number of at least 50 bits$"
    with pytest.raises(LimitError, match=words):
        check_phrase(STRONG, floor_bits=math.inf)
    assert check_phrase(STRONG, floor_bits=50) == Strength(70.0, 7, drawn=False)
    assert check_phrase(draw_phrase(7).text) == Strength(61.7, 7, drawn=True)
