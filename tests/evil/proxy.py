"""The man on the wire: an HTTP proxy before a real server, which can also break the wire itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

import httpx

from tests.evil.man import Act, Man

Wire = Callable[[BinaryIO, threading.Event], None]
"""Writes bytes of its own in place of an answer; the event is set when the test is over."""


class Upstream:
    """The real server, as the man sees it."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)

    def respond(self, request: httpx.Request) -> httpx.Response:
        headers = [line for line in request.headers.raw if line[0].lower() not in (b"host", b"connection")]
        return self._http.request(
            request.method, request.url.raw_path.decode(), content=request.content, headers=headers
        )

    def close(self) -> None:
        self._http.close()


def on_the_wire(wire: Wire) -> Act:
    """Return the act that passes no answer on but writes what `wire` writes."""

    def act(man: Man, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, extensions={"wire": wire})

    return act


@dataclass
class Proxy:
    """A running proxy; clients talk to `url`."""

    url: str
    man: Man
    over: threading.Event


@contextmanager
def proxy(server: Any) -> Iterator[Proxy]:
    """Run the man as a proxy on a port of this machine."""
    man, over = Man(server), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            request = httpx.Request(
                self.command,
                f"http://proxy{self.path}",
                headers=list(self.headers.items()),
                content=self.rfile.read(length),
            )
            try:
                response = man.serve(request)
            except httpx.TransportError:  # the act withholds the answer
                self.close_connection = True
                return
            if "wire" in response.extensions:
                self.close_connection = True
                self._write_raw(response.extensions["wire"])
                return
            self._write(response)

        def _write_raw(self, wire: Wire) -> None:
            try:
                wire(self.wfile, over)
            except OSError:  # the client has hung up, as it should
                return

        def _write(self, response: httpx.Response) -> None:
            body = response.content
            lines = [b"HTTP/1.1 %d X" % response.status_code]
            lines += [b"%s: %s" % line for line in response.headers.raw if line[0].lower() not in HOP]
            bodiless = response.status_code in (204, 304)
            lines += [] if bodiless else [b"Content-Length: %d" % len(body)]
            if bodiless and body:
                self.close_connection = True
            self.wfile.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            return

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Proxy(f"http://127.0.0.1:{httpd.server_address[1]}", man, over)
    finally:
        over.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


HOP = (b"content-length", b"transfer-encoding", b"connection", b"keep-alive")
