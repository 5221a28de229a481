"""BLAKE2s (RFC 7693), unkeyed, keyed and personalised, in plain integers.

RFC 7693 section 2.5 fixes only the first word of the parameter block; where the person stands (bytes 24
to 31) is section 2.8 of the BLAKE2 paper (Aumasson, Neves, Wilcox-O'Hearn, Winnerlein, 2013).
"""

import struct

_MASK = 0xFFFFFFFF
_BLOCK_BYTES = 64
# RFC 7693 section 2.6: the initialization vector of BLAKE2s; SHA-256 and BLAKE3 have the same.
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
# RFC 7693 section 2.7.
_SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
# RFC 7693 section 3.2: four columns, then four diagonals.
LANES = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)


def _rotate(word: int, bits: int) -> int:
    return (word >> bits | word << (32 - bits)) & _MASK


def mix(v: list[int], lane: tuple[int, int, int, int], x: int, y: int) -> None:
    """RFC 7693 section 3.1, the function G of BLAKE2s, in place."""
    a, b, c, d = lane
    v[a] = (v[a] + v[b] + x) & _MASK
    v[d] = _rotate(v[d] ^ v[a], 16)
    v[c] = (v[c] + v[d]) & _MASK
    v[b] = _rotate(v[b] ^ v[c], 12)
    v[a] = (v[a] + v[b] + y) & _MASK
    v[d] = _rotate(v[d] ^ v[a], 8)
    v[c] = (v[c] + v[d]) & _MASK
    v[b] = _rotate(v[b] ^ v[c], 7)


def _compress(h: list[int], block: bytes, counter: int, *, last: bool) -> list[int]:
    """RFC 7693 section 3.2, the function F."""
    m = struct.unpack("<16I", block)
    v = [*h, *IV]
    v[12] ^= counter & _MASK
    v[13] ^= counter >> 32
    if last:
        v[14] ^= _MASK
    for order in _SIGMA:
        for index, lane in enumerate(LANES):
            mix(v, lane, m[order[2 * index]], m[order[2 * index + 1]])
    return [h[i] ^ v[i] ^ v[i + 8] for i in range(8)]


def blake2s(data: bytes, digest_size: int = 32, key: bytes = b"", person: bytes = b"") -> bytes:
    """RFC 7693 section 3.3: 1 to 32 bytes of digest, at most 32 bytes of key and 8 of person."""
    if not 1 <= digest_size <= 32 or len(key) > 32 or len(person) > 8:
        raise ValueError("outside the parameters of BLAKE2s")
    header = bytes([digest_size, len(key), 1, 1]) + bytes(20)
    parameters = struct.unpack("<8I", header + person.ljust(8, b"\0"))
    h = [iv ^ parameter for iv, parameter in zip(IV, parameters, strict=True)]
    message = (key.ljust(_BLOCK_BYTES, b"\0") if key else b"") + data
    blocks = [message[i : i + _BLOCK_BYTES] for i in range(0, len(message), _BLOCK_BYTES)] or [b""]
    counter = 0
    for number, block in enumerate(blocks, start=1):
        counter += len(block)
        h = _compress(h, block.ljust(_BLOCK_BYTES, b"\0"), counter, last=number == len(blocks))
    return struct.pack("<8I", *h)[:digest_size]


def self_test_input(length: int, seed: int) -> bytes:
    """RFC 7693 appendix E, selftest_seq: a Fibonacci generator that starts from `seed`."""
    a, b, output = 0xDEAD4BAD * seed & _MASK, 1, bytearray()
    for _ in range(length):
        a, b = b, (a + b) & _MASK
        output.append(b >> 24)
    return bytes(output)
