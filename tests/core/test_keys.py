"""Wrapped keys, labels and the vault head: every bit and every place is bound."""

import os
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hushtag.errors import AuthenticationError, LimitError, MalformedError, RollbackError
from hushtag.head import HEAD_LENGTH, VaultHead, open_head, seal_head, set_element, set_hash, set_key
from hushtag.keys import (
    derive_kek,
    derive_tag_key_pair,
    derive_vault_token,
    generate_data_key,
    unwrap_key,
    wrap_key,
)
from hushtag.tag_label import MAX_LABEL_BYTES, SEALED_LABEL_LENGTH, open_label, seal_label
from hushtag.types import DataKey, ExportKey, KeyEncryptionKey, SessionKey, WrappedKey

EXPORT_BYTES = os.urandom(64)
TAG, VAULT = uuid4(), uuid4()


def _kek(**changes: object) -> KeyEncryptionKey:
    place: dict[str, object] = {"salt": bytes(16), "tag_id": TAG, "vault_id": VAULT, "key_version": 1}
    return derive_kek(ExportKey(EXPORT_BYTES), **(place | changes))  # type: ignore[arg-type]  # changed one at a time


def test_every_flipped_bit_of_a_wrapped_key_is_refused() -> None:
    data_key = generate_data_key()
    wrapped = wrap_key(_kek(), data_key)
    for bit in range(len(wrapped) * 8):
        flipped = bytearray(wrapped)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            unwrap_key(_kek(), WrappedKey(bytes(flipped)))
    assert unwrap_key(_kek(), wrapped) == data_key


@pytest.mark.parametrize(
    "change",
    [
        {"salt": b"\1" + bytes(15)},
        {"tag_id": uuid4()},
        {"vault_id": uuid4()},
        {"key_version": 2},
        {"purpose": "vault_other"},
        {"tag_id": VAULT, "vault_id": TAG},
    ],
)
def test_a_wrapped_key_opens_only_in_its_own_place(change: dict[str, object]) -> None:
    wrapped = wrap_key(_kek(), generate_data_key())
    with pytest.raises(AuthenticationError):
        unwrap_key(_kek(**change), wrapped)


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_tag_salt_has_sixteen_bytes(length: int) -> None:
    with pytest.raises(MalformedError):
        _kek(salt=bytes(length))


def test_tag_key_pairs_and_tokens_depend_on_their_keys() -> None:
    private, public = derive_tag_key_pair(ExportKey(EXPORT_BYTES), TAG)
    again, same = derive_tag_key_pair(ExportKey(EXPORT_BYTES), TAG)
    other, different = derive_tag_key_pair(ExportKey(EXPORT_BYTES), VAULT)
    assert (private, public) == (again, same)
    assert private != other
    assert public != different
    assert derive_vault_token(SessionKey(bytes(64))) != derive_vault_token(SessionKey(bytes(63) + b"\1"))


@given(label=st.text(max_size=60))
def test_labels_open_and_all_have_one_length(label: str) -> None:
    key = DataKey(bytes(32))
    place = {"vault_id": VAULT, "tag_id": TAG, "key_version": 1, "public_key": bytes(32)}
    sealed = seal_label(key, label, **place)  # type: ignore[arg-type]
    assert len(sealed) == SEALED_LABEL_LENGTH
    assert open_label(key, sealed, **place) == label  # type: ignore[arg-type]


def test_a_label_is_bound_to_its_tag_vault_version_and_public_key() -> None:
    key = DataKey(os.urandom(32))
    place = {"vault_id": VAULT, "tag_id": TAG, "key_version": 1, "public_key": bytes(32)}
    sealed = seal_label(key, "diary", **place)  # type: ignore[arg-type]
    for change in ({"vault_id": TAG}, {"tag_id": VAULT}, {"key_version": 2}, {"public_key": b"\1" * 32}):
        with pytest.raises(AuthenticationError):
            open_label(key, sealed, **(place | change))  # type: ignore[arg-type]
    for length in (0, SEALED_LABEL_LENGTH - 1, SEALED_LABEL_LENGTH + 1):
        with pytest.raises(MalformedError):
            open_label(key, bytes(length), **place)  # type: ignore[arg-type]
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            open_label(key, bytes(flipped), **place)  # type: ignore[arg-type]
    for label in ("x" * (MAX_LABEL_BYTES + 1), "\udc80"):
        with pytest.raises(LimitError):
            seal_label(key, label, **place)  # type: ignore[arg-type]


def test_every_flipped_bit_of_a_head_is_refused() -> None:
    key = DataKey(os.urandom(32))
    sealed = seal_head(key, VAULT, VaultHead.first())
    assert len(sealed) == HEAD_LENGTH == 112
    assert open_head(key, VAULT, sealed, generation=1, key_version=1) == VaultHead.first()
    for bit in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            open_head(key, VAULT, bytes(flipped), generation=1, key_version=1)
    for place in ((TAG, 1, 1), (VAULT, 2, 1), (VAULT, 1, 2)):
        with pytest.raises(AuthenticationError):
            open_head(key, place[0], sealed, generation=place[1], key_version=place[2])


_IDS = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))


@given(rows=st.dictionaries(_IDS, st.tuples(st.integers(1, 9), st.binary(min_size=32, max_size=32)), max_size=8))
def test_a_head_built_change_by_change_verifies_the_listing(rows: dict[UUID, tuple[int, bytes]]) -> None:
    key = set_key(DataKey(bytes(32)), VAULT, 1)
    elements = [set_element(key, object_id, *row) for object_id, row in rows.items()]
    head = VaultHead.first()
    for element in elements:
        head = head.with_change(removed=None, added=element)
    head.verify(elements)
    head.verify(reversed(elements))
    assert VaultHead.first().with_changes(removed=(), added=elements) == replace(head, generation=2)
    assert head.with_changes(removed=elements, added=()) == replace(VaultHead.first(), generation=head.generation + 1)
    assert head.generation == 1 + len(rows)
    if elements:
        with pytest.raises(RollbackError):
            head.verify(elements[1:])
        with pytest.raises(RollbackError):
            head.verify([*elements, elements[0], elements[0]])
        changed = set_element(key, next(iter(rows)), 10, bytes(32))
        with pytest.raises(RollbackError):
            head.verify([changed, *elements[1:]])
        assert head.with_change(removed=elements[0], added=None).set_hash == set_hash(elements[1:])


def test_an_empty_vault_has_nothing_to_remove() -> None:
    with pytest.raises(LimitError):
        VaultHead.first().with_change(removed=bytes(32), added=None)
    with pytest.raises(LimitError):
        VaultHead.first().with_changes(removed=(bytes(32), bytes(32)), added=(bytes(32),))
