"""Routes of the audit trail."""

from litestar.types import ControllerRouterHandler

__all__ = ["AUDIT_ROUTES"]

AUDIT_ROUTES: list[ControllerRouterHandler] = []
