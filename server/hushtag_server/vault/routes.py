"""Routes of the vault side."""

from litestar import Router

from hushtag_server.vault.routes_enrolment import enrol_tag, start_registration
from hushtag_server.vault.routes_objects import (
    delete_object,
    delete_objects,
    get_object,
    list_objects,
    put_object,
    put_objects,
)
from hushtag_server.vault.routes_phrases import (
    add_tag,
    destroy_vault,
    forget_old_keys,
    list_old_keys,
    put_orders,
    rewrap_key,
    rotate_vault,
)
from hushtag_server.vault.routes_unlock import finish_unlock, locate, move_tag, start_unlock
from hushtag_server.vault.routes_vault import list_tags, lock, read_vault

__all__ = ["VAULT_ROUTES"]

VAULT_ROUTES = [
    Router(path="/v1", route_handlers=[start_registration, enrol_tag], tags=["enrolment"]),
    Router(path="/v1", route_handlers=[locate, start_unlock, finish_unlock, move_tag], tags=["unlock"]),
    Router(
        path="/v1",
        route_handlers=[
            *(lock, read_vault, list_objects, put_objects, delete_objects, put_object, get_object, delete_object),
            *(list_tags, add_tag, rotate_vault, rewrap_key, put_orders, list_old_keys, forget_old_keys, destroy_vault),
        ],
        tags=["vault"],
    ),
]
