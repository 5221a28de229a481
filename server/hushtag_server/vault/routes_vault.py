"""Routes inside an open vault: its state, its tags, and the way out."""

from uuid import UUID

from litestar import delete, get
from litestar.params import FromPath

from hushtag.messages import TagInfo, TagList, VaultState, encode_binary
from hushtag_server.auth import VAULT_SECURITY, VaultDep, require_vault
from hushtag_server.database import retry_conflicts
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.security_log.events import TAGS_LISTED, VAULT_LOCKED, VAULT_READ
from hushtag_server.services import ServicesDep
from hushtag_server.vault import vault_queries as queries
from hushtag_server.vault.callers import vault_caller, vault_subject
from hushtag_server.vault.in_use import absence
from hushtag_server.wire import After, Limit, WireRequest

__all__ = ["list_tags", "lock", "read_vault"]


@delete(
    "/vault-session",
    status_code=204,
    summary="Lock: end this vault session",
    guards=[require_vault],
    security=VAULT_SECURITY,
)
async def lock(vault: VaultDep, request: WireRequest, services: ServicesDep) -> None:
    """End the vault session; its token is worth nothing from here on."""

    async def attempt() -> None:
        async with services.transaction(vault.user_id) as connection:
            if not await queries.end_vault_session(connection, vault.user_id, vault.session_id):
                raise UnauthenticatedError("locked meanwhile")
            events = services.events_of(request.scope)
            await events.record(connection, VAULT_LOCKED, vault_subject(events, vault.user_id, vault.session_id))

    await retry_conflicts(attempt)


@get(
    "/vaults/{vault_id:uuid}",
    summary="Read the vault's generation and head",
    guards=[require_vault],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def read_vault(
    vault_id: FromPath[UUID], vault: VaultDep, request: WireRequest, services: ServicesDep
) -> VaultState:
    """Return the current head; a vault the tag has no key of is as unknown as one that does not exist."""
    async with services.transaction(vault.user_id) as connection:
        found = await queries.find_vault(connection, vault.user_id, vault.tag_id, vault_id)
        events = services.events_of(request.scope)
        subject = vault_subject(events, vault.user_id, vault.session_id, vault_id)
        await events.record(connection, VAULT_READ, subject, "done" if found else "not_found")
    if found is None:
        raise await absence(services, vault_caller(request, services), "no such vault")
    return VaultState(
        vault_id=vault_id,
        generation=found.generation,
        key_version=found.key_version,
        head=encode_binary(found.head),
        ring=None if found.ring is None else encode_binary(found.ring),
    )


@get(
    "/vaults/{vault_id:uuid}/tags",
    summary="List the phrases that open the vault",
    guards=[require_vault],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def list_tags(
    vault_id: FromPath[UUID],
    vault: VaultDep,
    request: WireRequest,
    services: ServicesDep,
    after: After = None,
    limit: Limit = 100,
) -> TagList:
    """List the tags by id, with sealed labels."""
    async with services.transaction(vault.user_id) as connection:
        rows = await queries.list_tags(connection, vault.user_id, vault.tag_id, vault_id, after=after, limit=limit)
        found = bool(rows) or await queries.find_vault(connection, vault.user_id, vault.tag_id, vault_id) is not None
        events = services.events_of(request.scope)
        subject = vault_subject(events, vault.user_id, vault.session_id, vault_id)
        await events.record(connection, TAGS_LISTED, subject, "done" if found else "not_found")
    if not found:
        raise await absence(services, vault_caller(request, services), "no such vault")
    tags = [
        TagInfo(
            tag_id=row.tag_id,
            sealed_label=encode_binary(row.sealed_label),
            public_key=encode_binary(row.public_key),
            created_at=row.created_at,
            current=row.tag_id == vault.tag_id,
        )
        for row in rows
    ]
    return TagList(tags=tags, next=rows[-1].tag_id if len(rows) == limit else None)
