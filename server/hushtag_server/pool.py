"""The pool of database connections of a worker: psycopg's, with a shelf in front of it.

psycopg's pool opens, checks and replaces. Its way out and in takes six coroutines and two locks, which an unlock would
go three times; a connection that comes back is laid on the shelf instead and handed to the next caller as it is, or,
where all are out and somebody waits, goes from hand to hand.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from hushtag_server.batches import Batches
from hushtag_server.connection import Connection
from hushtag_server.settings import Settings

__all__ = ["Pool", "make_pool"]

_MAX_WAITING: Final = 500  # requests; more would only wait to fail
_IDLE: Final = TransactionStatus.IDLE
_NO_PIPELINE: Final = PipelineStatus.OFF
_SPARE_PATIENCE: Final = 2.0  # seconds; by then the database has said that its own time is over
_ON_SHELF: Final = 30.0  # seconds; after that it goes the whole way once, so that the pool can retire or replace it


async def _check_alive(connection: Connection) -> None:
    if not connection.is_quiet():
        await AsyncConnectionPool.check_connection(connection)


class Pool(AsyncConnectionPool[Connection]):
    """psycopg's pool; `getconn`, `putconn` and `connection` go by the shelf or from hand to hand where they can."""

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        """`patience` is how many seconds a batch may take, from asking for a connection to its last row."""
        super().__init__(*args, **kwargs)
        self.patience = patience
        self.batches: dict[tuple[str, tuple[object, ...]], Batches[Any, Any]] = {}
        self._shelf: list[tuple[Connection, float]] = []
        self._left: dict[int, float] = {}
        self._in_line = 0
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    def take(self) -> Connection | None:
        """Return the connection last laid down, if it is as it was left; None: `getconn` has one, or will."""
        if not self._shelf or not self._shelf[-1][0].is_quiet():
            return None
        connection, left = self._shelf.pop()
        self._left[id(connection)] = left
        return connection

    def lay_down(self, connection: Connection) -> bool:
        """Hand a connection on to whoever waits, or lay it on the shelf; False: it is left to `putconn`.

        Raises:
            ValueError: it is not out.
        """
        left = self._left.get(id(connection))
        if left is None:
            raise ValueError("this connection is not out")
        pgconn = connection.pgconn
        if (
            pgconn.transaction_status != _IDLE
            or pgconn.pipeline_status != _NO_PIPELINE
            or self.closed
            or self._in_line
            or time.monotonic() - left >= _ON_SHELF
        ):
            return False
        if self._waiters:
            waiter = self._first_waiter() if connection.is_quiet() else None
            if waiter is not None:
                waiter.set_result(connection)
                return True
            if self._waiters:
                return False
        del self._left[id(connection)]
        self._shelf.append((connection, left))
        return True

    async def getconn(self, timeout: float | None = None) -> Connection:
        """Return the connection last laid down, or one from the pool, or the next that comes back.

        Raises:
            PoolTimeout, TooManyRequests: none became free in time, or too many wait already.
        """
        while self._shelf:
            quiet = self.take()
            if quiet is not None:
                return quiet
            connection, left = self._shelf.pop()
            self._left[id(connection)] = left
            await connection.close()
            await self._put_back(connection)
        if len(self._left) >= self.max_size and not self.closed:
            return await self._next_back(self.timeout if timeout is None else timeout)
        # A caller that is cancelled while it stands in line would take the connection it is given with it. So another
        # task stands in line for it, and gives back what nobody wants any more.
        self._in_line += 1  # at once: what comes back before the task begins must not go to the shelf
        waiting = asyncio.create_task(self._from_pool(timeout))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            waiting.add_done_callback(self._unwanted)
            raise

    async def _next_back(self, timeout: float) -> Connection:
        if len(self._waiters) >= _MAX_WAITING:
            raise TooManyRequests(f"{_MAX_WAITING} requests wait for a connection already")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection] = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(timeout, self._refuse, waiter, PoolTimeout(f"no connection came back in {timeout} s"))
        try:
            return await waiter
        except (asyncio.CancelledError, PoolTimeout):
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._run(self.putconn(waiter.result()))  # it was handed over in the same moment
            raise
        finally:
            timer.cancel()

    @staticmethod
    def _refuse(waiter: "asyncio.Future[Connection]", error: Exception) -> None:
        if not waiter.done():
            waiter.set_exception(error)

    def _first_waiter(self) -> "asyncio.Future[Connection] | None":
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    async def _serve(self, waiter: "asyncio.Future[Connection]") -> None:
        # What came back could not go on to the next hand, so the pool has one to give, or makes one.
        try:
            connection = await self._from_pool(None)
        except Exception as error:
            self._refuse(waiter, error)
            return
        if waiter.done():
            await self.putconn(connection)
        else:
            waiter.set_result(connection)

    async def _from_pool(self, timeout: float | None) -> Connection:
        try:
            connection = await super().getconn(timeout)
        finally:
            self._in_line -= 1
        self._left[id(connection)] = time.monotonic()
        return connection

    def _unwanted(self, waiting: "asyncio.Task[Connection]") -> None:
        if not waiting.cancelled() and waiting.exception() is None:
            self._run(self.putconn(waiting.result()))

    def _run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._running.add(task)  # the event loop itself holds tasks only weakly
        task.add_done_callback(self._running.discard)
        return task

    async def putconn(self, conn: Connection) -> None:
        """Hand the connection on, lay it on the shelf, or give it back: it is broken, or has been away long."""
        if self.lay_down(conn):
            return
        if conn.pgconn.pipeline_status != _NO_PIPELINE:
            await conn.close()  # a cancelled task left its pipeline open; nobody's statement would ever be answered
        waiter = self._first_waiter()
        if waiter is not None:
            self._in_line += 1
            self._run(self._serve(waiter))
        await self._put_back(conn)

    async def _put_back(self, connection: Connection) -> None:
        self._left.pop(id(connection), None)
        await asyncio.shield(self._run(super().putconn(connection)))  # halfway back it would be lost

    async def close(self, timeout: float = 5.0) -> None:
        """Close every connection, once what is on its way in batches has arrived."""
        for batches in list(self.batches.values()):
            await batches.close()
        self._send_line_away()
        while self._shelf:
            await self._put_back(self._shelf.pop()[0])
        try:
            await super().close(timeout)
        finally:
            self._send_line_away()  # also who came between: nothing comes back to them any more

    def _send_line_away(self) -> None:
        while waiter := self._first_waiter():
            self._refuse(waiter, PoolClosed("the pool is closed"))

    def get_stats(self) -> dict[str, int]:
        """Return the pool's figures; what lies on the shelf is available. Those of batches only ever grow."""
        stats = super().get_stats()
        stats["pool_available"] = stats.get("pool_available", 0) + len(self._shelf)
        stats["requests_waiting"] = stats.get("requests_waiting", 0) + len(self._waiters)
        stats["batches_made"] = sum(each.made for each in self.batches.values())
        stats["batches_refused"] = sum(each.refused for each in self.batches.values())
        stats["batches_steps"] = sum(each.steps for each in self.batches.values())
        return stats


