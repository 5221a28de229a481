"""Field and rule of what a decoder refuses, in plain English; nothing that was sent is repeated.

msgspec says what it expected in words of Python ("Expected `str` matching regex …"), which whoever calls the interface
or uses the command may not know. What stands between backticks or quotes in its messages may be the caller's, and is
dropped.
"""

import re
from ast import literal_eval
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from hushtag.messages import END, FieldProblem

__all__ = ["field_problem", "pattern_words"]

_MESSAGE: Final = re.compile(
    r"(?:Expected `(?P<kinds>[a-z0-9 |]+)`(?P<more> .*?)?(?:, got `[a-z0-9 |]+`)?"
    r"|Object missing required field `(?P<missing>[a-z_0-9]+)`"
    r"|Object contains (?P<unknown>unknown field) `.*?`"
    r"|Invalid (?P<value>enum value) (?:'.*'|-?[0-9]+)"
    r"|Invalid (?P<form>[A-Za-z0-9 ]+))"
    r"(?: - at `(?P<path>(?:\$|key)[a-z_0-9.\[\]]*)`)?",
    re.DOTALL,
)
_STEP: Final = re.compile(r"\.([a-z_0-9]+)|\[[^\]]*\]")

_KINDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "uuid": "a UUID",
    "date": "a date, such as 2026-11-22",
    "datetime": "a time with its zone, such as 2026-11-22T18:00:00Z",
}
_FORMS: Final = {
    "UUID": _KINDS["uuid"],
    "RFC3339 encoded date": _KINDS["date"],
    "RFC3339 encoded datetime": _KINDS["datetime"],
}
_LENGTH: Final = re.compile(r" of length (>=|<=) ([0-9]+)")
_BOUND: Final = re.compile(r" (>=|<=) (-?[0-9]+)")
_PATTERN: Final = re.compile(r" matching regex (.*)", re.DOTALL)

# Every pattern of a message or parameter, in words; tests/server/test_query_rules.py looks whether one is missing.
_NO_NUL: Final = "must be text without the character NUL"
_DIGITS: Final = "must be a whole number in decimal digits, without a zero before it"
_DIGITS_ABOVE_0: Final = "must be a whole number above 0 in decimal digits, without a zero before it"
_ZONE: Final = "must be the name of a time zone of the IANA database, such as Europe/Berlin"
_PATTERNS: Final = {
    r"^[^\x00]*$": _NO_NUL,
    r"^[^@\s\x00]+@[^@\s\x00]+$": "must be an email address: a name, one @ and a host, without white space",
    r"^#[0-9A-Fa-f]{6}$": "must be a colour, such as #1e90ff",
    r"^[A-Za-z0-9_+/-]*$": _ZONE,
    r"^[A-Za-z0-9_+/-]+$": _ZONE,
    r"^[A-Za-z0-9=;,+:-]*$": "must be an RRULE of RFC 5545 without its name, such as FREQ=WEEKLY;BYDAY=MO",
    r"^[a-z_]+$": "must have no other characters than a to z and _",
    r"^[a-z0-9-]+$": "must have no other characters than a to z, digits and -",
    r"^[0-9a-f]{64}$": "must be 64 hexadecimal digits, with small letters",
    r"^[0-9a-f-]{36}$": "must be a UUID, with small letters",
    r"^[A-Za-z0-9_-]+$": "must be base64url without padding",
    r"^[A-Za-z0-9_-]{80,}$": "must be 60 bytes or more in base64url without padding",
    r"^[A-Za-z0-9_-]{64}\.ics$": "must be 48 bytes in base64url without padding, then .ics",
    r"^htp1[oadr]\.[A-Za-z0-9_-]+$": "must be a text that pairing gave out, which begins with htp1",
}
_ONE_OF: Final = re.compile(r"\^\(?([A-Za-z_]+(?:\|[A-Za-z_]+)*)\)?\$")
_BASE64URL: Final = re.compile(r"\^\[A-Za-z0-9_-\]\{([0-9]+)\}(\[[A-Za-z0-9]+\])?\$")
_DECIMAL: Final = re.compile(r"\^(?:0\|)?\(?(?:0\|)?\[1-9\]\[0-9\]\{0,[0-9]+\}\)?\$")


