"""AES-256-GCM with 96-bit nonces and full tags: a part of NIST's gcmEncryptExtIV256 and gcmDecrypt256."""

from collections.abc import Iterator
from typing import Any

from .independent_support.published import Case, read
from .independent_support.shape import document, vector

_SOURCE = (
    "NIST CAVP gcmEncryptExtIV256 and gcmDecrypt256 as shipped by cryptography_vectors: for every length of "
    "plaintext and associated data, the first case of each outcome with a nonce of 96 and a tag of 128 bits"
)
_INPUTS = ("key", "iv", "aad")


def _first_of_each(path: str) -> Iterator[tuple[str, Case]]:
    """The first case of each combination of lengths and outcome, with a name for the lengths."""
    seen = set()
    for case in read(path):
        if case.section["ivlen"] != 96 or case.section["taglen"] != 128:
            continue
        lengths = f"{case.section['ptlen']}_{case.section['aadlen']}"
        if (lengths, case.fails) not in seen:
            seen.add((lengths, case.fails))
            yield lengths, case


def _encrypt(lengths: str, case: Case) -> dict[str, Any]:
    fields = case.fields
    return vector(
        f"aes_256_gcm_encrypt_{lengths}",
        f"gcmEncryptExtIV256, bits of plaintext and associated data {lengths}, case {fields['count']}",
        "aes_256_gcm_encrypt",
        {**{name: fields[name] for name in _INPUTS}, "plaintext": fields["pt"]},
        {"ciphertext": fields["ct"], "tag": fields["tag"]},
    )


def _decrypt(lengths: str, case: Case) -> dict[str, Any]:
    fields = case.fields
    description = f"gcmDecrypt256, bits of plaintext and associated data {lengths}, case {fields['count']}"
    given = {**{name: fields[name] for name in _INPUTS}, "ciphertext": fields["ct"], "tag": fields["tag"]}
    if case.fails:
        name = f"aes_256_gcm_refused_{lengths}"
        return vector(name, description, "aes_256_gcm_decrypt", given, expect="authentication_failed")
    name = f"aes_256_gcm_decrypt_{lengths}"
    return vector(name, description, "aes_256_gcm_decrypt", given, {"plaintext": fields["pt"]})


def generate() -> dict[str, dict[str, Any]]:
    """The path under `vectors/` and the document."""
    encrypted = [_encrypt(*found) for found in _first_of_each("ciphers/AES/GCM/gcmEncryptExtIV256.rsp")]
    decrypted = [_decrypt(*found) for found in _first_of_each("ciphers/AES/GCM/gcmDecrypt256.rsp")]
    return document("nist_aes_256_gcm", _SOURCE, [*encrypted, *decrypted])
