"""What starts the workers and starts them anew: granian's, with a SIGHUP that leaves a server that served serving."""

import logging
from collections.abc import Callable
from typing import Any

from granian.server.mp import MPServer

from hushtag_server.errors import StartError

__all__ = ["Supervisor"]

_log = logging.getLogger("hushtag.server")


class Supervisor(MPServer):
    """Replaces its workers at SIGHUP if `check`, called then, does not raise a StartError; else they stay."""

    def __init__(self, *arguments: Any, check: Callable[[], object], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._check = check

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
        if self.interrupt_signal:
            self.main_loop_interrupt.set()  # one that came just before it was cleared
