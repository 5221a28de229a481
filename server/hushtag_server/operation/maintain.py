"""`hushtag-server maintain`: one run at a time, step by step, in short transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

import psycopg

from hushtag_server.errors import StartError
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.reach import Connection, Reached, as_maintainer, check_migrated, connect
from hushtag_server.operation.steps import STEPS, Step, Work
from hushtag_server.settings import Settings

__all__ = ["Report", "Watcher", "maintain"]

_LOCK_KEY: Final = int.from_bytes(b"hushmain", "big")


class Watcher(Protocol):
    """Who is told how far it is."""

    def step(self, step: Step, due: int) -> None:
        """Begin a step of which so much is due."""

    def done(self, count: int) -> None:
        """So many more are done."""


class Report(NamedTuple):
    """What was done, or in a dry run what is due, by step, and why those in `failed` did not come to their end.

    `ran` is false if another run was under way.
    """

    ran: bool
    steps: dict[str, int]
    failed: dict[str, str]


@contextmanager
def _alone(connection: Connection, wait: bool) -> Iterator[bool]:
    """Hold the lock of maintenance; PostgreSQL lets go of it when this process ends, however it ends."""
    if wait:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK_KEY])
        mine = True
    else:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY]).fetchone()
        mine = row is not None and bool(row[0])
    try:
        yield mine
    finally:
        if mine and not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_KEY])


def _run(step: Step, work: Work, watcher: Watcher, dry_run: bool) -> tuple[int, str | None]:
    total = 0
    try:
        due = step.due(work)
        watcher.step(step, due)
        if dry_run:
            return due, None
        for count in step.batches(work) if due or step.always else ():
            total += count
            watcher.done(count)
    except (OperationError, StartError) as error:
        return total, str(error)  # what it did is committed, and no step needs another's work
    except psycopg.Error as error:
        if work.connection.closed:
            raise  # no other step would come to more
        return total, f"the database refused: {error.diag.message_primary or type(error).__name__}"
    return total, None


def maintain(
    settings: Settings, reached: Reached, watcher: Watcher, *, dry_run: bool = False, wait: bool = False
) -> Report:
    """Do every step once and return what was done; with `dry_run` only what is due. A step that fails stops no other.

    Another run under way is waited for with `wait`; without, this one does nothing.

    Raises:
        OperationError: the database is not of this version, or the URL does not name the owner.
    """
    with connect(reached.owner_url) as lock, connect(reached.owner_url) as connection:
        check_migrated(connection)
        with as_maintainer(connection):
            pass  # or every step would say that the URL does not name the owner
        with _alone(lock, wait) as mine:
            if not mine:
                return Report(ran=False, steps={}, failed={})
            work = Work(connection, settings)
            outcomes = {step.name: _run(step, work, watcher, dry_run) for step in STEPS}
    failed = {name: reason for name, (_, reason) in outcomes.items() if reason is not None}
    return Report(ran=True, steps={name: count for name, (count, _) in outcomes.items()}, failed=failed)
