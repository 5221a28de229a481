"""The plain side of the real server over connections that break: nothing is made twice, lost or overwritten unread."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx
import msgspec
import pytest

from hushtag.client import (
    AsyncClient,
    BudgetError,
    Client,
    ConflictError,
    OutcomeUnknownError,
    SessionExpiredError,
    TimedOutError,
    TransportError,
    VersionConflictError,
)
from hushtag.client.state import StateFile
from hushtag.errors import MalformedError
from hushtag.journal_messages import NewJournal
from hushtag.reminder_messages import MAX_STREAMS_PER_USER
from tests.client.support import NO_PAUSE, PASSWORD, connect_sync
from tests.coming import COMING

SOME_DAY = datetime(COMING, 1, 1, tzinfo=UTC)


class Fate:
    """What becomes of the next requests, in order: each says before or after the server saw it, and what is raised;
    or that it arrives twice.
    """

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.meanwhile: Callable[[], Any] | None = None
        self.cut: list[int] = []
        self.sent: list[tuple[str, str | None]] = []

    def before(self, request: httpx.Request) -> None:
        self.sent.append((f"{request.method} {request.url.path}", request.headers.get("last-event-id")))
        if self.lost and self.lost[0] == "before":
            self.lost.pop(0)
            raise httpx.ConnectError("refused")

    def after(self) -> None:
        if self.lost and self.lost[0] in ("after", "late"):
            how = self.lost.pop(0)
            if self.meanwhile is not None:
                self.meanwhile()
            raise httpx.ReadTimeout("late") if how == "late" else httpx.ReadError("broken")


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An answer that breaks after so many events."""

    def __init__(self, stream: Any, events: int) -> None:
        self._stream = stream
        self._left = events

    def _cut(self, piece: bytes) -> bytes:
        self._left -= piece.count(b"data:")
        return piece if self._left >= 0 else piece[: piece.rfind(b"data:") + 20]

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            yield self._cut(piece)
            if self._left < 0:
                raise httpx.ReadError("broken")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield self._cut(piece)
            if self._left < 0:
                raise httpx.ReadError("broken")

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Breaking(httpx.HTTPTransport):
    """The network, as `fate` has it."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._fate.before(request)
        if self._fate.lost[:1] == ["twice"]:
            self._fate.lost.pop(0)
            super().handle_request(request).close()
        response = super().handle_request(request)
        try:
            self._fate.after()
        except httpx.HTTPError:
            response.close()
            raise
        if self._fate.cut and response.headers["content-type"].startswith("text/event-stream"):
            response.stream = Cut(response.stream, self._fate.cut.pop(0))
        return response


class AsyncBreaking(httpx.AsyncHTTPTransport):
    """The same for an event loop."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._fate.before(request)
        response = await super().handle_async_request(request)
        if self._fate.cut and response.headers["content-type"].startswith("text/event-stream"):
            response.stream = Cut(response.stream, self._fate.cut.pop(0))
        return response


@pytest.fixture
def fate() -> Fate:
    return Fate()


@pytest.fixture
def client(real_url: str, fate: Fate) -> Iterator[Client]:
    """A client of a new account over a network that `fate` rules."""
    email = f"{uuid4().hex}@example.org"
    with connect_sync(real_url, Breaking(fate)) as made:
        made.sign_up(email, PASSWORD)
        made.log_in(email, PASSWORD)
        fate.sent.clear()
        yield made


@pytest.mark.parametrize("lost", [["after"], ["before"], ["after", "before"], ["before", "after", "before"]])
def test_what_is_made_is_made_once(client: Client, fate: Fate, lost: list[str]) -> None:
    fate.lost = list(lost)
    entry = client.journal.create("once", content="only", tags=["t"])
    fate.lost = list(lost)
    ids = client.journal.create_many([NewJournal("a"), NewJournal("b")])
    fate.lost = list(lost)
    reminder = client.reminders.create("once", SOME_DAY)
    assert fate.lost == []
    assert {found.id for found in client.journal.list()} == {entry.id, *ids}
    assert [found.id for found in client.reminders.list()] == [reminder.id]


def test_what_arrives_twice_is_made_once(client: Client, fate: Fate) -> None:
    """A proxy may send a request again: the answer to the second says that what has its new id exists already."""
    fate.lost = ["twice"]
    entry = client.journal.create("once", content="only", tags=["t"])
    fate.lost = ["twice"]
    ids = client.journal.create_many([NewJournal("a"), NewJournal("b")])
    fate.lost = ["twice"]
    reminder = client.reminders.create("once", SOME_DAY)
    assert fate.lost == []
    assert {found.id for found in client.journal.list()} == {entry.id, *ids}
    assert [found.id for found in client.reminders.list()] == [reminder.id]


