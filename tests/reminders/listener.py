"""A client of the event stream for tests."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx


@dataclass
class Listener:
    """One open stream: what arrived, and the id to resume from."""

    lines: Any
    last_id: str = ""
    comments: int = 0
    broken: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, seconds: float = 10) -> dict[str, Any] | None:
        """Return the reminder of the next event; None when the stream has ended or its connection broke."""
        kind = text = ""
        with anyio.fail_after(seconds), self._noting_breaks():
            async for line in self.lines:
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    text = value
                elif not line and text:
                    assert kind == "reminder"
                    self.seen.append(json.loads(text))
                    return self.seen[-1]
        return None

    @contextlib.contextmanager
    def _noting_breaks(self) -> Iterator[None]:
        try:
            yield
        except (httpx.RemoteProtocolError, httpx.ReadError):
            self.broken = True

    async def opened(self) -> None:
        """Read up to the first id."""
        async for line in self.lines:
            if line.startswith("id: "):
                self.last_id = line.removeprefix("id: ")
                return


class TooManyStreamsError(Exception):
    """The server opened no stream: the user has as many as one may."""


@asynccontextmanager
async def listen(url: str, token: str, last_id: str | None = None, wait: int = 60) -> AsyncIterator[Listener]:
    """Open a stream over a connection of its own.

    Raises:
        TooManyStreamsError: that was the answer.
    """
    headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as client,
        client.stream("GET", "/v1/reminders/events", params={"wait": wait}, headers=headers) as answer,
    ):
        if answer.status_code == 429:
            assert json.loads(await answer.aread())["code"] == "too_many_streams"
            raise TooManyStreamsError
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        listener = Listener(answer.aiter_lines())
        await listener.opened()
        yield listener


async def told(url: str, token: str, last_id: str | None = None) -> list[str]:
    """Return the titles a stream tells that ends when nothing more is due."""
    async with listen(url, token, last_id, wait=0) as listener:
        while await listener.next() is not None:
            pass
        return [event["title"] for event in listener.seen]


def due_in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def remind(url: str, token: str, title: str, seconds: float = 1.0) -> dict[str, Any]:
    """Make a reminder over a fresh connection."""
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        while True:
            body = {"title": title, "reminder_time": due_in(seconds)}
            answer = await client.post("/v1/reminders", json=body, headers={"Authorization": f"Bearer {token}"})
            if answer.status_code != 400 or seconds > 20:
                break
            seconds *= 2  # a busy machine: the time was past when the request arrived
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made
