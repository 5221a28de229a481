"""What a decoder refused is said in plain English: the field by its name on the wire, and the rule."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from hushtag.field_rules import field_problem
from hushtag.journal_messages import NewJournals
from hushtag.messages import Message

CANARY = "canary-7fa9"


@pytest.mark.parametrize(
    ("message", "field", "rule"),
    [
        ("Expected `str`, got `int` - at `$.email`", "$.email", "must be text"),
        ("Expected `int | null`, got `str` - at `$.mood_rating`", "$.mood_rating", "must be a whole number or null"),
        ("Expected `str` of length >= 10 - at `$.password`", "$.password", "must have at least 10 characters"),
        ("Expected `str` of length >= 1 - at `$.title`", "$.title", "must have at least 1 character"),
        ("Expected `array` of length <= 5 - at `$.elements`", "$.elements", "must have at most 5 items"),
        ("Expected `array` of length >= 1 - at `$.elements`", "$.elements", "must have at least 1 item"),
        ("Expected `object` of length <= 2 - at `$.x`", "$.x", "must have at most 2 entries"),
        ("Expected `object` of length >= 1 - at `$.x`", "$.x", "must have at least 1 entry"),
        ("Expected `int` >= 1 - at `$.candidates[...].x`", "$.candidates[...].x", "must be 1 or more"),
        ("Expected `int` <= 5 - at `$.mood_rating`", "$.mood_rating", "must be 5 or less"),
        ("Expected `decimal | str`", "$", "must be decimal or text"),
        ("Expected `str` matching regex '^(terms|privacy)$'", "$", "must be one of terms and privacy"),
        ("Expected `str` matching regex '^vault_data$'", "$", "must be vault_data"),
        ("Expected `str` matching regex '^(a|b|c)$'", "$", "must be one of a, b and c"),
        (
            "Expected `str` matching regex '^[A-Za-z0-9_-]{21}[AQgw]$'",
            "$",
            "must be 16 bytes in base64url without padding",
        ),
        ("Expected `str` matching regex '^[A-Za-z0-9_-]{128}$'", "$", "must be 96 bytes in base64url without padding"),
        (
            "Expected `str` matching regex '^(0|[1-9][0-9]{0,18})$'",
            "$",
            "must be a whole number in decimal digits, without a zero before it",
        ),
        (
            "Expected `str` matching regex '^[1-9][0-9]{0,18}$'",
            "$",
            "must be a whole number above 0 in decimal digits, without a zero before it",
        ),
        ("Expected `str` matching regex '^(a|b|c)'", "$", "must have the form that the interface's description gives"),
        (r"Expected `str` matching regex '^[^\\x00]*$'", "$", "must be text without the character NUL"),
        (
            "Expected `datetime` with a timezone component - at `$.until`",
            "$.until",
            "must be a time with its zone, such as 2026-11-22T18:00:00Z",
        ),
        (
            "Expected `datetime` with no timezone component - at `$.until`",
            "$.until",
            "must be a time without zone, such as 2026-11-22T18:00:00",
        ),
        ("Invalid base64 encoded string - at `$.x`", "$.x", "must be a valid base64 encoded string"),
        ("Invalid RFC3339 encoded date - at `$.from`", "$.from", "must be a date, such as 2026-11-22"),
        ("Object missing required field `email`", "$.email", "is required"),
        (f"Object contains unknown field `{CANARY}` - at `$.vault`", "$.vault", "must not have unknown fields"),
        (f"Invalid enum value '{CANARY}' - at `$.x`", "$.x", "is malformed"),
        ("Invalid UUID - at `$.tag_id`", "$.tag_id", "must be a UUID"),
        (f"{CANARY}", "$", "is malformed"),
        ("Expected `str` matching regex [1]", "$", "must have the form that the interface's description gives"),
        ("Expected `str` matching regex '", "$", "must have the form that the interface's description gives"),
    ],
)
def test_a_decoders_message_becomes_field_and_rule(message: str, field: str, rule: str) -> None:
    problem = field_problem(message)
    assert (problem.field, problem.rule) == (field, rule)


class _Inner(Message, frozen=True):
    way: Literal["up", "down"] | None = None


class _Outer(Message, frozen=True):
    inner: str | _Inner | None = None
    levels: Annotated[list[Annotated[Literal[1, 2, 3], Meta(title="a level")]], Meta(max_length=9)] | None = None
    parts: list[_Inner] | None = None


@pytest.mark.parametrize(
    ("content", "field", "rule"),
    [
        (b'{"inner": {"way": "canary-7fa9"}}', "$.inner.way", "must be one of up and down"),
        (b'{"levels": [1, 4]}', "$.levels[1]", "must be one of 1, 2 and 3"),
        (b'{"parts": [{"way": "canary-7fa9"}]}', "$.parts[0].way", "must be one of up and down"),
        (b'{"inner": {"canary-7fa9": 1}}', "$.inner", "must have no other fields than way"),
        (b'{"canary-7fa9": 1}', "$", "must have no other fields than inner, levels, parts"),
    ],
)
def test_what_is_allowed_is_found_inside_unions_lists_and_notes(content: bytes, field: str, rule: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(content, type=_Outer)
    problem = field_problem(str(caught.value), _Outer)
    assert (problem.field, problem.rule) == (field, rule)


@pytest.mark.parametrize(
    ("content", "field", "beginning"),
    [
        (b'{"canary-7fa9": 1}', "$", "must have no other fields than journals"),
        (b'{"journals": [{"title": "a", "canary-7fa9": 1}]}', "$.journals[0]", "must have no other fields than title,"),
        (b'{"journals": [{"title": "a"}, {"title": ""}]}', "$.journals[1].title", "must have at least 1 character"),
    ],
)
def test_an_unknown_field_is_answered_with_the_known_ones(content: bytes, field: str, beginning: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(content, type=NewJournals)
    problem = field_problem(str(caught.value), NewJournals)
    assert problem.field == field
    assert problem.rule.startswith(beginning)
    assert CANARY not in problem.rule
