"""Every vector of `vectors/independent/` through the libraries of the product and through this package.

Two implementations that share no code must agree with a figure before it counts: cryptography, argon2-cffi,
hashlib, the blake3 wheel and the OPAQUE binding on one side, plain Python on the other.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import argon2.low_level
import blake3 as blake3_wheel
import opaque_ke_py
import pytest
from argon2.low_level import ffi
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from . import blake2s, blake3, envelope, key_schedule, key_wrap, opaque, oprf, ristretto, transcript

FOLDER = Path(__file__).parents[2] / "vectors" / "independent"
REFUSED_AS_MALFORMED = (ValueError,)
REFUSED_AS_FORGED = (
    InvalidTag,
    InvalidUnwrap,
    key_wrap.UnwrapError,
    envelope.EnvelopeRecoveryError,
    opaque.ServerAuthenticationError,
)
KSF = {"identity": key_schedule.identity_ksf, "argon2id": key_schedule.suite_ksf}
TAG_BYTES = 16
# RFC 9807 appendix C lists these apart from what is sent or returned.
INTERMEDIATE = (
    "oprf_key",
    "randomized_password",
    "client_public_key",
    "masking_key",
    "envelope",
    "auth_key",
    "handshake_secret",
    "server_mac_key",
    "client_mac_key",
)


def load() -> list[Any]:
    return [
        pytest.param(vector, id=vector["name"])
        for path in sorted(FOLDER.glob("*.json"))
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]
    ]


def in_bytes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as bytes; numbers, lists and names stay what they are."""
    return {
        name: bytes.fromhex(value) if isinstance(value, str) and name != "ksf" else value
        for name, value in given.items()
    }


def in_hex(outcome: Any) -> Any:
    if isinstance(outcome, Mapping):
        return {name: in_hex(value) for name, value in outcome.items()}
    return outcome.hex() if isinstance(outcome, bytes) else outcome


def run(implementation: Callable[..., Any], given: Mapping[str, Any]) -> tuple[str, Any]:
    try:
        return "success", in_hex(implementation(**in_bytes(given)))
    except REFUSED_AS_FORGED:
        return "authentication_failed", None
    except REFUSED_AS_MALFORMED:
        return "malformed", None


# The product's libraries.


def unwrap(kek, wrapped_key):
    # The library answers a length that cannot be with InvalidUnwrap; malformed is decided before it is asked.
    if len(wrapped_key) < 24 or len(wrapped_key) % 8:
        raise ValueError
    return {"key": aes_key_unwrap(kek, wrapped_key)}


def hkdf(algorithm):
    def derive(ikm, salt, info, length):
        return {"okm": HKDF(algorithm=algorithm, length=length, salt=salt, info=info).derive(ikm)}

    return derive


def blake2s_of_hashlib(data, key, person, digest_size):
    return {"digest": hashlib.blake2s(data, key=key, person=person, digest_size=digest_size).digest()}


def self_test(hash_function):
    """RFC 7693 appendix E."""

    def digest(digest_sizes, input_lengths):
        gathered = b""
        for size in digest_sizes:
            for length in input_lengths:
                data = blake2s.self_test_input(length, length)
                gathered += hash_function(data, size, b"")
                gathered += hash_function(data, size, blake2s.self_test_input(size, size))
        return {"digest": hash_function(gathered, 32, b"")}

    return digest


def argon2id_of_openssl(password, salt, secret, associated_data, memory_kib, iterations, lanes, length):
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


def argon2id_of_libargon2(password, salt, secret, associated_data, memory_kib, iterations, lanes, length):
    """The C library under argon2-cffi; only its raw context takes a secret and associated data."""
    out = ffi.new("uint8_t[]", length)
    buffers = [ffi.new("uint8_t[]", value) for value in (password, salt, secret, associated_data)]
    context = ffi.new(
        "argon2_context *",
        {
            "out": out,
            "outlen": length,
            "version": argon2.low_level.ARGON2_VERSION,
            "pwd": buffers[0],
            "pwdlen": len(password),
            "salt": buffers[1],
            "saltlen": len(salt),
            "secret": buffers[2] if secret else ffi.NULL,
            "secretlen": len(secret),
            "ad": buffers[3] if associated_data else ffi.NULL,
            "adlen": len(associated_data),
            "t_cost": iterations,
            "m_cost": memory_kib,
            "lanes": lanes,
            "threads": 1,
            "allocate_cbk": ffi.NULL,
            "free_cbk": ffi.NULL,
            "flags": 0,
        },
    )
    code = argon2.low_level.core(context, argon2.low_level.Type.ID.value)
    if code:
        raise ValueError(argon2.low_level.error_to_str(code))
    return {"tag": bytes(ffi.buffer(out, length))}


def encrypt(key, iv, aad, plaintext):
    sealed = AESGCM(key).encrypt(iv, plaintext, aad)
    return {"ciphertext": sealed[:-TAG_BYTES], "tag": sealed[-TAG_BYTES:]}


def decrypt(key, iv, aad, ciphertext, tag):
    return {"plaintext": AESGCM(key).decrypt(iv, ciphertext + tag, aad)}


def registration_response_of_the_binding(
    oprf_seed, server_private_key, server_public_key, credential_identifier, registration_request
):
    # The third part of a setup is the public key of decoys: any element, and no part of this answer.
    setup = opaque_ke_py.ServerSetupData.from_bytes(oprf_seed + server_private_key + server_public_key)
    started = opaque_ke_py.server_registration_start(setup, registration_request, credential_identifier)
    return {"registration_response": started.get_message()}


# The reference.


def configuration(given):
    return opaque.Configuration(
        KSF[given.get("ksf", "identity")],
        given["context"],
        given.get("client_identity"),
        given.get("server_identity"),
    )


