"""C2SP chunked encryption (c2sp.org/chunked-encryption) with AES-256-GCM, apart from the library, for any hash.

The published vectors are of HKDF with SHA-256; Cobblestone-256 is the same construction with SHA-512. Whoever runs the
former on this code and compares this code with the library in the latter has held the library to the vectors.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK, TAG, SALT, COMMITMENT = 16 * 1024, 16, 24, 32
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"


class NotAuthenticError(Exception):
    """The ciphertext is not one of this key and context."""


def _expand(key: bytes, info: bytes, length: int, name: str) -> bytes:
    """HKDF-Expand (RFC 5869, section 2.3)."""
    output, block, number = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(key, block + info + bytes([number]), name)
        output, number = output + block, number + 1
    return output[:length]


def open_chunks(key: bytes, context: bytes, ciphertext: bytes, name: str) -> bytes:
    """Return the plaintext; `name` is that of the hash.

    Raises:
        NotAuthenticError: anything about it is wrong.
    """
    if len(key) != 32 or len(ciphertext) < SALT + COMMITMENT + TAG:
        raise NotAuthenticError
    salt, chunks = ciphertext[:SALT], ciphertext[SALT + COMMITMENT :]
    derived = _expand(key, _INFO + salt + context, 32 + 12 + COMMITMENT, name)
    if not hmac.compare_digest(derived[44:], ciphertext[SALT : SALT + COMMITMENT]):
        raise NotAuthenticError
    plain, cipher, number = b"", AESGCM(derived[:32]), 0
    while True:
        chunk, chunks = chunks[: CHUNK + TAG], chunks[CHUNK + TAG :]
        nonce = (int.from_bytes(derived[32:44], "big") ^ number).to_bytes(12, "big")
        try:
            plain += cipher.decrypt(nonce, chunk, None)
        except (InvalidTag, ValueError):
            raise NotAuthenticError from None
        number += 1
        if len(chunk) < CHUNK + TAG:  # only the last chunk is short
            if chunks:
                raise NotAuthenticError
            return plain
