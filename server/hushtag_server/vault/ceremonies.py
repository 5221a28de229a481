"""What the steps of a ceremony share: parsed server keys, session ids, the guess budget, states taken away.

The OPAQUE steps run in the event loop: each is below 0.3 ms of Rust, at most fifteen per request, which is less than
handing them to a thread and back would cost every other request.
"""

from collections.abc import Sequence
from functools import lru_cache
from secrets import token_hex
from typing import Final, NamedTuple
from uuid import UUID

from hushtag._opaque import ServerSetup, decoy_record
from hushtag.messages import decode_binary
from hushtag.types import CredentialIdentifier, Record, ServerSeed
from hushtag.unlock_server import LiveSetup
from hushtag_server.auth import Caller
from hushtag_server.database import AnyPool
from hushtag_server.errors import AlreadyExistsError, CeremonyFailedError, TooManyGuessesError, UnauthenticatedError
from hushtag_server.keyfile import KeyRing, ServerKeys
from hushtag_server.services import Services
from hushtag_server.settings import Settings
from hushtag_server.vault import ceremony_queries as queries
from hushtag_server.vault.schemas import Budget, Taken
from hushtag_server.vault.seals import Envelopes

__all__ = [
    "LOCATED",
    "LOGIN_STARTED",
    "MOVING",
    "REGISTRATION_STARTED",
    "TakenState",
    "advance",
    "begin",
    "checked_registration",
    "decoy_of",
    "guess_budget",
    "live_setups",
    "new_session_id",
    "setup_of",
]

REGISTRATION_STARTED: Final = "registration_started"
LOCATED: Final = "located"
LOGIN_STARTED: Final = "login_started"
MOVING: Final = "moving"

_DAY: Final = 86400.0
_KEY_ID: Final = 16


class TakenState(NamedTuple):
    """A state that only this request has now, and what is stored behind the phrase hashes asked for."""

    kept: bytes
    credential_id: CredentialIdentifier
    records: Envelopes


@lru_cache(maxsize=16)
def setup_of(keys: ServerKeys) -> ServerSetup:
    """Return the OPAQUE setup of a key set, parsed once per process."""
    return ServerSetup(keys.opaque_setup)


@lru_cache(maxsize=16)
def _live(in_use: tuple[ServerKeys, ...]) -> tuple[LiveSetup, ...]:
    return tuple(LiveSetup(keys.id, setup_of(keys)) for keys in in_use)


def live_setups(ring: KeyRing) -> tuple[LiveSetup, ...]:
    """Return every setup a tag may be under, the current one first: the same for every user."""
    return _live(ring.in_use)


@lru_cache(maxsize=1024)
def decoy_of(keys: ServerKeys, credential_id: CredentialIdentifier) -> Record:
    """Return the user's decoy; asked for in every start, whether or not a candidate needs it."""
    return decoy_record(setup_of(keys), ServerSeed(keys.decoy_seed), credential_id)


def guess_budget(settings: Settings) -> Budget:
    """Return the token bucket of guesses and the longest lock-out."""
    return Budget(float(settings.guess_capacity), settings.guess_refill_per_day / _DAY, settings.guess_lockout)


def new_session_id() -> str:
    """Return 64 random hexadecimal characters."""
    return token_hex(32)


async def begin(
    services: Services,
    pool: AnyPool,
    caller: Caller,
    *,
    guesses: int,
    session_id: str,
    state: str,
    kept: bytes | None,
) -> CredentialIdentifier:
    """Authenticate, charge and keep the state, all in one statement; return the user's credential identifier.

    The charge comes before anybody knows whether the elements are group elements. Whoever sends something else has
    paid for nothing: refusing before the charge would be safe too, but would cost every honest request the work twice.
    The state that is then kept has an id nobody was told, so it only expires.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an ended session.
        TooManyGuessesError: fewer than `guesses` are left to this session, or it is locked out; nothing was charged
            or kept.
    """
    begun = await queries.begin_ceremony(
        pool,
        caller,
        guess_budget(services.settings),
        guesses=guesses,
        session_id=session_id,
        state=state,
        kept=kept,
        lifetime=services.settings.ceremony_lifetime,
    )
    if begun.retry_after is not None:
        raise TooManyGuessesError(begun.retry_after)
    if begun.credential_id is None:
        raise UnauthenticatedError("no such session")
    return CredentialIdentifier(begun.credential_id)


async def checked_registration(
    services: Services, pool: AnyPool, caller: Caller, session_id: str, earlier_hashes: Sequence[str]
) -> UUID:
    """Return the key set that the phrase of a registration was evaluated under, and so is to be enrolled under.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an ended session.
        CeremonyFailedError: no such step, or not a phrase hash for each other key set it was evaluated under.
        AlreadyExistsError: the phrase is enrolled under one of those; the step is used up.
    """
    earlier = [decode_binary(text) for text in earlier_hashes]
    check = await queries.check_registration(pool, caller, session_id=session_id, earlier=earlier)
    if check.account_session_id is None:
        raise UnauthenticatedError("no such session")
    if check.key_ids is None or len(check.key_ids) != _KEY_ID * (1 + len(earlier)):
        raise CeremonyFailedError("no such registration")
    if check.enrolled:
        raise AlreadyExistsError("already_exists")
    key_id = UUID(bytes=check.key_ids[:_KEY_ID])
    if key_id not in services.keys.by_id:
        raise CeremonyFailedError("registered under keys that were retired")
    return key_id


async def advance(
    services: Services, pool: AnyPool, caller: Caller, *, session_id: str, phrase_hashes: list[bytes], next_id: str
) -> TakenState:
    """Authenticate, take what locate kept and begin the next step; both whatever the step then comes to.

    Raises:
        UnauthenticatedError: the token is unknown, expired or of an ended session.
        CeremonyFailedError: no such state: never made, used, late, of another step or of another session.
    """
    taken: Taken = await queries.advance_ceremony(
        pool,
        caller,
        session_id=session_id,
        phrase_hashes=phrase_hashes,
        next_id=next_id,
        lifetime=services.settings.ceremony_lifetime,
    )
    if taken.account_session_id is None:
        raise UnauthenticatedError("no such session")
    if taken.kept is None or taken.credential_id is None:
        raise CeremonyFailedError("no such state")
    return TakenState(taken.kept, CredentialIdentifier(taken.credential_id), Envelopes(caller.user_id, taken.records))
