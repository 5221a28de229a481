"""`hushtag-server maintain`: one run at a time, step by step, in short transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, Protocol

from hushtag_server.operation.reach import Connection, Reached, check_migrated, connect
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
    """What was done, or in a dry run what is due, by step; `ran` is false if another run was under way."""

    ran: bool
    steps: dict[str, int]


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


def _run(step: Step, work: Work, watcher: Watcher, dry_run: bool) -> int:
    due = step.due(work)
    watcher.step(step, due)
    if dry_run:
        return due
    total = 0
    for count in step.batches(work) if due or step.always else ():
        total += count
        watcher.done(count)
    return total


def maintain(
    settings: Settings, reached: Reached, watcher: Watcher, *, dry_run: bool = False, wait: bool = False
) -> Report:
    """Do every step once and return what was done; with `dry_run` only what is due.

    Another run under way is waited for with `wait`; without, this one does nothing.

    Raises:
        OperationError: the database is not of this version, or the URL does not name the owner.
    """
    with connect(reached.owner_url) as lock, connect(reached.owner_url) as connection:
        check_migrated(connection)
        with _alone(lock, wait) as mine:
            if not mine:
                return Report(ran=False, steps={})
            work = Work(connection, settings)
            return Report(ran=True, steps={step.name: _run(step, work, watcher, dry_run) for step in STEPS})
