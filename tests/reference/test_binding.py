"""`opaque_ke_py`, the binding the product uses, against the reference, in both roles.

Everything here runs with the suite's settings: Argon2id(m=19456, t=2, p=1), empty context, no identities.
The binding draws its own randomness; where its states and messages reveal it, the reference recomputes the
binding's output byte for byte, elsewhere both sides must reach the same keys.
"""

import hashlib

import opaque_ke_py as binding
import pytest

from . import envelope, key_schedule, opaque, oprf
from .opaque import Configuration, ServerSetup

SUITE = Configuration()
PASSWORD = b"6b" * 32
IDENTIFIER = b"hushtag-v1/credential/" + bytes(range(32))
# What the binding says in its versions 0.1.0 and 0.1.2; the facade lets neither through.
REFUSED = "InvalidLoginError|Authentication failed"
NO_ELEMENT = "deserialize|Invalid message format|input is empty"


def scalar(label):
    return oprf.derive_key_pair(hashlib.sha256(label).digest(), b"test").private_key


def nonce(label):
    return hashlib.sha256(b"nonce " + label).digest()


def keyshare(label):
    return envelope.derive_diffie_hellman_key_pair(hashlib.sha256(b"keyshare " + label).digest())


SETUP = ServerSetup(hashlib.sha512(b"oprf seed").digest(), keyshare(b"server"))
DUMMY = keyshare(b"dummy").public_key
SETUP_BYTES = SETUP.oprf_seed + SETUP.key_pair.private_key + DUMMY
DECOY = keyshare(b"decoy").public_key + hashlib.sha512(b"decoy").digest() + bytes(96)


@pytest.fixture(scope="module")
def server_setup():
    return binding.ServerSetupData.from_bytes(SETUP_BYTES)


class ReferenceClient:
    def register(self, password, respond):
        blind = scalar(b"registration")
        response = respond(opaque.create_registration_request(password, blind))
        done = opaque.finalize_registration_request(SUITE, password, blind, response, nonce(b"envelope"))
        return done.upload, done.export_key

    def start(self, password):
        self.state = opaque.generate_ke1(password, scalar(b"login"), nonce(b"client"), keyshare(b"client"))
        return self.state.ke1

    def finish(self, ke2):
        done = opaque.generate_ke3(SUITE, self.state, ke2)
        return done.ke3, done.keys.session_key, done.export_key


class BindingClient:
    def register(self, password, respond):
        start = binding.client_registration_start(password)
        done = binding.client_registration_finish(password, start.get_state(), respond(start.get_message()))
        return done.get_message(), done.get_export_key()

    def start(self, password):
        self.password, begun = password, binding.client_login_start(password)
        self.state = begun.get_state()
        return begun.get_message()

    def finish(self, ke2):
        done = binding.client_login_finish(self.password, self.state, ke2)
        return done.get_message(), done.get_session_key(), done.get_export_key()


class ReferenceServer:
    def respond(self, request):
        return opaque.create_registration_response(SETUP, request, IDENTIFIER)

    def start(self, record, ke1, setup=SETUP):
        self.login = opaque.generate_ke2(
            SUITE, setup, record, ke1, IDENTIFIER, nonce(b"masking"), nonce(b"server"), keyshare(b"ephemeral")
        )
        return self.login.ke2

    def finish(self, ke3):
        return opaque.server_finish(self.login, ke3)


class BindingServer:
    def __init__(self):
        self.setup = binding.ServerSetupData.from_bytes(SETUP_BYTES)

    def respond(self, request):
        return binding.server_registration_start(self.setup, request, IDENTIFIER).get_message()

    def start(self, record, ke1):
        begun = binding.server_login_start(self.setup, record, ke1, IDENTIFIER)
        self.state = begun.get_state()
        return begun.get_message()

    def finish(self, ke3):
        return binding.server_login_finish(self.state, ke3).get_session_key()


CLIENTS, SERVERS = (ReferenceClient, BindingClient), (ReferenceServer, BindingServer)
PAIRS = [(ReferenceClient, BindingServer), (BindingClient, ReferenceServer)]


def refusals():
    """What either client raises at a KE2 that its password does not open."""
    return pytest.raises((ValueError, envelope.EnvelopeRecoveryError, opaque.ServerAuthenticationError))


@pytest.fixture(scope="module")
def record():
    return ReferenceClient().register(PASSWORD, ReferenceServer().respond)[0]


