"""Cobblestone-256: C2SP chunked encryption with SHA-512 and AES-256-GCM (c2sp.org/chunked-encryption).

The salt is a parameter, so that a ciphertext can be made again.
"""

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.reference.key_schedule import expand

CHUNK_BYTES = 16 * 1024
TAG_BYTES = 16
SALT_BYTES, COMMITMENT_BYTES = 24, 32
HEADER_BYTES = SALT_BYTES + COMMITMENT_BYTES
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


def encrypt(input_key: bytes, salt: bytes, context: bytes, plaintext: bytes) -> bytes:
    """`salt(24) || commitment(32) || chunks`; the last chunk is shorter than 16 KiB and may be empty."""
    derived = expand(input_key, _INFO + salt + context, 32 + 12 + COMMITMENT_BYTES)
    key, base_nonce, commitment = derived[:32], derived[32:44], derived[44:]
    chunks = []
    for number in range(len(plaintext) // CHUNK_BYTES + 1):
        nonce = (int.from_bytes(base_nonce, "big") ^ number).to_bytes(12, "big")
        chunk = plaintext[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
        chunks.append(AESGCM(key).encrypt(nonce, chunk, None))
    return salt + commitment + b"".join(chunks)
