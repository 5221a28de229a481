"""Drawn phrases: bits, uniformity, the self-check; and the candidates of an unlock."""

import copy
import pickle
import random
import secrets
from collections import Counter
from hashlib import blake2s
from math import log2, perm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushtag import _drawn
from hushtag.errors import LimitError, MisuseError, PhraseError, WeakPhraseError
from hushtag.phrase import (
    FLOOR_BITS,
    MAX_CANDIDATES,
    MAX_CANDIDATES_IN,
    MAX_CODE_POINTS,
    MAX_DRAWN_WORDS,
    MIN_DRAWN_WORDS,
    WORDS,
    canonicalize,
    check_phrase,
    draw_phrase,
    filter_candidates,
    looks_drawn,
    passes_self_check,
)
from tests.phrase.reading import examples, vectors

CHANCE = random.Random(20240914)


def some_listed(chance=CHANCE, words=6):
    return " ".join(chance.sample(WORDS, words))


def failing():
    return next(text for text in iter(some_listed, "") if not passes_self_check(text))


@pytest.mark.parametrize("vector", vectors("self_check"))
def test_self_check_vector(vector):
    assert passes_self_check(vector["given"]["canonical"]) == vector["expected"]["passes"]


def test_the_self_check_is_the_first_byte_of_a_whole_hash():
    for text in (some_listed() for _ in range(2000)):
        first = blake2s(text.encode("utf-8"), digest_size=32, person=b"hushchk1").digest()[0]
        assert passes_self_check(text) == (first == 0)


def test_one_in_256_passes():
    passed = sum(passes_self_check(some_listed()) for _ in range(256 * 200))
    assert 140 <= passed <= 260  # 200 expected, four standard deviations either way


@pytest.mark.parametrize("words", [MIN_DRAWN_WORDS, 7, 12, MAX_DRAWN_WORDS])
def test_a_drawn_phrase_is_canonical_and_strong_enough(words):
    drawn = draw_phrase(words)
    assert canonicalize(drawn.text) == drawn.text
    assert len(drawn.text.split()) == len(set(drawn.text.split())) == words
    assert passes_self_check(drawn.text)
    strength = check_phrase(drawn.text)
    assert (strength.bits, strength.words, strength.drawn) == (drawn.effective_bits, words, True)


def test_the_bits_are_those_of_the_draw_less_the_self_check():
    assert draw_phrase().effective_bits == 51.7
    for words in range(MIN_DRAWN_WORDS, MAX_DRAWN_WORDS + 1):
        exact = log2(perm(len(WORDS), words)) - 8
        assert exact - 0.1 < _drawn.drawn_bits(words) <= exact


def test_six_is_the_least_number_of_words_that_reaches_the_floor():
    assert _drawn.drawn_bits(MIN_DRAWN_WORDS) >= FLOOR_BITS > _drawn.drawn_bits(MIN_DRAWN_WORDS - 1)


def test_the_longest_drawn_phrase_has_a_canonical_form():
    assert MAX_DRAWN_WORDS * (max(map(len, WORDS)) + 1) <= MAX_CODE_POINTS


@pytest.mark.parametrize("words", [-1, 0, 5, 25, 1000])
def test_a_number_of_words_out_of_bounds_is_refused(words):
    with pytest.raises(LimitError):
        draw_phrase(words)


def test_every_word_is_drawn_about_equally_often():
    chance = random.Random(7)
    seen = Counter(word for _ in range(400) for word in draw_phrase(24, _rng=chance.randrange).text.split())
    assert len(seen) == len(WORDS)  # 9.6 expected each
    assert max(seen.values()) < 30


def test_randomness_comes_from_the_operating_system():
    assert draw_phrase.__kwdefaults__["_rng"] is secrets.randbelow
    assert draw_phrase().text != draw_phrase().text


def test_a_drawn_phrase_does_not_print_itself_and_is_neither_pickled_nor_copied():
    drawn = draw_phrase()
    assert not any(word in repr(drawn) for word in drawn.text.split())
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(MisuseError, match=r"^a DrawnPhrase must not be pickled or copied$"):
            attempt(drawn)


@pytest.mark.parametrize("words", range(MIN_DRAWN_WORDS, MAX_DRAWN_WORDS + 1))
def test_what_a_drawn_phrase_prints_is_never_enrolled_for_it(words):
    """`f"{draw_phrase(12)}"` for `draw_phrase(12).text` would be the same phrase for everybody."""
    with pytest.raises(WeakPhraseError):
        check_phrase(canonicalize(f"{draw_phrase(words)}"))


