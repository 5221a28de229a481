"""SPEC.md sections 5 and 7 to 11, written a second time, to be read beside it."""

import struct
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tests.reference import key_wrap
from tests.reference.blake2s import blake2s
from tests.reference.blake3 import blake3
from tests.reference.key_schedule import expand, extract

SUITE = b"hushtag-v1"
CONTENT_TYPE = b"application/octet-stream"


def u32(value: int) -> bytes:
    """Section 1."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Section 1."""
    return value.to_bytes(8, "big")


def lp(value: bytes) -> bytes:
    """Section 1."""
    return u32(len(value)) + value


def hkdf(ikm: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Section 1: HKDF-SHA512."""
    return expand(extract(salt, ikm), info, length)


def stretch(canonical: str, salt: bytes, passes: int = 3) -> bytes:
    """Section 5; by OpenSSL, where the library asks libargon2."""
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=4, memory_cost=65536).derive(canonical.encode())


def opaque_password(stretched: bytes, device_secret: bytes = b"") -> bytes:
    """Section 5."""
    return hkdf(stretched + device_secret, b"", b"hushtag-v1/phrase-key", 32).hex().encode("ascii")


def credential_identifier(opaque_credential_id: bytes) -> bytes:
    """Section 6."""
    return b"hushtag-v1/credential/" + opaque_credential_id


def phrase_hash(masking_key: bytes) -> bytes:
    """Section 6."""
    return blake2s(masking_key, 16, person=b"hushtag1")


def decoy_record(decoy_public_key: bytes, decoy_seed: bytes, opaque_credential_id: bytes) -> bytes:
    """Section 6."""
    return decoy_public_key + hkdf(decoy_seed, b"", b"hushtag-v1/decoy" + opaque_credential_id, 64) + bytes(96)


def kek(export_key: bytes, salt: bytes, tag: UUID, vault: UUID, key_version: int, purpose: str = "vault_data") -> bytes:
    """Section 7."""
    info = b"hushtag-v1/kek" + tag.bytes + vault.bytes + u32(key_version) + lp(purpose.encode("ascii"))
    return hkdf(export_key, salt, info, 32)


def wrap(key_encryption_key: bytes, data_key: bytes) -> bytes:
    """Section 7."""
    return key_wrap.wrap(key_encryption_key, data_key)


def tag_private_key(export_key: bytes, tag: UUID) -> bytes:
    """Section 7."""
    return hkdf(export_key, b"", b"hushtag-v1/tag-key-pair" + tag.bytes, 32)


def vault_token(session_key: bytes) -> bytes:
    """Section 7."""
    return hkdf(session_key, b"", b"hushtag-v1/vault-token", 32)


def release(export_key: bytes) -> bytes:
    """Section 24."""
    return hkdf(export_key, b"", b"hushtag-v1/release", 32)


def released(release: bytes) -> tuple[bytes, bytes]:
    """Section 24: the check value, and the tickets one behind the other."""
    expanded = hkdf(release, b"", b"hushtag-v1/order", 32 + 16 * 8 * 16)
    return expanded[:32], expanded[32:]


def seal(key: bytes, iv: bytes, info: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Section 8."""
    derived = hkdf(key, iv, info, 64)
    return iv + derived[32:] + AESGCM(derived[:32]).encrypt(iv, plaintext, aad)


def padded(length: int) -> int:
    """Section 9: Padmé, in the words of the specification."""
    if length <= 256:
        return 256
    exponent = length.bit_length() - 1
    significant = (exponent.bit_length() - 1) + 1
    unit: int = 2 ** (exponent - significant)
    return -(-length // unit) * unit


def metadata(name: str, content_type: str, created_at: int, size: int) -> bytes:
    """Section 9: MessagePack with the keys in this order, each value in its shortest form."""
    members: dict[str, str | int] = {
        "name": name,
        "content_type": content_type,
        "created_at": created_at,
        "size": size,
    }
    return b"\x84" + b"".join(pack(key) + pack(value) for key, value in members.items())


def descriptor(name: str, content_type: str, created_at: int, size: int, stream: dict[str, bytes | int]) -> bytes:
    """Section 12: the metadata of a large object, the map of its stream last."""
    plain = metadata(name, content_type, created_at, size)
    members = b"".join(pack(key) + (pack_binary(v) if isinstance(v, bytes) else pack(v)) for key, v in stream.items())
    return b"\x85" + plain[1:] + pack("stream") + bytes([0x80 | len(stream)]) + members


def pack_binary(value: bytes) -> bytes:
    """The MessagePack of up to 255 bytes."""
    return b"\xc4" + bytes([len(value)]) + value


def pack(value: str | int) -> bytes:
    """The MessagePack of a short text or a number that is not negative."""
    if isinstance(value, str):
        encoded = value.encode("utf-8")
        head = bytes([0xA0 | len(encoded)]) if len(encoded) < 32 else struct.pack(">BB", 0xD9, len(encoded))
        return head + encoded
    for limit, form in ((1 << 7, ">B"), (1 << 8, ">xB"), (1 << 16, ">xH"), (1 << 32, ">xI"), (1 << 64, ">xQ")):
        if value < limit:
            code = {2: 0xCC, 3: 0xCD, 5: 0xCE, 9: 0xCF}.get(struct.calcsize(form))
            packed = struct.pack(form, value)
            return packed if code is None else bytes([code]) + packed[1:]
    raise ValueError("not a MessagePack integer")


def frame(encoded_metadata: bytes, body: bytes) -> bytes:
    """Section 9."""
    unpadded = lp(encoded_metadata) + body
    return unpadded.ljust(padded(len(unpadded)), b"\0")


def seal_object(
    key: bytes,
    iv: bytes,
    plaintext: bytes,
    vault: UUID,
    object_id: UUID,
    key_version: int,
    revision: int,
    suite: bytes = SUITE,
) -> bytes:
    """Section 9: the row, from a frame that is already padded."""
    ids = vault.bytes + object_id.bytes + u32(key_version) + u64(revision)
    aad = lp(suite) + ids + lp(CONTENT_TYPE) + u64(len(plaintext))
    return seal(key, iv, b"hushtag-v1/object" + ids, plaintext, aad)


def row_digest(row: bytes, key_version: int, revision: int) -> bytes:
    """Section 9."""
    return blake3(u32(key_version) + u64(revision) + row)


def set_key(data_key: bytes, vault: UUID, key_version: int) -> bytes:
    """Section 10."""
    return hkdf(data_key, b"", b"hushtag-v1/set-key" + vault.bytes + u32(key_version), 32)


def set_element(key: bytes, object_id: UUID, revision: int, digest: bytes) -> bytes:
    """Section 10."""
    return blake3(object_id.bytes + u64(revision) + digest, key)


def set_hash(elements: list[bytes]) -> bytes:
    """Section 10."""
    total = bytes(32)
    for element in elements:
        total = bytes(left ^ right for left, right in zip(total, element, strict=True))
    return total


def head(generation: int, object_count: int, key_version: int, summary: bytes, restorations: int = 0) -> bytes:
    """Section 10: the plaintext."""
    counts = restorations.to_bytes(2, "big") + object_count.to_bytes(6, "big")
    return u64(generation) + counts + u32(key_version) + summary


def epoch_key(data_key: bytes, vault: UUID, key_version: int) -> bytes:
    """Section 22."""
    return hkdf(data_key, b"", b"hushtag-v1/epoch" + vault.bytes + u32(key_version), 32)


def fingerprint(key: bytes, head_plaintext: bytes) -> bytes:
    """Section 22."""
    return blake3(b"\x02" + head_plaintext, key=key)


def epoch_code(key: bytes, generation: int, head_plaintext: bytes, words: Sequence[str]) -> str:
    """Section 22."""
    short = generation % 1_000_000
    check = int.from_bytes(blake3(b"\x01" + u64(short), key=key), "big") % 1000
    state = int.from_bytes(fingerprint(key, head_plaintext), "big") % 1_000_000
    return " ".join(words[place] for place in (short // 1000, short % 1000, check, state // 1000, state % 1000))


def vault_pin_key(data_key: bytes, vault: UUID) -> bytes:
    """Section 22."""
    return hkdf(data_key, b"", b"hushtag-v1/pin-vault" + vault.bytes, 32)


def tag_pin_key(export_key: bytes, tag: UUID, vault: UUID) -> bytes:
    """Section 22."""
    return hkdf(export_key, b"", b"hushtag-v1/pin-tag" + tag.bytes + vault.bytes, 32)


def pin_slots(pin_key: bytes, mark: bytes, slots: int, copies: int) -> list[int]:
    """Section 22."""
    drawn = hkdf(pin_key, b"", b"hushtag-v1/pin-place" + mark, 256)
    found: list[int] = []
    for start in range(0, 256, 4):
        slot = int.from_bytes(drawn[start : start + 4], "big") % slots
        if slot not in found and len(found) < copies:
            found.append(slot)
    return found


def seal_head(
    key: bytes,
    iv: bytes,
    plaintext: bytes,
    vault: UUID,
    key_version: int,
    generation: int,
    suite: bytes = SUITE,
    ring: bytes = b"",
) -> bytes:
    """Section 10."""
    ids = vault.bytes + u32(key_version) + u64(generation)
    return seal(key, iv, b"hushtag-v1/head" + ids, plaintext, lp(suite) + ids + ring)


def ring(vault: UUID, members: list[dict[str, Any]]) -> bytes:
    """Section 23."""
    ordered = sorted(members, key=lambda member: bytes(member["tag_id"].bytes))
    entries = b"".join(member["tag_id"].bytes + member["public_key"] for member in ordered)
    return blake3(b"hushtag-v1/ring" + vault.bytes + u32(len(ordered)) + entries)


def sealed_key_info(vault: UUID, tag: UUID, key_version: int) -> bytes:
    """Section 23: the info of HPKE."""
    return b"hushtag-v1/data-key" + vault.bytes + tag.bytes + u32(key_version)


def succession(old: bytes, new: bytes, vault: UUID, key_version: int) -> bytes:
    """Section 23."""
    ids = vault.bytes + u32(key_version)
    name = hkdf(new, b"", b"hushtag-v1/key-name" + ids, 32)
    return hkdf(old, b"", b"hushtag-v1/succession" + ids + name, 32)


def seal_old_key(new: bytes, iv: bytes, old: bytes, vault: UUID, key_version: int) -> bytes:
    """Section 23."""
    ids = vault.bytes + u32(key_version)
    return seal(new, iv, b"hushtag-v1/old-key" + ids, old, lp(SUITE) + ids)


def seal_label(
    key: bytes, iv: bytes, plaintext: bytes, vault: UUID, tag: UUID, key_version: int, public_key: bytes
) -> bytes:
    """Section 11, from a frame that is already padded."""
    ids = vault.bytes + tag.bytes + u32(key_version)
    return seal(key, iv, b"hushtag-v1/label" + ids, plaintext, lp(SUITE) + ids + public_key)
