"""Large objects: stream key and Cobblestone-256 (SPEC.md section 12, c2sp.org/chunked-encryption)."""

from typing import Any

from tests.reference.blake3 import blake3

from .suite_support import spec
from .suite_support.cobblestone import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES, encrypt
from .suite_support.fixed import DATA_KEY, OTHER_DATA_KEY, OTHER_STREAM, OTHER_VAULT, STREAM, VAULT, flipped, octets
from .suite_support.shape import Cases, Vector, accepted, document, forged, malformed

_SALT = octets("stream salt", 24)
_STREAM = {"data_key": DATA_KEY, "vault_id": VAULT, "stream_id": STREAM, "key_version": 1}
_SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES


def _context(key_version: int = 1) -> bytes:
    return b"hushtag-v1/stream" + VAULT.bytes + STREAM.bytes + spec.u32(key_version)


def _key(key_version: int = 1) -> bytes:
    return spec.hkdf(DATA_KEY, b"", _context(key_version), 32)


def _plaintext(length: int) -> bytes:
    return (octets("stream", 64) * (length // 64 + 1))[:length]


def _seal(plaintext: bytes) -> bytes:
    return encrypt(_key(), _SALT, _context(), plaintext)


def _keys() -> list[Vector]:
    return [
        *(
            accepted(
                f"stream_key_version_{version}",
                "input key and context of one stream",
                "suite.stream_key",
                {**_STREAM, "key_version": version},
                {"stream_key": _key(version), "context": _context(version)},
            )
            for version in (1, 2)
        ),
        malformed(
            "stream_key_data_key_short",
            "a data key has 32 bytes",
            "suite.stream_key",
            {**_STREAM, "data_key": DATA_KEY[:31]},
        ),
    ]


def _opens() -> list[Vector]:
    cases = [
        ("empty", "no byte", 0),
        ("short", "one short chunk", 100),
        ("two_chunks", "a full chunk and a short one", CHUNK_BYTES + 1),
        ("full_chunk", "a full chunk and an empty one", CHUNK_BYTES),
    ]
    return [
        accepted(
            f"stream_open_{name}",
            why,
            "suite.open_stream",
            {**_STREAM, "ciphertext": _seal(_plaintext(length))},
            {"length": length, "plaintext_blake3": blake3(_plaintext(length))},
        )
        for name, why, length in cases
    ]


def _forgeries() -> list[Vector]:
    short, two = _seal(_plaintext(100)), _seal(_plaintext(CHUNK_BYTES + 1))
    three = _seal(_plaintext(2 * CHUNK_BYTES))
    first, second = HEADER_BYTES, HEADER_BYTES + _SEALED_CHUNK
    end = second + _SEALED_CHUNK
    swapped = three[:first] + three[second:end] + three[first:second] + three[end:]
    cases: Cases = [
        ("salt_flipped", "one bit of the salt", {"ciphertext": flipped(short, 0)}),
        ("commitment_flipped", "one bit of the commitment", {"ciphertext": flipped(short, 24)}),
        ("chunk_flipped", "one bit of a chunk", {"ciphertext": flipped(short, HEADER_BYTES)}),
        ("tag_flipped", "one bit of the last tag", {"ciphertext": flipped(short, len(short) - 1)}),
        ("cut_at_chunk", "cut where a chunk ends", {"ciphertext": two[:second]}),
        ("cut_in_chunk", "cut inside the last chunk", {"ciphertext": short[:-1]}),
        ("cut_in_header", "cut inside the commitment", {"ciphertext": short[:40]}),
        ("no_chunk", "nothing but salt and commitment", {"ciphertext": short[:HEADER_BYTES]}),
        ("nothing", "no byte at all", {"ciphertext": b""}),
        ("extended", "a zero byte behind the end", {"ciphertext": short + b"\0"}),
        ("chunks_swapped", "two full chunks exchanged", {"ciphertext": swapped}),
        ("wrong_key", "another data key", {"ciphertext": short, "data_key": OTHER_DATA_KEY}),
        ("wrong_vault", "moved to another vault", {"ciphertext": short, "vault_id": OTHER_VAULT}),
        ("wrong_stream", "moved to another stream", {"ciphertext": short, "stream_id": OTHER_STREAM}),
        ("wrong_version", "named with another key version", {"ciphertext": short, "key_version": 2}),
    ]
    return [
        forged(f"stream_open_{name}", why, "suite.open_stream", {**_STREAM, **change}) for name, why, change in cases
    ]


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    source = "SPEC.md section 12 and c2sp.org/chunked-encryption, implemented apart from the library"
    return document("streams", source, [*_keys(), *_opens(), *_forgeries()])
