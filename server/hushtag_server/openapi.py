"""The OpenAPI document: what Litestar knows of the routes, plus security schemes and every problem they can answer."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler

from hushtag import __version__
from hushtag.messages import Problem
from hushtag_server.problems import MEDIA_TYPE, PROBLEMS
from hushtag_server.wire import WireRequest

__all__ = ["build_document"]

_ALWAYS: Final = ("uri_too_long", "too_many_requests", "headers_too_large", "internal_error", "unavailable")
_WITH_BODY: Final = ("malformed_request", "request_timeout", "body_too_large", "unsupported_media_type")
_LATER: Final = {
    "too_many_guesses",
    "too_many_attempts",
    "too_many_requests",
    "too_many_streams",
    "transfer_running",
    "unavailable",
}
_REQUEST_ID: Final = {
    "description": "Id of this request, also in problems and in the log",
    "schema": {"type": "string", "format": "uuid"},
}


def _security_schemes() -> Components:
    def bearer(about: str, form: str) -> SecurityScheme:
        return SecurityScheme(type="http", scheme="bearer", bearer_format=form, description=about)

    return Components(
        security_schemes={
            "accountToken": bearer("The token a login returns", "hta_… (68 characters)"),
            "vaultToken": bearer("The token an unlock derives; the server never sends it", "htv_… (68 characters)"),
        }
    )


def _operations(app: Litestar, paths: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            for method in handler.http_methods:
                operation = paths.get(route.path_format, {}).get(method.lower())
                if operation is not None:
                    yield operation, list(handler.opt.get("problems", []))


def _codes_of(operation: dict[str, Any], own: list[str]) -> list[str]:
    codes = [*own, *_ALWAYS]
    if operation.get("security"):
        codes.append("unauthenticated")
    if operation.get("requestBody"):
        codes.extend(_WITH_BODY)
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    if places - {"path"}:
        codes.append("malformed_request")
    if "path" in places:
        codes.append("not_found")  # also for a path that is no UUID
    return sorted(set(codes))


def _problem_response(codes: list[str]) -> dict[str, Any]:
    headers: dict[str, Any] = {"Hushtag-Request-Id": _REQUEST_ID}
    if _LATER & set(codes):
        headers["Retry-After"] = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _describe(operation: dict[str, Any], own: list[str]) -> None:
    # Litestar documents its own error shape, which never leaves this server.
    responses = {status: answer for status, answer in operation["responses"].items() if status < "400"}
    for answer in responses.values():
        answer.setdefault("headers", {})["Hushtag-Request-Id"] = _REQUEST_ID
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in _codes_of(operation, own):
        by_status[PROBLEMS[code].status].append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = _problem_response(codes)
    operation["responses"] = responses


def build_document(routes: Sequence[ControllerRouterHandler], dependencies: dict[str, Provide]) -> dict[str, Any]:
    """Return the OpenAPI document of these routes.

    It is built by an application of its own, because Litestar, where it serves the document itself, adds HTML pages
    that are no problems and load scripts from elsewhere.
    """
    config = OpenAPIConfig(
        title="Hushtag",
        version=__version__,
        description="Every answer of 400 and above is an RFC 9457 problem whose `code` is stable.",
        components=_security_schemes(),
    )
    app = Litestar(
        list(routes), dependencies=dependencies, request_class=WireRequest, openapi_config=config, logging_config=None
    )
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    _, components = msgspec.json.schema_components([Problem], ref_template="#/components/schemas/{name}")
    document["components"].setdefault("schemas", {}).update(components)
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = sorted(PROBLEMS)
    for operation, own in _operations(app, document["paths"]):
        _describe(operation, own)
    return document
