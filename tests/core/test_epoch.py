"""The epoch code: words, numbers and verdicts at their limits (SPEC.md, section 22); its values are in the vectors."""

from uuid import UUID

import pytest

from hushtag._words import WORDS
from hushtag.epoch import EpochCode, Verdict, changes_since, epoch_code, fingerprint, judge_code, parse_code
from hushtag.errors import EpochCodeError
from hushtag.head import VaultHead
from hushtag.types import DataKey

KEY, VAULT = DataKey(bytes(range(32))), UUID(int=1)


def _head(generation: int, **fields: object) -> VaultHead:
    return VaultHead(generation, 3, 1, bytes(32), **fields)  # type: ignore[arg-type]


def test_a_code_is_five_numbers_below_a_thousand() -> None:
    code = EpochCode(generation=123_456, check=789, state=12_345)
    assert code.text() == " ".join(WORDS[number] for number in (123, 456, 789, 12, 345))
    assert parse_code(code.text()) == code
    assert parse_code(f" {code.text().upper().replace(' ', ' - ', 2)},\n") == code
    assert epoch_code(KEY, VAULT, _head(41)).split()[:2] == [WORDS[0], WORDS[41]]


def test_what_is_no_code_says_why() -> None:
    five = [WORDS[0]] * 5
    for text, words in (
        ("x" * 513, "an epoch code has 5 words; this is a longer text"),
        ("x" * 512, "an epoch code has 5 words, not 1"),
        ("", "an epoch code has 5 words, not 0"),
        (" ".join([*five, WORDS[0]]), "an epoch code has 5 words, not 6"),
        (" ".join(["qqq", *five[1:]]), "word 1 is in no epoch code; compare it with the other device"),
        (" ".join([*five[:3], "qqq", "qqq"]), "word 4 is in no epoch code; compare it with the other device"),
    ):
        with pytest.raises(EpochCodeError, match=f"^{words}$"):
            parse_code(text)


def test_a_code_is_newer_or_older_up_to_half_a_million() -> None:
    code = parse_code(epoch_code(KEY, VAULT, _head(10)))
    for generation, verdict, changes in (
        (10, Verdict.SAME, 0),
        (11, Verdict.NEWER, 1),
        (10 + 499_999, Verdict.NEWER, 499_999),
        (10 + 500_000, Verdict.OLDER, 500_000),
        (9, Verdict.OLDER, 999_999),
        (10 + 1_000_000, Verdict.FORKED, 0),
        (1_000_005, Verdict.OLDER, 999_995),
    ):
        assert judge_code(KEY, VAULT, _head(generation), code) is verdict
        assert changes_since(code, _head(generation)) == changes
    assert judge_code(KEY, VAULT, _head(10), code._replace(state=(code.state + 1) % 1_000_000)) is Verdict.FORKED
    assert judge_code(KEY, VAULT, _head(10), code._replace(check=(code.check + 1) % 1000)) is Verdict.UNKNOWN


def test_a_fingerprint_commits_to_every_field_of_a_head() -> None:
    ring = b"r" * 32
    heads = [
        _head(10),
        _head(11),
        _head(10, restorations=1),
        _head(10, ring=ring),
        VaultHead(10, 4, 1, bytes(32)),
        VaultHead(10, 3, 2, bytes(32)),
        VaultHead(10, 3, 1, b"\1" * 32),
    ]
    found = [fingerprint(KEY, VAULT, head) for head in heads]
    found += [fingerprint(KEY, UUID(int=2), heads[0]), fingerprint(DataKey(bytes(32)), VAULT, heads[0])]
    assert len(set(found)) == len(found)
    assert {len(each) for each in found} == {32}