def test_among_a_hundred_candidates_only_the_right_one_normally_survives():
    alone = 0
    for _ in range(40):
        right = draw_phrase(_rng=CHANCE.randrange).text
        heard = [right.replace(right.split()[0], word) for word in CHANCE.sample(WORDS, 99)]
        kept = filter_candidates([*heard, right], kind="drawn")
        assert right in kept
        alone += kept == [right]
    assert alone >= 15  # 0.68 expected: (255 / 256) ** 99


def test_what_cannot_have_been_drawn_is_dropped_where_the_phrase_is_drawn():
    right = draw_phrase().text
    others = [failing(), "my dog ate the blue pelican", right.rsplit(" ", 1)[0], f"{right} um {right}"]
    assert filter_candidates([*others, right.upper()], kind="drawn") == [right]


def test_nothing_readable_is_dropped_where_the_phrase_is_free():
    listed = failing()
    assert filter_candidates([listed, "\u00bd", "my dog"], kind="free") == [listed, "my dog"]


def test_only_what_looks_drawn_and_fails_is_dropped_where_nothing_is_known():
    right, listed = draw_phrase().text, failing()
    assert filter_candidates([listed, right, "my dog"]) == [right, "my dog"]


@examples(400)
@given(st.lists(st.sampled_from([*WORDS[:40], "pelicans", "juggle"]), min_size=6, max_size=9).map(" ".join))
def test_whatever_can_be_enrolled_is_found_again(text):
    try:
        check_phrase(text)
    except WeakPhraseError:
        return
    assert filter_candidates([text]) == [text]


def test_the_refused_enrolment_says_why():
    with pytest.raises(WeakPhraseError, match="self-check of drawn phrases fails"):
        check_phrase(failing())


def test_candidates_keep_their_order_and_come_once():
    assert filter_candidates(["My dog!", "a 2", "my dog", "um", "A two", "cat"]) == ["my dog", "a two", "cat"]


def test_at_most_five_candidates_are_kept_and_a_hundred_read():
    many = [f"dog {number}" for number in range(MAX_CANDIDATES_IN)]
    assert filter_candidates(many) == [canonicalize(text) for text in many[:MAX_CANDIDATES]]
    with pytest.raises(LimitError):
        filter_candidates([*many, "one more"])
    with pytest.raises(LimitError):
        filter_candidates(iter(lambda: "endless", ""))
    offered = iter([*many, "one more", "not looked at"])
    with pytest.raises(LimitError):
        filter_candidates(offered)
    assert list(offered) == ["not looked at"]


@pytest.mark.parametrize("transcripts", [[], ["um"], ["", "\u00bd", "\ud800"]])
def test_no_candidate_is_an_error(transcripts):
    with pytest.raises(PhraseError, match=f"none of {len(transcripts)} transcripts"):
        filter_candidates(transcripts)


def test_a_lone_text_is_no_collection_and_an_unknown_kind_is_misuse():
    with pytest.raises(MisuseError, match="not one str"):
        filter_candidates("my dog")
    with pytest.raises(MisuseError, match="kind"):
        filter_candidates(["my dog"], kind="other")
    with pytest.raises(MisuseError, match="is a str"):
        filter_candidates([b"my dog"])


def test_looking_drawn_takes_six_to_twenty_four_different_listed_words():
    assert looks_drawn(some_listed())
    assert looks_drawn(some_listed(words=24))
    assert not looks_drawn(some_listed(words=5))
    assert not looks_drawn(some_listed(words=25))
    assert not looks_drawn(f"{some_listed()} pelicans")
    assert not looks_drawn(some_listed().replace(" ", "\t"))
    assert not looks_drawn(" ".join([WORDS[0], *WORDS[:6]]))


def test_a_refusal_is_said_in_these_words():
    with pytest.raises(LimitError, match=r"^5 words asked for, 6 to 24 can be drawn$"):
        draw_phrase(5)
    with pytest.raises(LimitError, match=r"^more than 100 transcripts$"):
        filter_candidates(["my dog"] * 101)
    with pytest.raises(MisuseError, match=r"^transcripts is a collection of str, not one str$"):
        filter_candidates("my dog")
    with pytest.raises(MisuseError, match=r"^kind is 'drawn', 'free' or None$"):
        filter_candidates(["my dog"], kind="other")
    with pytest.raises(PhraseError, match=r"^none of 2 transcripts can be the phrase: say or type it again$"):
        filter_candidates(["um", "uh"])
