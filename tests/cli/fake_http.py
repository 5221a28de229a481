"""The server in memory behind a real socket on this machine, for commands that run in their own process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.client.fake_server import FakeServer

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}


@contextmanager
def served(server: FakeServer) -> Iterator[str]:
    """Serve over HTTP/1.1 on a free port; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = httpx.Request(self.command, f"{url}{self.path}", headers=list(self.headers.items()), content=body)
            try:
                response = server.serve(request)
            except httpx.TransportError:
                self.close_connection = True  # the connection breaks without an answer
                return
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name not in _HOP_BY_HOP:
                    self.send_header(name, value)
            if response.status_code != 204:
                self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names http.server looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield url
        finally:
            http.shutdown()
            thread.join()
