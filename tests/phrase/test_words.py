"""The word list: its digest, its distances, its words; and that every committed table is what its generator makes."""

import hashlib
import importlib
import subprocess
import sys
import unicodedata
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushtag import _words
from hushtag._numbers import NUMBER_WORDS
from hushtag.phrase import WORDS, canonicalize
from tests.phrase.reading import ROOT

SUPPORT = ROOT / "vectors" / "generators" / "phrase_support"
GENERATOR = importlib.import_module("vectors.generators.phrase_support.words")
# A published list never changes: whoever changes it makes words-v2.
DIGEST = "135b360163dab87f2a550337bfa866c885a0fe5804f8d25f4fbef76e560a7c14"


def sounds():
    rows = [line.split("\t") for line in (SUPPORT / "words-v1.tsv").read_text("utf-8").splitlines()]
    return {word: [tuple(sound.split()) for sound in variants.split("|")] for word, variants in rows}


def distance(one, other):
    """Levenshtein distance, in full: not the bounded one that chose the list."""
    row = list(range(len(other) + 1))
    for i, phone in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, against in enumerate(other, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (phone != against))
    return row[-1]


def test_the_list_is_the_published_one():
    assert hashlib.sha256("".join(f"{word}\n" for word in WORDS).encode()).hexdigest() == _words.DIGEST == DIGEST
    assert len(WORDS) == len(set(WORDS)) == 1000
    assert list(WORDS) == sorted(WORDS) == list(sounds())


def bag(phones):
    """The phones without their order; the second of a kind is another than the first."""
    return frozenset((phone, phones[:place].count(phone)) for place, phone in enumerate(phones))


def test_no_two_words_are_closer_than_four_phones():
    bags = {word: [(phones, bag(phones)) for phones in variants] for word, variants in sounds().items()}
    for ones, others in combinations(bags.values(), 2):
        for one, ours in ones:
            for other, theirs in others:
                # No edit brings more than one phone into a bag, or more than one out of it: where four differ, the
                # distance is at least four.
                if len(ours - theirs) < 4 and len(theirs - ours) < 4:
                    assert distance(one, other) >= 4, (one, other)


def test_words_have_two_or_three_syllables_and_five_to_ten_letters():
    for word, variants in sounds().items():
        assert 5 <= len(word) <= 10
        assert word.isascii()
        assert word.isalpha()
        for phones in variants:
            assert 2 <= sum(phone[0] in "AEIOU" for phone in phones) <= 3


def test_no_word_is_excluded_and_none_is_a_number():
    excluded = {
        word
        for line in (SUPPORT / "words-excluded.txt").read_text("utf-8").splitlines()
        if not line.startswith("#")
        for word in line.split()
    }
    assert len(excluded) > 1000
    assert not excluded & set(WORDS)
    assert not NUMBER_WORDS & set(WORDS)


def test_each_word_is_its_own_canonical_form():
    assert [canonicalize(word) for word in WORDS] == list(WORDS)
    assert [canonicalize(f"{word.upper()}!") for word in WORDS] == list(WORDS)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=24))
def test_the_form_of_listed_words_loses_none_of_them(words):
    assert canonicalize(", ".join(words)).split() == words


def test_the_distance_of_the_generator_is_bounded_and_right():
    some = [variants[0] for variants in sounds().values()][::40]
    for one, other in combinations(some, 2):
        assert GENERATOR.distance(one, other, limit=6) == min(distance(one, other), 6)


# The list of words takes its generator a quarter of a minute: `make check` runs it, and its digest stands above.
GENERATORS = ["frequencies"]
if unicodedata.unidata_version == "14.0.0":  # in other versions the digest in test_canonical.py checks the table alone
    GENERATORS.append("unicode_tables")


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_committed_table_is_what_its_generator_makes(generator):
    module = f"vectors.generators.phrase_support.{generator}"
    done = subprocess.run([sys.executable, "-m", module, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
