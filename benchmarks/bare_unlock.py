"""The floor of a served unlock: three requests, three binding calls, three statements, and nothing of Hushtag's.

`python -m benchmarks.bare_unlock PORT` serves `/v1/unlock/locate`, `start` and `finish` on 127.0.0.1 with the same HTTP
server, event loop, JSON codec and way to the database as Hushtag, and no framework at all. Each request decodes its
message, makes its binding call, sends PostgreSQL one prepared statement that reads no table, and encodes its answer. No
token is checked, no guess counted, no state sealed, no event signed, nothing limited, logged or measured. What the
worker spends on that nobody can save who serves an unlock over HTTP from such a stack and a database.

`BARE_DATABASE_URL` is the database; `BARE_OPAQUE` a file with setup, record and credential identifier as JSON.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import msgspec
import opaque_ke_py as binding

from hushtag.messages import (
    FinishUnlock,
    Locate,
    Located,
    StartUnlock,
    Unlocked,
    UnlockStarted,
    VaultKey,
    decode_binary,
    encode_binary,
)
from hushtag_server.asgi import Receive, Scope, Send
from hushtag_server.connection import Connection

CONNECTIONS: Final = 10
SESSION: Final = "0" * 64
STATEMENT: Final = "SELECT $1::bytea"
_HEADERS: Final = (b"content-type", b"application/json")


async def read_body(receive: Receive) -> bytes:
    """Return the body of a request; nothing is bounded."""
    body = b""
    while True:
        message = await receive()
        body += cast("bytes", message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def send_json(send: Send, content: bytes) -> None:
    """Send a whole answer."""
    headers = [_HEADERS, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _an_answer() -> Unlocked:
    # As large as that to a phrase with one vault.
    key = VaultKey(
        vault_id=uuid4(),
        wrapped_key_id=uuid4(),
        wrapped_key=encode_binary(bytes(40)),
        key_purpose="vault",
        key_version=1,
        generation=1,
        head=encode_binary(bytes(112)),
    )
    salt = encode_binary(bytes(16))
    return Unlocked("hushtag-v1", uuid4(), salt, [key], datetime.now(UTC), failed_guesses=0, last_failed_at=None)


class Steps:
    """What an unlock's three requests ask of the binding."""

    def __init__(self, kept: dict[str, str]) -> None:
        self._setup = binding.ServerSetupData.from_bytes(bytes.fromhex(kept["setup"]))
        self._record = bytes.fromhex(kept["record"])
        self._identifier = bytes.fromhex(kept["identifier"])
        self._unlocked = _an_answer()

    def locate(self, message: Locate) -> Located:
        """Evaluate one element."""
        element = decode_binary(message.elements[0])
        evaluated = binding.server_registration_start(self._setup, element, self._identifier).get_message()
        return Located(session_id=SESSION, responses=[encode_binary(bytes(evaluated))])

    def start(self, message: StartUnlock) -> UnlockStarted:
        """Answer one KE1; the state goes to the client as it is."""
        ke1 = decode_binary(message.candidates[0].ke1)
        started = binding.server_login_start(self._setup, self._record, ke1, self._identifier)
        state, ke2 = (encode_binary(bytes(part)) for part in (started.get_state(), started.get_message()))
        return UnlockStarted(session_id=SESSION, state=state, ke2=[ke2])

    def finish(self, message: FinishUnlock) -> Unlocked:
        """Check one KE3."""
        binding.server_login_finish(decode_binary(message.state), decode_binary(message.ke3))
        return self._unlocked


class Bare:
    """ASGI application of the three steps."""

    def __init__(self, steps: Steps, url: str) -> None:
        self._url = url
        self._connections: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        self._encode = msgspec.json.Encoder().encode
        self._steps: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], msgspec.Struct]]] = {
            "/v1/unlock/locate": (msgspec.json.Decoder(Locate).decode, steps.locate),
            "/v1/unlock/start": (msgspec.json.Decoder(StartUnlock).decode, steps.start),
            "/v1/unlock/finish": (msgspec.json.Decoder(FinishUnlock).decode, steps.finish),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        decode, step = self._steps[scope["path"]]
        body = await read_body(receive)
        asked = decode(body)
        connection = await self._connections.get()
        try:
            await connection.call(STATEMENT, (body[:64],))
        finally:
            self._connections.put_nowait(connection)
        await send_json(send, self._encode(step(asked)))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        for _ in range(CONNECTIONS):
            self._connections.put_nowait(await Connection.connect(self._url, autocommit=True))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        while not self._connections.empty():
            await self._connections.get_nowait().close()
        await send({"type": "lifespan.shutdown.complete"})


def application() -> Bare:
    """Return the application that the variables describe."""
    kept = json.loads(Path(os.environ["BARE_OPAQUE"]).read_text())
    return Bare(Steps(kept), os.environ["BARE_DATABASE_URL"])


def main(port: int) -> None:
    """Serve with one worker, by granian's arguments that `hushtag_server.serve` gives it."""
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.log import LogLevels

    Granian(
        "benchmarks.bare_unlock:application",
        factory=True,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        address="127.0.0.1",
        port=port,
        workers=1,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
