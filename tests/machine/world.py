"""The real side of the machine: the server's application on real PostgreSQL, and what can go wrong around it.

The application runs in this process, behind a transport that can cut a connection before or after the server has
acted, and start the server anew at that moment. Parameters are those of production; a stretch is paid once per phrase,
and what a locate computes of a phrase once per account.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal

from hushtag.client import Client, MemoryPins, PinFile, RetryPolicy, Session
from hushtag_server.app import create_app
from hushtag_server.keyfile import KeyRing
from hushtag_server.settings import Settings
from tests.client.dying import DyingDriver

__all__ = ["Cut", "Wire", "World"]

URL = "http://localhost:8124"
FEW = RetryPolicy(reads=3, changes=6, first_pause=0.0, longest_pause=0.0)


@dataclass
class Cut:
    """Breaks the connection at one of the requests that follow: which (from 0), when, for how long, and with what."""

    left: int
    when: str  # "before" or "after" the server has acted
    lasting: bool = False  # the connection stays broken
    restart: bool = False  # the server is started anew at that moment

    def strikes(self) -> bool:
        self.left -= 1
        return self.left == -1 or (self.lasting and self.left < 0)


class Wire(httpx.BaseTransport):
    """The network between one device and the server."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.cut: Cut | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        cut = self.cut
        struck = cut is not None and cut.strikes()
        if cut is not None and struck and cut.restart:
            self._world.restart()
        if cut is not None and struck and (cut.when == "before" or cut.left < -1):
            raise httpx.ReadError("cut", request=request)
        response = self._world.portal.call(self._world.answer, request)
        if struck:
            raise httpx.ReadError("cut", request=request)
        return response


class World:
    """One server for every run of the machine; each run has an account of its own."""

    def __init__(self, portal: BlockingPortal, settings: Settings, keys: KeyRing) -> None:
        self.portal = portal
        self._settings, self._keys = settings, keys
        self._running: AbstractContextManager[Any] | None = None
        self._transport: httpx.ASGITransport | None = None
        self.restarts = 0
        self.start()

    def start(self) -> None:
        app: Any = create_app(self._settings, self._keys)
        self._running = self.portal.wrap_async_context_manager(app.application.application.lifespan())
        self._running.__enter__()
        self._transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))

    def stop(self) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def restart(self) -> None:
        """Start the server anew: what it does not keep in the database is gone."""
        self.restarts += 1
        self.stop()
        self.start()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        assert self._transport is not None
        response = await self._transport.handle_async_request(request)
        body = await response.aread()
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(body))

    def client(self, pins: PinFile | None, session: Session | None = None) -> tuple[Client, Wire, DyingDriver]:
        """Return a client as a new process of a device has it, with its network and what lets it die."""
        wire = Wire(self)
        client = Client(URL, session=session, pins=MemoryPins(), vault_pins=pins, retry=FEW, transport=wire)
        plain = client._driver
        driver = DyingDriver(plain._url, plain._http, plain._timeouts)
        client._driver = driver
        return client, wire, driver
