"""The steps of an unlock: locate, start, finish. Answers look the same whether or not a phrase opens something."""

from typing import Final

from hushtag.errors import AuthenticationError, MalformedError
from hushtag.messages import (
    FinishUnlock,
    KeyStep,
    Locate,
    Located,
    StartUnlock,
    Unlocked,
    UnlockStarted,
    VaultKey,
    decode_binary,
    encode_binary,
)
from hushtag.rotation import PROOF_LENGTH, SEALED_KEY_LENGTH
from hushtag.suites import suite_by_id
from hushtag.types import RegistrationRequest
from hushtag.unlock_server import (
    LocatedState,
    ProvenCandidate,
    ProvingState,
    answer_candidates,
    evaluate_candidates,
    verify_candidate,
)
from hushtag_server.auth import account_caller
from hushtag_server.ceremony_state import open_state, seal_state
from hushtag_server.errors import CeremonyFailedError
from hushtag_server.services import Services
from hushtag_server.tokens import BearerToken, token_hash
from hushtag_server.vault import ceremony_queries as queries
from hushtag_server.vault.ceremonies import (
    LOCATED,
    LOGIN_STARTED,
    advance,
    begin,
    decoy_of,
    guess_budget,
    new_session_id,
    setup_of,
)
from hushtag_server.vault.schemas import OpenedTag

__all__ = ["finish_unlock", "locate", "start_unlock"]


async def locate(services: Services, token: BearerToken, data: Locate) -> Located:
    """Charge every candidate or none, then evaluate them."""
    suite_by_id(data.suite)
    keys, session_id = services.keys.current, new_session_id()
    caller = account_caller(token, services)
    state = LocatedState(tuple(RegistrationRequest(decode_binary(text)) for text in data.elements))
    # Blinded elements are as random as they come and tell nothing: they are kept as they are.
    credential_id = await begin(
        services, caller, guesses=len(data.elements), session_id=session_id, state=LOCATED, kept=state.encode()
    )
    evaluated = evaluate_candidates(setup_of(keys), credential_id, data)
    return Located(session_id=session_id, responses=evaluated.responses)


async def start_unlock(services: Services, token: BearerToken, data: StartUnlock) -> UnlockStarted:
    """Answer every candidate from its record or from the decoy: same look-up, same work, same shape.

    The login state goes to the client, sealed for this user, step and session id: only the server can read it, only
    unaltered does it open, and the row of the step, taken away at the finish, makes it good for one proof.
    """
    keys, session_id = services.keys.current, new_session_id()
    caller = account_caller(token, services)
    hashes = [decode_binary(candidate.phrase_hash) for candidate in data.candidates]
    taken = await advance(services, caller, session_id=data.session_id, phrase_hashes=hashes, next_id=session_id)
    proving, ke2 = answer_candidates(
        setup_of(keys),
        taken.credential_id,
        LocatedState.decode(taken.kept),
        data,
        taken.records,
        decoy_of(keys, taken.credential_id),
    )
    sealed = seal_state(keys, token.user_id, session_id, LOGIN_STARTED, proving.encode())
    return UnlockStarted(session_id=session_id, state=encode_binary(sealed), ke2=ke2)


_STEP: Final = SEALED_KEY_LENGTH + PROOF_LENGTH


def _steps(steps: bytes) -> list[KeyStep]:
    parts = [steps[start : start + _STEP] for start in range(0, len(steps), _STEP)]
    return [KeyStep(encode_binary(part[:SEALED_KEY_LENGTH]), encode_binary(part[SEALED_KEY_LENGTH:])) for part in parts]


def _unlocked(tag: OpenedTag) -> Unlocked:
    vaults = [
        VaultKey(
            vault_id=vault.vault_id,
            wrapped_key_id=vault.wrapped_key_id,
            wrapped_key=encode_binary(vault.wrapped_key),
            key_purpose=vault.key_purpose,
            key_version=vault.key_version,
            generation=vault.generation,
            head=encode_binary(vault.head),
            ring=None if vault.ring is None else encode_binary(vault.ring),
            steps=_steps(vault.steps or b""),
        )
        for vault in tag.vaults
    ]
    return Unlocked(
        suite=tag.suite, tag_id=tag.tag_id, salt=encode_binary(tag.salt), vaults=vaults, expires_at=tag.expires_at
    )


def _prove(services: Services, token: BearerToken, data: FinishUnlock) -> ProvenCandidate | None:
    try:
        sealed = decode_binary(data.state)
        state = open_state(services.keys, token.user_id, data.session_id, LOGIN_STARTED, sealed)
        return verify_candidate(ProvingState.decode(state), data)
    except (CeremonyFailedError, AuthenticationError, MalformedError):
        return None


async def finish_unlock(services: Services, token: BearerToken, data: FinishUnlock) -> Unlocked:
    """Verify the proof. A wrong one uses the step up as well; a right one gives its guess back."""
    caller = account_caller(token, services)
    proven = _prove(services, token, data)
    tag = await queries.open_tag(
        services.pool,
        caller,
        guess_budget(services.settings),
        step_id=data.session_id,
        # Without a proof nothing begins; the id is then any that nobody knows.
        session_id=token_hash(proven.vault_token.expose()).hex() if proven else new_session_id(),
        phrase_hash=proven.phrase_hash if proven else None,
        key_id=services.keys.current.id,
        lifetime=services.settings.vault_lifetime,
        idle=services.settings.vault_idle,
    )
    if proven is not None:
        proven.vault_token.forget()
    if tag is None:
        raise CeremonyFailedError("no proof, or the step, the tag or its keys are gone")
    return _unlocked(tag)
