"""Everything that comes over the wire: messages, binary fields, answers, events, state of the client."""

import inspect
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from fuzz.target import hold, target
from fuzz.wire_modules import WIRE_MODULES
from hushtag.client.answers import decode, problem_of
from hushtag.client.effects import Response
from hushtag.client.event_stream import MAX_EVENT_BYTES, EventParser
from hushtag.client.session import Session, session_from
from hushtag.client.state import decode_state
from hushtag.errors import HushtagError, MalformedError
from hushtag.messages import Message, SessionOpened, decode_binary, encode_binary
from hushtag_server.errors import MalformedRequestError
from hushtag_server.wire import decode_message

__all__ = ["MESSAGES"]

MESSAGES: tuple[type[Message], ...] = tuple(
    dict.fromkeys(
        kind
        for module in WIRE_MODULES
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Message) and kind is not Message
    )
)
"""Every message of the wire, so that a new one is fuzzed without a word here."""


@target
def wire_messages(octets: bytes) -> None:
    """Client and server read each message alike, refuse with their own error, and it survives encoding."""
    for kind in MESSAGES:
        try:
            message = decode_message(kind, octets)
        except MalformedRequestError as error:
            hold(error.fields, "a refusal names a field")
            message = None
        with suppress(MalformedError):
            hold(decode(octets, kind) == message, "client and server read the same")
        if message is not None:
            again = msgspec.json.encode(message)
            hold(decode_message(kind, again) == message, "a message survives encoding")


@target
def binary_fields(octets: bytes) -> None:
    """Base64url has one spelling, and decoding is total."""
    hold(decode_binary(encode_binary(octets)) == octets, "what was encoded decodes")
    text = octets.decode("utf-8", "replace")
    with suppress(MalformedError):
        hold(encode_binary(decode_binary(text)) == text, "a value has one spelling")


@target
def problem_answers(octets: bytes) -> None:
    """Whatever a server answers a failure with, the client has an error of its own for it."""
    status, body = 400 + (octets[0] if octets else 0), octets[1:]
    found = problem_of(Response(status=status, headers={"content-type": "application/problem+json"}, body=body))
    hold(isinstance(found, HushtagError), "a failure is one of ours")


@target
def event_stream(octets: bytes) -> None:
    """The same bytes give the same events, however they are cut."""
    whole, cut = EventParser(None), EventParser(None)
    try:
        expected = whole.take(octets)
        found = [event for place in range(0, len(octets), 3) for event in cut.take(octets[place : place + 3])]
    except MalformedError:
        return
    hold(found == expected, "events do not depend on how they arrive")
    hold(all(len(event.text) <= MAX_EVENT_BYTES for event in found), "an event has a limit")
    hold(cut.last_id == whole.last_id, "the place in the stream does not depend on how it arrives")


@target
def client_state(octets: bytes) -> None:
    """A state file is read as one of this version or refused, and never shows its token."""
    try:
        state = decode_state(octets, "state.json")
    except HushtagError:
        return
    hold(decode_state(msgspec.json.encode(state), "state.json") == state, "a state survives being written")
    if isinstance(state.session, Session):
        other = replace(state, session=replace(state.session, token=f"another than {state.session.token}"))
        hold(repr(other) == repr(state), "a state shows no token")


@target
def account_session(octets: bytes) -> None:
    """A token of an answer belongs to its user or is refused."""
    with suppress(HushtagError):
        answer = decode(octets, SessionOpened)
        session = session_from("https://hushtag.test", answer)
        hold(decode_binary(session.token[4:])[:16] == session.user_id.bytes, "a token is of its user")
