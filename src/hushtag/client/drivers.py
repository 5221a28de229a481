"""The two drivers: they perform the effects of the client's logic, one by blocking and one by awaiting."""

import asyncio
from functools import partial
from os import getpid
from typing import Any, Final, TypeVar, assert_never

import anyio
import httpx

from hushtag.client.deadlines import deadline, keep_deadlines
from hushtag.client.effects import (
    Close,
    Compute,
    Effect,
    Gather,
    Open,
    Opened,
    Pause,
    Read,
    Request,
    Response,
    Steps,
    Turn,
    Upload,
    error_after,
)
from hushtag.client.errors import TimedOutError
from hushtag.client.policy import Timeouts
from hushtag.client.tasks import in_task
from hushtag.client.threads import Crew, call_waiting, in_thread, pause, stay_in, wait_in_thread
from hushtag.client.transport import Reading, lower_names, quiet_failures, request_options, typed_failures
from hushtag.client.unlogged import keep_unlogged, unlogged
from hushtag.client.uploading import upload, upload_async
from hushtag.errors import MalformedError, MisuseError

__all__ = ["AsyncDriver", "SyncDriver"]

T = TypeVar("T")

_OF_THE_CLIENT: Final = (Compute, Pause, Turn)
"""Effects that ask the server nothing."""
WORKER_THREADS: Final = 2
"""Computations of one asynchronous client at a time: each stretch takes 64 MiB."""


class SyncDriver:
    """Performs effects by blocking; may be used by several threads of the process it was made in."""

    def __init__(self, url: httpx.URL, http: httpx.Client, timeouts: Timeouts) -> None:
        self._url = url
        self._http = http
        self._timeouts = timeouts
        self._process = getpid()
        keep_deadlines(http)
        keep_unlogged()

    def run(self, steps: Steps[T]) -> T:
        """Perform every effect of the steps and return their result."""
        last: Effect | None = None
        try:
            effect = next(steps)
            while True:
                last = last if isinstance(effect, _OF_THE_CLIENT) else effect
                try:
                    result = self._perform(effect)
                except BaseException as error:  # the steps decide; what they do not catch comes back out
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as done:
            value: T = done.value
            return value
        except MalformedError as error:
            raise error_after(last, error) from error.__cause__

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Request():
                stay_in(self._process)
                with unlogged():
                    return self._exchange(effect)
            case Open():
                stay_in(self._process)
                with unlogged():
                    return self._open(effect.request)
            case Read():
                with deadline(self._timeouts.overall), typed_failures(self._http):
                    return next(effect.opened.pieces, b"")
            case Close():
                with quiet_failures():
                    return effect.opened.answer.close()
            case Upload():
                stay_in(self._process)
                with unlogged():
                    return upload(self._url, self._http, effect, self._timeouts)
            case Compute():
                return call_waiting(effect.work) if effect.waits else effect.work()
            case Pause():
                return pause(effect.seconds)
            case Gather():
                return self._gather(effect)
            case Turn():
                return effect.order.wait(effect.number)
            case _:
                assert_never(effect)

    def _gather(self, effect: Gather) -> list[Any]:
        if len(effect.steps) < 2:
            return [self.run(steps) for steps in effect.steps]
        return Crew([partial(self.run, steps) for steps in effect.steps], effect.limit, effect.stop).run()

    def _exchange(self, request: Request) -> Response:
        with (
            deadline(self._timeouts.overall) as over,
            typed_failures(self._http),
            self._http.stream(**request_options(self._url, request)) as answer,
        ):
            reading = Reading(answer, request.max_answer)
            for chunk in answer.iter_raw():
                reading.take(chunk)
                if over():
                    raise TimedOutError("the server's answer took too long")
            return reading.complete()

    def _open(self, request: Request) -> Opened | Response:
        # Head and refusal are bounded as a whole; what streams after them takes its time, and each read its own.
        with deadline(self._timeouts.overall), typed_failures(self._http):
            answer = self._http.send(self._http.build_request(**request_options(self._url, request)), stream=True)
            try:
                reading = Reading(answer, request.max_answer)
                if answer.status_code == 200 or (answer.status_code == 206 and "Range" in request.headers):
                    return Opened(lower_names(answer), answer, answer.iter_raw())
                for chunk in answer.iter_raw():
                    reading.take(chunk)
            except BaseException:
                answer.close()
                raise
            answer.close()
            return reading.complete()


