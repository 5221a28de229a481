"""One surface for both clients, so that each scenario is written once and runs on each of them."""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Self
from uuid import uuid4

import httpx
from anyio.from_thread import BlockingPortal

from hushtag.client import (
    AsyncClient,
    AsyncDevice,
    AsyncJournals,
    AsyncJournalTags,
    AsyncObjectFile,
    AsyncProfile,
    AsyncReminders,
    Client,
    RetryPolicy,
)
from hushtag.objects import ObjectMeta, encode_meta
from hushtag.phrase import draw_phrase

EMAIL = "ada@example.org"
PASSWORD = "correct horse battery"
PHRASE = draw_phrase().text
OTHER_PHRASE = draw_phrase().text
UNKNOWN_PHRASE = draw_phrase().text
NO_PAUSE = RetryPolicy(first_pause=0.0, longest_pause=0.0)

Connect = Callable[..., Any]
_GROUPS = (AsyncDevice, AsyncJournals, AsyncJournalTags, AsyncReminders, AsyncProfile)
_END = object()


class Blocking:
    """An asynchronous client or vault, used as if it were the blocking one."""

    def __init__(self, wrapped: Any, portal: BlockingPortal) -> None:
        self._wrapped = wrapped
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if name == "vaults":
            return tuple(Blocking(vault, self._portal) for vault in value)
        if isinstance(value, _GROUPS):
            return Blocking(value, self._portal)
        if callable(value) and not inspect.iscoroutinefunction(value) and type(self._wrapped) is AsyncObjectFile:
            return value
        return self._call(value) if callable(value) else value

    def _call(self, method: Any) -> Any:
        if inspect.get_annotations(method).get("return") is not None and not inspect.iscoroutinefunction(method):
            return lambda *args, **kwargs: self._each(method(*args, **kwargs))

        def call(*args: Any, **kwargs: Any) -> Any:
            async def run() -> Any:
                return await method(*args, **kwargs)

            result = self._portal.call(run)
            wrapped = type(result).__name__ in ("AsyncVault", "AsyncObjectFile")
            return Blocking(result, self._portal) if wrapped else result

        return call

    def _each(self, found: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
        async def following() -> Any:
            return await anext(found, _END)

        try:
            while (one := self._portal.call(following)) is not _END:
                yield one
        finally:
            self._portal.call(found.aclose)

    def __enter__(self) -> Self:
        self._portal.call(self._wrapped.__aenter__)
        return self

    def __exit__(self, *exc: object) -> None:
        self._portal.call(self._wrapped.__aexit__, *exc)


def connect_sync(url: str, transport: httpx.BaseTransport | None = None, **options: Any) -> Client:
    options.setdefault("retry", NO_PAUSE)
    return Client(url, transport=transport, **options)


def connect_async(portal: BlockingPortal, url: str, transport: Any = None, **options: Any) -> Blocking:
    options.setdefault("retry", NO_PAUSE)

    async def make() -> AsyncClient:
        return AsyncClient(url, transport=transport, **options)

    return Blocking(portal.call(make), portal)


def new_account(connect: Connect) -> tuple[Any, str]:
    email = f"{uuid4().hex}@example.org"
    client = connect()
    client.sign_up(email, PASSWORD)
    client.log_in(email, PASSWORD)
    return client, email


def unpadded_frame(meta: ObjectMeta, body: bytes) -> tuple[bytes, bytes, bytes]:
    """What breaks the rules of a row, in the place of `hushtag.objects._frame`."""
    encoded = encode_meta(meta)
    return len(encoded).to_bytes(4, "big") + encoded, body, b""
