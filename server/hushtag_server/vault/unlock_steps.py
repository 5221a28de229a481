"""The steps of an unlock: locate, start, finish. Answers look the same whether or not a phrase opens something."""

from typing import Final

from hushtag.duress import expand_release
from hushtag.errors import AuthenticationError, MalformedError
from hushtag.messages import (
    FinishUnlock,
    KeyStep,
    Locate,
    Located,
    MoveTag,
    StartUnlock,
    TagMoved,
    Unlocked,
    UnlockStarted,
    VaultKey,
    decode_binary,
    encode_binary,
)
from hushtag.moving import accept_move
from hushtag.rotation import PROOF_LENGTH, SEALED_KEY_LENGTH
from hushtag.types import Release
from hushtag.unlock_server import (
    LiveSetup,
    LocatedState,
    ProvenCandidate,
    ProvingState,
    answer_candidates,
    evaluate_located,
    verify_candidate,
)
from hushtag_server.auth import account_caller
from hushtag_server.ceremony_state import open_state, seal_state
from hushtag_server.errors import (
    CeremonyFailedError,
)
from hushtag_server.outcomes import check_outcome
from hushtag_server.security_log.events import (
    MOVE_REFUSED,
    TAG_MOVED,
    UNLOCK_FINISHED,
    UNLOCK_LOCATED,
    UNLOCK_STARTED,
)
from hushtag_server.security_log.recording import Source, Subject
from hushtag_server.services import Services
from hushtag_server.tokens import BearerToken, token_hash
from hushtag_server.vault import ceremony_queries as queries
from hushtag_server.vault.callers import vault_subject
from hushtag_server.vault.ceremonies import (
    LOCATED,
    LOGIN_STARTED,
    MOVING,
    advance,
    begin,
    decoy_of,
    guess_budget,
    live_setups,
    new_session_id,
)
from hushtag_server.vault.schemas import MoveOffer, OpenedTag, VaultCaller
from hushtag_server.vault.seals import new_seal, sealed_decoy

__all__ = ["finish_unlock", "locate", "move_tag", "start_unlock"]


async def locate(services: Services, token: BearerToken, data: Locate, scope: Source) -> Located:
    """Charge every candidate or none, then evaluate them."""
    setups, session_id = live_setups(services.keys), new_session_id()
    caller = account_caller(token, services)
    state = LocatedState.of(setups, data)
    # Blinded elements are as random as they come and tell nothing: they are kept as they are.
    subject = Subject(token.user_id, token.secret_hash, session_id, {"candidates": len(data.elements)})
    credential_id = await begin(
        services,
        services.events_of(scope).through(services.pool, UNLOCK_LOCATED, subject),
        caller,
        guesses=len(data.elements),
        session_id=session_id,
        state=LOCATED,
        kept=state.encode(),
    )
    return Located(session_id=session_id, responses=evaluate_located(setups, credential_id, state))


def _setups_of(services: Services, located: LocatedState) -> list[LiveSetup]:
    """Return the setups that a state was located under: they may have changed while it lay.

    Raises:
        CeremonyFailedError: one of them was retired.
    """
    live = {setup.id: setup for setup in live_setups(services.keys)}
    try:
        return [live[key_id] for key_id in located.key_ids]
    except KeyError:
        raise CeremonyFailedError("located under keys that were retired") from None


async def start_unlock(services: Services, token: BearerToken, data: StartUnlock, scope: Source) -> UnlockStarted:
    """Answer every candidate from its record or from the decoy: same look-up, same work, same shape.

    Either lies sealed and is opened here. The login state goes to the client, sealed for this user, step and session
    id: only the server can read it, only unaltered does it open, and the row of the step, taken away at the finish,
    makes it good for one proof.
    """
    session_id = new_session_id()
    caller = account_caller(token, services)
    hashes = [decode_binary(candidate.phrase_hash) for candidate in data.candidates]
    events = services.events_of(scope)
    next_step = {"next": events.named_ceremony(session_id)}
    subject = Subject(token.user_id, token.secret_hash, data.session_id, next_step)
    pool = events.through(services.pool, UNLOCK_STARTED, subject)
    taken = await advance(services, pool, caller, session_id=data.session_id, phrase_hashes=hashes, next_id=session_id)
    located = LocatedState.decode(taken.kept)
    setups = _setups_of(services, located)
    decoys = {
        keys.id: sealed_decoy(token.user_id, taken.credential_id, decoy_of(keys, taken.credential_id))
        for keys in services.keys.in_use
    }
    proving, ke2 = answer_candidates(
        setups,
        taken.credential_id,
        located,
        data,
        lambda key_id, found: taken.records.record(key_id, found, decoys[key_id]),
    )
    sealed = seal_state(services.keys.current, token.user_id, session_id, LOGIN_STARTED, proving.encode())
    return UnlockStarted(session_id=session_id, state=encode_binary(sealed), ke2=ke2)


