"""Callbacks that the caller gives. What one raises comes out of the call, but for what means something to the steps."""

from collections.abc import Callable
from typing import ParamSpec

from hushtag.errors import MisuseError

__all__ = ["guarded"]

P = ParamSpec("P")


def guarded(callback: Callable[P, None] | None) -> Callable[P, None] | None:
    """Return a callback that ends no iteration: within the steps, which are generators, `StopIteration` would be
    theirs, and no future takes one.
    """
    if callback is None:
        return None

    def tell(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except (StopIteration, StopAsyncIteration) as error:
            raise MisuseError(f"a callback raises {type(error).__name__}") from None

    return tell