def test_an_id_that_was_given_may_be_somebody_elses(client: Client) -> None:
    entry = client.journal.create("once")
    reminder = client.reminders.create("once", SOME_DAY)
    for make in (
        lambda: client.journal.create("once", journal_id=entry.id),
        lambda: client.journal.create_many([NewJournal("once", id=entry.id), NewJournal("a")]),
        lambda: client.journal.create_many([NewJournal("a"), NewJournal("once", id=entry.id)]),
        lambda: client.reminders.create("once", reminder.reminder_time, reminder_id=reminder.id),
    ):
        with pytest.raises(ConflictError) as caught:
            make()
        assert caught.value.code == "already_exists"
    assert [found.id for found in client.journal.list()] == [entry.id]


@pytest.mark.parametrize("lost", [["after"], ["before"], ["before", "after"]])
def test_what_is_changed_is_changed_once(client: Client, fate: Fate, lost: list[str]) -> None:
    entry = client.journal.create("one", tags=["River"])
    fate.lost = list(lost)
    edited = client.journal.edit(entry, title="two", mood_rating=3, tags=["RIVER", "walks"])
    assert (edited.title, edited.version) == ("two", client.journal.get(entry.id).version)
    reminder = client.reminders.create("one", SOME_DAY)
    fate.lost = list(lost)
    assert client.reminders.edit(reminder, title="two", repeat_pattern="freq=daily").version == 2
    fate.lost = list(lost)
    done = client.reminders.complete(reminder)
    assert done.successor is not None
    assert len(list(client.reminders.list(status="pending"))) == 1
    fate.lost = list(lost)
    client.reminders.delete(done.successor)
    fate.lost = list(lost)
    client.journal.delete(edited)
    fate.lost = list(lost)
    client.journal.erase(edited)
    fate.lost = list(lost)
    client.journal.tags.delete(edited.tags[0])
    assert list(client.journal.list(deleted=None)) == []
    assert len(list(client.journal.tags.list())) == 1


def test_a_change_that_was_lost_does_not_undo_what_somebody_else_did_since(client: Client, fate: Fate) -> None:
    entry = client.journal.create("one")
    with Client(client.server, session=client.session) as other:

        def theirs(**changes: Any) -> None:
            other.journal.edit(other.journal.get(entry.id), **changes)

        theirs(title="theirs")
        fate.lost = ["before"]
        with pytest.raises(VersionConflictError):
            client.journal.edit(entry, title="mine")
        read = client.journal.get(entry.id)
        fate.lost, fate.meanwhile = ["after"], lambda: theirs(content="more")
        # Ours was stored, and theirs upon it: nothing is lost, and it is not sent again.
        assert client.journal.edit(read, title="mine").content == "more"
        read = client.journal.get(entry.id)
        fate.lost, fate.meanwhile = ["after"], lambda: theirs(title="theirs")
        with pytest.raises(VersionConflictError):
            client.journal.edit(read, title="mine again")
        assert other.journal.get(entry.id).title == "theirs"


def test_a_change_whose_fate_cannot_be_found_out_says_so(client: Client, fate: Fate) -> None:
    entry = client.journal.create("one")
    fate.lost = ["after", *["before"] * NO_PAUSE.reads]
    with pytest.raises(OutcomeUnknownError):
        client.journal.edit(entry, title="two")
    assert client.journal.get(entry.id).title == "two"
    read = client.journal.get(entry.id)
    fate.lost = ["before"] * (1 + NO_PAUSE.reads)
    with pytest.raises(OutcomeUnknownError):
        client.journal.delete(read)
    assert client.journal.get(entry.id).deleted_at is None


def test_a_time_out_is_not_tried_again(client: Client, fate: Fate) -> None:
    for call in (lambda: client.journal.create("one"), lambda: client.journal.tags.create("t")):
        fate.sent.clear()
        fate.lost = ["late"]
        with pytest.raises(TimedOutError):
            call()
        assert len(fate.sent) == 1


def test_what_takes_the_password_or_is_told_apart_by_nothing_is_sent_once(client: Client, fate: Fate) -> None:
    for call in (
        lambda: client.profile.change_email(PASSWORD, f"{uuid4().hex}@example.org"),
        lambda: client.profile.give_consent("terms", "1"),
        lambda: client.reminders.open_feed(),
        lambda: client.profile.deactivate(PASSWORD),
    ):
        fate.sent.clear()
        fate.lost = ["before"]
        with pytest.raises(TransportError):
            call()
        assert len(fate.sent) == 1


# --- events -------------------------------------------------------------------------------------------------


def make_due(client: Client, count: int) -> set[str]:
    soon = datetime.now(UTC) + timedelta(seconds=4)
    return {client.reminders.create(f"number {number}", soon).title for number in range(count)}


@pytest.mark.parametrize("cut", [[1], [0, 0], [2, 0, 1]])
def test_events_go_on_where_the_connection_broke(client: Client, fate: Fate, cut: list[int]) -> None:
    titles = make_due(client, 4)
    fate.cut = list(cut)
    arrived = [reminder.title for reminder in islice(client.reminders.events(), 4)]
    assert sorted(arrived) == sorted(titles)
    assert fate.cut == []
    streams = [last for path, last in fate.sent if path.endswith("/events")]
    assert streams[0] is None
    assert None not in streams[1:]
    assert list(client.reminders.events(wait=0)) == []


