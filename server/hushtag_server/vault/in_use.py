"""How long a vault session stands: bodies on their way keep it in use, and what it finds no more tells of its end."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from hushtag_server.errors import NotFoundError, RefusedError, UnauthenticatedError
from hushtag_server.outcomes import check_outcome
from hushtag_server.services import Services
from hushtag_server.vault.schemas import VaultCaller
from hushtag_server.vault.vault_queries import tag_of

__all__ = ["absence", "body_lane", "check_in_vault", "in_use"]


class _Use:
    """Notes again and again that a session is in use."""

    def __init__(self, services: Services, caller: VaultCaller) -> None:
        self._pool, self._caller = services.pool, caller
        self._loop = asyncio.get_running_loop()
        self._noting: asyncio.Task[None] | None = None
        self._timer = self._later()

    def _later(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._caller.touch.total_seconds(), self._due)

    def _due(self) -> None:
        if self._noting is None or self._noting.done():
            self._noting = self._loop.create_task(self._note())
        self._timer = self._later()

    async def _note(self) -> None:
        # A session that ended meanwhile is found out by whoever asks next.
        with contextlib.suppress(RefusedError, psycopg.Error):
            await tag_of(self._pool, self._caller)

    def end(self) -> None:
        """Note it no more. What is being noted ends by itself: cancelled, it would cost the pool a connection."""
        self._timer.cancel()


@contextmanager
def in_use(services: Services, caller: VaultCaller) -> Iterator[None]:
    """Keep a vault session in use while a body is on its way, in or out: a slow line is not an absent person.

    What ends a session otherwise (its lifetime, a lock, a revoked phrase) ends it all the same.
    """
    use = _Use(services, caller)
    try:
        yield
    finally:
        use.end()


@contextmanager
def body_lane(services: Services, caller: VaultCaller) -> Iterator[None]:
    """Let a long body be one of few at once, and keep its vault session in use.

    Raises:
        TooManyStreamsError: there are enough.
    """
    with services.lanes.lane(caller.user_id, caller.session_id), in_use(services, caller):
        yield


async def absence(services: Services, caller: VaultCaller, what: str) -> RefusedError:
    """Return what tells a session that there is no such thing: that, or that the session has ended meanwhile.

    With a phrase everything goes that it opened, between two statements of one request too. To a session that stands
    its vault is never denied (SPEC.md, section 17, "Denial"): clients take it for an attack.
    """
    if await tag_of(services.pool, caller) is None:
        return UnauthenticatedError("the session ended meanwhile")
    return NotFoundError(what)


async def check_in_vault(services: Services, caller: VaultCaller, outcome: str | None, *deeds: str) -> None:
    """As `check_outcome`, of something inside a vault: what is not found may be so because the session ended.

    Raises:
        RefusedError: the one the word stands for. UnknownOutcomeError: it stands for none.
    """
    if outcome == "not_found":
        raise await absence(services, caller, outcome)
    check_outcome(outcome, *deeds)
