"""Recovery codes: drawn with 129 bits, never taken for a phrase, and a mistyped one is noticed on the device."""

import math
import pickle
import random
from hashlib import blake2s

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushtag import _drawn
from hushtag._words import WORDS
from hushtag.errors import HushtagError, ListedWordError, MisuseError, PhraseError
from hushtag.phrase import candidate_form, canonicalize, check_phrase, draw_phrase, filter_candidates
from hushtag.recovery import (
    CODE_WORDS,
    DRAWN_CODE_WORDS,
    RECOVERY_BITS,
    RecoveryCode,
    _check_words,
    draw_recovery_code,
    parse_recovery_code,
    recovery_form,
)

CODE = draw_recovery_code(_rng=random.Random(1).randrange)


def test_a_code_has_the_bits_it_says() -> None:
    assert math.floor(math.log2(len(WORDS) ** DRAWN_CODE_WORDS) * 10) / 10 == RECOVERY_BITS >= 128
    assert len(CODE.words) == CODE_WORDS
    assert len({draw_recovery_code() for _ in range(50)}) == 50


def test_every_word_of_the_list_can_be_drawn_at_every_place() -> None:
    for index in (0, 499, 999):
        code = draw_recovery_code(_rng=lambda n, index=index: index if n == 1000 else -1)
        assert code.words[:DRAWN_CODE_WORDS] == (WORDS[index],) * DRAWN_CODE_WORDS


def test_however_it_is_written_it_is_the_same_code() -> None:
    numbered = "\n".join(f"{at:2}. {word.title()}," for at, word in enumerate(CODE.words, 1))
    for written in (" ".join(CODE.words), "  ".join(CODE.words).upper(), numbered):
        assert parse_recovery_code(written) == CODE
        assert parse_recovery_code(written).canonical == "recovery-v1:" + " ".join(CODE.words)


@given(st.text(max_size=200))
def test_no_phrase_has_the_canonical_form_of_a_code(text: str) -> None:
    try:
        canonical = canonicalize(text)
    except PhraseError:
        return
    assert not set(canonical) & set("0123456789-:")
    assert canonical != CODE.canonical


def test_the_words_of_a_code_are_recognised_and_other_words_are_not() -> None:
    assert recovery_form(" ".join(CODE.words)) == CODE.canonical
    assert recovery_form(" ".join(reversed(CODE.words))) is None
    assert recovery_form(" ".join(CODE.words[:-1])) is None
    assert recovery_form(draw_phrase(15).text) is None
    assert recovery_form(CODE.canonical) is None
    assert recovery_form("\t".join(CODE.words)) is None


@pytest.mark.parametrize("place", range(1, CODE_WORDS + 1))
def test_one_wrong_word_is_found_and_the_right_one_suggested(place: int) -> None:
    wrong = list(CODE.words)
    wrong[place - 1] = next(word for word in WORDS[place:] if word != CODE.words[place - 1])
    with pytest.raises(ListedWordError, match=rf"^the words do not fit together: word .*\b{place}\b") as caught:
        parse_recovery_code(" ".join(wrong))
    assert CODE.words[place - 1] in caught.value.near[place]
    assert sum(map(len, caught.value.near.values())) <= 3  # others fit by chance, one in a million each
    assert not any(word in str(caught.value) for word in wrong)


def test_two_wrong_words_are_noticed() -> None:
    for first in range(5):
        wrong = list(CODE.words)
        wrong[first], wrong[first + 7] = wrong[first + 7], wrong[first]
        with pytest.raises(ListedWordError, match="do not fit together"):
            parse_recovery_code(" ".join(wrong))


def test_a_word_outside_the_list_is_named_by_its_place_with_near_ones() -> None:
    typed = [*CODE.words]
    typed[3], typed[9] = "umbrela", "zzzyx"
    with pytest.raises(ListedWordError, match=r"^not in the word list: word 4, 10$") as caught:
        parse_recovery_code(" ".join(typed))
    assert caught.value.near[4][0] == "umbrella"
    assert caught.value.near[10] == ()


@pytest.mark.parametrize("words", [CODE.words[:-1], (*CODE.words, "umbrella"), ("umbrella",)])
def test_another_number_of_words_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(PhraseError, match=rf"^{len(words)} words, expected 15$"):
        parse_recovery_code(" ".join(words))


