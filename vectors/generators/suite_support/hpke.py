"""RFC 9180 in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; with the sender's key given."""

import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .curve import public_key, x25519

_KEM = b"KEM" + (0x0020).to_bytes(2, "big")
_SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x0020, 0x0001, 0x0002))


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """Section 4: LabeledExtract."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """Section 4: LabeledExpand; one block is enough here."""
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labeled + b"\1", "sha256")[:length]


def seal(private_key: bytes, to: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Sections 4.1, 5.1.1 and 6.1: enc || ciphertext || tag, as `private_key` of the sender makes it."""
    enc = public_key(private_key)
    shared = _expand(_KEM, _extract(_KEM, b"", b"eae_prk", x25519(private_key, to)), b"shared_secret", enc + to, 32)
    context = b"\0" + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
    secret = _extract(_SUITE, shared, b"secret", b"")
    key, nonce = _expand(_SUITE, secret, b"key", context, 32), _expand(_SUITE, secret, b"base_nonce", context, 12)
    return enc + AESGCM(key).encrypt(nonce, plaintext, b"")