def _one_of(values: Any) -> str:
    *others, last = map(str, values)
    return f"must be one of {', '.join(others)} and {last}" if others else f"must be {last}"


def pattern_words(pattern: str) -> str | None:
    """Return the rule of a pattern in words; None for one that has none here."""
    pattern = pattern.replace(END, "$")
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    if found := _ONE_OF.fullmatch(pattern):
        return _one_of(found[1].split("|"))
    if found := _BASE64URL.fullmatch(pattern):
        return f"must be {(int(found[1]) + bool(found[2])) * 3 // 4} bytes in base64url without padding"
    if not _DECIMAL.fullmatch(pattern):
        return None
    return _DIGITS if "0|" in pattern else _DIGITS_ABOVE_0


def _spelt_out(shown: str) -> str:
    # msgspec shows a pattern, which is one of ours, as Python would.
    try:
        pattern = literal_eval(shown)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return pattern if isinstance(pattern, str) else ""


def _bounded(kind: str, sign: str, most: str) -> str:
    what = {"str": "character", "array": "item"}.get(kind, "entry")
    plural = {"entry": "entries"}.get(what, f"{what}s")
    return f"must have at {'least' if sign == '>=' else 'most'} {most} {what if most == '1' else plural}"


def _expected(kinds: str, more: str) -> str:
    if found := _LENGTH.fullmatch(more):
        return _bounded(kinds, found[1], found[2])
    if found := _BOUND.fullmatch(more):
        return f"must be {found[2]} or {'more' if found[1] == '>=' else 'less'}"
    if found := _PATTERN.fullmatch(more):
        return pattern_words(_spelt_out(found[1])) or "must have the form that the interface's description gives"
    if more == " with no timezone component":
        return "must be a time without zone, such as 2026-11-22T18:00:00"
    return "must be " + " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))


def _inside(kind: Any) -> Iterator[Any]:
    """Yield the types a type stands for: those of a union, without what annotates them."""
    if hasattr(kind, "__metadata__"):
        yield from _inside(get_args(kind)[0])
    elif get_origin(kind) is Literal or get_origin(kind) is list or not get_args(kind):
        yield kind
    else:
        for each in get_args(kind):
            yield from _inside(each)


@lru_cache(maxsize=128)
def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(struct)}


def _kinds_at(kind: Any, path: str) -> list[Any]:
    """Return the types of what stands at a path of a message, as far as structs and lists lead there."""
    kinds = [*_inside(kind)]
    for step in _STEP.finditer(path.removeprefix("$")):
        if step[1] is None:
            kinds = [inner for each in kinds if get_origin(each) is list for inner in _inside(get_args(each)[0])]
        else:
            structs = [each for each in kinds if isinstance(each, type) and issubclass(each, msgspec.Struct)]
            kinds = [inner for each in structs for inner in _inside(_fields(each).get(step[1], Any))]
    return kinds


def _literals(kinds: list[Any]) -> list[Any]:
    return [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]


def _no_others(kinds: list[Any]) -> str:
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return f"must have no other fields than {', '.join(_fields(kind))}"
    return "must not have unknown fields"


def field_problem(message: str, kind: Any = None) -> FieldProblem:
    """Turn a message of msgspec, which was to decode a `kind`, into field and rule."""
    found = _MESSAGE.fullmatch(message)
    if found is None:
        return FieldProblem(field="$", rule="is malformed")
    path = found["path"] or "$"
    if found["missing"]:
        return FieldProblem(field=f"{path}.{found['missing']}", rule="is required")
    kinds = _kinds_at(kind, path)
    if found["unknown"]:
        return FieldProblem(field=path, rule=_no_others(kinds))
    if found["value"]:
        values = _literals(kinds)
        return FieldProblem(field=path, rule=_one_of(values) if values else "is malformed")
    if found["form"]:
        return FieldProblem(field=path, rule=f"must be {_FORMS.get(found['form'], 'a valid ' + found['form'])}")
    return FieldProblem(field=path, rule=_expected(found["kinds"], found["more"] or ""))
