"""Callbacks that the caller gives. What one raises comes out of the call, but for what means something to the steps."""

from collections.abc import Callable

from hushtag.errors import MisuseError

__all__ = ["guarded"]


def guarded(progress: Callable[[int, int], None] | None) -> Callable[[int, int], None] | None:
    """Return a callback that ends no iteration: within the steps, which are generators, `StopIteration` would be
    theirs, and no future takes one.
    """
    if progress is None:
        return None

    def tell(done: int, total: int) -> None:
        try:
            progress(done, total)
        except (StopIteration, StopAsyncIteration) as error:
            raise MisuseError(f"a callback raises {type(error).__name__}") from None

    return tell
