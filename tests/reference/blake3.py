"""BLAKE3, hash and keyed hash, 32 bytes out, in plain integers.

Source: "BLAKE3, one function, fast everywhere" (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020),
section 2. The mixing function is that of BLAKE2s (RFC 7693 section 3.1).
"""

import struct
from typing import NamedTuple

from .blake2s import IV, LANES, mix

_BLOCK_BYTES = 64
_CHUNK_BYTES = 1024
# Section 2.2: the permutation of the message words between rounds.
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_ROUNDS = 7
# Section 2.2: the domain flags.
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT, _KEYED_HASH = 1, 2, 4, 8, 16


class _Node(NamedTuple):
    """The last compression of a chunk or a parent, not yet done: only then is it known whether it is the root."""

    chaining_value: tuple[int, ...]
    block: bytes
    counter: int
    flags: int


def _compress(node: _Node, extra_flags: int = 0) -> tuple[int, ...]:
    """Section 2.2: the compression function, cut to the eight words of a chaining value."""
    m = struct.unpack("<16I", node.block.ljust(_BLOCK_BYTES, b"\0"))
    counter = (node.counter & 0xFFFFFFFF, node.counter >> 32)
    v = [*node.chaining_value, *IV[:4], *counter, len(node.block), node.flags | extra_flags]
    for _ in range(_ROUNDS):
        for index, lane in enumerate(LANES):
            mix(v, lane, m[2 * index], m[2 * index + 1])
        m = tuple(m[position] for position in _PERMUTATION)
    return tuple(v[i] ^ v[i + 8] for i in range(8))


def _chunk(data: bytes, number: int, key: tuple[int, ...], flags: int) -> _Node:
    """Section 2.4: the blocks of one chunk of at most 1,024 bytes, chained."""
    blocks = [data[i : i + _BLOCK_BYTES] for i in range(0, len(data), _BLOCK_BYTES)] or [b""]
    value, start = key, _CHUNK_START
    for block in blocks[:-1]:
        value, start = _compress(_Node(value, block, number, flags | start)), 0
    return _Node(value, blocks[-1], number, flags | start | _CHUNK_END)


def _tree(data: bytes, first_chunk: int, key: tuple[int, ...], flags: int) -> _Node:
    """Section 2.1: the left subtree has the largest power of two of whole chunks that leaves the right one some."""
    if len(data) <= _CHUNK_BYTES:
        return _chunk(data, first_chunk, key, flags)
    left_chunks = 1 << (((len(data) - 1) // _CHUNK_BYTES).bit_length() - 1)
    cut = left_chunks * _CHUNK_BYTES
    children = _compress(_tree(data[:cut], first_chunk, key, flags)) + _compress(
        _tree(data[cut:], first_chunk + left_chunks, key, flags)
    )
    return _Node(key, struct.pack("<16I", *children), 0, flags | _PARENT)


def blake3(data: bytes, key: bytes | None = None) -> bytes:
    """The 32-byte hash of `data`, keyed with 32 bytes if a key is given (section 2.3)."""
    if key is not None and len(key) != 32:
        raise ValueError(f"key is {len(key)} bytes, expected 32")
    words = IV if key is None else struct.unpack("<8I", key)
    root = _tree(data, 0, words, 0 if key is None else _KEYED_HASH)
    return struct.pack("<8I", *_compress(root, _ROOT))
