"""Every way in which the man alters one answer, made from the answer's own message type.

`field_acts` walks the msgspec Struct of an answer and gives, for each field, every mutation that fits its type;
`answer_acts` alters an answer as a whole; `row_acts` the parts of an object row and its headers.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import httpx
import msgspec
import msgspec.inspect as types

from hushtag.messages import decode_binary, encode_binary
from hushtag_server.problems import PROBLEMS
from tests.client.fake_server import problem
from tests.evil.man import Act, Exchange, Man, respond

Path = tuple[str | int, ...]
Values = dict[tuple[str, str], list[Any]]
"""Values that a field of a message had elsewhere: in another vault, for another user, at another time."""

MISSING = ...
"""In place of a value: the field is left out."""
SUITES = ("hushtag-v0", "hushtag-v2", "hushtag-v1-fast", "none")


def struct_fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str, types.Type, Path]]:
    """Yield Struct name, field name, type and path of every field; of a list, its first element."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    yield from _walk(info, ())


def _walk(info: types.StructType, at: Path) -> Iterator[tuple[str, str, types.Type, Path]]:
    for each in info.fields:
        path = (*at, each.encode_name)
        yield info.cls.__name__, each.name, each.type, path
        inner = each.type
        if isinstance(inner, types.ListType):
            inner, path = inner.item_type, (*path, 0)
            if not isinstance(inner, types.StructType):
                yield info.cls.__name__, f"{each.name}[]", inner, path
        if isinstance(inner, types.StructType):
            yield from _walk(inner, path)


