"""The wire: one spelling per value, no unknown field, and no input that crashes a parser."""

import base64
import contextlib
import inspect
import json
import os
import re
import types
from collections.abc import Iterator
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect as inspected

from fuzz.wire_modules import WIRE_MODULES
from hushtag import messages
from hushtag.errors import MalformedError
from hushtag.messages import Account, Message, decode_binary, encode_binary

MESSAGES = [
    value
    for _, value in inspect.getmembers(messages, inspect.isclass)
    if issubclass(value, Message) and value is not Message
]
OF_EVERY_MODULE = [
    value
    for module in WIRE_MODULES
    for name, value in inspect.getmembers(module, inspect.isclass)
    # The lines of an archive are no answers: an import takes them as an export writes them.
    if issubclass(value, msgspec.Struct) and value.__module__ == module.__name__ and not name.startswith("Archived")
]
SIZES = (16, 32, 40, 64, 80, 92, 96, 112, 192, 316, 320)


@pytest.mark.parametrize("message", MESSAGES)
@given(data=st.binary(max_size=300))
def test_nocrash_any_bytes(message: type[Message], data: bytes) -> None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        assert isinstance(msgspec.json.decode(data, type=message), message)


@pytest.mark.parametrize("message", MESSAGES)
def test_unknown_fields_are_refused(message: type[Message]) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"unknown field|missing required"):
        msgspec.json.decode(json.dumps({"surprise": 1}), type=message)
    assert message.__struct_config__.forbid_unknown_fields
    assert message.__struct_config__.frozen


@pytest.mark.parametrize("size", SIZES)
def test_binary_has_one_spelling(size: int) -> None:
    field = getattr(messages, f"B{size}")
    value = os.urandom(size)
    text = encode_binary(value)
    assert msgspec.convert(text, field) == text
    assert decode_binary(text, size) == value
    padded = base64.urlsafe_b64encode(value).decode()
    wrong = [
        text[:-1],
        text + "A",
        text + "\n",
        padded + "=",
        text.replace(text[0], "+", 1),
        " " + text[1:],
        "é" + text[1:],
    ]
    if size % 3:
        # The same bytes with an unused bit set: a decoder that ignores it would accept a second spelling.
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        wrong.append(text[:-1] + alphabet[alphabet.index(text[-1]) + 1])
    for spelling in wrong:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(spelling, field)
        with pytest.raises(MalformedError):
            decode_binary(spelling, size)


def _texts(kind: object) -> Iterator[inspected.StrType]:
    """Every text with a pattern in what msgspec says of a type."""
    if isinstance(kind, inspected.StrType) and kind.pattern is not None:
        yield kind
    elif isinstance(kind, inspected.Field):
        yield from _texts(kind.type)
    elif isinstance(kind, inspected.StructType):
        yield from (text for field in kind.fields for text in _texts(field))
    elif isinstance(kind, inspected.CollectionType):
        yield from _texts(kind.item_type)
    elif isinstance(kind, inspected.UnionType):
        yield from (text for each in kind.types for text in _texts(each))


PATTERNS = sorted(
    {(text.pattern, text.max_length) for each in OF_EVERY_MODULE for text in _texts(inspected.type_info(each))}, key=str
)


@pytest.mark.parametrize(("pattern", "longest"), PATTERNS)
@settings(max_examples=5)  # what precedes the line end matters little
@given(data=st.data())
def test_a_line_end_behind_a_text_is_none_of_it(pattern: str, longest: int | None, data: st.DataObject) -> None:
    if re.search(pattern, "a\nb"):
        return  # a text of lines
    text = data.draw(st.from_regex(pattern)).removesuffix("\n")
    assert re.search(pattern, text)
    assert len(text) == longest or not re.search(pattern, text + "\n")


@given(text=st.text(max_size=40))
def test_decoding_is_total_and_inverse_to_encoding(text: str) -> None:
    try:
        value = decode_binary(text)
    except MalformedError:
        return
    assert encode_binary(value) == text


@given(value=st.binary(max_size=100))
def test_what_was_encoded_decodes(value: bytes) -> None:
    assert decode_binary(encode_binary(value)) == value
    with pytest.raises(MalformedError):
        decode_binary(encode_binary(value), len(value) + 1)


def test_the_steps_to_a_vaults_key_are_bounded() -> None:
    step = {"sealed_key": encode_binary(bytes(80)), "proof": encode_binary(bytes(32))}
    kind = next(field.type for field in msgspec.structs.fields(messages.VaultKey) if field.name == "steps")
    assert len(msgspec.convert([step] * 1000, kind)) == 1000
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert([step] * 1001, kind)


@pytest.mark.parametrize("message", OF_EVERY_MODULE)
def test_a_field_that_may_be_null_may_be_absent(message: type[msgspec.Struct]) -> None:
    fields = msgspec.structs.fields(message)
    nullable = [field for field in fields if types.NoneType in get_args(field.type)]
    for field in nullable:
        assert not field.required, field.name
        assert field.default is (msgspec.UNSET if msgspec.UnsetType in get_args(field.type) else None)
    if message.__struct_config__.omit_defaults:
        return
    # A writer that leaves out nothing goes on saying null.
    made = message(**{field.name: None for field in fields if field.required})
    said = msgspec.to_builtins(made)
    assert all(said[field.name] is None for field in nullable if field.default is None)


def test_an_account_without_its_nulls_is_one_with_them() -> None:
    whole = {
        "user_id": "3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11",
        "email": "ada@example.org",
        "created_at": "2026-11-22T18:00:00Z",
        "suite": "hushtag-v1",
        "phrase_salt": encode_binary(bytes(16)),
    }
    nulls = {"first_name": None, "last_name": None, "last_login": None}
    assert msgspec.convert(whole, Account) == msgspec.convert(whole | nulls, Account)