def make_pool(url: str, settings: Settings) -> Pool:
    """Return a closed pool; open it in the application's lifespan."""
    statement = int(settings.statement_timeout.total_seconds() * 1000)
    # In UTC whatever the database is set to: in a zone, adding minutes would move the wall clock and not the time, and
    # what JSON says of a time before there were time zones has an offset with seconds, which no client reads.
    options = f"-c TimeZone=UTC -c statement_timeout={statement} -c idle_in_transaction_session_timeout={2 * statement}"
    # What the database holds an account to (migrations 0030 and 0031).
    options += f" -c app.most_journals={settings.max_entries} -c app.most_reminders={settings.max_reminders}"
    options += f" -c app.most_vault_sessions={settings.max_vault_sessions}"
    given = str(psycopg.conninfo.conninfo_to_dict(url).get("options") or "")
    return Pool(
        url,
        patience=(settings.pool_wait + settings.statement_timeout).total_seconds() + _SPARE_PATIENCE,
        connection_class=Connection,
        kwargs={
            "options": f"{given} {options}".strip(),
            "application_name": "hushtag-server",
            "connect_timeout": 5,
            "autocommit": True,  # `transaction` begins one itself; `call` needs none
        },
        min_size=1,
        max_size=settings.pool_size,
        max_waiting=_MAX_WAITING,
        timeout=settings.pool_wait.total_seconds(),
        reconnect_timeout=5,
        check=_check_alive,
        open=False,
        name="hushtag",
    )
