"""OpenAPI at /schema and a page at /docs made from it; the page loads nothing from anywhere."""

from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
import msgspec
from litestar import Request, Response, get

from hushtag_server.docs_page import render_page

__all__ = ["DOCS_ROUTES", "Documents", "make_documents"]

# Nothing on the page runs or loads anything; even a mistake in it could not.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Documents(NamedTuple):
    """What is served of the OpenAPI document, as it is sent."""

    schema: bytes
    page: bytes


def make_documents(openapi: dict[str, Any]) -> Documents:
    """Write both; this takes a quarter of a second with what it is made of, so it is not for the event loop."""
    return Documents(msgspec.json.encode(openapi), render_page(openapi).encode())


async def _documents(request: Request[Any, Any, Any]) -> Documents:
    # Made when the first one asks, in a thread: most workers are never asked, and all would start later for it.
    make: Callable[[], Documents] = request.app.state["documents"]
    return await anyio.to_thread.run_sync(make)


@get("/schema", include_in_schema=False)
async def schema(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the OpenAPI document."""
    documents = await _documents(request)
    return Response(documents.schema, media_type="application/json")


@get("/docs", include_in_schema=False)
async def docs(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the docs page."""
    documents = await _documents(request)
    headers = {"content-security-policy": _POLICY}
    return Response(documents.page, media_type="text/html; charset=utf-8", headers=headers)


DOCS_ROUTES = [schema, docs]
