"""The operations `independent.…`: figures that others published, against what this library is built on.

`cryptography`, `argon2-cffi`, `hashlib`, the `blake3` wheel and the OPAQUE binding are asked as the core asks them.
"""

import hashlib
from typing import Final

from argon2.exceptions import HashingError
from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from hushtag import _opaque
from hushtag._opaque import ServerSetup
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.types import RegistrationRequest
from hushtag.vectors._operation import Implementation, Octets

_Result = dict[str, object]
_TAG: Final = 16

REFERENCE_ONLY: Final = frozenset(
    {
        "independent.ristretto255_multiple",
        "independent.ristretto255_decode",
        "independent.ristretto255_from_uniform",
        "independent.expand_message_xmd",
        "independent.oprf_derive_key_pair",
        "independent.oprf_evaluate",
        "independent.opaque_login",
        "independent.opaque_client_finish",
        "independent.opaque_fake_record",
    }
)
"""The binding exposes no group and fixes KSF and context; `tests/reference` runs these."""


def _wrap(kek: Octets, key: Octets) -> _Result:
    try:
        return {"wrapped_key": aes_key_wrap(kek, key)}
    except ValueError:
        raise MalformedError("key cannot be wrapped") from None


def _unwrap(kek: Octets, wrapped_key: Octets) -> _Result:
    # The library calls a length that cannot be a failed unwrap; the core decides it before, by `WrappedKey`.
    if len(wrapped_key) < 24 or len(wrapped_key) % 8:
        raise MalformedError("no key wraps to this length")
    try:
        return {"key": aes_key_unwrap(kek, wrapped_key)}
    except InvalidUnwrap:
        raise AuthenticationError from None


def _argon2id(
    password: Octets,
    salt: Octets,
    secret: Octets,
    associated_data: Octets,
    memory_kib: int,
    iterations: int,
    lanes: int,
    length: int,
) -> _Result:
    try:
        if secret or associated_data:
            # Only OpenSSL's Argon2id takes these through a public call; the suite uses neither.
            kdf = Argon2id(
                salt=salt,
                length=length,
                iterations=iterations,
                lanes=lanes,
                memory_cost=memory_kib,
                ad=associated_data or None,
                secret=secret or None,
            )
            return {"tag": kdf.derive(password)}
        tag = hash_secret_raw(password, salt, iterations, memory_kib, lanes, length, Type.ID, ARGON2_VERSION)
    except (HashingError, ValueError, OverflowError):
        raise MalformedError("outside the parameters of Argon2id") from None
    return {"tag": tag}


def _hkdf(algorithm: HashAlgorithm) -> Implementation:
    def derive(ikm: Octets, salt: Octets, info: Octets, length: int) -> _Result:
        try:
            return {"okm": HKDF(algorithm, length, salt, info).derive(ikm)}
        except ValueError:
            raise MalformedError("outside the limits of HKDF") from None

    return derive


def _blake2s(data: Octets, key: Octets, person: Octets, digest_size: int) -> _Result:
    try:
        return {"digest": hashlib.blake2s(data, key=key, person=person, digest_size=digest_size).digest()}
    except ValueError:
        raise MalformedError("outside the parameters of BLAKE2s") from None


def _self_test_input(length: int) -> bytes:
    a, b, output = 0xDEAD4BAD * length & 0xFFFFFFFF, 1, bytearray()
    for _ in range(length):
        a, b = b, (a + b) & 0xFFFFFFFF
        output.append(b >> 24)
    return bytes(output)


def _blake2s_self_test(digest_sizes: list[int], input_lengths: list[int]) -> _Result:
    # RFC 7693 appendix E.
    whole = hashlib.blake2s(digest_size=32)
    for size in digest_sizes:
        for length in input_lengths:
            data = _self_test_input(length)
            whole.update(hashlib.blake2s(data, digest_size=size).digest())
            whole.update(hashlib.blake2s(data, digest_size=size, key=_self_test_input(size)).digest())
    return {"digest": whole.digest()}


def _blake3(data: Octets) -> _Result:
    return {"digest": blake3(data).digest()}


def _blake3_keyed(key: Octets, data: Octets) -> _Result:
    try:
        return {"digest": blake3(data, key=key).digest()}
    except ValueError:
        raise MalformedError("key is not 32 bytes") from None


def _gcm_encrypt(key: Octets, iv: Octets, aad: Octets, plaintext: Octets) -> _Result:
    sealed = AESGCM(key).encrypt(iv, plaintext, aad)
    return {"ciphertext": sealed[:-_TAG], "tag": sealed[-_TAG:]}


def _gcm_decrypt(key: Octets, iv: Octets, aad: Octets, ciphertext: Octets, tag: Octets) -> _Result:
    try:
        return {"plaintext": AESGCM(key).decrypt(iv, ciphertext + tag, aad)}
    except InvalidTag:
        raise AuthenticationError from None


def _registration_response(
    oprf_seed: Octets,
    server_private_key: Octets,
    server_public_key: Octets,
    credential_identifier: Octets,
    registration_request: Octets,
) -> _Result:
    # The third part of a setup is the public key of decoys: any element, and no part of this answer.
    setup = ServerSetup(oprf_seed + server_private_key + server_public_key)
    request = RegistrationRequest(registration_request)
    # The facade puts the suite's label before every identifier, and the RFC's identifier has none.
    binding = _opaque.binding  # type: ignore[attr-defined]  # so that the facade stays the binding's only importer
    try:
        started = binding.server_registration_start(setup.parsed, request, credential_identifier)
    except ValueError:
        raise MalformedError("blinded element is not a group element") from None
    return {"registration_response": bytes(started.get_message())}


OPERATIONS: Final[dict[str, Implementation]] = {
    "independent.aes_kw_wrap": _wrap,
    "independent.aes_kw_unwrap": _unwrap,
    "independent.argon2id": _argon2id,
    "independent.hkdf_sha256": _hkdf(SHA256()),
    "independent.hkdf_sha512": _hkdf(SHA512()),
    "independent.blake2s": _blake2s,
    "independent.blake2s_self_test": _blake2s_self_test,
    "independent.blake3": _blake3,
    "independent.blake3_keyed": _blake3_keyed,
    "independent.aes_256_gcm_encrypt": _gcm_encrypt,
    "independent.aes_256_gcm_decrypt": _gcm_decrypt,
    "independent.opaque_registration_response": _registration_response,
}
