"""One whole registration and login from given randomness, with every message and intermediate value.

The names are those of RFC 9807 appendix C, so that a transcript compares with a vector field by field.
"""

from collections.abc import Mapping

from . import envelope, opaque
from .opaque import Configuration, ServerSetup
from .oprf import KeyPair


def server_setup(given: Mapping[str, bytes]) -> ServerSetup:
    """The server's secrets out of `oprf_seed`, `server_private_key` and `server_public_key`."""
    return ServerSetup(given["oprf_seed"], KeyPair(given["server_private_key"], given["server_public_key"]))


def register(config: Configuration, given: Mapping[str, bytes]) -> dict[str, bytes]:
    """RFC 9807 section 5.2 from `password`, `blind_registration`, `envelope_nonce` and the server's secrets."""
    setup, identifier = server_setup(given), given["credential_identifier"]
    request = opaque.create_registration_request(given["password"], given["blind_registration"])
    response = opaque.create_registration_response(setup, request, identifier)
    finished = opaque.finalize_registration_request(
        config, given["password"], given["blind_registration"], response, given["envelope_nonce"]
    )
    return {
        "registration_request": request,
        "registration_response": response,
        "registration_upload": finished.upload,
        "export_key": finished.export_key,
        "oprf_key": opaque.derive_oprf_key(setup.oprf_seed, identifier).private_key,
        "randomized_password": finished.randomized_password,
        "client_public_key": finished.upload[:32],
        "masking_key": finished.upload[32:96],
        "envelope": finished.upload[96:],
        "auth_key": finished.auth_key,
    }


def log_in(config: Configuration, given: Mapping[str, bytes], record: bytes) -> dict[str, bytes]:
    """RFC 9807 section 6.2 from the nonces, blinds and key share seeds of `given`.

    Raises whatever refuses the login. Both sides must agree on the session key, or this raises too.
    """
    state = opaque.generate_ke1(
        given["password"],
        given["blind_login"],
        given["client_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["client_keyshare_seed"]),
    )
    server = opaque.generate_ke2(
        config,
        server_setup(given),
        record,
        state.ke1,
        given["credential_identifier"],
        given["masking_nonce"],
        given["server_nonce"],
        envelope.derive_diffie_hellman_key_pair(given["server_keyshare_seed"]),
    )
    client = opaque.generate_ke3(config, state, server.ke2)
    if opaque.server_finish(server, client.ke3) != client.keys.session_key:
        raise ValueError("client and server hold different session keys")
    return {
        "KE1": state.ke1,
        "KE2": server.ke2,
        "KE3": client.ke3,
        "session_key": client.keys.session_key,
        "export_key": client.export_key,
        "handshake_secret": client.keys.handshake_secret,
        "server_mac_key": client.keys.server_mac_key,
        "client_mac_key": client.keys.client_mac_key,
    }
