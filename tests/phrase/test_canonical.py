"""The canonical form: the vectors, its laws over all of Unicode, and what its refusals say."""

import hashlib
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hushtag.errors import MisuseError, PhraseError
from hushtag.phrase import MAX_CODE_POINTS, canonicalize
from tests.phrase.reading import REFUSED, examples, form, vectors

# Confirmed with Unicode 14.0, 15.0 and 15.1; SPEC.md has the procedure and the value.
ALL_CODE_POINTS = "95b2bb2f76a697f8231020261ed0ac402106d2852d1f5ca7fa3e15fc524d5f96"

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=40)
# Characters of all Unicode rarely meet the rules; these do, in every order.
PIECES = (
    *("$", ",", ".", "'", "\u2019", "-", " ", "&", "%", "@", "0", "1", "5", "12", "19", "00", "1967", "2005", "\u0661"),
    *("st", "nd", "rd", "th", "and", "um", "mm", "dr", "ok", "oh", "one", "hundred", "thousand", "first", "five", "e"),
    *("\u0301", "\u0345", "\u034f", "\u200d", "\ufe0f", "\u20e3", "\u00df", "\u03a3", "\u0130", "\u1fb3", "\u0149"),
    *("\u1160", "\u1112", "\u1161", "\ufb05", "\u00b4", "\u00c5", "\U0001f415", "\u30ab", "\u3099", "\u0338", "="),
)
RULE_TEXT = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@pytest.mark.parametrize("vector", vectors("canonical"))
def test_vector(vector):
    transcript = vector["given"]["transcript"]
    if vector["expect"] == "malformed":
        with pytest.raises(PhraseError):
            canonicalize(transcript)
    else:
        assert canonicalize(transcript) == vector["expected"]["canonical"]


def test_there_are_at_least_eighty_vectors():
    assert len(vectors("canonical")) >= 80


def test_every_code_point_alone_and_between_letters_as_in_every_other_unicode_version():
    digest = hashlib.sha256()
    for code_point in range(0x110000):
        character = chr(code_point)
        alone, between = form(character), form(f"a{character}b")
        digest.update(f"{code_point:04X} {alone} {between}\n".encode())
        for canonical in {alone, between} - {REFUSED, "ab", character, f"a{character}b"}:  # these are their own forms
            assert form(canonical) == canonical, f"U+{code_point:04X}"
    assert digest.hexdigest() == ALL_CODE_POINTS


@examples(1500)
@given(ANY_TEXT | RULE_TEXT)
@example("one hun'dred and five")
@example("one \u200dand\u200d five")
@example("$1,23rd")
@example("5th\u0331")
def test_total_and_idempotent(transcript):
    canonical = form(transcript)
    if canonical != REFUSED:
        assert canonicalize(canonical) == canonical
        assert 1 <= len(canonical) <= MAX_CODE_POINTS


@examples(1500)
@given(ANY_TEXT | RULE_TEXT)
def test_a_result_is_words_of_letters_and_their_marks(transcript):
    canonical = form(transcript)
    if canonical != REFUSED:
        assert unicodedata.is_normalized("NFC", canonical)
        for word in canonical.split(" "):
            assert unicodedata.category(word[0])[0] == "L"
            assert {unicodedata.category(character)[0] for character in word} <= {"L", "M"}


@examples(500)
@given(st.text("0123456789,$. ", min_size=1, max_size=MAX_CODE_POINTS))
def test_any_run_of_digits_is_read_or_too_long(transcript):
    canonical = form(transcript)
    assert canonical == REFUSED or re.fullmatch(r"[a-z ]+", canonical)


def test_lone_surrogates_are_refused_and_pairs_of_them_too():
    for units in ([0xD800], [0xDBFF], [0xDC00], [0xDFFF], [0xD83D, 0xDC15]):
        with pytest.raises(PhraseError, match=r"code point 3, U\+D[89A-F]..,"):
            canonicalize("my" + "".join(map(chr, units)))


def test_no_character_becomes_another_number_by_normalisation():
    for code_point in range(0x110000):
        normal = unicodedata.normalize("NFKC", chr(code_point))
        if normal != chr(code_point) and any(unicodedata.category(c) in {"Nl", "No"} for c in normal):
            assert form(chr(code_point)) == REFUSED


def test_as_many_digits_as_fit_are_read_without_arithmetic():
    with pytest.raises(PhraseError, match="canonical form has"):
        canonicalize("9" * MAX_CODE_POINTS)
    assert canonicalize("9" * 102) == " ".join(["nine"] * 102)


@pytest.mark.parametrize("value", [None, b"my dog", 7, ["my", "dog"]])
def test_what_is_no_text_is_misuse(value):
    with pytest.raises(MisuseError, match="not "):
        canonicalize(value)


@pytest.mark.parametrize("transcript", ["pelican \u00bd", "pelican \u0378", "pelican \ue000", "pelican" * 99])
def test_a_refusal_never_repeats_the_phrase(transcript):
    with pytest.raises(PhraseError) as refusal:
        canonicalize(transcript)
    message = str(refusal.value)
    assert "pelican" not in message
    assert message[0].islower()


def test_a_refusal_names_rule_code_point_and_place():
    with pytest.raises(PhraseError, match=r"code point 3, U\+00BD, is a number that is no decimal digit"):
        canonicalize("a \u00bd")
    with pytest.raises(PhraseError, match=r"code point 1, U\+0378, is unassigned in Unicode 14\.0"):
        canonicalize("\u0378")


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("", "no word is left: the phrase is empty or only fillers and punctuation"),
        ("um, uh!", "no word is left: the phrase is empty or only fillers and punctuation"),
        ("a" * 513, "the transcript has 513 code points, at most 512 are allowed"),
        ("9" * 103, "the canonical form has 514 code points, at most 512 are allowed"),
        ("a \u00bd", "code point 3, U+00BD, is a number that is no decimal digit; say it in words"),
        ("a\ue000", "code point 2, U+E000, is unassigned in Unicode 14.0, private use or a surrogate"),
    ],
)
def test_a_refusal_is_said_in_these_words(transcript, words):
    with pytest.raises(PhraseError) as refusal:
        canonicalize(transcript)
    assert str(refusal.value) == words


def test_a_transcript_and_its_form_reach_to_the_limit():
    assert canonicalize("a" * MAX_CODE_POINTS) == "a" * MAX_CODE_POINTS
    with pytest.raises(MisuseError, match=r"^a transcript is a str, not bytes$"):
        canonicalize(b"my dog")
