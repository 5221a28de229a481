"""Optimistic concurrency over HTTP (RFC 9110, section 13): a row's version is its ETag, and a change names it.

A change without `If-Match` is refused: it could overwrite what its sender has never seen. `If-Match: *` says that it
may.
"""

import re
from typing import Annotated, Final

from litestar.params import HeaderParameter

from hushtag.messages import FieldProblem
from hushtag_server.errors import MalformedRequestError, PreconditionFailedError, PreconditionRequiredError

__all__ = ["IfMatch", "etag", "expected_version", "names_version", "version_conflict"]

_ETAG: Final = re.compile(r'"([1-9][0-9]{0,17})"')
IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", description="ETag of the version that is changed; or *"),
]
"""Annotation of the parameter `if_match` of a route."""


def etag(version: int) -> str:
    """Return the ETag of a version."""
    return f'"{version}"'


def expected_version(if_match: str | None) -> int | None:
    """Return the version an `If-Match` header names; None for `*`.

    Raises:
        PreconditionRequiredError: there is no such header.
        MalformedRequestError: it is neither one strong ETag of ours nor `*`.
    """
    if if_match is None:
        raise PreconditionRequiredError("no If-Match")
    if if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise MalformedRequestError([FieldProblem(field="If-Match", rule='must be one ETag, such as "3", or *')])
    return int(found[1])


def names_version(if_none_match: str | None, version: int) -> bool:
    """Tell whether `If-None-Match` names this version, so that 304 is the answer."""
    if if_none_match is None:
        return False
    named = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return if_none_match.strip() == "*" or etag(version) in named


def version_conflict(present: int) -> PreconditionFailedError:
    """Return the error of a change whose version is not the present one."""
    rule = f"must be the present version, {etag(present)}; read it, apply the change to it and send it again"
    return PreconditionFailedError("another version", [FieldProblem(field="If-Match", rule=rule)])
