"""Parsers of phrases: transcripts in, canonical text or `PhraseError` out."""

from contextlib import suppress

from fuzz.target import hold, target
from hushtag._numbers import NUMBER_WORDS, cardinal, ordinal, ordinal_suffix
from hushtag.errors import PhraseError
from hushtag.phrase import (
    MAX_CANDIDATES,
    MAX_CANDIDATES_IN,
    MAX_CODE_POINTS,
    canonicalize,
    check_phrase,
    filter_candidates,
    looks_drawn,
    passes_self_check,
)

__all__: list[str] = []


def _text(octets: bytes) -> str:
    """Return text of any bytes, lone surrogates among it: a `str` can hold them."""
    try:
        return octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return octets.decode("utf-8", "replace")


@target
def canonical_phrase(octets: bytes) -> None:
    """The canonical form is idempotent, 1 to 512 code points, and words with one space between."""
    try:
        canonical = canonicalize(_text(octets))
    except PhraseError:
        return
    hold(canonicalize(canonical) == canonical, "canonicalisation is idempotent")
    hold(1 <= len(canonical) <= MAX_CODE_POINTS, "a canonical form has 1 to 512 code points")
    hold(canonical == " ".join(canonical.split()), "a canonical form is words and single spaces")
    hold(not any(sign.isdecimal() for sign in canonical), "a canonical form has no digit")
    hold(canonical.encode("utf-8"), "a canonical form is valid Unicode")


@target
def transcript_candidates(octets: bytes) -> None:
    """Candidates are few, different and canonical; what could be enrolled is never dropped."""
    transcripts = [_text(line) for line in octets.split(b"\n")][:MAX_CANDIDATES_IN]
    for kind in (None, "free", "drawn"):
        with suppress(PhraseError):
            found = filter_candidates(transcripts, kind=kind)  # type: ignore[arg-type]  # one of the three
            hold(1 <= len(found) <= MAX_CANDIDATES, "1 to 5 candidates")
            hold(len(set(found)) == len(found), "candidates differ")
            hold(all(canonicalize(phrase) == phrase for phrase in found), "candidates are canonical")


@target
def phrase_strength(octets: bytes) -> None:
    """Whatever may be enrolled is found again by an unlock that knows nothing of it."""
    try:
        canonical = canonicalize(_text(octets))
        strength = check_phrase(canonical)
    except PhraseError:
        return
    hold(strength.bits >= 0, "a strength is no negative number")
    hold(filter_candidates([canonical]) == [canonical], "what was enrolled is a candidate")
    hold(not looks_drawn(canonical) or passes_self_check(canonical), "a drawn phrase passes its self-check")


@target
def spoken_numbers(octets: bytes) -> None:
    """Any run of ASCII digits is read as number words, and reading the words again changes nothing."""
    digits = "".join(chr(48 + octet % 10) for octet in octets[:40])
    if not digits:
        return
    for may_be_year in (True, False):
        words = cardinal(digits, may_be_year=may_be_year)
        hold({*words.split()} <= NUMBER_WORDS | {"oh"}, "a number is number words")
    if ordinal_suffix(digits):
        hold({*ordinal(digits).split()} <= NUMBER_WORDS, "an ordinal is number words")
    with suppress(PhraseError):
        hold(canonicalize(digits) == canonicalize(canonicalize(digits)), "a number is canonical")
