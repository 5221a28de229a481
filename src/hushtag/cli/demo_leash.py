"""Run a module that ends with whoever started it: `python -m hushtag.cli.demo_leash MODULE [ARGUMENT…]`.

The starter holds the other end of standard input, and nobody else does: it ends with the starter, even where that was
killed. Then this process gets the SIGTERM that the starter cannot send any more.
"""

import os
import runpy
import signal
import sys
import threading
from contextlib import suppress

__all__: list[str] = []


def _leave_with_starter() -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":  # a worker that the module spawns may import this one as well
    threading.Thread(target=_leave_with_starter, name="starter-watch", daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
