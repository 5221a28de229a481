"""Key commitment: one ciphertext, one tag, two keys. AES-GCM opens it under both; a sealed value under one.

The forgery is the known one (Dodis and others, CRYPTO 2018; Albertini and others, USENIX Security 2022): GHASH is
linear in each ciphertext block, so one block is chosen so that both keys give the same tag.
"""

import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hushtag._kdf import hkdf_sha512
from hushtag._sealing import open_sealed
from hushtag.errors import AuthenticationError

KEYS = (bytes(range(32)), bytes(range(32, 64)))
INFO = b"hushtag-v1/object and whatever names the row"
AAD = b"the row's place"
_R = 0xE1 << 120


def product(x: int, y: int) -> int:
    """Multiply in GF(2^128) as GCM does (NIST SP 800-38D, section 6.3)."""
    total = 0
    for bit in range(127, -1, -1):
        if (x >> bit) & 1:
            total ^= y
        y = (y >> 1) ^ (_R if y & 1 else 0)
    return total


def inverse(x: int) -> int:
    """x to the power 2^128 − 2."""
    result, power = 1 << 127, x
    for _ in range(127):
        power = product(power, power)
        result = product(result, power)
    return result


def block(key: bytes, value: bytes) -> int:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # the bare block cipher, to build GCM by hand
    return int.from_bytes(encryptor.update(value) + encryptor.finalize())


def blocks(text: bytes) -> list[int]:
    return [int.from_bytes(text[place : place + 16].ljust(16, b"\0")) for place in range(0, len(text), 16)]


def ghash(h: int, aad: bytes, ciphertext: bytes) -> int:
    lengths = (len(aad) * 8) << 64 | len(ciphertext) * 8
    total = 0
    for each in (*blocks(aad), *blocks(ciphertext), lengths):
        total = product(total ^ each, h)
    return total


def opens_under_both(keys: tuple[bytes, bytes], iv: bytes, length: int) -> bytes:
    """Return ciphertext and tag that AES-GCM accepts under either key; `length` is in whole blocks."""
    start = os.urandom(16 * (length - 1))
    hashes = [block(key, bytes(16)) for key in keys]
    tags = [
        ghash(h, AAD, start + bytes(16)) ^ block(key, iv + b"\0\0\0\1") for h, key in zip(hashes, keys, strict=True)
    ]
    squares = product(hashes[0], hashes[0]) ^ product(hashes[1], hashes[1])
    last = product(tags[0] ^ tags[1], inverse(squares))
    ciphertext = start + last.to_bytes(16)
    tag = ghash(hashes[0], AAD, ciphertext) ^ block(keys[0], iv + b"\0\0\0\1")
    return ciphertext + tag.to_bytes(16)


@pytest.mark.parametrize("length", [1, 16])
def test_a_ciphertext_that_opens_under_two_keys_is_refused_by_its_commitment(length: int) -> None:
    """The man gives one row to holders of two keys, to see from what they do which key they hold."""
    iv = os.urandom(12)
    derived = [hkdf_sha512(key, iv, INFO, 64) for key in KEYS]
    output = opens_under_both((derived[0][:32], derived[1][:32]), iv, length)
    read = [AESGCM(key[:32]).decrypt(iv, output, AAD) for key in derived]  # GCM alone takes it twice
    assert read[0] != read[1]
    for mine, other in ((0, 1), (1, 0)):
        sealed = iv + derived[mine][32:] + output
        assert open_sealed(KEYS[mine], sealed, INFO, AAD) == read[mine]
        with pytest.raises(AuthenticationError):
            open_sealed(KEYS[other], sealed, INFO, AAD)
    mixed = bytes(a ^ b for a, b in zip(derived[0][32:], derived[1][32:], strict=True))
    for key in KEYS:
        with pytest.raises(AuthenticationError):
            open_sealed(key, iv + mixed + output, INFO, AAD)