@pytest.mark.parametrize("registrar", CLIENTS)
@pytest.mark.parametrize(("client_type", "server_type"), PAIRS)
def test_registration_and_login_reach_the_same_keys(registrar, client_type, server_type):
    client, server = client_type(), server_type()
    upload, registered_export_key = registrar().register(PASSWORD, server.respond)
    ke2 = server.start(upload, client.start(PASSWORD))
    ke3, session_key, export_key = client.finish(ke2)
    assert server.finish(ke3) == session_key
    assert export_key == registered_export_key
    assert len(session_key) == len(export_key) == 64
    assert session_key != export_key


@pytest.mark.parametrize("client_type", CLIENTS)
def test_both_servers_answer_a_registration_alike(client_type):
    seen = []

    def respond(request):
        seen.extend(server().respond(request) for server in SERVERS)
        return seen[0]

    client_type().register(PASSWORD, respond)
    assert seen[0] == seen[1]
    assert seen[0][32:] == SETUP.key_pair.public_key


def test_the_reference_recomputes_a_registration_of_the_binding():
    start = binding.client_registration_start(PASSWORD)
    state, request = start.get_state(), start.get_message()
    assert state[32:] == request
    response = ReferenceServer().respond(request)
    done = binding.client_registration_finish(PASSWORD, state, response)
    upload = done.get_message()
    again = opaque.finalize_registration_request(SUITE, PASSWORD, state[:32], response, upload[96:128])
    assert upload == again.upload
    assert done.get_export_key() == again.export_key


def test_the_reference_recomputes_a_login_of_the_binding(server_setup, record):
    client, server = BindingClient(), BindingServer()
    ke1 = client.start(PASSWORD)
    ke2 = server.start(record, ke1)
    again = opaque.ClientLoginState(PASSWORD, client.state[:32], ke1, client.state[128:160])
    ke3, session_key, export_key = client.finish(ke2)
    reference = opaque.generate_ke3(SUITE, again, ke2)
    assert (reference.ke3, reference.keys.session_key, reference.export_key) == (ke3, session_key, export_key)


def test_a_client_login_state_is_blind_ke1_key_share_and_nonce():
    client = BindingClient()
    ke1 = client.start(PASSWORD)
    blind, rest = client.state[:32], client.state[32:]
    assert opaque.create_registration_request(PASSWORD, blind) == ke1[:32]
    assert rest[:96] == ke1
    assert oprf.public_key_of(rest[96:128]) == ke1[64:]
    assert rest[128:] == ke1[32:64]


def test_a_server_login_state_is_the_session_key_and_the_expected_ke3(record):
    client, server = ReferenceClient(), BindingServer()
    ke3, session_key, _ = client.finish(server.start(record, client.start(PASSWORD)))
    assert server.state == session_key + ke3, "the state is as secret as the session it leads to"


def test_registration_state_is_the_prefix_of_login_state(server_setup):
    login = binding.client_login_start(PASSWORD)
    state, ke1 = login.get_state(), login.get_message()
    assert len(state) == 192
    registration_state = state[:64]
    assert registration_state[32:] == ke1[:32], "one blinded element serves both"
    response = binding.server_registration_start(server_setup, ke1[:32], IDENTIFIER).get_message()
    located = binding.client_registration_finish(PASSWORD, registration_state, response).get_message()
    usual = binding.client_registration_start(PASSWORD)
    usual_response = binding.server_registration_start(server_setup, usual.get_message(), IDENTIFIER).get_message()
    registered = binding.client_registration_finish(PASSWORD, usual.get_state(), usual_response)
    upload = registered.get_message()
    assert located[32:96] == upload[32:96], "the masking keys agree"
    ke2 = binding.server_login_start(server_setup, upload, ke1, IDENTIFIER).get_message()
    assert ke2[:32] == response[:32], "the login repeats the evaluation that located the record"
    assert binding.client_login_finish(PASSWORD, state, ke2).get_export_key() == registered.get_export_key()


@pytest.mark.parametrize(("client_type", "server_type"), PAIRS)
def test_a_wrong_password_fails(client_type, server_type, record):
    client = client_type()
    ke2 = server_type().start(record, client.start(PASSWORD + b"x"))
    with refusals():
        client.finish(ke2)


@pytest.mark.parametrize(("client_type", "server_type"), PAIRS)
def test_a_decoy_record_is_answered_in_full_and_fails(client_type, server_type, record):
    client, server = client_type(), server_type()
    ke1 = client.start(PASSWORD)
    decoy, genuine = server.start(DECOY, ke1), server.start(record, ke1)
    assert len(decoy) == len(genuine) == opaque.KE2_BYTES
    assert decoy[:32] == genuine[:32], "the evaluation does not depend on the record"
    with refusals():
        client.finish(decoy)


