"""What starts the workers and starts them anew: granian's, with a SIGHUP that leaves a server that served serving."""

import logging
import math
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

from granian.server.mp import MPServer

from hushtag_server.errors import StartError

__all__ = ["Supervisor"]

_ATTEMPTS: Final = 3
"""Workers that are started in the place of one before it stays: one may be killed, as by a system without memory."""
_LOOK: Final = 0.2  # seconds until somebody who stops the server while a worker comes up is heard
_GLANCE: Final = 0.02  # seconds until the end of an old worker is noticed

_log = logging.getLogger("hushtag.server")


def _load(load: Callable[[], Any], told: Connection) -> Any:
    """Return the application, in the worker; it closes the connection with a word once it serves."""
    application = load()

    def tell() -> None:
        with told:
            told.send_bytes(b"serving")

    application.when_serving = tell
    return application


class Supervisor(MPServer):
    """Replaces its workers at SIGHUP if `check`, called then, does not raise a StartError; else they stay.

    Each stays until the one in its place serves, however long that takes on a slow or busy host, and for good if none
    does within `ready_wait` seconds.
    """

    def __init__(self, *arguments: Any, check: Callable[[], object], ready_wait: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._check = check
        self._ready_wait = ready_wait

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        try:
            self._check()
        except StartError as error:
            _log.error("nothing was reloaded", extra={"error": [str(error)]})
        else:
            super()._reload(spawn_target, target_loader)  # type: ignore[no-untyped-call]  # granian's is not
            # For five seconds it would take one that was killed for one that cannot start, and end.
            self.respawned_wrks.clear()
        # Granian's loop would turn without end if this stayed set for nothing; cleared first, so that nothing is lost.
        self.main_loop_interrupt.clear()
        if self.interrupt_signal or self.reload_signal or self.interrupt_children:
            self.main_loop_interrupt.set()

    def _respawn_workers(self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        if not delay:  # they have ended: there is nobody to stay
            super()._respawn_workers(workers, spawn_target, target_loader)
            return
        # Granian's own waits so many seconds and then ends the old one, whether anybody else serves or not.
        for index in workers:
            for _ in range(_ATTEMPTS):
                worker = self._come_up(index, spawn_target, target_loader)
                if worker is not None or self.interrupt_signal:
                    break
            if worker is None:
                if not self.interrupt_signal:
                    _log.error("a worker was not replaced", extra={"error": ["the new one did not come to serve"]})
                return
            old, self.wrks[index] = self.wrks[index], worker
            _end(old, self.workers_kill_timeout)
            self._watch_alone(index, worker)

    def _watch_alone(self, index: int, worker: Any) -> None:
        """From now on the end of the new worker is the one that counts."""
        # The old one may have been killed meanwhile: its place is taken.
        self.interrupt_children[:] = [each for each in self.interrupt_children if each != index]
        worker.interrupt_by_parent = False
        if not worker.is_alive() and index not in self.interrupt_children:
            self.interrupt_children.append(index)

    def _come_up(self, index: int, spawn_target: Any, target_loader: Any) -> Any:
        """Return a new worker that serves; `None` if it does not come to that, and is gone."""
        heard, told = multiprocessing.Pipe(duplex=False)
        loader = partial(_load, target_loader, told)
        worker: Any = self._spawn_worker(index, spawn_target, loader)
        worker.interrupt_by_parent = True  # so that its end, while the old one is there, has nobody started for it
        with heard:
            with told:
                worker.start()
            serves = self._hear(heard)
        if serves and worker.is_alive():
            return worker
        worker.kill()
        worker.join()
        return None

    def _hear(self, heard: Connection) -> bool:
        deadline = time.monotonic() + self._ready_wait
        while not heard.poll(_LOOK):
            if self.interrupt_signal or time.monotonic() > deadline:
                return False
        try:
            return bool(heard.recv_bytes(16))
        except EOFError:  # it has ended
            return False


def _end(worker: Any, wait: float | None) -> None:
    """Let a worker finish what it has begun, for so many seconds; without end for `None`."""
    deadline = math.inf if wait is None else time.monotonic() + wait
    worker.terminate()
    # Looked at and not joined: a thread joins it already, and the one of two that comes late is told nothing.
    while worker.is_alive():
        if time.monotonic() > deadline:
            _log.warning("an old worker did not end in time")
            worker.kill()
            worker.join()
            return
        time.sleep(_GLANCE)
