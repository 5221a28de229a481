"""Reading requests: strict JSON into the Structs of `hushtag.messages`, raw octets, page limits.

Litestar would decode JSON first and convert leniently ("5" for 5); this reads the bytes with msgspec's strict decoder.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from litestar import Request
from litestar.params import QueryParameter

from hushtag.field_rules import field_problem
from hushtag.messages import MAX_JSON_BYTES, MAX_PAGE, FieldProblem
from hushtag_server.errors import MalformedRequestError, UnsupportedMediaTypeError

__all__ = [
    "ENTRIES_AT_ONCE",
    "MAX_JSON_BYTES",
    "OCTETS",
    "After",
    "Limit",
    "WireRequest",
    "check_json_type",
    "decode_message",
    "made_in_turns",
    "read_octets",
]

OCTETS: Final = "application/octet-stream"
ENTRIES_AT_ONCE: Final = 200
"""Entries of a page that are made in one go (a quarter of a millisecond)."""
Row = TypeVar("Row")
Made = TypeVar("Made")

After = Annotated[UUID | None, QueryParameter(name="after", description="the last id of the page before")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_PAGE, description="entries of the page")]


@lru_cache(maxsize=128)
def _decoder(message: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(message)


def _media_type(content_type: str) -> tuple[str, str]:
    kind, _, parameters = content_type.partition(";")
    return kind.strip().lower(), parameters.strip().lower().replace('"', "")


def check_json_type(content_type: str) -> None:
    """Refuse what is not JSON in UTF-8.

    Raises:
        UnsupportedMediaTypeError: it is not.
    """
    if content_type == "application/json":
        return
    kind, parameters = _media_type(content_type)
    if kind != "application/json" or parameters not in {"", "charset=utf-8"}:
        raise UnsupportedMediaTypeError("application/json in UTF-8")


def decode_message(kind: Any, body: bytes) -> Any:
    """Decode a JSON body strictly into a message type of `hushtag.messages`.

    Raises:
        MalformedRequestError: it does not decode; names field and rule.
    """
    if not body:
        raise MalformedRequestError([FieldProblem(field="$", rule="is required")])
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise MalformedRequestError([field_problem(str(error), kind)]) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise MalformedRequestError([FieldProblem(field="$", rule="must be JSON in UTF-8")]) from None


async def made_in_turns(rows: Sequence[Row], make: Callable[[Row], Made], at_once: int) -> list[Made]:
    """Return what `make` makes of each row; after every `at_once` of them, other requests have their turn."""
    made: list[Made] = []
    for start in range(0, len(rows), at_once):
        if start:
            await asyncio.sleep(0)
        made += map(make, rows[start : start + at_once])
    return made


class WireRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded strictly into the type of the handler's `data`."""

    async def body(self) -> bytes:
        """Return the raw body. Where a message is expected, an empty one is refused here: Litestar would skip it."""
        raw = await super().body()
        if not raw and self.route_handler.parsed_data_field is not None:
            raise MalformedRequestError([FieldProblem(field="$", rule="is required")])
        return raw

    async def json(self) -> Any:
        """Return the message the handler asks for.

        Raises:
            UnsupportedMediaTypeError: the body is not JSON in UTF-8.
            MalformedRequestError: it does not decode; names field and rule.
        """
        check_json_type(self.headers.get("content-type", ""))
        field = self.route_handler.parsed_data_field
        return decode_message(field.annotation if field is not None else Any, await self.body())


async def read_octets(request: Request[Any, Any, Any]) -> bytes:
    """Return the raw body of an octet-stream request; its size is limited by the route's `request_max_body_size`.

    Raises:
        UnsupportedMediaTypeError: another content type.
    """
    if _media_type(request.headers.get("content-type", ""))[0] != OCTETS:
        raise UnsupportedMediaTypeError(OCTETS)
    return await request.body()
