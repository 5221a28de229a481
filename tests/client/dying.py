"""A client that dies: the steps yield what they ask of the world, so every point at which it can die is counted."""

from typing import Any

from hushtag.client.drivers import SyncDriver

__all__ = ["DeathError", "DyingDriver"]


class DeathError(BaseException):
    """The process ends here: nothing after it runs, but what leaves a context."""


class DyingDriver(SyncDriver):
    """Performs effects until `left` are done, and dies before the next one, or just after it."""

    left = 10_000
    after = False
    armed = False

    def _perform(self, effect: Any) -> Any:
        if not self.armed:
            return super()._perform(effect)
        self.left -= 1
        if self.left == -1 and not self.after:
            raise DeathError
        result = super()._perform(effect)
        if self.left == -1:
            raise DeathError
        return result
