"""Recovery codes (SPEC.md section 4): check words computed apart from the library."""

from typing import Any

from hushtag._words import WORDS
from tests.reference.blake2s import blake2s

from .suite_support.fixed import octets
from .suite_support.shape import Vector, accepted, document, malformed


def _code(name: str) -> list[str]:
    drawn = [WORDS[int.from_bytes(octets(f"{name} {at}", 8), "big") % 1000] for at in range(13)]
    return _checked(drawn)


def _checked(drawn: list[str]) -> list[str]:
    number = int.from_bytes(blake2s(" ".join(drawn).encode(), 32, person=b"hushrec1")[:8], "big") % 1_000_000
    return [*drawn, WORDS[number // 1000], WORDS[number % 1000]]


def _codes() -> list[Vector]:
    codes = {
        "drawn": _code("recovery code"),
        "other": _code("other recovery code"),
        "one_word": _checked([WORDS[0]] * 13),
        "last_words": _checked(list(WORDS[-13:])),
    }
    spelt = _code("recovery code")
    numbered = "\n".join(f"{at}. {word.upper()}" for at, word in enumerate(spelt, 1))
    return [
        *(
            accepted(
                f"recovery_{name}", "words to canonical form", "phrase.recovery", {"text": " ".join(code)}, _form(code)
            )
            for name, code in codes.items()
        ),
        accepted("recovery_numbered", "as it stands on a sheet", "phrase.recovery", {"text": numbered}, _form(spelt)),
    ]


def _form(code: list[str]) -> dict[str, str]:
    return {"canonical": "recovery-v1:" + " ".join(code)}


def _refusals() -> list[Vector]:
    code = _code("recovery code")
    other = next(word for word in WORDS if word not in code)
    cases = [
        ("no_words", "nothing at all", []),
        ("fourteen", "a word too few", code[:14]),
        ("sixteen", "a word too many", [*code, other]),
        ("unlisted", "a word that is not in the list", ["hushtag", *code[1:]]),
        ("first_changed", "another first word", [other, *code[1:]]),
        ("check_changed", "another check word", [*code[:13], other, code[14]]),
        ("last_changed", "another last word", [*code[:14], other]),
        ("swapped", "two words in each other's place", [code[1], code[0], *code[2:]]),
        ("check_swapped", "the check words in each other's place", [*code[:13], code[14], code[13]]),
    ]
    return [
        malformed(f"recovery_{name}", why, "phrase.recovery", {"text": " ".join(words)}) for name, why, words in cases
    ]


_TYPED = "A made up phrase with 7 pelicans in it"
_TYPED_FORM = "a made up phrase with seven pelicans in it"


def _numbered(code: list[str], digit: str = "") -> str:
    return " ".join(f"{digit or at}. {word}" for at, word in enumerate(code, 1))


def _candidates() -> list[Vector]:
    code, other = _code("recovery code"), _code("other recovery code")
    form, plain = _form(code)["canonical"], " ".join(code)
    mistyped = [other[1], other[0], *other[2:]]  # all different: it looks drawn
    spoken = "one " + " two ".join(mistyped)
    cases: list[tuple[str, str, dict[str, object], list[str]]] = [
        ("code", "the words of a code are that code", {"transcripts": [plain.upper()]}, [form]),
        ("code_numbered", "and so are its numbered words", {"transcripts": [_numbered(code)]}, [form]),
        ("code_lines", "numbered, one a line", {"transcripts": [_numbered(code).replace(" ", "\n")]}, [form]),
        (
            "code_other_digits",
            "numbered in digits of another script",
            {"transcripts": [_numbered(code, "\u0663")]},
            [form],
        ),
        (
            "code_known_drawn",
            "whatever is known of the phrase",
            {"transcripts": [_numbered(code)], "kind": "drawn"},
            [form],
        ),
        ("code_twice", "numbered and plain is once", {"transcripts": [_numbered(code), plain]}, [form]),
        (
            "codes",
            "a phrase between two codes",
            {"transcripts": [_numbered(other), _TYPED, plain]},
            [_form(other)["canonical"], _TYPED_FORM, form],
        ),
        ("phrase_digits", "a phrase that is no code keeps its numbers", {"transcripts": [_TYPED]}, [_TYPED_FORM]),
        (
            "no_code_digits",
            "numbers between words that are no code are words",
            {"transcripts": ["1 " + " 2 ".join(mistyped)]},
            [spoken],
        ),
        (
            "unreadable_dropped",
            "one without a canonical form is dropped",
            {"transcripts": ["\u00b2", _TYPED]},
            [_TYPED_FORM],
        ),
        (
            "five_of_six",
            "the first five that are different",
            {"transcripts": [f"phrase {word}" for word in "abcabdef"]},
            [f"phrase {word}" for word in "abcde"],
        ),
    ]
    refused: list[tuple[str, str, dict[str, object]]] = [
        ("none", "no transcript", {"transcripts": []}),
        ("code_mistyped", "two words of a code exchanged: nobody enrolled that", {"transcripts": [" ".join(mistyped)]}),
        ("code_superscripts", "numbered with what is no digit", {"transcripts": [_numbered(code, "\u00b9")]}),
        (
            "free_known_drawn",
            "a made-up phrase where a drawn one is sought",
            {"transcripts": [_TYPED], "kind": "drawn"},
        ),
    ]
    operation = "phrase.candidates"
    return [
        *(
            accepted(f"candidates_{name}", why, operation, given, {"candidates": candidates})
            for name, why, given, candidates in cases
        ),
        *(malformed(f"candidates_{name}", why, operation, given) for name, why, given in refused),
    ]


def _enrolments() -> list[Vector]:
    code = _code("recovery code")
    texts = {
        "code": ("the words of a code are no phrase", " ".join(code)),
        "code_counted": ("nor are they with number words between them", " twenty one ".join(code)),
        "code_dollars": ("nor with what a sum of money is read as", "five dollars " + " oh ".join(code)),
    }
    return [
        malformed(f"enrol_{name}", why, "phrase.strength", {"canonical": text}) for name, (why, text) in texts.items()
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    made = document(
        "recovery",
        "SPEC.md section 4, implemented apart from the library",
        [*_codes(), *_refusals(), *_candidates(), *_enrolments()],
    )
    return {"phrase/recovery.json": made["suite/recovery.json"]}
