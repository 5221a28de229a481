"""The device secret of the client for an event loop."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from hushtag.client.device_steps import DeviceSteps
from hushtag.client.drivers import AsyncDriver
from hushtag.types import DeviceSecret

if TYPE_CHECKING:
    from hushtag.client.pairing import AcceptingDevice, OfferingDevice

__all__ = ["AsyncDevice"]


class AsyncDevice:
    """`Device` for an event loop: the same calls, arguments and errors, awaited."""

    def __init__(self, driver: AsyncDriver, steps: DeviceSteps) -> None:
        self._driver = driver
        self._steps = steps

    async def secret(self) -> DeviceSecret:
        """As `Device.secret`."""
        return await self._driver.run(self._steps.secret())

    async def names(self) -> tuple[str, ...]:
        """As `Device.names`."""
        return await self._driver.run(self._steps.names())

    async def use(self, name: str) -> None:
        """As `Device.use`."""
        await self._driver.run(self._steps.use(name))

    async def drop(self, name: str) -> None:
        """As `Device.drop`."""
        await self._driver.run(self._steps.drop(name))

    async def offer(self) -> "OfferingDevice":
        """As `Device.offer`."""
        return await self._driver.run(self._steps.offer())

    async def deliver(self, offering: "OfferingDevice", answer: str) -> str:
        """As `Device.deliver`."""
        return await self._driver.run(self._steps.deliver(offering, answer))

    async def answer(self, code: str, offer: str) -> "AcceptingDevice":
        """As `Device.answer`."""
        return await self._driver.run(self._steps.answer(code, offer))

    async def accept(self, accepting: "AcceptingDevice", delivery: str) -> str:
        """As `Device.accept`."""
        return await self._driver.run(self._steps.accept(accepting, delivery))

    async def give(self, show: Callable[[str], object]) -> str:
        """As `Device.give`; `show` is called in a worker thread."""
        return await self._driver.run(self._steps.give(show))

    async def take(self, code: str) -> str:
        """As `Device.take`."""
        return await self._driver.run(self._steps.take(code))

    async def text(self) -> str:
        """As `Device.text`."""
        return await self._driver.run(self._steps.text())

    async def accept_text(self, text: str) -> str:
        """As `Device.accept_text`."""
        return await self._driver.run(self._steps.accept_text(text))
