"""Routes of large objects: segments in, segments out, by number, range or one after another."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from litestar import Response, Router, delete, get, put
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath, HeaderParameter, QueryParameter

from hushtag.messages import FieldProblem, decode_binary, encode_binary
from hushtag.stream_messages import (
    MAX_SEGMENT_BYTES,
    MAX_SEGMENT_PAGE,
    MAX_SEGMENTS,
    SegmentEntry,
    SegmentList,
    SegmentStored,
)
from hushtag_server.auth import VAULT_SECURITY
from hushtag_server.errors import (
    MalformedRequestError,
    NotFoundError,
    RangeNotSatisfiableError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from hushtag_server.security_log.events import (
    SEGMENT_PUT,
    SEGMENT_REFUSED,
    SEGMENTS_LISTED,
    SEGMENTS_READ,
    STREAM_ENDED,
)
from hushtag_server.services import Services, ServicesDep
from hushtag_server.streams import queries
from hushtag_server.streams.bodies import Body
from hushtag_server.streams.downloading import BodyResponse, Reading, checked_page
from hushtag_server.streams.queries import SegmentPage, SegmentRow, StreamPlace
from hushtag_server.streams.uploading import new_segment, store_segment
from hushtag_server.vault.callers import recorded_pool, require_vault_token, vault_caller
from hushtag_server.vault.in_use import body_lane, check_in_vault
from hushtag_server.vault.schemas import VaultCaller
from hushtag_server.wire import ENTRIES_AT_ONCE, OCTETS, WireRequest, made_in_turns

__all__ = ["STREAM_ROUTES"]

DIGEST_HEADER: Final = "Hushtag-Segment-Digest"
Seq = FromPath[int]
DigestHeader = Annotated[
    str | None,
    HeaderParameter(
        name=DIGEST_HEADER,
        pattern="^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$",
        description="BLAKE3-256 of the body, 32 bytes in base64url: another body is refused",
    ),
]
AfterSeq = Annotated[
    int, QueryParameter(name="after", ge=-1, lt=MAX_SEGMENTS, description="the last number of the page before")
]
PageLimit = Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_SEGMENT_PAGE, description="entries of the page")]
First = Annotated[int, QueryParameter(name="first", ge=0, lt=MAX_SEGMENTS, description="the first segment's number")]
Count = Annotated[int, QueryParameter(name="count", ge=1, le=MAX_SEGMENTS, description="segments at most")]
RangeHeader = Annotated[
    str | None, HeaderParameter(name="Range", description="`bytes=A-B`, one range; others are ignored")
]
_RANGE: Final = re.compile(r"bytes=(\d{0,10})-(\d{0,10})", re.ASCII)


@dataclass
class _PutOperation(Operation):
    """OpenAPI: the body of a segment, which no Struct describes."""

    def __post_init__(self) -> None:
        segment = Schema(
            type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, min_length=1, max_length=MAX_SEGMENT_BYTES
        )
        self.request_body = RequestBody(
            content={OCTETS: OpenAPIMediaType(schema=segment)}, description="ciphertext", required=True
        )


def _body_length(request: WireRequest) -> int:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != OCTETS:
        raise UnsupportedMediaTypeError(OCTETS)
    announced = request.headers.get("content-length", "")
    if not announced.isascii() or not announced.isdigit() or len(announced) > 19 or int(announced) < 1:
        raise MalformedRequestError([FieldProblem(field="Content-Length", rule="must be given, and 1 at least")])
    if int(announced) > MAX_SEGMENT_BYTES:
        raise TooLargeError(MAX_SEGMENT_BYTES)
    return int(announced)


def _seq(request: WireRequest, seq: int) -> int:
    # One spelling of each number, as in the headers: no sign and no zero before it.
    if not 0 <= seq < MAX_SEGMENTS or request.url.path.rpartition("/")[2] != str(seq):
        raise NotFoundError("no such number of a segment")
    return seq


def _place(request: WireRequest, services: Services, vault_id: UUID, stream_id: UUID) -> StreamPlace:
    return StreamPlace(vault_caller(request, services).user_id, vault_id, stream_id)


async def _compare(body: Body, digest: bytes | None) -> str:
    async for _ in body.parts():
        pass
    return "known" if body.digest == digest else "segment_exists"


@put(
    "/vaults/{vault_id:uuid}/streams/{stream_id:uuid}/segments/{seq:int}",
    status_code=201,
    summary="Store a segment of a stream, once",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    request_max_body_size=None,  # its length is checked before, and while it arrives
    operation_class=_PutOperation,
    responses={
        201: ResponseSpec(SegmentStored, description="It was stored", generate_examples=False),
        200: ResponseSpec(SegmentStored, description="It was there already, the same bytes", generate_examples=False),
    },
    opt={
        "problems": ["not_found", "segment_exists", "stream_committed", "limit_reached", "vault_full",
                     "too_many_streams"]
    },
)  # fmt: skip
async def put_segment(
    vault_id: FromPath[UUID],
    stream_id: FromPath[UUID],
    seq: Seq,
    request: WireRequest,
    services: ServicesDep,
    expected: DigestHeader = None,
) -> Response[SegmentStored]:
    """Begins the stream with its first segment. The body goes on as it arrives; nothing is visible before its end."""
    length, seq = _body_length(request), _seq(request, seq)
    caller, place = vault_caller(request, services), _place(request, services, vault_id, stream_id)
    expecting = None if expected is None else decode_binary(expected, 32)
    with body_lane(services, caller):
        new = new_segment(services)
        refusals = recorded_pool(request, services, SEGMENT_REFUSED, vault_id, stream=stream_id, seq=seq)
        begun = await queries.begin_segment(refusals, caller, place, seq, length, new, services.settings)
        await check_in_vault(services, caller, begun.outcome, "begun", "known")
        body = Body(request.receive, length)
        if begun.outcome == "known":
            outcome = await _compare(body, begun.digest)
        else:
            pool = recorded_pool(request, services, SEGMENT_PUT, vault_id, stream=stream_id, seq=seq)
            outcome = await store_segment(services, pool, caller, place, seq, new, body, expecting)
    if expecting is not None and body.digest != expecting:
        raise MalformedRequestError([FieldProblem(field=DIGEST_HEADER, rule="must be the BLAKE3-256 of the body")])
    await check_in_vault(services, caller, outcome, "stored", "known")
    services.metrics.segment_bytes.labels("in").inc(length)
    stored = SegmentStored(seq=seq, size=length, digest=encode_binary(body.digest))
    return Response(stored, status_code=201 if outcome == "stored" else 200)


def _entry(row: SegmentRow) -> SegmentEntry:
    return SegmentEntry(row.seq, row.size, encode_binary(row.digest))


@get(
    "/vaults/{vault_id:uuid}/streams/{stream_id:uuid}/segments",
    summary="List the stored segments of a stream",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found"]},
)
async def list_segments(
    vault_id: FromPath[UUID],
    stream_id: FromPath[UUID],
    request: WireRequest,
    services: ServicesDep,
    after: AfterSeq = -1,
    limit: PageLimit = 100,
) -> SegmentList:
    """List them by number; what is not listed is not stored."""
    pool = recorded_pool(request, services, SEGMENTS_LISTED, vault_id, stream=stream_id)
    place = _place(request, services, vault_id, stream_id)
    caller = vault_caller(request, services)
    page = await queries.list_segments(pool, caller, place, after=after, limit=limit)
    found = await checked_page(services, caller, page)
    return SegmentList(
        committed=found.state == "committed",
        segments=await made_in_turns(found.segments, _entry, ENTRIES_AT_ONCE),
        next=found.segments[-1].seq if len(found.segments) == limit else None,
    )


def _asked_range(request: WireRequest, size: int, etag: str) -> tuple[int, int] | None:
    """Return the range of bytes asked for (RFC 9110, section 14), or None for all of them.

    Raises:
        RangeNotSatisfiableError: none of the bytes are in it.
    """
    found = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if found is None or found[0] == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return None
    first, last = found[1], found[2]
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiableError(size)
    return start, end


@get(
    "/vaults/{vault_id:uuid}/streams/{stream_id:uuid}/segments/{seq:int}",
    summary="Read a segment, or a range of its bytes",
    media_type=OCTETS,
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    responses={206: ResponseSpec(bytes, description="The range asked for", media_type=OCTETS, generate_examples=False)},
    opt={"problems": ["not_found", "segment_lost", "range_not_satisfiable", "too_many_streams"]},
)
async def get_segment(
    vault_id: FromPath[UUID],
    stream_id: FromPath[UUID],
    seq: Seq,
    request: WireRequest,
    services: ServicesDep,
    asked: RangeHeader = None,
) -> Response[bytes]:
    """Send the bytes as they were stored, while they are read."""
    caller, place = vault_caller(request, services), _place(request, services, vault_id, stream_id)
    pool = recorded_pool(request, services, SEGMENTS_READ, vault_id, stream=stream_id, seq=seq)
    page = await queries.list_segments(pool, caller, place, after=_seq(request, seq) - 1, limit=1)
    rows = [row for row in (await checked_page(services, caller, page)).segments if row.seq == seq]
    if not rows:
        raise NotFoundError("no such segment")
    row, etag = rows[0], f'"{encode_binary(rows[0].digest)}"'
    wanted = None if asked is None else _asked_range(request, row.size, etag)
    start, end = wanted or (0, row.size)
    headers = {"Content-Type": OCTETS, "Content-Length": str(end - start), "Accept-Ranges": "bytes", "ETag": etag}
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{row.size}"
    pieces = Reading(services, caller, place).segment(row, start, end)
    return _sending(services, caller, pieces, 200 if wanted is None else 206, headers)


def _sending(
    services: Services, caller: VaultCaller, pieces: AsyncGenerator[bytes, None], status: int, headers: dict[str, str]
) -> BodyResponse:
    lane = body_lane(services, caller)
    pause = services.settings.request_timeout.total_seconds()
    counter = services.metrics.segment_bytes.labels("out")
    return BodyResponse(pieces, status_code=status, headers=headers, pause=pause, lane=lane, counter=counter)


@get(
    "/vaults/{vault_id:uuid}/streams/{stream_id:uuid}",
    summary="Read segments one after another",
    media_type=OCTETS,
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    response_headers=[
        ResponseHeader(name="Hushtag-Segments", documentation_only=True, description="how many segments these are")
    ],
    opt={"problems": ["not_found", "segment_lost", "too_many_streams"]},
)
async def get_stream(
    vault_id: FromPath[UUID],
    stream_id: FromPath[UUID],
    request: WireRequest,
    services: ServicesDep,
    first: First = 0,
    count: Count = MAX_SEGMENTS,
) -> Response[bytes]:
    """Send the segments from `first` on, at most `count`, up to the stream's end or the first that is missing."""
    caller, place = vault_caller(request, services), _place(request, services, vault_id, stream_id)
    pool = recorded_pool(request, services, SEGMENTS_READ, vault_id, stream=stream_id, first=first)
    measured = await queries.measure_stream(pool, caller, place, first=first, count=count)
    await checked_page(services, caller, SegmentPage(measured.tag_id, measured.state, []))
    segments, size = measured.segments or 0, measured.size or 0
    headers = {"Content-Type": OCTETS, "Content-Length": str(size), "Hushtag-Segments": str(segments)}
    pieces = Reading(services, caller, place).segments(first, segments)
    return _sending(services, caller, pieces, 200, headers)


@delete(
    "/vaults/{vault_id:uuid}/streams/{stream_id:uuid}",
    status_code=204,
    summary="Give an upload up",
    guards=[require_vault_token],
    security=VAULT_SECURITY,
    opt={"problems": ["not_found", "stream_committed"]},
)
async def end_stream(
    vault_id: FromPath[UUID], stream_id: FromPath[UUID], request: WireRequest, services: ServicesDep
) -> None:
    """End a stream that no object has; its segments go soon after."""
    pool = recorded_pool(request, services, STREAM_ENDED, vault_id, stream=stream_id)
    caller = vault_caller(request, services)
    outcome = await queries.end_stream(pool, caller, _place(request, services, vault_id, stream_id))
    await check_in_vault(services, caller, outcome, "ended")
    services.remover.kick(caller.user_id)


STREAM_ROUTES = [
    Router(
        path="/v1",
        route_handlers=[put_segment, list_segments, get_segment, get_stream, end_stream],
        tags=["large objects"],
    )
]
