"""The pages of pins: SPEC.md, section 22, "Pins". What becomes of files and other processes is the client's tests."""

import os
import struct
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hushtag._sealing import open_sealed
from hushtag.errors import MalformedError
from hushtag.pins import (
    HEADS,
    MAX_PINNED_ROWS,
    OBJECTS,
    HeadPin,
    PageShape,
    RowsPin,
    derive_tag_pin_key,
    derive_vault_pin_key,
    fresh_page,
    places,
    read_slots,
    write_slots,
)
from hushtag.types import DataKey, ExportKey, PinKey

KEY, OTHER = PinKey(bytes(range(32))), PinKey(b"\1" * 32)
HEAD = HeadPin(2**40, 2**41, 3, 2**16 - 1, 2**42, b"f" * 32)
SHAPES = [(HEADS, b"H", 1024, 128, 8), (OBJECTS, b"O", 128, 4096, 2)]


def _value(shape: PageShape, fill: bytes = b"v") -> bytes:
    return fill * shape.room


@pytest.mark.parametrize(("shape", "mark", "slots", "size", "copies"), SHAPES)
def test_a_value_lies_where_its_key_says(shape: PageShape, mark: bytes, slots: int, size: int, copies: int) -> None:
    assert shape == (mark, slots, size, copies)
    assert (shape.length, shape.room) == (slots * size, size - 60)
    drawn = HKDF(SHA512(), 256, b"", b"hushtag-v1/pin-place" + mark).derive(KEY.expose())
    numbers: list[int] = []
    for (number,) in struct.iter_unpack(">I", drawn):
        if number % slots not in numbers:
            numbers.append(number % slots)
    assert places(shape, KEY) == [number * size for number in numbers[:copies]]
    assert places(shape, KEY) != places(shape, OTHER)


@pytest.mark.parametrize("shape", [HEADS, OBJECTS])
def test_what_was_written_is_read_with_its_key_alone(shape: PageShape) -> None:
    page = fresh_page(shape)
    assert len(page) == shape.length
    assert read_slots(page, shape, KEY) == []
    drawn: list[bytes] = []

    def entropy(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    written = write_slots(page, shape, KEY, _value(shape), _entropy=entropy)
    assert len(written) == shape.length
    assert [len(iv) for iv in drawn] == [12] * shape.copies
    assert read_slots(written, shape, KEY) == [_value(shape)]
    assert read_slots(written, shape, OTHER) == []
    # A slot is the seal of SPEC.md, section 8, under label and mark; nothing beside the slots has changed.
    untouched = bytearray(written)
    for at in places(shape, KEY):
        sealed, context = written[at : at + shape.slot_bytes], b"hushtag-v1/pin-slot" + shape.mark
        aad = (10).to_bytes(4) + b"hushtag-v1" + shape.mark
        assert open_sealed(KEY.expose(), sealed, context, aad) == _value(shape)
        untouched[at : at + shape.slot_bytes] = page[at : at + shape.slot_bytes]
    assert bytes(untouched) == page


@pytest.mark.parametrize("shape", [HEADS, OBJECTS])
def test_every_copy_serves_and_different_values_come_once_each(shape: PageShape) -> None:
    older = write_slots(fresh_page(shape), shape, KEY, _value(shape, b"o"))
    newer = bytearray(write_slots(older, shape, KEY, _value(shape, b"n")))
    first, *rest = places(shape, KEY)
    for at in rest:
        newer[at : at + shape.slot_bytes] = older[at : at + shape.slot_bytes]
    assert read_slots(bytes(newer), shape, KEY) == [_value(shape, b"n"), _value(shape, b"o")]
    newer[first : first + shape.slot_bytes] = os.urandom(shape.slot_bytes)  # another vault's
    assert read_slots(bytes(newer), shape, KEY) == [_value(shape, b"o")]


def test_a_page_or_value_of_another_length_is_refused() -> None:
    page = fresh_page(HEADS)
    with pytest.raises(MalformedError, match=f"^page of pins is {len(page) - 1} bytes, expected {len(page)}$"):
        read_slots(page[:-1], HEADS, KEY)
    for wrong in ((page[:-1], _value(HEADS)), (page, _value(HEADS)[:-1]), (page + b"\0", _value(HEADS))):
        with pytest.raises(MalformedError, match=r"^page or value of a pin has the wrong length$"):
            write_slots(wrong[0], HEADS, KEY, wrong[1])


def test_pin_keys_hang_on_vault_and_tag() -> None:
    data_key, export_key, vault, tag = DataKey(b"d" * 32), ExportKey(b"e" * 64), UUID(int=1), UUID(int=2)
    of_vault = HKDF(SHA512(), 32, b"", b"hushtag-v1/pin-vault" + vault.bytes).derive(data_key.expose())
    of_tag = HKDF(SHA512(), 32, b"", b"hushtag-v1/pin-tag" + tag.bytes + vault.bytes).derive(export_key.expose())
    assert derive_vault_pin_key(data_key, vault) == PinKey(of_vault)
    assert derive_tag_pin_key(export_key, tag, vault) == PinKey(of_tag)


def test_a_pinned_head_fills_its_slot_and_comes_back() -> None:
    value = HEAD.encode()
    assert len(value) == HEADS.room == 68
    assert value == struct.pack(">IIIQQQ", 1, 2**16 - 1, 3, 2**40, 2**41, 2**42) + b"f" * 32
    assert HeadPin.decode(value) == HEAD
    assert HEAD.order == (2**16 - 1, 2**40)


def test_pinned_rows_fill_their_slot_and_those_of_the_lowest_ids_are_kept() -> None:
    rows = {UUID(int=number): (number + 1, number.to_bytes(8)) for number in reversed(range(130))}
    value = RowsPin(7, 2, rows).encode()
    assert len(value) == OBJECTS.room == 4036
    assert MAX_PINNED_ROWS == 125
    assert value[:20] == struct.pack(">IIQI", 1, 2, 7, 125)
    assert value[20:52] == UUID(int=0).bytes + (1).to_bytes(8) + bytes(8)
    kept = {UUID(int=number): rows[UUID(int=number)] for number in range(125)}
    assert RowsPin.decode(value) == RowsPin(7, 2, kept)
    few = RowsPin(7, 2, {UUID(int=9): (3, b"digest--")}).encode()
    assert few[52:] == bytes(4036 - 52)
    assert RowsPin.decode(few).rows == {UUID(int=9): (3, b"digest--")}


def test_what_another_version_wrote_is_refused() -> None:
    head, rows = HEAD.encode(), RowsPin(1, 0, {}).encode()
    version = "pin has version 2; this program knows version 1"
    for decode, value, words in (
        (HeadPin.decode, (2).to_bytes(4) + head[4:], version),
        (HeadPin.decode, head[:-1], "pin has the wrong length"),
        (RowsPin.decode, (2).to_bytes(4) + rows[4:], version),
        (RowsPin.decode, rows[:19], "pin has the wrong length"),
        (RowsPin.decode, rows[:-1], "pinned rows have the wrong length"),
        (RowsPin.decode, rows + b"\0", "pinned rows have the wrong length"),
        (RowsPin.decode, rows[:16] + (126).to_bytes(4) + rows[20:], "pinned rows have the wrong length"),
    ):
        with pytest.raises(MalformedError, match=f"^{words}$"):
            decode(value)
