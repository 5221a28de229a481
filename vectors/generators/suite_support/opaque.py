"""Recorded OPAQUE transcripts of the suite: Argon2id as KSF, empty context, the suite's credential identifier."""

from dataclasses import dataclass

from tests.reference import envelope, opaque, transcript
from tests.reference.opaque import ClientLoginState, Configuration, ServerLogin
from tests.reference.oprf import KeyPair

from . import fixed, spec

CONFIGURATION = Configuration()
BLIND_REGISTRATION = fixed.key_pair("blind of the registration").private_key
BLIND_LOGIN = fixed.key_pair("blind of the login").private_key
_NONCES = ("envelope_nonce", "client_nonce", "masking_nonce", "server_nonce")
_SEEDS = ("client_keyshare_seed", "server_keyshare_seed")
RANDOMNESS = {name: fixed.octets(name, 32) for name in (*_NONCES, *_SEEDS)}


@dataclass(frozen=True)
class Recorded:
    """One registration and one login of one password, with what both sides hold between the messages."""

    password: bytes
    values: dict[str, bytes]
    client_keyshare: KeyPair

    @property
    def record(self) -> bytes:
        """What the server stores: 192 bytes."""
        return self.values["registration_upload"]

    @property
    def client_state(self) -> dict[str, bytes]:
        """What the client remembers between KE1 and KE2."""
        return {
            "password": self.password,
            "blind": BLIND_LOGIN,
            "client_keyshare_private_key": self.client_keyshare.private_key,
            "ke1": self.values["KE1"],
        }


def randomness(password: bytes) -> dict[str, bytes]:
    """Everything `tests.reference.transcript` needs for one password."""
    return {
        **RANDOMNESS,
        "password": password,
        "blind_registration": BLIND_REGISTRATION,
        "blind_login": BLIND_LOGIN,
        "oprf_seed": fixed.OPRF_SEED,
        "server_private_key": fixed.SERVER.private_key,
        "server_public_key": fixed.SERVER.public_key,
        "credential_identifier": spec.credential_identifier(fixed.CREDENTIAL_ID),
    }


def record(password: bytes) -> Recorded:
    """Register and log in."""
    given = randomness(password)
    registered = transcript.register(CONFIGURATION, given)
    logged_in = transcript.log_in(CONFIGURATION, given, registered["registration_upload"])
    keyshare = envelope.derive_diffie_hellman_key_pair(RANDOMNESS["client_keyshare_seed"])
    return Recorded(password, {**registered, **logged_in}, keyshare)


def start_login(password: bytes) -> ClientLoginState:
    """KE1 of a password, under the randomness of every transcript here."""
    keyshare = envelope.derive_diffie_hellman_key_pair(RANDOMNESS["client_keyshare_seed"])
    return opaque.generate_ke1(password, BLIND_LOGIN, RANDOMNESS["client_nonce"], keyshare)


def answer_login(stored: bytes, ke1: bytes) -> ServerLogin:
    """KE2 from a record, real or decoy."""
    return opaque.generate_ke2(
        CONFIGURATION,
        transcript.server_setup(randomness(b"")),
        stored,
        ke1,
        spec.credential_identifier(fixed.CREDENTIAL_ID),
        RANDOMNESS["masking_nonce"],
        RANDOMNESS["server_nonce"],
        envelope.derive_diffie_hellman_key_pair(RANDOMNESS["server_keyshare_seed"]),
    )


def answer_registration(request: bytes, opaque_credential_id: bytes) -> bytes:
    """RegistrationResponse for any user."""
    setup = transcript.server_setup(randomness(b""))
    return opaque.create_registration_response(setup, request, spec.credential_identifier(opaque_credential_id))


def locate(password: bytes) -> tuple[bytes, bytes]:
    """The RegistrationResponse to the blinded element of this password's KE1, and the masking key it leads to."""
    given = {**randomness(password), "blind_registration": BLIND_LOGIN}
    registered = transcript.register(CONFIGURATION, given)
    return registered["registration_response"], registered["masking_key"]
