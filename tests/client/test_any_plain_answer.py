"""The plain side: any answer at all gives a value or one of our errors, and is never read beyond its limit."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hushtag.client import Journals, JournalTags, MalformedOutcomeError, Profile, Reminders, ServerError
from hushtag.client.answers import problem_of
from hushtag.client.effects import Response
from hushtag.client.event_stream import MAX_EVENT_BYTES, EventParser, ServerEvent
from hushtag.errors import HushtagError, MalformedError
from hushtag.messages import Message
from tests.client.fake_server import URL, FakeServer, problem
from tests.client.plain_calls import CALLS, ENTRY, REMINDER, SUMMARY, Call, body_of
from tests.client.support import EMAIL, PASSWORD, connect_sync
from tests.client.test_any_answer import JSON_TYPES, ONCE, bodies, json_values

KINDS = [*JSON_TYPES, "text/event-stream", "application/x-ndjson"]


class Answering:
    """A client that is logged in, and the power over every answer it gets."""

    def __init__(self, server: FakeServer) -> None:
        self.answer: Callable[[httpx.Request], httpx.Response] = server.serve
        self.client = connect_sync(URL, httpx.MockTransport(self._serve), retry=ONCE)
        self.client.log_in(EMAIL, PASSWORD)
        self.session = self.client.session

    def _serve(self, request: httpx.Request) -> httpx.Response:
        made = self.answer(request)
        if made.is_stream_consumed:
            return httpx.Response(made.status_code, headers=made.headers, stream=httpx.ByteStream(made.content))
        return made

    def call(self, call: Call, status: int, kind: str, body: bytes) -> Any:
        headers = [(b"Content-Type", kind.encode("latin-1"))] if kind else []
        self.answer = lambda _request: httpx.Response(status, headers=headers, content=body)
        self.client._steps.session = self.session  # closing the account ends it
        return call.make(self.client)

    def message(self, call: Call) -> Message | None:
        self.client._steps.session = self.session
        return call.answer if call.answer is None or isinstance(call.answer, Message) else call.answer(self.client)


@pytest.fixture(scope="module")
def answering(enrolled_server: FakeServer) -> Iterator[Answering]:
    made = Answering(enrolled_server.clone())
    with made.client:
        yield made


def test_every_call_of_the_plain_side_is_here() -> None:
    groups = {"journal": Journals, "journal.tags": JournalTags, "reminders": Reminders, "profile": Profile}
    methods = {
        f"{group}.{name}"
        for group, kind in groups.items()
        for name, value in vars(kind).items()
        if not name.startswith("_") and not isinstance(value, property)
    }
    assert methods == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_of_the_contract_is_taken(answering: Answering, name: str) -> None:
    call = CALLS[name]
    message = answering.message(call)
    found = answering.call(call, call.status, call.kind, b"" if message is None else body_of(call.kind, message))
    if isinstance(found, (list, tuple)) and name != "journal.create_many":
        assert len(found) == 1


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    status=st.sampled_from([200, 201, 202, 204, 206, 301, 304, 400, 401, 404, 409, 412, 428, 429, 500, 503, 999]),
    kind=st.sampled_from(KINDS),
    body=bodies,
)
def test_nocrash_any_answer(answering: Answering, name: str, status: int, kind: str, body: bytes) -> None:
    told = ""
    try:
        answering.call(CALLS[name], status, kind, body)
    except HushtagError as error:
        told = str(error)
    assert answering.session is not None
    assert answering.session.token not in told


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.answer is not None])
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 20), altered=json_values)
def test_nocrash_one_altered_field(answering: Answering, name: str, place: int, altered: Any) -> None:
    call = CALLS[name]
    value = msgspec.to_builtins(answering.message(call))
    names = [*value, "unknown_field"]
    value[names[place % len(names)]] = altered
    try:
        answering.call(call, call.status, call.kind, body_of(call.kind, value))
    except HushtagError:
        return
    assert names[place % len(names)] != "unknown_field"


def naive(value: Any) -> Any:
    """Return a message's JSON with the zones of its times cut off."""
    text = msgspec.json.encode(value).decode()
    return msgspec.json.decode(re.sub(r"(T12:00:00)(Z|\+00:00)", r"\1", text))


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.answer is not None])
def test_a_time_without_a_zone_is_malformed(answering: Answering, name: str) -> None:
    call = CALLS[name]
    message = answering.message(call)
    if naive(message) == msgspec.to_builtins(message):
        return  # it holds no time
    with pytest.raises(MalformedError, match="zone"):
        answering.call(call, call.status, call.kind, body_of(call.kind, naive(message)))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", ["its own", 302, 418, 500])
