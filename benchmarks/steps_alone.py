"""What the three steps of an unlock cost by themselves: the floor of everything that a request goes through besides.

With `BENCH_STEPS`, `benchmarks.bench_server` serves `/v1/unlock/locate`, `start` and `finish` with the server's own
steps, called by as little as calls those of `bare_unlock`: the token is read, the message decoded, the step made with
its own statement, sealed state, proof and tickets, and its answer sent. No event is signed or sealed, nothing is
limited, timed, counted or logged, and no error becomes a problem. What is left is what the protocol wants of a server.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from benchmarks.bare_unlock import read_body, send_json
from benchmarks.security_log import without_events
from hushtag.messages import FinishUnlock, Locate, StartUnlock
from hushtag_server.asgi import Application, Receive, Scope, Send
from hushtag_server.services import Services
from hushtag_server.tokens import ACCOUNT, parse_bearer
from hushtag_server.vault import unlock_steps

__all__ = ["steps_alone"]

_unrecorded: Final = ExitStack()  # as long as this process
_STEPS: Final[dict[str, tuple[Callable[[bytes], Any], Callable[..., Any]]]] = {
    "/v1/unlock/locate": (msgspec.json.Decoder(Locate).decode, unlock_steps.locate),
    "/v1/unlock/start": (msgspec.json.Decoder(StartUnlock).decode, unlock_steps.start_unlock),
    "/v1/unlock/finish": (msgspec.json.Decoder(FinishUnlock).decode, unlock_steps.finish_unlock),
}


def steps_alone(real: Any) -> Application:
    """Return the real application with the steps of an unlock past its edge; from now on nothing is recorded."""
    _unrecorded.enter_context(without_events())
    encode, state = msgspec.json.Encoder().encode, real.application.application.state

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") not in _STEPS:
            await real(scope, receive, send)
            return
        decode, step = _STEPS[scope["path"]]
        services: Services = state["services"]
        message = decode(await read_body(receive))
        header = next(value for name, value in scope["headers"] if name == b"authorization")
        token = parse_bearer(header.decode("latin-1"), ACCOUNT)
        await send_json(send, encode(await step(services, token, message, scope)))

    return application
