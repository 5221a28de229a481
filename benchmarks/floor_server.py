"""The least an HTTP server can do: the same answer to every request, from one uvloop protocol.

`python -m benchmarks.floor_server PORT BYTES` listens on 127.0.0.1. How many requests a second it answers tells what
the load generator can ask for; a server measured near that figure is not what was measured.
"""

import asyncio
import sys
from typing import cast

import uvloop


class Fixed(asyncio.Protocol):
    """Answers each request; requests come one at a time, and one without a body in a single segment."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Answer a request."""
        if b"\r\n\r\n" in data:
            self._transport.write(self._answer)


async def serve(port: int, size: int) -> None:
    """Answer with a body of `size` bytes until the process ends."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    answer = head.encode() + b"0" * size
    server = await asyncio.get_running_loop().create_server(lambda: Fixed(answer), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