_STEP: Final = SEALED_KEY_LENGTH + PROOF_LENGTH


def _steps(steps: bytes) -> list[KeyStep]:
    parts = [steps[start : start + _STEP] for start in range(0, len(steps), _STEP)]
    return [KeyStep(encode_binary(part[:SEALED_KEY_LENGTH]), encode_binary(part[SEALED_KEY_LENGTH:])) for part in parts]


def _unlocked(tag: OpenedTag, move: str | None) -> Unlocked:
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
        suite=tag.suite,
        tag_id=tag.tag_id,
        salt=encode_binary(tag.salt),
        vaults=vaults,
        expires_at=tag.expires_at,
        failed_guesses=tag.failed_guesses,
        last_failed_at=tag.last_failed_at,
        move=move,
    )


def _offer(
    services: Services, token: BearerToken, session_id: str, proven: ProvenCandidate, release: Release
) -> str | None:
    """Return what lets the tag move, if it is not under the newest key set its phrase was evaluated under.

    It is good for this tag as it is now and in this vault session alone. The record that comes back cannot be seen to
    be of that key set, so the server remembers which it was, by the client, and takes nobody's word for it.
    """
    if proven.key_id == proven.newest:
        return None
    offer = MoveOffer(proven.key_id, proven.newest, proven.phrase_hash, release)
    return encode_binary(seal_state(services.keys.current, token.user_id, session_id, MOVING, offer.encode()))


def _prove(services: Services, token: BearerToken, data: FinishUnlock) -> tuple[ProvenCandidate | None, int]:
    # The proven candidate, and how many candidates were charged.
    try:
        sealed = decode_binary(data.state)
        state = open_state(services.keys, token.user_id, data.session_id, LOGIN_STARTED, sealed)
        proving = ProvingState.decode(state)
        return verify_candidate(proving, data), len(proving.logins) // len(proving.key_ids)
    except (CeremonyFailedError, AuthenticationError, MalformedError):
        return None, 0


async def finish_unlock(services: Services, token: BearerToken, data: FinishUnlock, scope: Source) -> Unlocked:
    """Verify the proof. A wrong one uses the step up as well; a right one gives its guess back.

    The release is expanded and asked for in every finish alike: whether it orders anything, only the database finds.
    """
    caller = account_caller(token, services)
    proven, guesses = _prove(services, token, data)
    release = Release(decode_binary(data.release))
    # Without a proof nothing begins; the id is then any that nobody knows.
    session_id = token_hash(proven.vault_token.expose()).hex() if proven else new_session_id()
    events = services.events_of(scope)
    opened = {"vault_session": events.hashed(b"session", bytes.fromhex(session_id))}
    subject = Subject(token.user_id, token.secret_hash, data.session_id, opened)
    tag = await queries.open_tag(
        events.through(services.pool, UNLOCK_FINISHED, subject),
        caller,
        guess_budget(services.settings),
        step_id=data.session_id,
        session_id=session_id,
        phrase_hash=proven.phrase_hash if proven else None,
        guesses=guesses,
        released=expand_release(release),
        key_id=proven.key_id if proven else services.keys.current.id,
        lifetime=services.settings.vault_lifetime,
    )
    if proven is not None:
        proven.vault_token.forget()
    if tag is None:
        raise CeremonyFailedError("no proof, or the step, the tag or its keys are gone")
    return _unlocked(tag, _offer(services, token, session_id, proven, release) if proven else None)


def _opened_offer(services: Services, caller: VaultCaller, data: MoveTag) -> MoveOffer:
    try:
        sealed = decode_binary(data.state)
    except MalformedError:
        raise CeremonyFailedError("no offer") from None
    offer = MoveOffer.decode(open_state(services.keys, caller.user_id, caller.session_id, MOVING, sealed))
    if offer.target not in services.keys.by_id:
        raise CeremonyFailedError("the offered key set was retired")
    return offer


async def move_tag(services: Services, caller: VaultCaller, data: MoveTag, scope: Source) -> TagMoved:
    """Store the same phrase under the key set that was offered, with every key that hangs on it, or nothing.

    Raises:
        CeremonyFailedError: no such offer in this vault session, or the tag has moved, or is gone.
        GenerationConflictError: a vault changed meanwhile. AlreadyExistsError: the phrase is enrolled there too.
    """
    accepted = accept_move(data)
    events = services.events_of(scope)
    subject = vault_subject(events, caller.user_id, caller.session_id)
    try:
        offer = _opened_offer(services, caller, data)
    except CeremonyFailedError:
        await queries.seal_of(events.through(services.pool, MOVE_REFUSED, subject), caller)
        raise
    tag_id, seal = await queries.seal_of(services.pool, caller)
    pool = events.through(services.pool, TAG_MOVED, subject)
    check_outcome(await queries.move_tag(pool, caller, accepted, offer, tag_id, seal or new_seal()), "moved")
    return TagMoved(tag_id=tag_id)
