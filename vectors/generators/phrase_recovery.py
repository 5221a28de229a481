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


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    made = document("recovery", "SPEC.md section 4, implemented apart from the library", [*_codes(), *_refusals()])
    return {"phrase/recovery.json": made["suite/recovery.json"]}