def test_a_garbled_answer_to_a_change_says_that_it_may_be_made(
    answering: Answering, name: str, status: str | int
) -> None:
    call = CALLS[name]
    asked: list[str] = []

    def garbled(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        told = call.status if isinstance(status, str) else status
        return httpx.Response(told, headers={"Content-Type": "application/json"}, content=b"{")

    answering.answer = garbled
    answering.client._steps.session = answering.session
    with pytest.raises(MalformedError) as raised:
        call.make(answering.client)
    if asked[-1] == "GET":
        assert type(raised.value) is MalformedError
    else:
        assert type(raised.value) is MalformedOutcomeError
        assert str(raised.value).endswith("whether the change was made is not known")


ONE_THING = [
    name
    for name, call in CALLS.items()
    if call.answer in (ENTRY, REMINDER) or name in ("journal.tags.get", "journal.tags.edit", "reminders.complete")
]


@pytest.mark.parametrize("name", [name for name in ONE_THING if name not in ("journal.export", "reminders.events")])
def test_another_thing_than_the_one_asked_for_is_malformed(answering: Answering, name: str) -> None:
    call = CALLS[name]
    text = msgspec.json.encode(answering.message(call)).replace(b"3f0c2a9e", b"00000000")
    with pytest.raises(MalformedError, match="another"):
        answering.call(call, call.status, call.kind, text)


@pytest.mark.parametrize("following", ["A", "x" * 2000])
def test_a_listing_without_end_is_malformed(answering: Answering, following: str) -> None:
    page = {"journals": [msgspec.to_builtins(SUMMARY)], "next": following}
    made = msgspec.json.encode(page)
    endless = Call(lambda client: list(client.journal.list()), 200, None)
    with pytest.raises(MalformedError, match="end"):
        answering.call(endless, 200, "application/json", made)
    with pytest.raises(MalformedError, match="end"):
        answering.call(endless, 200, "application/json", b'{"journals":[],"next":"B"}')


class Endless(httpx.SyncByteStream):
    """A body that does not end, which counts what was read of it."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.read < 64 * 1024 * 1024:
            self.read += 64 * 1024
            yield b" " * (64 * 1024)


@pytest.mark.parametrize("name", CALLS)
def test_an_endless_answer_is_cut(answering: Answering, name: str) -> None:
    call = CALLS[name]
    endless = Endless()
    answering.answer = lambda _request: httpx.Response(
        call.status if call.status != 204 else 200, headers={"Content-Type": call.kind}, stream=endless
    )
    answering.client._steps.session = answering.session
    with pytest.raises(MalformedError, match="than"):
        call.make(answering.client)
    assert endless.read <= 4 * 1024 * 1024 + 128 * 1024


@pytest.mark.parametrize("path", ["//evil.example/x.ics", "/v1/feeds/../x.ics", "/v1/feeds/a b.ics", "https://x/y"])
def test_an_address_of_a_feed_lies_on_the_server(answering: Answering, path: str) -> None:
    with pytest.raises(MalformedError, match="address"):
        answering.call(
            CALLS["reminders.open_feed"],
            201,
            "application/json",
            msgspec.json.encode({"url_path": path, "created_at": "2026-03-29T12:00:00Z"}),
        )


def test_what_a_server_says_of_fields_is_kept_as_far_as_it_can_be_shown() -> None:
    fields = [
        {"field": "$.title", "rule": "must have 1 to 500 characters"},
        {"field": "x", "rule": "\x1b[31mred"},
        {"field": "$.long", "rule": "r" * 5000},
        *[{"field": str(number), "rule": "is required"} for number in range(50)],
    ]
    made = problem(400, "malformed_request", fields=fields)
    error = problem_of(Response(400, {"content-type": made.headers["content-type"]}, made.content))
    assert isinstance(error, ServerError)
    assert [each.field for each in error.fields][:3] == ["$.title", "$.long", "0"]
    assert len(error.fields) == 10
    assert max(len(each.rule) for each in error.fields) == 500


# --- the parser of events -----------------------------------------------------------------------------------


def parse(text: bytes, cut: int = 0) -> tuple[list[ServerEvent], EventParser]:
    parser = EventParser(None)
    pieces = [text[:cut], text[cut:]] if cut else [text]
    return [event for piece in pieces for event in parser.take(piece)], parser


STREAM = b": hello\r\nid: 7\n\nevent: reminder\ndata: {\ndata:  }\nid: 8\n\ndata: x\rdata: y\r\rid: 9\ndata: cut off"


@given(cut=st.integers(0, len(STREAM)))
def test_events_are_the_same_however_they_are_cut(cut: int) -> None:
    events, parser = parse(STREAM, cut)
    assert events == [ServerEvent("reminder", "{\n }", "8"), ServerEvent("message", "x\ny", "8")]
    assert parser.last_id == "8"  # that of the last whole event


def test_an_id_without_an_event_counts() -> None:
    events, parser = parse(b"retry: 3000\nid: 033b-0\n\n")
    assert (events, parser.last_id, parser.alive) == ([], "033b-0", False)
    parser.take(b":\n\n")
    assert parser.alive


@pytest.mark.parametrize(
    "text", [b"id: a\x00b\n\n", "id: é\n\n".encode(), b"data: \xff\n\n", b"id: " + b"x" * 65 + b"\n"]
)
def test_what_no_header_or_text_can_hold_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(text)


@pytest.mark.parametrize("piece", [b"x", b"data: 123456789\n"])
def test_an_event_without_end_is_malformed(piece: bytes) -> None:
    parser = EventParser(None)
    whole = piece * (MAX_EVENT_BYTES // len(piece) // 2)
    assert parser.take(whole) == []
    with pytest.raises(MalformedError, match=str(MAX_EVENT_BYTES)):
        parser.take(whole * 2)


@given(text=st.binary(max_size=200), cut=st.integers(0, 200))
def test_nocrash_events(text: bytes, cut: int) -> None:
    try:
        parse(text, cut)
    except MalformedError:
        return
