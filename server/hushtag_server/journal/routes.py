"""Routes of journals and their tags."""

from litestar.types import ControllerRouterHandler

__all__ = ["JOURNAL_ROUTES"]

JOURNAL_ROUTES: list[ControllerRouterHandler] = []
