"""The route of the event stream."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from hushtag.reminder_messages import MAX_STREAM_SECONDS
from hushtag_server.auth import ACCOUNT_SECURITY, require_account_token
from hushtag_server.edge import prolong_deadline
from hushtag_server.reminders.bell import bell_of
from hushtag_server.reminders.streams import HEARTBEAT, tell_events
from hushtag_server.services import ServicesDep

__all__ = ["stream_events"]

_MAX_EVENT_ID: Final = 64
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=_MAX_EVENT_ID, description="`id` of the last event that arrived"),
]
Wait = Annotated[
    int,
    QueryParameter(name="wait", ge=0, le=MAX_STREAM_SECONDS, description="seconds until the server ends the stream"),
]


async def _beginning_with(opening: bytes, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield opening
    async for event in events:
        yield event


@get(
    "/reminders/events",
    summary="Hear of due reminders",
    media_type="text/event-stream",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    opt={"problems": ["too_many_streams"]},
)
async def stream_events(
    request: Request[Any, Any, Any],
    services: ServicesDep,
    last_event_id: LastEventId = None,
    wait: Wait = MAX_STREAM_SECONDS,
) -> Stream:
    """Send each reminder as it becomes due, once per account session; `wait=0` sends what is due and ends."""
    events = tell_events(request, services, bell_of(request), last_event_id, wait)
    opening = await anext(events)  # while a refusal can still be answered as one
    prolong_deadline(request.scope, wait + 4 * HEARTBEAT)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(_beginning_with(opening, events), media_type="text/event-stream", headers=headers)