def test_whoever_leaves_early_is_given_the_rest_by_the_next(client: Client) -> None:
    """All had come at once, and the server tells each once: those behind the first were told to nobody."""
    titles = make_due(client, 4)
    arrived = []
    for reminder in client.reminders.events():
        arrived.append(reminder.title)
        break
    client.reminders.events()  # nobody iterates over it
    for reminder in client.reminders.events(wait=0):
        arrived.append(reminder.title)
        if len(arrived) == 3:
            break
    arrived += [reminder.title for reminder in client.reminders.events(wait=0)]
    assert sorted(arrived) == sorted(titles)
    assert list(client.reminders.events(wait=0)) == []


def test_a_server_that_was_there_is_waited_for(client: Client, fate: Fate) -> None:
    titles = make_due(client, 2)
    fate.cut = [1]
    events = client.reminders.events()
    first = next(events)
    fate.lost = ["before"] * 20
    assert {first.title, next(events).title} == titles
    assert fate.lost == []
    events.close()


def test_a_server_that_never_was_there_is_not_waited_for(client: Client, fate: Fate) -> None:
    fate.lost = ["before"] * 100
    with pytest.raises(TransportError):
        next(client.reminders.events())
    assert len(fate.lost) == 100 - NO_PAUSE.reads


def test_events_end_with_the_session(client: Client, real_url: str) -> None:
    with Client(real_url, session=client.session) as other:
        events = other.reminders.events()
        make_due(client, 1)
        next(events)
        client.log_out()
        events.close()
        with pytest.raises(SessionExpiredError):
            next(other.reminders.events())


def test_too_many_streams_are_a_budget(client: Client) -> None:
    streams = [client._steps.reminders.events(None) for _ in range(MAX_STREAMS_PER_USER)]
    for stream in streams:
        client._driver.run(stream._open())
    with pytest.raises(BudgetError) as caught:
        next(client.reminders.events())
    assert caught.value.code == "too_many_streams"
    for stream in streams:
        client._driver.run(stream.end())


@pytest.mark.anyio
async def test_events_for_an_event_loop_go_on_as_well(client: Client, fate: Fate, real_url: str) -> None:
    titles = make_due(client, 3)
    fate.cut = [1, 0]
    arrived: list[str] = []
    transport = AsyncBreaking(fate)
    async with AsyncClient(real_url, session=client.session, transport=transport, retry=NO_PAUSE) as other:
        events = other.reminders.events()
        with anyio.fail_after(30):
            async for reminder in events:
                arrived.append(reminder.title)
                if len(arrived) == 3:
                    break
        await events.aclose()
        with anyio.move_on_after(0.2) as waiting:  # a cancelled wait leaves nothing open behind
            async for _ in other.reminders.events():
                raise AssertionError
        assert waiting.cancelled_caught
        assert (await other.account()).email
    assert set(arrived) == titles


# --- export, and two processes on one entry -----------------------------------------------------------------


def test_an_export_that_breaks_is_no_export(client: Client) -> None:
    line = b'{"id":"3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11","title":"x"'

    def broken() -> Iterator[bytes]:
        yield b"\n" + line
        raise httpx.ReadError("broken")

    for stream, kind in ((broken(), TransportError), (iter([line]), MalformedError)):
        answer = httpx.Response(200, headers={"Content-Type": "application/x-ndjson"}, content=stream)
        transport = httpx.MockTransport(lambda _request, answer=answer: answer)
        with (
            Client(client.server, session=client.session, transport=transport) as other,
            pytest.raises(kind),
        ):
            list(other.journal.export())


WRITER = """
import sys
from pathlib import Path
from hushtag.client import Client, VersionConflictError
from hushtag.client.state import StateFile
import msgspec
from hushtag.journal_messages import Journal
session = StateFile(Path(sys.argv[1])).load().session
entry = msgspec.json.decode(sys.argv[2], type=Journal)
with Client(session.server, session=session) as client:
    sys.stdin.readline()
    try:
        print(client.journal.edit(entry, content=sys.argv[3]).version)
    except VersionConflictError:
        print("conflict")
"""


def test_of_several_processes_on_one_version_one_wins(client: Client, tmp_path: Path) -> None:
    assert client.session is not None
    StateFile(tmp_path / "state").keep_session(client.session)
    entry = client.journal.create("ours")
    arguments = [str(tmp_path / "state"), msgspec.json.encode(entry).decode()]
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITER, *arguments, f"writer {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    outcomes = [writer.communicate(timeout=60)[0].strip() for writer in writers]
    assert sorted(outcomes) == ["2", "conflict", "conflict", "conflict"]
    assert client.journal.get(entry.id).content == f"writer {outcomes.index('2')}"