def look_up(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def harvest(kind: type[msgspec.Struct], bodies: Iterable[bytes]) -> Values:
    """Return what each field of a message held in these answers."""
    found: Values = {}
    for body in bodies:
        value = json.loads(body)
        for struct, name, _, path in struct_fields(kind):
            try:
                held = look_up(value, path)
            except (IndexError, KeyError, TypeError):
                continue
            if held not in (known := found.setdefault((struct, name), [])):
                known.append(held)
    return found


# --- values ---------------------------------------------------------------------------------------------------


def altered(info: types.Type, held: Any, elsewhere: list[Any]) -> dict[str, Any]:
    """Return every value to put in place of `held`, by the name of the mutation."""
    found: dict[str, Any] = {
        "missing": MISSING,
        "null": None,
        "number": 7,
        "text": "x",
        "list": [],
        "map": {},
        "huge": "A" * 70_000,
    }
    for index, value in enumerate(elsewhere):
        if value != held:
            found[f"spliced {index}"] = value
    for inner in info.types if isinstance(info, types.UnionType) else (info,):
        found |= _of_type(inner, held)
    return {name: value for name, value in found.items() if value is MISSING or value != held}


def _of_type(info: types.Type, held: Any) -> dict[str, Any]:
    match info:
        case types.UUIDType():
            return {"nil id": str(UUID(int=0)), "other id": str(UUID(int=2**127)), "last id": str(UUID(int=2**128 - 1))}
        case types.IntType():
            near = {} if held is None else {"one less": held - 1, "one more": held + 1, "negative": -held}
            return near | {"zero": 0, "largest": 2**63 - 1, "too large": 2**63, "float": 1.5, "boolean": True}
        case types.DateTimeType():
            return {
                "past": "1970-01-01T00:00:00Z",
                "future": "9999-12-31T23:59:59Z",
                "no zone": "2025-01-01T00:00:00",
                "no date": "2025-13-45T00:00:00Z",
            }
        case types.BoolType():
            return {"contrary": not held, "one": 1}
        case types.StrType():
            return _texts(info, held)
        case types.ListType():
            return _lists(held)
        case types.StructType():
            return {"extended": {**held, "more": 1}}
    return {}


def _texts(info: types.StrType, held: Any) -> dict[str, Any]:
    found = {"empty": "", "escapes": "\x1b[2J\x00", "suffixed": f"{held}A", "cut": str(held)[:-1]}
    if info.max_length == 32 and info.min_length == 1:
        found |= {f"suite {suite}": suite for suite in SUITES}
    try:
        raw = decode_binary(held)
    except (TypeError, AttributeError, ValueError):
        return found
    except Exception:  # not a binary field
        return found
    return found | {name: encode_binary(value) for name, value in _bytes(raw).items()}


def _bytes(raw: bytes) -> dict[str, bytes]:
    if not raw:
        return {}
    found = {"zeros": bytes(len(raw)), "ones": b"\xff" * len(raw), "reversed": raw[::-1], "rotated": raw[1:] + raw[:1]}
    for name, place in {"first": 0, "middle": len(raw) // 2, "last": len(raw) - 1}.items():
        flipped = bytearray(raw)
        flipped[place] ^= 1
        found[f"{name} bit flipped"] = bytes(flipped)
    return found


def _lists(held: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"emptied": [], "many": held * 700}
    if held:
        found |= {
            "first omitted": held[1:],
            "last omitted": held[:-1],
            "first twice": [held[0], *held],
            "last twice": [*held, held[-1]],
            "backwards": held[::-1],
            "null inside": [*held, None],
        }
    return found


# --- fields ---------------------------------------------------------------------------------------------------


def put_at(value: Any, path: Path, new: Any) -> bool:
    """Put `new` at the path; tell whether there is such a place."""
    try:
        parent = look_up(value, path[:-1])
        last = path[-1]
        if isinstance(parent, list):
            parent[last]
        if new is MISSING:
            del parent[last]
        else:
            parent[last] = new
    except (IndexError, KeyError, TypeError):
        return False
    return True


def field_acts(kind: type[msgspec.Struct], honest: httpx.Response, elsewhere: Values) -> dict[str, dict[str, Act]]:
    """Return, for each field that this answer holds, its acts by name of the mutation."""
    value = json.loads(honest.content)
    found: dict[str, dict[str, Act]] = {}
    for struct, name, info, path in struct_fields(kind):
        try:
            held = look_up(value, path)
        except (IndexError, KeyError, TypeError):
            continue
        news = altered(info, held, elsewhere.get((struct, name), []))
        found[f"{struct}.{name}"] = {label: _edit(path, new) for label, new in news.items()}
    found[f"{kind.__name__}"] = {"unknown field": _edit(("more",), 1), "is a list": _whole([value])}
    return found


def _edit(path: Path, new: Any) -> Act:
    def act(man: Man, request: httpx.Request) -> httpx.Response:
        response = man.forward(request)
        try:
            value = json.loads(response.content)
        except ValueError:
            return response
        if not put_at(value, path, copy.deepcopy(new)):
            return response
        return respond(response.status_code, json.dumps(value).encode(), {"Content-Type": "application/json"})

    return act


def _whole(value: Any) -> Act:
    return lambda man, request: respond(
        man.forward(request).status_code, json.dumps(value).encode(), {"Content-Type": "application/json"}
    )


# --- whole answers --------------------------------------------------------------------------------------------


def altering(change: Callable[[httpx.Request, httpx.Response], httpx.Response]) -> Act:
    """Return the act that passes a request on and changes the answer."""
    return lambda man, request: change(request, man.forward(request))


def failing(failure: type[httpx.TransportError], *, after: bool) -> Act:
    def act(man: Man, request: httpx.Request) -> httpx.Response:
        if after:
            man.forward(request)
        raise failure("no answer", request=request)

    return act


def instead(made: Callable[[], httpx.Response], *, after: bool) -> Act:
    """Return the act that answers with something else, after the server has acted or in its place."""

    def act(man: Man, request: httpx.Request) -> httpx.Response:
        if after:
            man.forward(request)
        return made()

    return act


def twice(man: Man, request: httpx.Request) -> httpx.Response:
    man.forward(request)
    return man.forward(request)


STATUSES = (200, 201, 202, 204, 205, 206, 226, 300, 304, 305, 400, 401, 403, 404, 409, 418, 500, 502, 503, 504, 599)


def answer_acts(elsewhere: Iterable[Exchange]) -> dict[str, Act]:
    """Return every act on an answer as a whole. `elsewhere`: answers to other requests, given in its place."""
    body_acts: dict[str, Callable[[bytes], bytes]] = {
        "empty body": lambda _: b"",
        "cut body": lambda body: body[: len(body) // 2],
        "last byte cut": lambda body: body[:-1],
        "doubled body": lambda body: body * 2,
        "trailing bytes": lambda body: body + b"\0",
        "backwards body": lambda body: body[::-1],
        "null": lambda _: b"null",
        "deep": lambda _: b"[" * 30_000,
        "not unicode": lambda body: body.replace(b'"', b'"\xff', 1),
        "too long": lambda body: body + b" " * (2 * 1024 * 1024),
    }
    found: dict[str, Act] = {name: altering(_with_body(change)) for name, change in body_acts.items()}
    found["reflected"] = altering(lambda sent, got: respond(got.status_code, sent.content, got.headers))
    found["delivered twice"] = twice
    for status in STATUSES:
        found[f"status {status}"] = altering(lambda _, got, status=status: respond(status, got.content, got.headers))
    headers: dict[str, dict[str, str]] = {
        "no type": {},
        "html": {"Content-Type": "text/html"},
        "gzip": {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        "sets a cookie": {"Content-Type": "application/json", "Set-Cookie": "a=b"},
        "octets": {"Content-Type": "application/octet-stream"},
    }
    for name, lines in headers.items():
        found[name] = altering(lambda _, got, lines=lines: respond(got.status_code, got.content, lines))
    for status in (301, 302, 303, 307, 308):
        location = {"Location": "http://localhost:8123/v1/account"}
        found[f"redirect {status}"] = instead(lambda s=status, to=location: respond(s, b"", to), after=False)
    for code, known in {name: known.status for name, known in PROBLEMS.items()}.items():
        for after in (False, True):
            when = "after" if after else "before"
            found[f"{code} {when}"] = instead(lambda s=known, c=code: problem(s, c), after=after)
    found["unheard-of problem"] = instead(lambda: problem(418, "teapot"), after=False)
    found["negative wait"] = instead(lambda: problem(429, "too_many_guesses", retry_after=-5), after=False)
    found["endless wait"] = instead(lambda: problem(429, "too_many_guesses", retry_after=10**30), after=False)
    for failure in (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout, httpx.ConnectError):
        found[f"{failure.__name__} before"] = failing(failure, after=False)
        found[f"{failure.__name__} after"] = failing(failure, after=True)
    for other in elsewhere:
        response = other.response
        assert response is not None
        found[f"answer to {other.route}"] = instead(lambda r=response: r, after=True)
    return found


def _with_body(change: Callable[[bytes], bytes]) -> Callable[[httpx.Request, httpx.Response], httpx.Response]:
    return lambda _, got: respond(got.status_code, change(got.content), got.headers)


# --- object rows ----------------------------------------------------------------------------------------------

PARTS = {"iv": slice(0, 12), "commitment": slice(12, 44), "ciphertext": slice(44, -16), "tag": slice(-16, None)}
NUMBERS = ("", "0", "-1", "+1", "01", "1 1", "1.0", "0x1", "1e3", "٣", "2", "3", "9223372036854775807", "9" * 30)


def row_acts(elsewhere: list[bytes]) -> dict[str, dict[str, Act]]:
    """Return the acts on each part of an object row and on its headers; `elsewhere`: rows of other objects."""
    found: dict[str, dict[str, Act]] = {"ObjectRow": {}}
    for name, place in PARTS.items():
        acts = found[f"ObjectRow.{name}"] = {}
        for label in _bytes(b"any bytes"):
            acts[label] = altering(_with_body(lambda row, p=place, k=label: _part(row, p, _bytes(row[p])[k])))
        acts["omitted"] = altering(_with_body(lambda row, p=place: _part(row, p, b"")))
        acts["doubled"] = altering(_with_body(lambda row, p=place: _part(row, p, row[p] * 2)))
        acts["shorter"] = altering(_with_body(lambda row, p=place: _part(row, p, row[p][:-1])))
        for index, other in enumerate(elsewhere):
            acts[f"spliced {index}"] = altering(_with_body(lambda row, p=place, o=other: _part(row, p, o[p])))
    for index, other in enumerate(elsewhere):
        found["ObjectRow"][f"swapped {index}"] = altering(_with_body(lambda _, o=other: o))
    found["Hushtag-Stream"] = {
        "missing": _header("Hushtag-Stream", None),
        "another": _header("Hushtag-Stream", str(UUID(int=2**127))),
        "upper case": altering(lambda _, got: _with_upper(got)),
    }
    for header in ("Hushtag-Revision", "Hushtag-Key-Version"):
        found[header] = {"missing": _header(header, None), "twice": _header(header, "1, 1")}
        found[header] |= {f"is {value!r}": _header(header, value) for value in NUMBERS}
    return found


SEGMENT_PARTS = {
    "salt": slice(0, 24),
    "commitment": slice(24, 56),
    "chunk": slice(56, 56 + 4_000),
    "last tag": slice(-16, None),
}


def segment_acts(elsewhere: list[bytes], forged: list[bytes]) -> dict[str, dict[str, Act]]:
    """Return the acts on each part of a segment; `elsewhere`: segments of other places, streams, users and times.

    `forged`: what somebody sealed under the stream's key who was revoked and keeps it.
    """
    found: dict[str, dict[str, Act]] = {"Segment": {}}
    for name, place in SEGMENT_PARTS.items():
        acts = found[f"Segment.{name}"] = {}
        for label in _bytes(b"any bytes"):
            acts[label] = altering(_with_body(lambda sealed, p=place, k=label: _part(sealed, p, _bytes(sealed[p])[k])))
        acts["omitted"] = altering(_with_body(lambda sealed, p=place: _part(sealed, p, b"")))
        acts["doubled"] = altering(_with_body(lambda sealed, p=place: _part(sealed, p, sealed[p] * 2)))
        for index, other in enumerate(elsewhere):
            acts[f"spliced {index}"] = altering(_with_body(lambda s, p=place, o=other: _part(s, p, o[p])))
    for index, other in enumerate(elsewhere):
        found["Segment"][f"swapped {index}"] = altering(_with_body(lambda _, o=other: o))
        found["Segment"][f"followed by {index}"] = altering(_with_body(lambda sealed, o=other: sealed + o))
    for index, other in enumerate(forged):
        found["Segment"][f"forged {index}"] = altering(_with_body(lambda _, o=other: o))
    cuts = {"no chunk": 56, "first chunk": 56 + 16_400, "half": 8_000, "no header": 20}
    for name, end in cuts.items():
        found["Segment"][name] = altering(_with_body(lambda sealed, e=end: sealed[:e]))
    return found


def _with_upper(got: httpx.Response) -> httpx.Response:
    raw = [(key, value.upper() if key.lower() == b"hushtag-stream" else value) for key, value in got.headers.raw]
    return respond(got.status_code, got.content, raw)


def _part(row: bytes, place: slice, new: bytes) -> bytes:
    start, stop, _ = place.indices(len(row))
    return row[:start] + new + row[stop:]


def _header(name: str, value: str | None) -> Act:
    def change(_: httpx.Request, got: httpx.Response) -> httpx.Response:
        raw = [(key, held) for key, held in got.headers.raw if key.lower() != name.lower().encode()]
        if value is not None:
            raw.append((name.encode(), value.encode()))
        return respond(got.status_code, got.content, raw)

    return altering(change)
