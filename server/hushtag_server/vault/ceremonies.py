"""What the steps of a ceremony share: parsed server keys, session ids, the guess budget, states taken away.

The OPAQUE steps run in the event loop: each is below 0.3 ms of Rust, at most five per request, which is less than
handing them to a thread and back would cost every other request.
"""

from functools import lru_cache
from secrets import token_hex
from typing import Final, NamedTuple

from hushtag._opaque import ServerSetup, decoy_record
from hushtag.types import CredentialIdentifier, PhraseHash, Record, ServerSeed
from hushtag_server.auth import Caller
from hushtag_server.database import AnyPool
from hushtag_server.errors import CeremonyFailedError, TooManyGuessesError, UnauthenticatedError
from hushtag_server.keyfile import ServerKeys
from hushtag_server.services import Services
from hushtag_server.settings import Settings
from hushtag_server.vault import ceremony_queries as queries
from hushtag_server.vault.schemas import Budget, Taken

__all__ = [
    "LOCATED",
    "LOGIN_STARTED",
    "REGISTRATION_STARTED",
    "TakenState",
    "advance",
    "begin",
    "decoy_of",
    "guess_budget",
    "new_session_id",
    "records_of",
    "setup_of",
]

REGISTRATION_STARTED: Final = "registration_started"
LOCATED: Final = "located"
LOGIN_STARTED: Final = "login_started"

_DAY: Final = 86400.0
_FOUND: Final = PhraseHash.LENGTH + Record.LENGTH


class TakenState(NamedTuple):
    """A state that only this request has now."""

    kept: bytes
    credential_id: CredentialIdentifier
    records: dict[bytes, Record]


@lru_cache(maxsize=16)
def setup_of(keys: ServerKeys) -> ServerSetup:
    """Return the OPAQUE setup of a key set, parsed once per process."""
    return ServerSetup(keys.opaque_setup)


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
        vault_idle=services.settings.vault_idle,
    )
    if begun.retry_after is not None:
        raise TooManyGuessesError(begun.retry_after)
    if begun.credential_id is None:
        raise UnauthenticatedError("no such session")
    return CredentialIdentifier(begun.credential_id)


def records_of(found: bytes | None) -> dict[bytes, Record]:
    """Split phrase hash(16) || record(192), repeated, as the query returns it."""
    parts = found or b""
    starts = range(0, len(parts), _FOUND)
    return {
        parts[start : start + PhraseHash.LENGTH]: Record(parts[start + PhraseHash.LENGTH : start + _FOUND])
        for start in starts
    }


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
        key_id=services.keys.current.id,
        next_id=next_id,
        lifetime=services.settings.ceremony_lifetime,
    )
    if taken.account_session_id is None:
        raise UnauthenticatedError("no such session")
    if taken.kept is None or taken.credential_id is None:
        raise CeremonyFailedError("no such state")
    return TakenState(taken.kept, CredentialIdentifier(taken.credential_id), records_of(taken.records))
