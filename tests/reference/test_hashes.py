"""The hash wheels the product uses, against the plain ones of this package."""

import hashlib

import blake3 as blake3_wheel
import pytest

from .blake2s import blake2s
from .blake3 import blake3

LENGTHS = (0, 1, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 4097, 5121)


@pytest.mark.parametrize("length", LENGTHS)
def test_blake3_of_the_wheel_agrees(length):
    data, key = bytes(i % 251 for i in range(length)), bytes(range(32))
    assert blake3_wheel.blake3(data).digest() == blake3(data)
    assert blake3_wheel.blake3(data, key=key).digest() == blake3(data, key)
    assert blake3(data) != blake3(data, key)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(
    ("digest_size", "key", "person"), [(32, b"", b""), (16, b"", b"hushtag1"), (20, b"key", b"p"), (1, b"", b"")]
)
def test_blake2s_of_hashlib_agrees(length, digest_size, key, person):
    data = bytes(i % 251 for i in range(length))
    expected = hashlib.blake2s(data, digest_size=digest_size, key=key, person=person).digest()
    assert blake2s(data, digest_size, key, person) == expected


def test_blake2s_separates_persons():
    digests = {blake2s(b"same", 16, person=person) for person in (b"", b"hushtag1", b"hushchk1")}
    assert len(digests) == 3
