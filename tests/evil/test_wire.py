"""The man on the wire itself: answers that never end, come byte by byte, break off, or come too late."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import pytest

from hushtag.client import TimedOutError, Timeouts, TransportError
from hushtag.errors import HushtagError, MalformedError
from tests.client.support import EMAIL, PASSWORD, connect_async, connect_sync
from tests.evil.proxy import Proxy, Wire, on_the_wire, proxy
from tests.evil.world import World, clone

SHORT = Timeouts(connect=5.0, read=5.0, overall=0.4)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def between(world: World) -> Iterator[Proxy]:
    with proxy(clone(world.server)) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, between: Proxy) -> Iterator[Any]:
    """Ada's client, logged in before the man strikes."""
    if request.param == "sync":
        made: Any = connect_sync(between.url, timeouts=SHORT)
    else:
        made = connect_async(request.getfixturevalue("portal"), between.url, timeouts=SHORT)
    with made:
        for _ in range(50):  # an honest exchange may be late on a busy machine
            try:
                made.log_in(EMAIL, PASSWORD)
            except TimedOutError:
                continue
            break
        yield made
        between.over.set()


def interim(out: BinaryIO, over: threading.Event) -> None:
    while not over.is_set():
        out.write(b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" * 50)


def head_by_bytes(out: BinaryIO, over: threading.Event) -> None:
    out.write(HEAD)
    while not over.wait(0.02):
        out.write(b"X-More: 1\r\n")
        out.flush()


def body_by_bytes(out: BinaryIO, over: threading.Event) -> None:
    out.write(HEAD + b"Content-Length: 60000\r\n\r\n")
    while not over.wait(0.02):
        out.write(b" ")
        out.flush()


def nothing(out: BinaryIO, over: threading.Event) -> None:
    over.wait()


@pytest.mark.parametrize("wire", [interim, head_by_bytes, body_by_bytes, nothing])
def test_no_answer_keeps_a_client_longer_than_its_time(client: Any, between: Proxy, wire: Wire) -> None:
    """Each read is short, and there is no end of them: the time of the whole exchange must end it."""
    between.man.arm(on_the_wire(wire))
    started = time.monotonic()
    with pytest.raises(TimedOutError):
        client.account()
    assert time.monotonic() - started < 20
    # And what took too long is not asked again. On a busy machine the proxy may take up only now what was asked.
    while not between.man.exchanges and time.monotonic() - started < 20:
        time.sleep(0.01)
    assert len(between.man.exchanges) == 1


BROKEN = {
    "closed at once": b"",
    "head cut": HEAD,
    "body cut": HEAD + b"Content-Length: 100\r\n\r\n{}",
    "chunk cut": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
    "no HTTP": b"\x00\xff" * 50 + b"\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "negative length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "head too long": HEAD + b"X-Long: " + b"a" * 200_000 + b"\r\n\r\n",
    "gzip": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "switches protocols": b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "two answers": (HEAD + b"Content-Length: 2\r\n\r\n{}") * 2,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_wire_is_a_typed_error(between: Proxy, name: str) -> None:
    with connect_sync(between.url) as client:
        client.log_in(EMAIL, PASSWORD)
        between.man.arm(on_the_wire(lambda out, over: void(out.write(BROKEN[name]))), again=True)
        with pytest.raises(HushtagError) as caught:
            client.account()
        assert isinstance(caught.value, TransportError | MalformedError)
        assert len(between.man.exchanges) <= 4
        between.man.arm(None)
        with suppress(
            HushtagError
        ):  # bytes sent beyond an answer may still be read as the next one: no more his, no less
            client.account()
        assert client.account().email == EMAIL


def void(_: object) -> None:
    return
