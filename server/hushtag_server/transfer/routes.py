"""Routes of the user's own data: take everything along, and bring it in again."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

import anyio
from litestar import Request, Router, get, post
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import HeaderParameter
from litestar.response import Stream
from litestar.types import ASGIApp, Receive, Scope, Send

from hushtag.transfer_messages import MAX_IMPORTS_PER_WORKER, MEMBERS_HEADER, VAULT_TOKEN_HEADER, ImportDone
from hushtag_server.auth import ACCOUNT_SECURITY, require_account_token
from hushtag_server.errors import UnavailableError, UnsupportedMediaTypeError
from hushtag_server.services import ServicesDep
from hushtag_server.transfer.access import Transfer, vault_token
from hushtag_server.transfer.exporting import Export
from hushtag_server.transfer.importing import Import

__all__ = ["TRANSFER_ROUTES"]

ZIP: Final = "application/zip"
_ARCHIVE: Final = "export_archive"
Asking = Request[Any, Any, Any]
VaultToken = Annotated[
    str | None,
    HeaderParameter(
        name=VAULT_TOKEN_HEADER, max_length=128, description="vault token of this session: adds its vaults' ciphertext"
    ),
]


class _CloseArchive:
    """Closes the archive when the answer is over: Litestar leaves it open if its reader has gone or was cut off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""
        try:
            await self._app(scope, receive, send)
        finally:
            archive: AsyncGenerator[bytes, None] | None = scope["state"].pop(_ARCHIVE, None)
            if archive is not None:
                with anyio.CancelScope(shield=True):
                    await archive.aclose()


async def _beginning_with(first: bytes, archive: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for octets in archive:
        yield octets


@get(
    "/me/export",
    summary="Take everything along",
    media_type=ZIP,
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    middleware=[_CloseArchive],
    response_headers=[
        ResponseHeader(name=MEMBERS_HEADER, documentation_only=True, description="about how many members will come"),
        ResponseHeader(name="Content-Disposition", documentation_only=True, description="a name for the file"),
    ],
    opt={"problems": ["transfer_running"]},
)
async def export_account(request: Asking, services: ServicesDep, unlocked: VaultToken = None) -> Stream:
    """Stream a ZIP of everything plain: JSON, NDJSON and Markdown; with a vault token also the ciphertext it opens."""
    transfer = Transfer(request, services, "export")
    transfer.vault = vault_token(unlocked, transfer.user_id)
    export = Export(transfer)
    members = await export.begin()  # while a refusal can still be answered as one
    headers = {
        MEMBERS_HEADER: str(members),
        "Content-Disposition": 'attachment; filename="hushtag-export.zip"',
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
    }
    archive = export.stream()
    request.scope["state"][_ARCHIVE] = archive
    first = await anext(archive)  # only what is begun can be closed
    return Stream(_beginning_with(first, archive), media_type=ZIP, headers=headers)


@dataclass
class _ImportOperation(Operation):
    """OpenAPI: the body of an import, which no Struct describes."""

    def __post_init__(self) -> None:
        archive = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        content = {ZIP: OpenAPIMediaType(schema=archive)}
        self.request_body = RequestBody(content=content, description="an export's archive", required=True)


_running = 0


@post(
    "/me/import",
    status_code=200,
    summary="Bring everything in",
    guards=[require_account_token],
    security=ACCOUNT_SECURITY,
    request_max_body_size=None,  # the stream is counted while it arrives, against HUSHTAG_MAX_IMPORT_BYTES
    operation_class=_ImportOperation,
    responses={200: ResponseSpec(ImportDone, description="What became of each kind of rows", generate_examples=False)},
    opt={"problems": ["transfer_running", "limit_reached"]},
)
async def import_account(request: Asking, services: ServicesDep) -> ImportDone:
    """Check an export's archive as a whole, then make the rows that are missing; what is there stays as it is."""
    global _running  # noqa: PLW0603  (one worker, one event loop, one number)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != ZIP:
        raise UnsupportedMediaTypeError(ZIP)
    if _running >= MAX_IMPORTS_PER_WORKER:
        raise UnavailableError("too many imports")
    _running += 1
    try:
        return await Import(Transfer(request, services, "import")).run(request)
    finally:
        _running -= 1


TRANSFER_ROUTES = [Router(path="/v1", route_handlers=[export_account, import_account], tags=["your data"])]
