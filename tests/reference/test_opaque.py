"""The reference against RFC 9807 appendix C, field by field, and its refusals."""

import json
from pathlib import Path

import pytest

from . import envelope, opaque, oprf, ristretto, transcript
from .key_schedule import identity_ksf

FILE = Path(__file__).parents[2] / "vectors" / "independent" / "rfc9807_ristretto255.json"
VECTORS = {vector["name"]: vector for vector in json.loads(FILE.read_text(encoding="utf-8"))["vectors"]}
LOGINS = ("opaque_login_without_identities", "opaque_login_with_identities")


def in_bytes(figures):
    return {name: bytes.fromhex(value) for name, value in figures.items() if isinstance(value, str) and name != "ksf"}


def configuration(given):
    return opaque.Configuration(
        identity_ksf, given["context"], given.get("client_identity"), given.get("server_identity")
    )


@pytest.fixture(params=LOGINS)
def login(request):
    vector = VECTORS[request.param]
    given, expected = in_bytes(vector["given"]), vector["expected"]
    return configuration(given), given, in_bytes({**expected, **expected["intermediate"]})


def test_every_published_value_is_reproduced(login):
    config, given, expected = login
    registered = transcript.register(config, given)
    assert {**registered, **transcript.log_in(config, given, registered["registration_upload"])} == expected


def test_the_published_server_key_pair_belongs_together(login):
    _, given, _ = login
    assert oprf.public_key_of(given["server_private_key"]) == given["server_public_key"]


def test_the_fake_client_key_pair_of_the_rfc_belongs_together():
    # The private key stands in RFC 9807 appendix C.2.1 and serves nobody: it is not part of our vector.
    private_key = bytes.fromhex("2b98980aa95ab53a0f39f0291903d2fdf04b00c167f0814169922df873002409")
    given = in_bytes(VECTORS["opaque_fake_record"]["given"])
    assert oprf.public_key_of(private_key) == given["client_public_key"]


@pytest.mark.parametrize(
    "change",
    [{"context": b"OPAQUE-POD"}, {"client_identity": b"mallory"}, {"server_identity": b"mallory"}],
    ids=lambda change: next(iter(change)),
)
def test_a_login_under_other_settings_is_refused(change):
    given = in_bytes(VECTORS[LOGINS[1]]["given"])
    config = configuration(given)
    record = transcript.register(config, given)["registration_upload"]
    other = opaque.Configuration(**{**vars(config), **change})
    state = opaque.generate_ke1(
        given["password"],
        given["blind_login"],
        given["client_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["client_keyshare_seed"]),
    )
    server = opaque.generate_ke2(
        other,
        transcript.server_setup(given),
        record,
        state.ke1,
        given["credential_identifier"],
        given["masking_nonce"],
        given["server_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["server_keyshare_seed"]),
    )
    with pytest.raises(opaque.ServerAuthenticationError):
        opaque.generate_ke3(config, state, server.ke2)


def test_every_flipped_byte_of_ke3_is_refused(login):
    config, given, expected = login
    ke1 = expected["KE1"]
    server = opaque.generate_ke2(
        config,
        transcript.server_setup(given),
        expected["registration_upload"],
        ke1,
        given["credential_identifier"],
        given["masking_nonce"],
        given["server_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["server_keyshare_seed"]),
    )
    assert opaque.server_finish(server, expected["KE3"]) == expected["session_key"]
    for position in range(opaque.KE3_BYTES):
        forged = bytearray(expected["KE3"])
        forged[position] ^= 0x80
        with pytest.raises(opaque.ClientAuthenticationError):
            opaque.server_finish(server, bytes(forged))


def test_an_empty_identity_is_not_an_absent_one():
    key = bytes(32)
    with pytest.raises(ValueError, match="identity"):
        envelope.cleartext_credentials(key, key, b"", None)


def test_the_identity_element_is_no_message(login):
    config, given, expected = login
    setup, identity = transcript.server_setup(given), bytes(32)
    with pytest.raises(ristretto.DecodeError):
        opaque.create_registration_response(setup, identity, b"id")
    with pytest.raises(ristretto.DecodeError):
        opaque.finalize_registration_request(
            config, b"", given["blind_login"], identity + expected["registration_response"][32:], bytes(32)
        )