def test_the_binding_says_the_same_of_a_decoy_and_of_a_wrong_password(record):
    messages = set()
    for presented, password in ((DECOY, PASSWORD), (record, PASSWORD + b"x")):
        client = BindingClient()
        ke2 = ReferenceServer().start(presented, client.start(password))
        with pytest.raises(ValueError, match=REFUSED) as refused:
            client.finish(ke2)
        messages.add(str(refused.value))
    assert len(messages) == 1


@pytest.mark.parametrize(("client_type", "server_type"), PAIRS)
def test_a_forged_ke3_fails(client_type, server_type, record):
    client, server = client_type(), server_type()
    ke3, _, _ = client.finish(server.start(record, client.start(PASSWORD)))
    forged = ke3[:-1] + bytes([ke3[-1] ^ 1])
    with pytest.raises((ValueError, opaque.ClientAuthenticationError)):
        server.finish(forged)


@pytest.mark.parametrize("client_type", CLIENTS)
@pytest.mark.parametrize("position", [32, 64, 96, 191, 192, 319])
def test_a_flipped_bit_of_ke2_fails(client_type, position, record):
    client = client_type()
    ke2 = bytearray(BindingServer().start(record, client.start(PASSWORD)))
    ke2[position] ^= 1
    with refusals():
        client.finish(bytes(ke2))


@pytest.mark.parametrize("client_type", CLIENTS)
def test_a_server_with_another_private_key_fails(client_type, record):
    impostor = ServerSetup(SETUP.oprf_seed, keyshare(b"impostor"))
    client = client_type()
    ke2 = ReferenceServer().start(record, client.start(PASSWORD), impostor)
    with refusals():
        client.finish(ke2)


def test_the_stretch_of_the_binding_is_sixty_four_bytes_under_a_zero_salt(server_setup):
    login = binding.client_registration_start(PASSWORD)
    response = binding.server_registration_start(server_setup, login.get_message(), IDENTIFIER).get_message()
    masking_key = binding.client_registration_finish(PASSWORD, login.get_state(), response).get_message()[32:96]
    oprf_output = oprf.finalize(PASSWORD, login.get_state()[:32], response[:32])

    def masking_key_under(ksf):
        return envelope.masking_key(key_schedule.randomized_password(oprf_output, ksf))

    assert masking_key_under(key_schedule.suite_ksf) == masking_key
    assert masking_key_under(lambda message: key_schedule.suite_ksf(message)[:32]) != masking_key
    assert masking_key_under(key_schedule.identity_ksf) != masking_key


def test_a_server_setup_is_seed_private_key_and_dummy_public_key(server_setup):
    assert server_setup.to_bytes() == SETUP_BYTES
    fresh = binding.server_setup().to_bytes()
    oprf_seed, private_key, dummy = fresh[:64], fresh[64:96], fresh[96:]
    setup = ServerSetup(oprf_seed, oprf.KeyPair(private_key, oprf.public_key_of(private_key)))
    request = opaque.create_registration_request(PASSWORD, scalar(b"registration"))
    response = binding.server_registration_start(
        binding.ServerSetupData.from_bytes(fresh), request, IDENTIFIER
    ).get_message()
    assert response == opaque.create_registration_response(setup, request, IDENTIFIER)
    assert oprf.deserialize_element(dummy).encode() == dummy


@pytest.mark.parametrize("identifier", [b"1", b"1234", IDENTIFIER, bytes(300)])
def test_the_binding_derives_the_oprf_key_of_any_identifier_as_the_rfc_does(server_setup, identifier):
    request = opaque.create_registration_request(PASSWORD, scalar(b"registration"))
    expected = opaque.create_registration_response(SETUP, request, identifier)
    assert binding.server_registration_start(server_setup, request, identifier).get_message() == expected


@pytest.mark.parametrize("bad", [bytes(32), b"\1" + bytes(31), b"\xff" * 32, bytes(31), b""])
def test_the_binding_refuses_what_is_no_element(server_setup, bad, record):
    ke1 = ReferenceClient().start(PASSWORD)
    with pytest.raises(ValueError, match=NO_ELEMENT):
        binding.server_registration_start(server_setup, bad, IDENTIFIER)
    with pytest.raises(ValueError, match=NO_ELEMENT):
        binding.server_login_start(server_setup, record, ke1[:64] + bad, IDENTIFIER)


def test_the_binding_ignores_trailing_bytes_so_lengths_are_for_the_caller_to_check(server_setup, record):
    client = ReferenceClient()
    ke1 = client.start(PASSWORD)
    assert len(binding.server_login_start(server_setup, record, ke1 + b"more", IDENTIFIER).get_message()) == 320
    assert binding.ServerSetupData.from_bytes(SETUP_BYTES + b"more").to_bytes() == SETUP_BYTES
    with pytest.raises(opaque.MessageError):
        ReferenceServer().start(record, ke1 + b"more")