@given(st.text(max_size=300))
def test_any_text_is_a_typed_error(text: str) -> None:
    with pytest.raises(HushtagError):
        parse_recovery_code(text)


@pytest.mark.parametrize("kind", ["drawn", "free", None])
def test_a_code_among_transcripts_stands_for_itself(kind) -> None:
    drawn = draw_phrase().text
    assert candidate_form(" ".join(CODE.words).upper()) == CODE.canonical
    assert filter_candidates([" ".join(CODE.words), drawn], kind=kind) == [CODE.canonical, drawn]


@pytest.mark.parametrize("mark", ["{}. {}", "{}\n{}", "({}) {}"])
def test_a_code_is_read_as_it_stands_on_its_sheet(mark: str) -> None:
    numbered = " ".join(mark.format(at, word) for at, word in enumerate(CODE.words, 1))
    assert candidate_form(numbered) == CODE.canonical
    assert candidate_form(numbered.translate({0x31: 0xFF11, 0x32: 0x662})) == CODE.canonical  # digits of other scripts
    with pytest.raises(PhraseError, match=r"U\+00B2, is a number that is no decimal digit"):
        candidate_form(numbered.replace("2", "²"))


def test_a_phrase_with_numbers_keeps_them() -> None:
    text = "1 " + " 2 ".join((*CODE.words[1:], CODE.words[0]))
    assert candidate_form(text) == canonicalize(text) != canonicalize(text.replace("1", ""))


@pytest.mark.parametrize("between", [" 7 ", " $5 ", " 1905 ", " twenty "])
def test_what_would_be_read_as_a_code_without_its_numbers_is_not_enrolled(between: str) -> None:
    with pytest.raises(PhraseError, match="recovery code"):
        check_phrase(canonicalize(between.join(CODE.words)))


def test_the_words_of_a_code_cannot_be_enrolled_as_a_phrase(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhraseError, match="recovery code"):
        check_phrase(" ".join(CODE.words))
    drawn = draw_phrase(15).text
    refused = iter([drawn])
    monkeypatch.setattr(_drawn, "recovery_form", lambda text: next(refused, None))
    assert draw_phrase(15).text != drawn


def test_a_code_does_not_show_itself() -> None:
    assert repr(CODE) == str(CODE) == f"{CODE}" == "RecoveryCode(<redacted>)"
    with pytest.raises(MisuseError):
        pickle.dumps(CODE)
    with pytest.raises(PhraseError):
        RecoveryCode(("umbrella",) * 14 + ("hushtag",))


def test_a_refusal_is_said_in_these_words() -> None:
    for words in (CODE.words[:-1], (*CODE.words[:-1], "hushtag")):
        with pytest.raises(PhraseError, match=r"^a recovery code is 15 words of the list$"):
            RecoveryCode(words)
    swapped = (CODE.words[1], CODE.words[0], *CODE.words[2:])
    with pytest.raises(ListedWordError, match=r"^the words do not fit together$") as caught:
        RecoveryCode(swapped)
    assert caught.value.near == {}
    with pytest.raises(MisuseError, match=r"^a RecoveryCode must not be pickled or copied$"):
        pickle.dumps(CODE)
    assert RecoveryCode(CODE.words) == CODE
    assert hash(CODE) == hash(RecoveryCode(CODE.words))
    assert len({hash(draw_recovery_code()) for _ in range(10)}) > 1
    assert CODE.words != CODE


def test_the_check_words_are_of_a_public_hash() -> None:
    digest = blake2s(" ".join(CODE.words[:13]).encode(), person=b"hushrec1").digest()
    number = int.from_bytes(digest[:8]) % 1_000_000
    assert CODE.words[13:] == (WORDS[number // 1000], WORDS[number % 1000])


def test_every_word_that_would_fit_at_a_place_is_suggested() -> None:
    """Two words in a thousand at one place have the same check about every other time: then both may be meant."""
    for rest in (WORDS[start : start + 12] for start in range(100)):
        fitting: dict[tuple[str, ...], list[str]] = {}
        for word in WORDS:
            fitting.setdefault(_check_words([word, *rest]), []).append(word)
        check, words = next(((check, words) for check, words in fitting.items() if len(words) > 1), ((), []))
        if words:
            break
    wrong = next(word for word in WORDS if word not in words)
    with pytest.raises(ListedWordError) as caught:
        parse_recovery_code(" ".join([wrong, *rest, *check]))
    assert caught.value.near[1] == tuple(words)
