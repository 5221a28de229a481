"""psycopg's connection with a short way for prepared statements, for the routes that people wait for.

An unlock is three small statements; through a cursor each costs several times what the database needs for it, most of
it in setting up a wait on the socket for every statement anew. `Connection.call` talks to libpq itself and leaves the
socket registered with the event loop. Everything else psycopg does stays as it is: connecting, encryption, conversion
of values, errors, transactions, cancelling.
"""

import asyncio
import contextlib
import select
from collections.abc import Sequence
from typing import Any, Final, LiteralString

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow, tuple_row

__all__ = ["Connection"]

_CANCEL_WAIT: Final = 2.0  # seconds for the database to give a statement up
_ANSWERED: Final = frozenset({ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK})


class Connection(AsyncConnection[TupleRow]):
    """A connection in autocommit; `call` runs a statement of its own, everything else is psycopg's."""

    def __init__(self, pgconn: PGconn, row_factory: Any = tuple_row) -> None:
        super().__init__(pgconn, row_factory)
        self._statements: dict[tuple[str, tuple[int, ...] | None], bytes] = {}
        self._counter = 0
        self._adapter: Any = None
        self._hung_up = False
        self._watched: int | None = None
        self._answer: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None

    async def call(self, statement: LiteralString, values: Sequence[object]) -> list[Any]:
        """Run one prepared statement (parameters `$1`, `$2`, …) as a transaction of its own and return its rows.

        Values travel in binary both ways. One call at a time. When the caller is cancelled the statement is too, and
        the connection is closed: nobody could tell whose the late answer was.

        Raises:
            psycopg.Error: what the database answered, or OperationalError when it is gone.
        """
        adapter = self._adapter = self._adapter or Transformer(self)
        parameters = adapter.dump_sequence(values, [PyFormat.BINARY] * len(values))
        types, formats = adapter.types, adapter.formats
        name = self._statements.get((statement, types)) or await self._prepare(statement, types)
        try:
            result = await self._exchange(
                lambda: self.pgconn.send_query_prepared(name, parameters, formats, Format.BINARY)
            )
        except (errors.InvalidSqlStatementName, errors.FeatureNotSupported):
            # psycopg deallocates every prepared statement of a connection after a rollback, and a migration may change
            # the type of what a function returns, which a plan made before is not allowed to. Nothing was run yet.
            self._statements.clear()
            again = await self._prepare(statement, types)
            result = await self._exchange(
                lambda: self.pgconn.send_query_prepared(again, parameters, formats, Format.BINARY)
            )
        adapter.set_pgresult(result)
        rows: list[Any] = adapter.load_rows(0, result.ntuples, tuple)
        self._result = None
        result.clear()  # it may be 16 MiB, and the adapter holds on to it
        return rows

    async def _prepare(self, statement: LiteralString, types: tuple[int, ...] | None) -> bytes:
        self._counter += 1  # never a name twice: not every one that is forgotten here is forgotten by the server
        name = b"hushtag_%d" % self._counter
        await self._exchange(lambda: self.pgconn.send_prepare(name, statement.encode(), types))
        self._statements[(statement, types)] = name
        return name

    def is_quiet(self) -> bool:
        """Tell whether the idle connection is as it was left: False if the server said something or hung up."""
        if self._hung_up or self.closed:
            return False
        # While the event loop watches the socket, it has told already what there is to tell.
        if self._watched is not None:
            return True
        poll = select.poll()  # not select(), which knows no descriptor above 1023
        poll.register(self.pgconn.socket, select.POLLIN)
        return not poll.poll(0)

    async def _exchange(self, send: Any) -> PGresult:
        loop = asyncio.get_running_loop()
        if self._watched is None:
            self._watched = self.pgconn.socket
            loop.add_reader(self._watched, self._on_readable)
        self._result, self._answer = None, loop.create_future()
        try:
            send()
            if self.pgconn.flush():
                loop.add_writer(self._watched, self._on_writable)
            self._take_results()
            result = await self._answer
        except asyncio.CancelledError:
            try:
                with contextlib.suppress(psycopg.Error, OSError):
                    await self.cancel_safe(timeout=_CANCEL_WAIT)
            finally:
                await self.close()  # also when the caller is cancelled once more meanwhile
            raise
        except psycopg.Error:
            if self.closed:
                self._stop_watching()  # sending found the server gone; libpq has given its socket away
            raise
        finally:
            self._answer = None
        if result.status not in _ANSWERED:
            raise errors.error_from_result(result, encoding=self.info.encoding)
        return result

    def _settle(self, error: Exception | None) -> None:
        if self._answer is None or self._answer.done():
            return
        if error is not None:
            self._answer.set_exception(error)
        elif self._result is None:
            self._answer.set_exception(errors.OperationalError("the database sent no result"))
        else:
            self._answer.set_result(self._result)

    def _take_results(self) -> None:
        # After everything that may have read from the socket, and libpq reads also where it writes: what it has read
        # nobody will be told of again.
        while self._answer is not None and not self.pgconn.is_busy():
            result = self.pgconn.get_result()
            if result is None:
                self._settle(None)
                return
            self._result = result

    def _on_readable(self) -> None:
        # Also called when the server hangs up on an idle connection: then nobody waits, and the pool is told later.
        try:
            self.pgconn.consume_input()
            self._take_results()
        except psycopg.Error as error:
            self._hung_up = True
            self._stop_watching()
            self._settle(error)

    def _on_writable(self) -> None:
        try:
            # What the server says meanwhile must be read, or both sides could wait for each other.
            self.pgconn.consume_input()
            if self.pgconn.flush() == 0 and self._watched is not None:
                asyncio.get_running_loop().remove_writer(self._watched)
            self._take_results()
        except psycopg.Error as error:
            self._hung_up = True
            self._stop_watching()
            self._settle(error)

    def _stop_watching(self) -> None:
        if self._watched is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its selector with it
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._watched)
                loop.remove_writer(self._watched)
            self._watched = None

    async def wait(self, *args: Any, **kwargs: Any) -> Any:
        """Wait as psycopg does; it registers the socket itself."""
        self._stop_watching()
        return await super().wait(*args, **kwargs)

    async def close(self) -> None:
        """Close the connection; its socket leaves the event loop first, before another takes its number."""
        if not getattr(getattr(self, "_pool", None), "close_returns", False):
            self._stop_watching()
        await super().close()
