"""Unlock, the server's half: evaluate, answer, verify (SPEC.md, "Unlock"). No input or output happens here.

The states between the steps are bytes, because any worker may take the next step; the login states are
sealed and travel with the client, and a step that is deleted as it is taken makes each usable once.
"""

from collections.abc import Mapping
from typing import NamedTuple

from hushtag import _opaque
from hushtag._opaque import ServerSetup
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.keys import derive_vault_token
from hushtag.messages import MAX_CANDIDATES, Candidate, FinishUnlock, Locate, StartUnlock, decode_binary, encode_binary
from hushtag.suites import suite_by_id
from hushtag.types import (
    KE1,
    KE3,
    CredentialIdentifier,
    PhraseHash,
    Record,
    RegistrationRequest,
    ServerLoginState,
    VaultToken,
)

__all__ = [
    "Evaluated",
    "LocatedState",
    "ProvenCandidate",
    "ProvingState",
    "answer_candidates",
    "evaluate_candidates",
    "verify_candidate",
]

_ELEMENT = RegistrationRequest.LENGTH
_LOGIN = PhraseHash.LENGTH + ServerLoginState.LENGTH


def _split(encoded: bytes, size: int) -> list[bytes]:
    count, rest = divmod(len(encoded), size)
    if rest or not 1 <= count <= MAX_CANDIDATES:
        raise MalformedError(f"ceremony state is {len(encoded)} bytes")
    return [encoded[start : start + size] for start in range(0, len(encoded), size)]


class LocatedState(NamedTuple):
    """Which elements were evaluated, and so charged: 1 to 5 of 32 bytes."""

    elements: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return the elements one behind the other."""
        return b"".join(self.elements)

    @classmethod
    def decode(cls, encoded: bytes) -> "LocatedState":
        """Inverse of `encode`.

        Raises:
            MalformedError: not 1 to 5 elements.
        """
        return cls(tuple(_split(encoded, _ELEMENT)))


class ProvingState(NamedTuple):
    """Per candidate its phrase hash and its login state: 1 to 5 of 144 bytes. Secret: seal it."""

    logins: tuple[tuple[PhraseHash, ServerLoginState], ...]

    def encode(self) -> bytes:
        """Return phrase hash(16) || login state(128) per candidate."""
        return b"".join(found + state.expose() for found, state in self.logins)

    @classmethod
    def decode(cls, encoded: bytes) -> "ProvingState":
        """Inverse of `encode`.

        Raises:
            MalformedError: not 1 to 5 candidates.
        """
        parts = _split(encoded, _LOGIN)
        return cls(tuple((PhraseHash(part[:16]), ServerLoginState(part[16:])) for part in parts))


class Evaluated(NamedTuple):
    """Answer to a locate: what to store, and one RegistrationResponse (base64url) per element."""

    state: LocatedState
    responses: list[str]


class ProvenCandidate(NamedTuple):
    """A login that succeeded: the tag's phrase hash and the vault token, of which only the hash is stored."""

    phrase_hash: PhraseHash
    vault_token: VaultToken


def evaluate_candidates(setup: ServerSetup, credential_id: CredentialIdentifier, message: Locate) -> Evaluated:
    """Evaluate every element; the caller has already charged one guess for each.

    Raises:
        UnknownSuiteError: the suite is not this version's.
        MalformedError: an element is not a group element; nothing is answered.
    """
    suite_by_id(message.suite)
    elements = [RegistrationRequest(decode_binary(text)) for text in message.elements]
    responses = [_opaque.answer_registration(setup, credential_id, element) for element in elements]
    return Evaluated(LocatedState(tuple(elements)), [encode_binary(response) for response in responses])


def _located_ke1(candidate: Candidate, element: bytes) -> KE1:
    ke1 = KE1(decode_binary(candidate.ke1))
    # Otherwise KE1 would be a second, uncharged evaluation of an element of the client's choice.
    if ke1.blinded_element != element:
        raise AuthenticationError("ke1 was not located")
    return ke1


def answer_candidates(
    setup: ServerSetup,
    credential_id: CredentialIdentifier,
    state: LocatedState,
    message: StartUnlock,
    records: Mapping[bytes, Record],
    decoy: Record,
) -> tuple[ProvingState, list[str]]:
    """Return the state to store and one KE2 (base64url) per candidate, from its record or from the decoy.

    Real and decoy take the same steps, so neither shape nor work tells them apart.

    Raises:
        AuthenticationError: not exactly the located candidates, in order.
        MalformedError: a KE1 that does not parse.
    """
    if len(message.candidates) != len(state.elements):
        raise AuthenticationError("not the located candidates")
    pairs = list(zip(message.candidates, state.elements, strict=True))
    ke1s = [_located_ke1(candidate, element) for candidate, element in pairs]
    hashes = [PhraseHash(decode_binary(candidate.phrase_hash)) for candidate in message.candidates]
    started = [
        _opaque.start_server_login(setup, credential_id, records.get(found, decoy), ke1)
        for found, ke1 in zip(hashes, ke1s, strict=True)
    ]
    logins = tuple((found, login) for found, (login, _) in zip(hashes, started, strict=True))
    return ProvingState(logins), [encode_binary(ke2) for _, ke2 in started]


def verify_candidate(state: ProvingState, message: FinishUnlock) -> ProvenCandidate:
    """Verify KE3 and derive the vault token.

    Raises:
        AuthenticationError: no such candidate, or the proof is wrong.
    """
    if message.candidate >= len(state.logins):
        raise AuthenticationError
    found, login = state.logins[message.candidate]
    session_key = _opaque.finish_server_login(login, KE3(decode_binary(message.ke3)))
    return ProvenCandidate(found, derive_vault_token(session_key))
