"""Routes of several phrases for one vault: add one, revoke one and rotate, wrap anew, forget what is old, destroy all.

None of them takes the account token: only those inside learn how many phrases there are.
"""

from typing import Annotated, Final
from uuid import UUID

from litestar import delete, get, post, put
from litestar.params import FromPath, HeaderParameter, JSONBody

from hushtag.enrollment import JoinedTag, accept_tag
from hushtag.messages import (
    MAX_GENERATION,
    AddTag,
    FieldProblem,
    NewTag,
    OldKey,
    OldKeys,
    PutOrders,
    RewrapKey,
    RotateVault,
    VaultState,
    decode_binary,
    encode_binary,
)
from hushtag_server.auth import VAULT_SECURITY, VaultDep, require_vault
from hushtag_server.errors import MalformedRequestError, UnauthenticatedError
from hushtag_server.outcomes import check_outcome
from hushtag_server.security_log.events import (
    KEY_REWRAPPED,
    OLD_KEYS_FORGOTTEN,
    OLD_KEYS_READ,
    ORDERS_PUT,
    PHRASE_ADDED,
    VAULT_DESTROYED,
    VAULT_ROTATED,
)
from hushtag_server.services import ServicesDep
from hushtag_server.vault import phrase_queries as queries
from hushtag_server.vault.callers import check_tag_id, recorded_pool, require_vault_token, vault_caller, vault_subject
from hushtag_server.vault.in_use import absence
from hushtag_server.vault.schemas import RingChange, Rotation
from hushtag_server.vault.vault_queries import find_vault
from hushtag_server.wire import WireRequest

__all__ = ["add_tag", "destroy_vault", "forget_old_keys", "list_old_keys", "put_orders", "rewrap_key", "rotate_vault"]

_MEMBERS: Final = [FieldProblem(field="$.members", rule="must be exactly the tags that stay, and somebody must stay")]
_VERSION: Final = [FieldProblem(field="$.tag.wrapped_key.key_version", rule="must be the key version of the vault")]

GenerationHeader = Annotated[str, HeaderParameter(name="Hushtag-Generation", pattern="^[1-9][0-9]{0,18}$")]
_PLACES: Final = [FieldProblem(field="$.orders", rule="must name each place once, and each ticket")]

ConfirmHeader = Annotated[
    str, HeaderParameter(name="Hushtag-Confirm", pattern="^[0-9a-f-]{36}$", description="the vault's id, once more")
]

_NEW_TAG_PROBLEMS: Final = [
    "not_found",
    "generation_conflict",
    "limit_reached",
    "ceremony_failed",
    "already_exists",
    "unknown_suite",
]


def _change(vault_id: UUID, data: AddTag | RotateVault) -> RingChange:
    return RingChange(vault_id, data.generation, decode_binary(data.head), decode_binary(data.ring))


def _joined(tag: NewTag | None, key_version: int) -> JoinedTag | None:
    if tag is None:
        return None
    if tag.wrapped_key.key_version != key_version:
        raise MalformedRequestError(_VERSION)
    return accept_tag(tag)


@post(
    "/vaults/{vault_id:uuid}/tags",
    status_code=201,
    summary="Add a phrase to the vault, at the end of a registration",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": _NEW_TAG_PROBLEMS},
)
async def add_tag(
    vault_id: FromPath[UUID], data: JSONBody[AddTag], request: WireRequest, services: ServicesDep
) -> VaultState:
    """Store tag, wrapped key, head and ring, or nothing. A generation that is taken leaves the registration good."""
    check_tag_id(data.tag.tag_id, vault_caller(request, services).user_id, "$.tag.tag_id")
    tag, change = accept_tag(data.tag), _change(vault_id, data)
    pool = recorded_pool(request, services, PHRASE_ADDED, vault_id, tag=data.tag.tag_id)
    keys = [keys.id for keys in services.keys.in_use]
    check_outcome(await queries.add_tag(pool, vault_caller(request, services), change, tag, keys=keys), "added")
    version = data.tag.wrapped_key.key_version
    return VaultState(vault_id, data.generation, version, data.head, data.ring)


def _members(data: RotateVault) -> bytes:
    parts = [
        (each.tag_id.bytes, decode_binary(each.sealed_key), decode_binary(each.sealed_label)) for each in data.members
    ]
    return b"".join(part for member in parts for part in member)


@post(
    "/vaults/{vault_id:uuid}/rotations",
    status_code=201,
    summary="Revoke a phrase and replace the vault's data key",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": _NEW_TAG_PROBLEMS},
)
async def rotate_vault(
    vault_id: FromPath[UUID], data: JSONBody[RotateVault], request: WireRequest, services: ServicesDep
) -> VaultState:
    """Everything or nothing. The revoked phrase's sessions end with it; objects stay, whoever wrote them."""
    if data.added is not None:
        check_tag_id(data.added.tag_id, vault_caller(request, services).user_id, "$.added.tag_id")
    tag, change = _joined(data.added, data.key_version), _change(vault_id, data)
    rotation = Rotation(
        data.revoked, data.key_version, decode_binary(data.proof), decode_binary(data.old_key), _members(data)
    )
    caller = vault_caller(request, services)
    keys = [keys.id for keys in services.keys.in_use]
    pool = recorded_pool(request, services, VAULT_ROTATED, vault_id, tag=data.revoked, key_version=data.key_version)
    outcome = await queries.rotate_vault(pool, caller, change, rotation, tag, keys=keys)
    if outcome == "malformed":
        raise MalformedRequestError(_MEMBERS)
    check_outcome(outcome, "rotated")
    return VaultState(vault_id, data.generation, data.key_version, data.head, data.ring)


