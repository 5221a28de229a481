"""What a decoder refused is said in plain English: the field by its name on the wire, and the rule."""

import msgspec
import pytest

from hushtag.field_rules import field_problem
from hushtag.journal_messages import NewJournals

CANARY = "canary-7fa9"


@pytest.mark.parametrize(
    ("message", "field", "rule"),
    [
        ("Expected `str`, got `int` - at `$.email`", "$.email", "must be text"),
        ("Expected `int | null`, got `str` - at `$.mood_rating`", "$.mood_rating", "must be a whole number or null"),
        ("Expected `str` of length >= 10 - at `$.password`", "$.password", "must have at least 10 characters"),
        ("Expected `str` of length >= 1 - at `$.title`", "$.title", "must have at least 1 character"),
        ("Expected `array` of length <= 5 - at `$.elements`", "$.elements", "must have at most 5 items"),
        ("Expected `int` >= 1 - at `$.candidates[...].x`", "$.candidates[...].x", "must be 1 or more"),
        ("Expected `str` matching regex '^(terms|privacy)$'", "$", "must be one of terms and privacy"),
        (r"Expected `str` matching regex '^[^\\x00]*$'", "$", "must be text without the character NUL"),
        (
            "Expected `datetime` with a timezone component - at `$.until`",
            "$.until",
            "must be a time with its zone, such as 2026-11-22T18:00:00Z",
        ),
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
