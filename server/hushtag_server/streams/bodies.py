"""Bodies in and out: in pieces of 1 MiB, at the pace of the slower side, and of so many at once."""

from asyncio import Semaphore
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from blake3 import blake3

from hushtag_server.errors import MalformedRequestError, TooManyStreamsError, UnavailableError
from hushtag_server.streams.limits import MAX_BODIES, MAX_BODIES_PER_SESSION, PART_BYTES

__all__ = ["Body", "Lanes"]

_AGAIN: Final = 1  # seconds


class Lanes:
    """How many bodies are under way in this worker: each holds a few pieces in memory, and so many at most do."""

    def __init__(self, connections: int) -> None:
        self.parts = Semaphore(max(1, connections // 2))
        """Held while a part is written or read: bodies leave half of the worker's connections to everybody else."""
        self._of_session: Counter[tuple[UUID, str]] = Counter()

    @contextmanager
    def lane(self, user_id: UUID, session_id: str) -> Iterator[None]:
        """Count a body in, and out at the end.

        Nothing is counted over an account: nobody inside a vault is to learn what goes on in its others.

        Raises:
            TooManyStreamsError: the vault session has as many as one may have. UnavailableError: the worker has.
        """
        key = user_id, session_id
        if self._of_session[key] >= MAX_BODIES_PER_SESSION:
            raise TooManyStreamsError(_AGAIN)
        if self._of_session.total() >= MAX_BODIES:
            raise UnavailableError("too many bodies of segments")
        self._of_session[key] += 1
        try:
            yield
        finally:
            self._of_session[key] -= 1
            if not self._of_session[key]:
                del self._of_session[key]


class Body:
    """A body of a known length, hashed while it arrives: `parts()` once, then `digest`."""

    def __init__(self, receive: Any, length: int) -> None:
        self._receive = receive
        self.length = length
        self._hash = blake3()

    @property
    def digest(self) -> bytes:
        """BLAKE3-256 of the parts so far."""
        return self._hash.digest()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Yield the body in parts of 1 MiB, the last one shorter.

        Raises:
            MalformedRequestError: it has not the announced length, or the client left.
        """
        left, more = self.length, True
        pieces: list[bytes] = []
        held = 0
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise MalformedRequestError
            piece: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            held += len(piece)
            pieces.append(piece)
            if held < PART_BYTES and more:
                continue
            whole = b"".join(pieces) if len(pieces) > 1 else pieces[0]
            ready = held if not more else held - held % PART_BYTES
            for start in range(0, ready, PART_BYTES):
                part = whole if ready == held <= PART_BYTES else whole[start : min(start + PART_BYTES, ready)]
                left -= len(part)
                if left < 0:
                    raise MalformedRequestError
                self._hash.update(part)
                yield part
            pieces, held = ([whole[ready:]], held - ready) if ready < held else ([], 0)
        if left:
            raise MalformedRequestError