@put(
    "/vaults/{vault_id:uuid}/keys/{wrapped_key_id:uuid}",
    status_code=204,
    summary="Wrap the present data key anew for the open phrase",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "generation_conflict"]},
)
async def rewrap_key(
    vault_id: FromPath[UUID],
    wrapped_key_id: FromPath[UUID],
    data: JSONBody[RewrapKey],
    request: WireRequest,
    services: ServicesDep,
) -> None:
    """Replace the tag's own wrapped key. May come twice."""
    caller, wrapped = vault_caller(request, services), decode_binary(data.wrapped_key)
    pool = recorded_pool(request, services, KEY_REWRAPPED, vault_id, key_version=data.key_version)
    outcome = await queries.rewrap_key(pool, caller, vault_id, wrapped_key_id, data.key_version, wrapped)
    check_outcome(outcome, "rewrapped")


@put(
    "/vaults/{vault_id:uuid}/tags/{tag_id:uuid}/orders",
    status_code=204,
    summary="Replace orders that a phrase of the vault bears",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def put_orders(
    vault_id: FromPath[UUID],
    tag_id: FromPath[UUID],
    data: JSONBody[PutOrders],
    request: WireRequest,
    services: ServicesDep,
) -> None:
    """Whether a ticket is an order of some phrase or drawn at random, only that phrase's next unlock tells."""
    orders = [(each.place, decode_binary(each.ticket)) for each in data.orders]
    if not len(orders) == len(dict(orders)) == len({ticket for _, ticket in orders}):
        raise MalformedRequestError(_PLACES)
    pool = recorded_pool(request, services, ORDERS_PUT, vault_id, tag=tag_id)
    check_outcome(await queries.put_orders(pool, vault_caller(request, services), vault_id, tag_id, orders), "put")


@get(
    "/vaults/{vault_id:uuid}/old-keys",
    summary="Read the old data keys that objects may still need, each sealed under the next",
    guards=[require_vault],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def list_old_keys(
    vault_id: FromPath[UUID], vault: VaultDep, request: WireRequest, services: ServicesDep
) -> OldKeys:
    """Newest first."""
    async with services.transaction(vault.user_id) as connection:
        names = (connection, vault.user_id, vault.tag_id, vault_id)
        found = await find_vault(*names) is not None
        rows = await queries.list_old_keys(*names) if found else []
        events = services.events_of(request.scope)
        subject = vault_subject(events, vault.user_id, vault.session_id, vault_id)
        await events.record(connection, OLD_KEYS_READ, subject, "done" if found else "not_found")
    if not rows:
        # Also where the vault was found: the keys may have gone after it, with the session.
        why = await absence(services, vault_caller(request, services), "no such vault")
        if not found or isinstance(why, UnauthenticatedError):
            raise why
    return OldKeys([OldKey(row.key_version, encode_binary(row.old_key)) for row in rows])


@delete(
    "/vaults/{vault_id:uuid}/old-keys",
    status_code=204,
    summary="Forget every old data key, once all objects are re-sealed",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "reseal_unfinished"]},
)
async def forget_old_keys(vault_id: FromPath[UUID], request: WireRequest, services: ServicesDep) -> None:
    """Refused as long as an object is sealed under an old one. May come twice."""
    pool = recorded_pool(request, services, OLD_KEYS_FORGOTTEN, vault_id)
    check_outcome(await queries.forget_old_keys(pool, vault_caller(request, services), vault_id), "forgotten")


@delete(
    "/vaults/{vault_id:uuid}",
    status_code=204,
    summary="Destroy the vault with its last phrase: keys first, then rows",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "generation_conflict", "phrases_remain"]},
)
async def destroy_vault(
    vault_id: FromPath[UUID],
    generation: GenerationHeader,
    confirm: ConfirmHeader,
    request: WireRequest,
    services: ServicesDep,
) -> None:
    """After the first of two transactions nothing opens the vault; the second removes the rest, or maintenance does."""
    if confirm != str(vault_id):
        raise MalformedRequestError([FieldProblem(field="Hushtag-Confirm", rule="must be the id of the vault")])
    if int(generation) > MAX_GENERATION:
        raise MalformedRequestError([FieldProblem("Hushtag-Generation", f"must be {MAX_GENERATION} or less")])
    caller = vault_caller(request, services)
    pool = recorded_pool(request, services, VAULT_DESTROYED, vault_id)
    check_outcome(await queries.destroy_vault(pool, caller, vault_id, int(generation)), "destroyed")
    await queries.remove_destroyed(services.pool, caller.user_id)
    services.remover.kick(caller.user_id)
