"""OpenAPI at /schema and a page at /docs made from it; the page loads nothing from anywhere."""

from typing import Any

from litestar import Request, Response, get

from hushtag_server.docs_page import render_page

__all__ = ["DOCS_ROUTES"]

# Nothing on the page runs or loads anything; even a mistake in it could not.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@get("/schema", include_in_schema=False)
async def schema(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """Answer the OpenAPI document."""
    return Response(request.app.state["openapi"], media_type="application/json")


@get("/docs", include_in_schema=False)
async def docs(request: Request[Any, Any, Any]) -> Response[str]:
    """Answer the docs page."""
    page = render_page(request.app.state["openapi"])
    return Response(page, media_type="text/html; charset=utf-8", headers={"content-security-policy": _POLICY})


DOCS_ROUTES = [schema, docs]
