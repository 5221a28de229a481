"""Routes of reminders."""

from litestar.types import ControllerRouterHandler

__all__ = ["REMINDER_ROUTES"]

REMINDER_ROUTES: list[ControllerRouterHandler] = []
