"""A worker process: what granian's factory loads and calls."""

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hushtag_server.keyfile import present_keys
from hushtag_server.settings import load_settings

if TYPE_CHECKING:
    from hushtag_server.edge import Edge
    from hushtag_server.reminders.bell import Bell

__all__ = ["from_environment"]


def _leave_with_parent() -> None:
    """End this worker when the process that started it is gone, even killed: nobody else would ever stop it."""
    # The one that spawned it, as it said itself: whoever is the parent now may be so because that one is gone already.
    spawner = multiprocessing.parent_process()
    parent = os.getppid() if spawner is None else spawner.pid

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _hear_signals_once(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    """Let only the first signal through to the handlers that are added from now on; call `stop` with it.

    A service manager tells every process of a service to stop, and the supervisor then tells its workers again. A
    worker of granian that is told twice blocks for ever in its own handler.
    """
    add, told = loop.add_signal_handler, False

    def add_signal_handler(number: int, callback: Callable[..., object], *arguments: Any) -> None:
        def first_only() -> None:
            nonlocal told
            if not told:
                told = True
                stop()
                callback(*arguments)

        add(number, first_only)

    loop.add_signal_handler = add_signal_handler  # type: ignore[method-assign,assignment]  # of this one loop


def from_environment() -> "Edge":
    """Return the application of a worker process: everything comes from the environment (granian's factory).

    Raises:
        SettingsError: the environment is not usable.
        StartError: the keys are missing.
    """
    settings = load_settings(os.environ)
    # What is loaded and made now stays as long as the process: a collector that walks through it again and again as it
    # comes takes a tenth of the start. The application turns it on when it begins to serve.
    gc.disable()
    from hushtag_server.app import create_app

    application = create_app(settings, present_keys(settings), settle=True)
    bell: Bell = application.application.application.state["bell"]  # type: ignore[attr-defined]  # Edge, DirectRoutes
    # The loop is granian's, made and set before it calls this factory. It waits for open requests before it ends the
    # lifespan, so streams must hear of the end with the signal.
    _hear_signals_once(asyncio.get_event_loop_policy().get_event_loop(), bell.stop)
    _leave_with_parent()
    return application
