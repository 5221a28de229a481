"""Routes of journals and their tags."""

from litestar import Router
from litestar.types import ControllerRouterHandler

from hushtag_server.auth import ACCOUNT_SECURITY, require_account_token
from hushtag_server.journal.routes_entries import ENTRY_HANDLERS
from hushtag_server.journal.routes_listing import LISTING_HANDLERS
from hushtag_server.journal.routes_tags import TAG_HANDLERS

__all__ = ["JOURNAL_ROUTES"]

JOURNAL_ROUTES: list[ControllerRouterHandler] = [
    Router(
        path="/v1",
        route_handlers=[*ENTRY_HANDLERS, *LISTING_HANDLERS, *TAG_HANDLERS],
        tags=["journals"],
        guards=[require_account_token],
        security=ACCOUNT_SECURITY,
    )
]
