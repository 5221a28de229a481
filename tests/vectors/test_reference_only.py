"""What the library cannot run, the reference does; and the library accepts what came of it.

The binding draws blinds, nonces and key shares itself, so four steps of the transcripts can only be repeated by
`tests/reference`. Each of their results is then the input of a vector that the binding does run.
"""

from collections.abc import Callable
from typing import Any

import pytest

from hushtag.vectors._opaque import REFERENCE_ONLY
from tests.reference import envelope, opaque
from tests.reference.opaque import Configuration, ServerSetup
from tests.reference.oprf import KeyPair, public_key_of
from tests.vectors.documents import Vector, vectors

SUITE = Configuration()
LABEL = b"hushtag-v1/credential/"
VECTORS = list(vectors("suite/registration", "suite/login"))
ONLY_HERE = [vector for vector in VECTORS if vector["operation"] in REFERENCE_ONLY]

Outcome = dict[str, bytes]


def registration_request(password: bytes, blind: bytes) -> Outcome:
    return {"registration_request": opaque.create_registration_request(password, blind)}


def finish_registration(password: bytes, blind: bytes, registration_response: bytes, envelope_nonce: bytes) -> Outcome:
    done = opaque.finalize_registration_request(SUITE, password, blind, registration_response, envelope_nonce)
    return {"record": done.upload, "export_key": done.export_key}


def start_login(password: bytes, blind: bytes, client_nonce: bytes, client_keyshare_seed: bytes) -> Outcome:
    keyshare = envelope.derive_diffie_hellman_key_pair(client_keyshare_seed)
    ke1 = opaque.generate_ke1(password, blind, client_nonce, keyshare).ke1
    return {"ke1": ke1, "client_keyshare_private_key": keyshare.private_key}


def answer_login(
    opaque_setup: bytes,
    opaque_credential_id: bytes,
    record: bytes,
    ke1: bytes,
    masking_nonce: bytes,
    server_nonce: bytes,
    server_keyshare_seed: bytes,
) -> Outcome:
    private_key = opaque_setup[64:96]
    setup = ServerSetup(opaque_setup[:64], KeyPair(private_key, public_key_of(private_key)))
    keyshare = envelope.derive_diffie_hellman_key_pair(server_keyshare_seed)
    identifier = LABEL + opaque_credential_id
    login = opaque.generate_ke2(SUITE, setup, record, ke1, identifier, masking_nonce, server_nonce, keyshare)
    return {"ke2": login.ke2, "ke3": login.keys.client_mac, "session_key": login.keys.session_key}


STEPS: dict[str, Callable[..., Outcome]] = {
    "opaque.registration_request": registration_request,
    "opaque.finish_registration": finish_registration,
    "opaque.start_login": start_login,
    "opaque.answer_login": answer_login,
}


def test_every_such_operation_is_run_here() -> None:
    assert set(STEPS) == REFERENCE_ONLY == {vector["operation"] for vector in ONLY_HERE}


@pytest.mark.parametrize("vector", ONLY_HERE, ids=lambda vector: vector["name"])
def test_the_reference_makes_the_figure(vector: Vector) -> None:
    given = {name: bytes.fromhex(value) for name, value in vector["given"].items()}
    made = {name: value.hex() for name, value in STEPS[vector["operation"]](**given).items()}
    assert (vector["expect"], made) == ("success", vector["expected"])


@pytest.mark.parametrize(
    ("operation", "member"),
    [
        ("opaque.registration_request", "registration_request"),
        ("opaque.finish_registration", "record"),
        ("opaque.start_login", "ke1"),
        ("opaque.start_login", "client_keyshare_private_key"),
        ("opaque.answer_login", "ke2"),
        ("opaque.answer_login", "ke3"),
        ("opaque.answer_login", "session_key"),
    ],
)
def test_what_the_reference_made_goes_into_the_binding(operation: str, member: str) -> None:
    made = [vector["expected"][member] for vector in ONLY_HERE if vector["operation"] == operation]
    ours = [vector for vector in VECTORS if vector["operation"] not in REFERENCE_ONLY]
    taken: list[Any] = [value for vector in ours for value in vector["given"].values()]
    # Nobody reaches the session key of the decoy: only the enrolled one, which comes first, is ever compared.
    compared = made[:1] if member == "session_key" else made
    assert compared
    assert [value for value in compared if value not in taken] == []


def test_the_export_key_of_the_registration_comes_back_from_the_login() -> None:
    registered, logged_in = (
        next(v["expected"]["export_key"] for v in VECTORS if v["operation"] == operation and "expected" in v)
        for operation in ("opaque.finish_registration", "opaque.finish_login")
    )
    assert registered == logged_in
