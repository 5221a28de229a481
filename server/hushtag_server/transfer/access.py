"""What every step of a transfer does first: authenticate anew, hold the lease, and, inside a vault, ask for it again.

A transfer is many short transactions. A session that ends while it runs ends it with the next of them.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import anyio
import psycopg
from litestar import Request

from hushtag.messages import FieldProblem
from hushtag.transfer_messages import MAX_TRANSFER_SECONDS, VAULT_TOKEN_HEADER
from hushtag_server import auth_queries
from hushtag_server.auth import account_transaction
from hushtag_server.database import Connection
from hushtag_server.edge import prolong_deadline
from hushtag_server.errors import RefusedError, UnauthenticatedError
from hushtag_server.services import Services, touch_interval
from hushtag_server.tokens import VAULT, BearerToken, parse_bearer
from hushtag_server.transfer.queries import Kind, begin_transfer, end_transfer, renew_transfer

__all__ = ["Transfer", "vault_token"]

_GRACE: Final = 2  # a lease outlives the longest pause of a transfer that goes on
_END_SECONDS: Final = 5.0


def _refused() -> UnauthenticatedError:
    rule = "must be a vault token of this account session that is known, unlocked and unexpired"
    return UnauthenticatedError("no such vault session", [FieldProblem(field=VAULT_TOKEN_HEADER, rule=rule)])


def vault_token(header: str | None, user_id: UUID) -> BearerToken | None:
    """Read the second token, if one is given.

    Raises:
        UnauthenticatedError: it is no vault token, or another user's.
    """
    if header is None:
        return None
    try:
        token = parse_bearer(f"Bearer {header}", VAULT)
    except UnauthenticatedError:
        raise _refused() from None
    if token.user_id != user_id:
        raise _refused()
    return token


class Transfer:
    """One export or import of the user of a request."""

    def __init__(self, request: Request[Any, Any, Any], services: Services, kind: Kind) -> None:
        self.services = services
        self.user_id: UUID = request.auth.user_id
        self.tag_id: UUID | None = None
        self.vault: BearerToken | None = None
        self._request = request
        self._kind: Kind = kind
        self.scope = request.scope
        self._pause = services.settings.request_timeout
        self._lease = _GRACE * self._pause
        self._lease_id: UUID | None = None
        self._renewed = 0.0
        self._between = self._pause.total_seconds() / 4  # of two renewals
        self._ends = time.monotonic() + MAX_TRANSFER_SECONDS

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a transaction of the account.

        Raises:
            UnauthenticatedError: the account session or the vault session has ended.
            TransferRunningError: another transfer of this kind is running.
        """
        async with account_transaction(self._request, self.services) as (connection, user_id, session_id):
            if self.vault is not None:
                await self._enter_vault(connection, self.vault, session_id)
            if self._lease_id is None:
                lease_id = await begin_transfer(connection, user_id, self._kind, self._lease)
            elif time.monotonic() - self._renewed > self._between:
                lease_id = self._lease_id
                await renew_transfer(connection, user_id, self._kind, lease_id, self._lease)
            else:
                yield connection
                return
            yield connection
        # Only what is committed is held.
        self._lease_id, self._renewed = lease_id, time.monotonic()

    async def _enter_vault(self, connection: Connection, token: BearerToken, session_id: UUID) -> None:
        idle: timedelta = self.services.settings.vault_idle
        found = await auth_queries.find_vault_session(
            connection, token.user_id, token.secret_hash.hex(), idle=idle, touch=touch_interval(idle)
        )
        if found is None or found.account_session_id != session_id:
            raise _refused()
        self.tag_id = found.tag_id

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the lease while the context lasts, for what takes long and asks the database for nothing.

        A lease or session that is lost meanwhile shows in the transaction that comes next.
        """
        holding = asyncio.create_task(self._hold())
        try:
            yield
        finally:
            holding.cancel()
            with suppress(asyncio.CancelledError):
                await holding

    async def _hold(self) -> None:
        while True:
            await asyncio.sleep(self._between * 1.01)  # once that has passed, a transaction renews
            with suppress(RefusedError, psycopg.Error):
                async with self.transaction():
                    pass

    def go_on(self, *, pause: float | None = None) -> None:
        """Put the request's deadline off, as there was progress: by the request's time-out, or by `pause` seconds."""
        pause = self._pause.total_seconds() if pause is None else pause
        prolong_deadline(self._request.scope, max(0.0, min(pause, self._ends - time.monotonic())))

    async def end(self) -> None:
        """Give the lease back, whatever happened; if the database is away it runs out."""
        lease_id, self._lease_id = self._lease_id, None
        if lease_id is None:
            return
        with anyio.move_on_after(_END_SECONDS, shield=True), suppress(RefusedError, psycopg.Error):
            async with self.services.transaction(self.user_id) as connection:
                await end_transfer(connection, self.user_id, self._kind, lease_id)
