"""Routes of objects: sealed rows, stored and returned as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from uuid import UUID

import anyio
from litestar import Response, delete, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter

from hushtag.errors import MalformedError
from hushtag.messages import (
    MAX_GENERATION,
    MAX_LISTED_CONTENT,
    MAX_OBJECTS_MESSAGE,
    MAX_PAGE_WITH_ROWS,
    DeleteObject,
    DeleteObjects,
    FieldProblem,
    ObjectEntry,
    ObjectList,
    ObjectsDeleted,
    ObjectsStored,
    ObjectStored,
    PutObject,
    PutObjects,
    VaultState,
    decode_binary,
    encode_binary,
)
from hushtag.objects import MAX_ROW_BYTES, ROW_OVERHEAD, ObjectRow, row_digest
from hushtag.stream_messages import (
    MAX_SEGMENTS,
    MAX_STREAM_BYTES,
    STREAM_HEADER,
    STREAM_SEGMENTS_HEADER,
    STREAM_SIZE_HEADER,
)
from hushtag_server.auth import VAULT_SECURITY
from hushtag_server.errors import MalformedRequestError, TooLargeError, UnauthenticatedError
from hushtag_server.outcomes import check_outcome
from hushtag_server.security_log.events import (
    OBJECT_DELETED,
    OBJECT_PUT,
    OBJECT_READ,
    OBJECTS_DELETED,
    OBJECTS_LISTED,
    OBJECTS_PUT,
)
from hushtag_server.services import Services, ServicesDep
from hushtag_server.streams.downloading import BodyResponse, in_parts
from hushtag_server.streams.limits import PART_BYTES
from hushtag_server.vault import vault_queries as queries
from hushtag_server.vault.callers import (
    recorded_pool,
    require_open_vault,
    require_vault_token,
    vault_caller,
)
from hushtag_server.vault.in_use import absence, body_lane, in_use
from hushtag_server.vault.schemas import (
    NO_STREAM,
    ObjectChange,
    ObjectsChange,
    ObjectsDeletion,
    ObjectSummary,
    StreamNamed,
)
from hushtag_server.wire import ENTRIES_AT_ONCE, OCTETS, After, Limit, WireRequest, made_in_turns, read_octets

__all__ = ["delete_object", "delete_objects", "get_object", "list_objects", "put_object", "put_objects"]

_DECIMAL: Final = "^[1-9][0-9]{0,18}$"
_HASH_IN_LOOP: Final = 256 * 1024
"""Rows up to this are hashed in the event loop (BLAKE3: about 0.1 ms); longer ones in a thread."""

_ROWS_AT_ONCE: Final = 25
"""Entries with their rows that are made in one go: up to 100 KiB are encoded."""
_GIVEN_AT_ONCE: Final = 16
"""Rows of a message that are decoded and hashed in one go: up to 144 KiB, and a quarter of that as a rule."""

RevisionHeader = Annotated[str, HeaderParameter(name="Hushtag-Revision", pattern=_DECIMAL)]
KeyVersionHeader = Annotated[str, HeaderParameter(name="Hushtag-Key-Version", pattern="^[1-9][0-9]{0,9}$")]
GenerationHeader = Annotated[str, HeaderParameter(name="Hushtag-Generation", pattern=_DECIMAL)]
HeadHeader = Annotated[
    str,
    HeaderParameter(
        name="Hushtag-Head", pattern="^[A-Za-z0-9_-]{149}[AQgw]$", description="sealed head, 112 bytes in base64url"
    ),
]
StreamHeader = Annotated[
    UUID | None,
    HeaderParameter(name=STREAM_HEADER, description="the stream whose descriptor the row is; with the two below"),
]
StreamSegmentsHeader = Annotated[
    str | None,
    HeaderParameter(name=STREAM_SEGMENTS_HEADER, pattern="^[1-9][0-9]{0,4}$", description="segments of the stream"),
]
StreamSizeHeader = Annotated[
    str | None,
    HeaderParameter(
        name=STREAM_SIZE_HEADER, pattern="^[1-9][0-9]{0,10}$", description="bytes of the stream's segments"
    ),
]


Rows = Annotated[
    Literal["short"] | None,
    QueryParameter(
        name="rows",
        description=f"short: entries of at most {MAX_LISTED_CONTENT} bytes of content have their row, base64url; "
        f"the limit is then at most {MAX_PAGE_WITH_ROWS}",
    ),
]


@dataclass
class _PutOperation(Operation):
    """OpenAPI: the body of a put, which no Struct describes."""

    def __post_init__(self) -> None:
        row = Schema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, min_length=ROW_OVERHEAD, max_length=MAX_ROW_BYTES
        )
        self.request_body = RequestBody(
            content={OCTETS: OpenAPIMediaType(schema=row)},
            description="iv(12) || ciphertext || auth_tag(16)",
            required=True,
        )


def _number(text: str, most: int = MAX_GENERATION) -> int:
    value = int(text)  # one to 19 decimal digits, by the header's pattern
    if value > most:
        raise MalformedError("number in a header is out of range")
    return value


def _change(vault_id: UUID, object_id: UUID, revision: str, generation: str, head: str) -> ObjectChange:
    sealed = decode_binary(head, 112)
    return ObjectChange(vault_id, object_id, _number(revision), _number(generation), sealed)


def _stream(stream_id: UUID | None, segments: str | None, size: str | None) -> StreamNamed:
    if stream_id is None and segments is None and size is None:
        return NO_STREAM
    if stream_id is None or segments is None or size is None:
        raise MalformedError("a stream is named by all three headers")
    return StreamNamed(stream_id, _number(segments, MAX_SEGMENTS), _number(size, MAX_STREAM_BYTES))


async def _digest(services: Services, row: ObjectRow) -> bytes:
    if len(row.encoded) <= _HASH_IN_LOOP:
        return row_digest(row)
    return await anyio.to_thread.run_sync(row_digest, row, limiter=services.threads)


def _named_once(objects: Sequence[PutObject] | Sequence[DeleteObject]) -> list[UUID]:
    ids = [each.object_id for each in objects]
    if len(set(ids)) < len(ids):
        raise MalformedRequestError([FieldProblem(field="$.objects", rule="must name each object once")])
    return ids


@put(
    "/vaults/{vault_id:uuid}/objects/{object_id:uuid}",
    summary="Store one revision of an object",
    guards=[require_open_vault],  # before up to 16 MiB are read; the statement that writes checks again
    security=VAULT_SECURITY,
    request_max_body_size=MAX_ROW_BYTES,
    operation_class=_PutOperation,
    responses={201: ResponseSpec(ObjectStored, description="Revision 1 was stored", generate_examples=False)},
    opt={
        "problems": ["not_found", "revision_conflict", "generation_conflict", "limit_reached", "stream_committed",
                     "stream_incomplete"]
    },
)  # fmt: skip
async def put_object(
    vault_id: FromPath[UUID],
    object_id: FromPath[UUID],
    revision: RevisionHeader,
    key_version: KeyVersionHeader,
    generation: GenerationHeader,
    head: HeadHeader,
    request: WireRequest,
    services: ServicesDep,
    stream_id: StreamHeader = None,
    stream_segments: StreamSegmentsHeader = None,
    stream_size: StreamSizeHeader = None,
) -> Response[ObjectStored]:
    """Compare and swap revision and generation, then store row and head, in one transaction.

    With the headers of a stream the same transaction commits it: the row is its descriptor. The stream that the object
    had before goes, if it is another.
    """
    stream = _stream(stream_id, stream_segments, stream_size)
    change = _change(vault_id, object_id, revision, generation, head)
    caller = vault_caller(request, services)
    with in_use(services, caller):
        body = await read_octets(request)
    row = ObjectRow.decode(body, key_version=int(key_version), revision=change.revision)
    most = services.settings.max_object_bytes
    if row.content_size > most:
        raise TooLargeError(most + ROW_OVERHEAD)
    outcome = await queries.put_object(
        recorded_pool(request, services, OBJECT_PUT, vault_id, object=object_id, revision=change.revision),
        caller,
        change,
        row,
        digest=await _digest(services, row),
        most=services.settings.max_objects,
        stream=stream,
    )
    check_outcome(outcome, "created", "replaced", "replaced_stream")
    if outcome == "replaced_stream":
        services.remover.kick(caller.user_id)
    stored = ObjectStored(object_id=object_id, revision=change.revision, generation=change.generation)
    return Response(stored, status_code=201 if outcome == "created" else 200)


@post(
    "/vaults/{vault_id:uuid}/objects",
    status_code=200,
    summary="Store one revision each of several small objects, all or none",
    guards=[require_open_vault],  # before more is read than other messages have; the statement that writes checks again
    security=VAULT_SECURITY,
    request_max_body_size=MAX_OBJECTS_MESSAGE,
    opt={"problems": ["not_found", "revision_conflict", "generation_conflict", "limit_reached"]},
)
async def put_objects(
    data: JSONBody[PutObjects], vault_id: FromPath[UUID], request: WireRequest, services: ServicesDep
) -> ObjectsStored:
    """Compare and swap every revision and the generation, then store rows and head, in one transaction.

    No row is the descriptor of a stream; the streams that the objects had before go.
    """
    ids = _named_once(data.objects)
    most = services.settings.max_object_bytes

    def given(each: PutObject) -> tuple[UUID, ObjectRow, bytes]:
        row = ObjectRow.decode(decode_binary(each.row), key_version=data.key_version, revision=each.revision)
        if row.content_size > most:
            raise TooLargeError(most + ROW_OVERHEAD)
        return each.object_id, row, row_digest(row)

    rows = await made_in_turns(data.objects, given, _GIVEN_AT_ONCE)
    change = ObjectsChange(vault_id, data.key_version, data.generation, decode_binary(data.head, 112))
    caller = vault_caller(request, services)
    pool = recorded_pool(request, services, OBJECTS_PUT, vault_id, object=ids)
    outcome = await queries.put_objects(pool, caller, change, rows, most=services.settings.max_objects)
    check_outcome(outcome, "stored", "stored_streams")
    if outcome == "stored_streams":
        services.remover.kick(caller.user_id)
    return ObjectsStored(generation=data.generation, objects=len(rows))


@get(
    "/vaults/{vault_id:uuid}/objects/{object_id:uuid}",
    summary="Read an object's row",
    media_type=OCTETS,
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "too_many_streams"]},
)
async def get_object(
    vault_id: FromPath[UUID], object_id: FromPath[UUID], request: WireRequest, services: ServicesDep
) -> Response[bytes]:
    """Return the row as it was stored."""
    pool = recorded_pool(request, services, OBJECT_READ, vault_id, object=object_id)
    caller = vault_caller(request, services)
    found = await queries.get_object(pool, caller, vault_id, object_id)
    if found.tag_id is None:
        raise UnauthenticatedError("no such vault session")
    if found.body is None:
        raise await absence(services, caller, "no such object")
    headers = {"Hushtag-Revision": str(found.revision), "Hushtag-Key-Version": str(found.key_version)}
    if found.stream_id is not None:
        headers[STREAM_HEADER] = str(found.stream_id)
    if len(found.body) <= PART_BYTES:
        return Response(found.body, media_type=OCTETS, headers=headers)
    # So large a row is in memory until its reader has it: as many at once as of segments, which have the same lanes.
    return BodyResponse(
        in_parts(found.body),
        status_code=200,
        headers={**headers, "Content-Type": OCTETS, "Content-Length": str(len(found.body))},
        pause=services.settings.request_timeout.total_seconds(),
        lane=body_lane(services, caller),
    )


@delete(
    "/vaults/{vault_id:uuid}/objects/{object_id:uuid}",
    status_code=200,
    summary="Delete an object",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "revision_conflict", "generation_conflict"]},
)
async def delete_object(
    vault_id: FromPath[UUID],
    object_id: FromPath[UUID],
    revision: RevisionHeader,
    generation: GenerationHeader,
    head: HeadHeader,
    request: WireRequest,
    services: ServicesDep,
) -> VaultState:
    """Compare and swap, then delete the row and replace the head, in one transaction."""
    change = _change(vault_id, object_id, revision, generation, head)
    pool = recorded_pool(request, services, OBJECT_DELETED, vault_id, object=object_id, revision=change.revision)
    done = await queries.delete_object(pool, vault_caller(request, services), change)
    check_outcome(done.outcome, "deleted", "deleted_stream")
    if done.outcome == "deleted_stream":
        services.remover.kick(vault_caller(request, services).user_id)
    return VaultState(
        vault_id=vault_id,
        generation=change.generation,
        key_version=done.key_version or 1,
        head=head,
        ring=None if done.ring is None else encode_binary(done.ring),
    )


@post(
    "/vaults/{vault_id:uuid}/objects/deletion",
    status_code=200,
    summary="Delete several objects, all or none",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "revision_conflict", "generation_conflict"]},
)
async def delete_objects(
    data: JSONBody[DeleteObjects], vault_id: FromPath[UUID], request: WireRequest, services: ServicesDep
) -> ObjectsDeleted:
    """Compare and swap every revision and the generation, then delete rows and replace the head, in one transaction."""
    ids = _named_once(data.objects)
    change = ObjectsDeletion(vault_id, data.generation, decode_binary(data.head, 112))
    caller = vault_caller(request, services)
    pool = recorded_pool(request, services, OBJECTS_DELETED, vault_id, object=ids)
    named = [(each.object_id, each.revision) for each in data.objects]
    outcome = await queries.delete_objects(pool, caller, change, named)
    check_outcome(outcome, "deleted", "deleted_streams")
    if outcome == "deleted_streams":
        services.remover.kick(caller.user_id)
    return ObjectsDeleted(generation=data.generation, objects=len(ids))


def _entry(row: ObjectSummary) -> ObjectEntry:
    return ObjectEntry(
        object_id=row.object_id,
        revision=row.revision,
        key_version=row.key_version,
        content_size=row.content_size,
        digest=encode_binary(row.digest),
        created_at=row.created_at,
        updated_at=row.updated_at,
        stream_id=row.stream_id,
        row=None if row.row is None else encode_binary(row.row),
    )


@get(
    "/vaults/{vault_id:uuid}/objects",
    summary="List the vault's objects",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def list_objects(
    vault_id: FromPath[UUID],
    request: WireRequest,
    services: ServicesDep,
    after: After = None,
    limit: Limit = 100,
    rows: Rows = None,
) -> ObjectList:
    """List the objects by id; generation, page and rows are of one moment."""
    up_to, told = None, {}
    if rows is not None:
        if limit > MAX_PAGE_WITH_ROWS:
            rule = f"must be at most {MAX_PAGE_WITH_ROWS} with rows"
            raise MalformedRequestError([FieldProblem(field="limit", rule=rule)])
        up_to, told = MAX_LISTED_CONTENT, {"rows": 1}
    pool = recorded_pool(request, services, OBJECTS_LISTED, vault_id, **told)
    caller = vault_caller(request, services)
    found = await queries.list_objects(pool, caller, vault_id, after=after, limit=limit, rows_up_to=up_to)
    if found is None:
        raise await absence(services, caller, "no such vault")
    following = found.objects[-1].object_id if len(found.objects) == limit else None
    entries = await made_in_turns(found.objects, _entry, ENTRIES_AT_ONCE if rows is None else _ROWS_AT_ONCE)
    return ObjectList(generation=found.generation, objects=entries, next=following)