def login(**given):
    config = configuration(given)
    registered = transcript.register(config, given)
    values = {**registered, **transcript.log_in(config, given, registered["registration_upload"])}
    return {
        **{name: value for name, value in values.items() if name not in INTERMEDIATE},
        "intermediate": {name: values[name] for name in INTERMEDIATE},
    }


def client_finish(**given):
    state = opaque.generate_ke1(
        given["password"],
        given["blind_login"],
        given["client_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["client_keyshare_seed"]),
    )
    done = opaque.generate_ke3(configuration(given), state, given["KE2"])
    return {"KE3": done.ke3, "session_key": done.keys.session_key, "export_key": done.export_key}


def fake_record(**given):
    answer = opaque.generate_ke2(
        configuration(given),
        transcript.server_setup(given),
        given["client_public_key"] + given["masking_key"] + bytes(envelope.ENVELOPE_BYTES),
        given["KE1"],
        given["credential_identifier"],
        given["masking_nonce"],
        given["server_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["server_keyshare_seed"]),
    )
    return {"KE2": answer.ke2}


def registration_response(registration_request, credential_identifier, **server):
    setup = transcript.server_setup(server)
    response = opaque.create_registration_response(setup, registration_request, credential_identifier)
    return {"registration_response": response}


def reference_hkdf(name):
    def derive(ikm, salt, info, length):
        return {"okm": key_schedule.expand(key_schedule.extract(salt, ikm, name), info, length, name)}

    return derive


def evaluate(private_key, blind, **given):
    blinded = oprf.blind(given["input"], blind)
    evaluated = oprf.blind_evaluate(private_key, blinded)
    output = oprf.finalize(given["input"], blind, evaluated)
    return {"blinded_element": blinded, "evaluated_element": evaluated, "output": output}


IMPLEMENTATIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "independent.aes_kw_wrap": {
        "cryptography": lambda kek, key: {"wrapped_key": aes_key_wrap(kek, key)},
        "reference": lambda kek, key: {"wrapped_key": key_wrap.wrap(kek, key)},
    },
    "independent.aes_kw_unwrap": {
        "cryptography": unwrap,
        "reference": lambda kek, wrapped_key: {"key": key_wrap.unwrap(kek, wrapped_key)},
    },
    "independent.argon2id": {"openssl": argon2id_of_openssl, "libargon2": argon2id_of_libargon2},
    "independent.hkdf_sha256": {"cryptography": hkdf(SHA256()), "reference": reference_hkdf("sha256")},
    "independent.hkdf_sha512": {"cryptography": hkdf(SHA512()), "reference": reference_hkdf("sha512")},
    "independent.blake2s": {
        "hashlib": blake2s_of_hashlib,
        "reference": lambda **given: {"digest": blake2s.blake2s(**given)},
    },
    "independent.blake2s_self_test": {
        "hashlib": self_test(lambda data, size, key: hashlib.blake2s(data, digest_size=size, key=key).digest()),
        "reference": self_test(blake2s.blake2s),
    },
    "independent.blake3": {
        "wheel": lambda data: {"digest": blake3_wheel.blake3(data).digest()},
        "reference": lambda data: {"digest": blake3.blake3(data)},
    },
    "independent.blake3_keyed": {
        "wheel": lambda key, data: {"digest": blake3_wheel.blake3(data, key=key).digest()},
        "reference": lambda key, data: {"digest": blake3.blake3(data, key)},
    },
    # AES-GCM is the one primitive with a single implementation here; its figures are NIST's own.
    "independent.aes_256_gcm_encrypt": {"cryptography": encrypt},
    "independent.aes_256_gcm_decrypt": {"cryptography": decrypt},
    "independent.ristretto255_multiple": {
        "reference": lambda scalar: {"element": (scalar * ristretto.GENERATOR).encode()}
    },
    "independent.ristretto255_decode": {
        "reference": lambda encoding: {"element": ristretto.Element.decode(encoding).encode()}
    },
    "independent.ristretto255_from_uniform": {
        "reference": lambda uniform: {"element": ristretto.Element.from_uniform_bytes(uniform).encode()}
    },
    "independent.expand_message_xmd": {"reference": lambda **given: {"uniform": oprf.expand_message_xmd(**given)}},
    "independent.oprf_derive_key_pair": {
        "reference": lambda **given: {"private_key": oprf.derive_key_pair(**given).private_key}
    },
    "independent.oprf_evaluate": {"reference": evaluate},
    "independent.opaque_registration_response": {
        "binding": registration_response_of_the_binding,
        "reference": registration_response,
    },
    "independent.opaque_login": {"reference": login},
    "independent.opaque_client_finish": {"reference": client_finish},
    "independent.opaque_fake_record": {"reference": fake_record},
}


@pytest.mark.parametrize("vector", load())
def test_every_implementation_agrees_with_the_figure(vector):
    for name, implementation in IMPLEMENTATIONS[vector["operation"]].items():
        outcome = run(implementation, vector["given"])
        assert outcome == (vector["expect"], vector.get("expected")), name


def test_every_operation_has_a_success():
    succeeding = {vector.values[0]["operation"] for vector in load() if vector.values[0]["expect"] == "success"}
    # An encoding that decodes is every multiple of the generator; RFC 9496 lists refusals apart.
    assert succeeding == set(IMPLEMENTATIONS) - {"independent.ristretto255_decode"}


@pytest.mark.parametrize("operation", ["ristretto255_decode", "aes_kw_unwrap", "aes_256_gcm_decrypt", "argon2id"])
def test_operations_that_can_refuse_are_seen_to_refuse(operation):
    outcomes = {v.values[0]["expect"] for v in load() if v.values[0]["operation"] == f"independent.{operation}"}
    assert outcomes - {"success"}
