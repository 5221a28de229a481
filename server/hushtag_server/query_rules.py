"""Parameters of path, query and headers: which an operation knows, and what one that is refused broke.

Litestar says what it expected in words of Python; what it says of a value is put as `hushtag.field_rules` puts it.
"""

import re
from functools import lru_cache
from typing import Any, Final

from litestar import Request
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.typing import FieldDefinition

from hushtag.field_rules import field_problem
from hushtag.messages import FieldProblem
from hushtag_server.errors import MalformedRequestError

__all__ = ["ANY_QUERY", "parameter_problems", "refuse_unknown_query"]

ANY_QUERY: Final = "any_query"
"""Name in a handler's `opt`: whatever the query is, it is ignored."""
_MISSING_PARAMETER: Final = re.compile(r"Missing required [a-z]+ parameter '([A-Za-z0-9_-]+)' for path .*", re.DOTALL)


def _declared(handler: BaseRouteHandler) -> dict[str, FieldDefinition]:
    """Return the parameters of a handler and its dependencies, by name in Python."""
    signatures = [each.parsed_fn_signature for each in handler.resolve_dependencies().values()]
    return {
        name: field
        for signature in [*signatures, handler.parsed_fn_signature]
        for name, field in signature.parameters.items()
    }


@lru_cache(maxsize=512)
def _query_names(handler: BaseRouteHandler) -> tuple[str, ...]:
    """Return the names of the query parameters of a handler and its dependencies, as they are on the wire."""
    kinds = {name: field.kwarg_definition for name, field in _declared(handler).items()}
    return tuple(sorted(kind.name or name for name, kind in kinds.items() if isinstance(kind, QueryParameter)))


async def refuse_unknown_query(request: Request[Any, Any, Any]) -> None:
    """Refuse a query with a parameter that its operation does not know: a filter misspelt would filter nothing.

    What is asked for by others than clients of the interface (health, metrics, documents, calendars) takes any.

    Raises:
        MalformedRequestError: names the known ones; what was sent is not repeated.
    """
    handler: BaseRouteHandler = request.scope["route_handler"]
    if not request.scope["query_string"] or not request.scope["path"].startswith("/v1/") or handler.opt.get(ANY_QUERY):
        return
    known = _query_names(handler)
    if not request.query_params.keys() <= {*known}:
        rule = f"must have no other parameters than {', '.join(known)}" if known else "must have no parameters"
        raise MalformedRequestError([FieldProblem(field="query", rule=rule)])


@lru_cache(maxsize=512)
def _parameters(handler: BaseRouteHandler) -> dict[str, tuple[str, Any]]:
    """Return name on the wire and type of each parameter of a handler and its dependencies, by name in Python."""
    return {
        name: (getattr(field.kwarg_definition, "name", None) or name, field.annotation)
        for name, field in _declared(handler).items()
    }


def parameter_problems(error: ValidationException, handler: BaseRouteHandler | None) -> list[FieldProblem] | None:
    """Turn what Litestar says of parameters of path, query and headers into fields and rules."""
    if found := _MISSING_PARAMETER.fullmatch(error.detail):
        return [FieldProblem(field=found[1], rule="is required")]
    known = {} if handler is None else _parameters(handler)
    problems = []
    for item in error.extra if isinstance(error.extra, list) else []:
        if isinstance(item, dict) and "key" in item:
            name, kind = known.get(str(item["key"]), (str(item["key"]), None))
            # What is absent is null here, but nobody can send one.
            rule = field_problem(str(item.get("message")), kind).rule.removesuffix(" or null")
            problems.append(FieldProblem(field=name, rule=rule))
    return problems or None