class AsyncDriver:
    """Performs effects by awaiting; computations run in worker threads. It belongs to the event loop of the first."""

    def __init__(self, url: httpx.URL, http: httpx.AsyncClient, timeouts: Timeouts) -> None:
        self._url = url
        self._http = http
        self._timeouts = timeouts
        self._limiter: anyio.CapacityLimiter | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = getpid()
        keep_unlogged()

    async def run(self, steps: Steps[T]) -> T:
        """Perform every effect of the steps and return their result."""
        last: Effect | None = None
        try:
            effect = next(steps)
            while True:
                last = last if isinstance(effect, _OF_THE_CLIENT) else effect
                try:
                    result = await self._perform(effect)
                except BaseException as error:  # also a cancellation, so that `finally` forgets keys
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as done:
            value: T = done.value
            return value
        except MalformedError as error:
            raise error_after(last, error) from error.__cause__

    async def close(self) -> None:
        """Close all connections.

        Raises:
            MisuseError: they belong to another event loop.
        """
        self._stay()
        await in_task(self._http.aclose)

    def _stay(self) -> None:
        # Connections, limiters and events of one loop are dead, or worse, in another.
        stay_in(self._process)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise MisuseError("an asynchronous client needs an event loop of asyncio") from None
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise MisuseError("a client belongs to the event loop it was first used in; make another one for this loop")

    async def _perform(self, effect: Effect) -> Any:
        self._stay()
        match effect:
            case Request():
                with unlogged():
                    return await in_task(partial(self._exchange, effect))
            case Open():
                with unlogged():
                    return await in_task(partial(self._open, effect.request), _let_go)
            case Read():
                return await in_task(partial(self._read, effect.opened))
            case Close():
                return await in_task(partial(_let_go, effect.opened))
            case Upload():
                upload = partial(upload_async, self._url, self._http, effect, self._timeouts, self._threads())
                with unlogged():
                    return await in_task(upload)
            case Compute():
                if effect.waits:
                    return await wait_in_thread(effect.work)
                return await in_thread(effect.work, self._threads())
            case Pause():
                return await anyio.sleep(effect.seconds)
            case Gather():
                return await self._gather(effect)
            case Turn():
                return await effect.order.wait_async(effect.number)
            case _:
                assert_never(effect)

    def _threads(self) -> anyio.CapacityLimiter:
        # Made on first use, because a limiter belongs to the event loop that is running then.
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(WORKER_THREADS)
        return self._limiter

    async def _gather(self, effect: Gather) -> list[Any]:
        gathering = _Gathering(self, effect)
        async with anyio.create_task_group() as group:
            for index in range(len(effect.steps)):
                group.start_soon(gathering.run, index, group.cancel_scope)
        return gathering.outcome()

    async def _exchange(self, request: Request) -> Response:
        with typed_failures(self._http), anyio.fail_after(self._timeouts.overall):
            async with self._http.stream(**request_options(self._url, request)) as answer:
                reading = Reading(answer, request.max_answer)
                async for chunk in answer.aiter_raw():
                    reading.take(chunk)
                return reading.complete()

    async def _open(self, request: Request) -> Opened | Response:
        with typed_failures(self._http), anyio.fail_after(self._timeouts.overall):
            asked = self._http.build_request(**request_options(self._url, request))
            answer = await self._http.send(asked, stream=True)
            try:
                reading = Reading(answer, request.max_answer)
                if answer.status_code == 200 or (answer.status_code == 206 and "Range" in request.headers):
                    return Opened(lower_names(answer), answer, answer.aiter_raw())
                async for chunk in answer.aiter_raw():
                    reading.take(chunk)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await answer.aclose()
                raise
            await answer.aclose()
            return reading.complete()

    async def _read(self, opened: Opened) -> bytes:
        with typed_failures(self._http), anyio.fail_after(self._timeouts.overall):
            piece: bytes = await anext(opened.pieces, b"")
            return piece


async def _let_go(opened: Opened | Response) -> None:
    if isinstance(opened, Opened):
        with quiet_failures():
            await opened.answer.aclose()


class _Gathering:
    """Steps that run beside each other; the first failure ends the others and is what comes out."""

    def __init__(self, driver: AsyncDriver, effect: Gather) -> None:
        self._driver = driver
        self._effect = effect
        self._steps = effect.steps
        self._places = anyio.CapacityLimiter(effect.limit)
        self._results: list[Any] = [None] * len(effect.steps)
        self._failure: Exception | None = None

    async def run(self, index: int, scope: anyio.CancelScope) -> None:
        """Run one of the steps in its turn."""
        try:
            async with self._places:
                self._results[index] = await self._driver.run(self._steps[index])
        except Exception as error:  # kept, and raised by `outcome` without an exception group around it
            self._failure = self._failure or error
            if self._effect.stop is not None:
                self._effect.stop()
            scope.cancel()

    def outcome(self) -> list[Any]:
        """Return the results, or raise the first failure."""
        if self._failure is not None:
            raise self._failure
        return self._results
