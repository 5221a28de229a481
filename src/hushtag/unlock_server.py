"""Unlock, the server's half: evaluate, answer, verify (SPEC.md, "Unlock"). No input or output happens here.

The states between the steps are bytes, because any worker may take the next step; the login states are
sealed and travel with the client, and a step that is deleted as it is taken makes each usable once.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from hushtag import _opaque
from hushtag._opaque import ServerSetup
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.keys import derive_vault_token
from hushtag.messages import (
    MAX_CANDIDATES,
    MAX_SETUPS,
    Candidate,
    FinishUnlock,
    Locate,
    StartUnlock,
    decode_binary,
    encode_binary,
)
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
    "LiveSetup",
    "LocatedState",
    "ProvenCandidate",
    "ProvingState",
    "answer_candidates",
    "evaluate_located",
    "verify_candidate",
]

_ELEMENT: Final = RegistrationRequest.LENGTH
_LOGIN: Final = PhraseHash.LENGTH + ServerLoginState.LENGTH
_ID: Final = 16


class LiveSetup(NamedTuple):
    """An OPAQUE setup that tags may be under, and the id of its key set. The first of several is the current one."""

    id: UUID
    setup: ServerSetup


def _encode(setups: Sequence[UUID], parts: Sequence[bytes]) -> bytes:
    return bytes([len(setups)]) + b"".join(key_id.bytes for key_id in setups) + b"".join(parts)


@lru_cache(maxsize=16)
def _key_id(encoded: bytes) -> UUID:
    return UUID(bytes=encoded)  # of the few key sets of a server, again and again


def _decode(encoded: bytes, size: int, most: int) -> tuple[tuple[UUID, ...], list[bytes]]:
    setups = encoded[0] if encoded else 0
    begin = 1 + _ID * setups
    count, rest = divmod(len(encoded) - begin, size)
    if rest or not 1 <= setups <= MAX_SETUPS or not 1 <= count <= most:
        raise MalformedError(f"ceremony state is {len(encoded)} bytes")
    ids = tuple([_key_id(encoded[start : start + _ID]) for start in range(1, begin, _ID)])
    return ids, [encoded[start : start + size] for start in range(begin, len(encoded), size)]


class LocatedState(NamedTuple):
    """Which elements were evaluated, and so charged (1 to 5 of 32 bytes), and under which key sets (1 to 3)."""

    key_ids: tuple[UUID, ...]
    elements: tuple[RegistrationRequest, ...]

    @classmethod
    def of(cls, setups: Sequence[LiveSetup], message: Locate) -> "LocatedState":
        """Return what a locate is to be evaluated under, and of which elements.

        Raises:
            UnknownSuiteError: the suite is not this version's.
            MalformedError: an element that is not 32 bytes in base64url.
        """
        suite_by_id(message.suite)
        elements = tuple([RegistrationRequest(decode_binary(text)) for text in message.elements])
        return cls(tuple([live.id for live in setups]), elements)

    def encode(self) -> bytes:
        """Return number and ids of the key sets, then the elements, one behind the other."""
        return _encode(self.key_ids, self.elements)

    @classmethod
    def decode(cls, encoded: bytes) -> "LocatedState":
        """Inverse of `encode`.

        Raises:
            MalformedError: not 1 to 3 key sets and 1 to 5 elements.
        """
        key_ids, elements = _decode(encoded, _ELEMENT, MAX_CANDIDATES)
        return cls(key_ids, tuple(RegistrationRequest(element) for element in elements))


class ProvingState(NamedTuple):
    """Per candidate and key set the phrase hash and the login state: 1 to 15 of 144 bytes. Secret: seal it."""

    key_ids: tuple[UUID, ...]
    logins: tuple[tuple[PhraseHash, ServerLoginState], ...]

    def encode(self) -> bytes:
        """Return number and ids of the key sets, then phrase hash(16) || login state(128) each."""
        return _encode(self.key_ids, [found + state.expose() for found, state in self.logins])

    @classmethod
    def decode(cls, encoded: bytes) -> "ProvingState":
        """Inverse of `encode`.

        Raises:
            MalformedError: not 1 to 3 key sets and 1 to 15 logins.
        """
        key_ids, parts = _decode(encoded, _LOGIN, MAX_CANDIDATES * MAX_SETUPS)
        return cls(key_ids, tuple((PhraseHash(part[:16]), ServerLoginState(part[16:])) for part in parts))


class ProvenCandidate(NamedTuple):
    """A login that succeeded: the tag's phrase hash and key set, and the vault token, stored as a hash only.

    `newest` is the key set that was current when the candidates were located.
    """

    phrase_hash: PhraseHash
    vault_token: VaultToken
    key_id: UUID
    newest: UUID


def evaluate_located(
    setups: Sequence[LiveSetup], credential_id: CredentialIdentifier, state: LocatedState
) -> list[str]:
    """Return one RegistrationResponse (base64url) per element and setup, of what `LocatedState.of` these setups holds.

    The caller has already charged one guess for each element: it blinds one phrase, whatever it is evaluated under.
    Every user's candidates are evaluated under every setup, so nothing tells under which of them a tag is, nor whether
    there is one.

    Raises:
        MalformedError: an element is not a group element; nothing is answered.
    """
    responses = [
        _opaque.answer_registration(live.setup, credential_id, element) for element in state.elements for live in setups
    ]
    return [encode_binary(response) for response in responses]


def _located_ke1(candidate: Candidate, element: bytes) -> KE1:
    ke1 = KE1(decode_binary(candidate.ke1))
    # Otherwise KE1 would be a second, uncharged evaluation of an element of the client's choice.
    if ke1.blinded_element != element:
        raise AuthenticationError("ke1 was not located")
    return ke1


def answer_candidates(
    setups: Sequence[LiveSetup],
    credential_id: CredentialIdentifier,
    state: LocatedState,
    message: StartUnlock,
    find: Callable[[UUID, PhraseHash], Record],
) -> tuple[ProvingState, list[str]]:
    """Return the state to store and one KE2 (base64url) per candidate and setup.

    `setups` are those of the state, in its order. `find` returns the record of a phrase hash under a key set, or that
    key set's decoy. Real and decoy take the same steps, so neither shape nor work tells them apart.

    Raises:
        AuthenticationError: not exactly the located candidates, in order.
        MalformedError: a KE1 that does not parse.
    """
    places = [(element, live) for element in state.elements for live in setups]
    if len(message.candidates) != len(places):
        raise AuthenticationError("not the located candidates")
    asked = [
        (live, _located_ke1(candidate, element), PhraseHash(decode_binary(candidate.phrase_hash)))
        for candidate, (element, live) in zip(message.candidates, places, strict=True)
    ]
    started = [
        (found, _opaque.start_server_login(live.setup, credential_id, find(live.id, found), ke1))
        for live, ke1, found in asked
    ]
    logins = tuple([(found, login) for found, (login, _) in started])
    return ProvingState(state.key_ids, logins), [encode_binary(ke2) for _, (_, ke2) in started]


def verify_candidate(state: ProvingState, message: FinishUnlock) -> ProvenCandidate:
    """Verify KE3 and derive the vault token.

    Raises:
        AuthenticationError: no such candidate, or the proof is wrong.
    """
    if message.candidate >= len(state.logins):
        raise AuthenticationError
    found, login = state.logins[message.candidate]
    session_key = _opaque.finish_server_login(login, KE3(decode_binary(message.ke3)))
    key_id = state.key_ids[message.candidate % len(state.key_ids)]
    return ProvenCandidate(found, derive_vault_token(session_key), key_id, state.key_ids[0])
