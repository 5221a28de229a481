"""Streams over HTTP, for tests of the server: bytes that stand for ciphertext."""

import os
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
from blake3 import blake3

from hushtag.messages import encode_binary
from hushtag.stream_messages import SegmentList
from tests.server.vault_support import OpenedVault

OCTETS = {"Content-Type": "application/octet-stream"}
MIB = 1024 * 1024


def digest(body: bytes) -> str:
    return encode_binary(blake3(body).digest())


def random_bytes(size: int) -> bytes:
    return os.urandom(size)


class Streams:
    """The streams of an open vault."""

    def __init__(self, vault: OpenedVault) -> None:
        self.vault, self.client = vault, vault.client

    def url(self, stream_id: UUID, seq: int | None = None, *, listing: bool = False) -> str:
        base = f"{self.vault.url()}/streams/{stream_id}"
        return f"{base}/segments" if listing else base if seq is None else f"{base}/segments/{seq}"

    async def put(self, stream_id: UUID, seq: int, body: Any, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = self.vault.headers | OCTETS | named
        return await self.client.put(self.url(stream_id, seq), content=body, headers=given)

    async def read(self, stream_id: UUID, seq: int, **headers: str) -> httpx.Response:
        return await self.client.get(self.url(stream_id, seq), headers=self.vault.headers | headers)

    async def read_all(self, stream_id: UUID, query: str = "") -> httpx.Response:
        return await self.client.get(self.url(stream_id) + query, headers=self.vault.headers)

    async def end(self, stream_id: UUID) -> httpx.Response:
        return await self.client.delete(self.url(stream_id), headers=self.vault.headers)

    async def listed(self, stream_id: UUID, query: str = "") -> SegmentList:
        answer = await self.client.get(self.url(stream_id, listing=True) + query, headers=self.vault.headers)
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=SegmentList)

    async def upload(self, *segments: bytes) -> UUID:
        """Store the segments of a new stream."""
        stream_id = uuid4()
        for seq, body in enumerate(segments):
            answer = await self.put(stream_id, seq, body)
            assert answer.status_code == 201, answer.text
        return stream_id

    async def commit(
        self, stream_id: UUID, segments: int, size: int, *, object_id: UUID | None = None, **changed: Any
    ) -> httpx.Response:
        named = {
            "Hushtag_Stream": str(stream_id),
            "Hushtag_Stream_Segments": str(segments),
            "Hushtag_Stream_Size": str(size),
        }
        return await self.vault.put(object_id or uuid4(), b"descriptor", **named, **changed)
