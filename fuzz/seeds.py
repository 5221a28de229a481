"""Valid inputs to begin with, one file each: `python -m fuzz.seeds` writes them into `fuzz/corpus/NAME/seed-*`."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from fuzz.all_targets import TARGETS
from fuzz.server_targets import EXAMPLE_KEYS
from fuzz.target import CORPUS
from fuzz.wire_targets import MESSAGES
from hushtag.messages import END, encode_binary
from hushtag.transfer_messages import ARCHIVE_FORMAT
from hushtag.vectors import find_directory
from hushtag_server.keyfile import encode_key_ring
from hushtag_server.operation.manifest import Manifest, TableSum, write_manifest
from hushtag_server.security_log.chain import Checkpoint

_NOW: Final = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
_ID: Final = UUID(int=5)
_MOMENTS: Final = ("2026-11-21T12:30:00Z", "2026-11-21T12:30:00")
_SPELLED: Final = {
    "^vault_data$": "vault_data",
    "^[a-z0-9-]+$": "hushtag-v1",
    "^htp1[oadr]\\.[A-Za-z0-9_-]+$": "htp1o.AAAA",
    "^[a-z_]+$": "en",
    "^(terms|privacy)$": "terms",
    "^(system|light|dark)$": "dark",
    "^#[0-9A-Fa-f]{6}$": "#aabbcc",
}


def _example(kind: Any) -> Any:
    """Return the simplest value of a type, as JSON has it."""
    schema = msgspec.json.schema(kind)
    for moment in _MOMENTS:
        value = json.loads(json.dumps(_from_schema(schema, schema.get("$defs", {}))).replace(_MOMENTS[0], moment))
        try:
            msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError:
            continue
        return value
    return json.loads(json.dumps(_from_schema(schema, schema.get("$defs", {}))))


def _from_schema(schema: dict[str, Any], known: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return _from_schema(known[schema["$ref"].rpartition("/")[2]], known)
    for words in ("anyOf", "oneOf"):
        if words in schema:
            return _from_schema(schema[words][0], known)
    for word in ("const", "enum"):
        if word in schema:
            return schema[word] if word == "const" else schema[word][0]
    kind = schema.get("type")
    if kind == "object":
        return {name: _from_schema(each, known) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [_from_schema(schema["items"], known)] if isinstance(schema.get("items"), dict) else []
    if kind == "string":
        return _string(schema)
    return {"integer": max(1, schema.get("minimum", 1)), "number": 1.5, "boolean": True}.get(str(kind))


def _string(schema: dict[str, Any]) -> str:
    named = {"uuid": str(_ID), "date-time": _MOMENTS[0], "date": "2026-11-21", "time": "12:30:00"}
    if schema.get("format") in named:
        return named[schema["format"]]
    pattern, length = schema.get("pattern", "").replace(END, "$"), max(schema.get("minLength", 0), 1)
    if "@" in pattern:
        return "ada@example.org"
    if pattern in _SPELLED:
        return _SPELLED[pattern]
    if not pattern and length <= len(_MOMENTS[0]) <= schema.get("maxLength", 100):
        return _MOMENTS[0]  # a moment's schema names no format; any other text may be one
    return ("0" if "0-9a-f" in pattern else "A") * length


def _archive() -> bytes:
    account = _json(_example(next(kind for kind in MESSAGES if kind.__name__ == "ArchivedAccount")))
    parts = {"account.json": account, "tags.ndjson": b""}
    sums = "".join(f"{hashlib.sha256(part).hexdigest()}  {name}\n" for name, part in sorted(parts.items())).encode()
    manifest = _example(next(kind for kind in MESSAGES if kind.__name__ == "Manifest"))
    manifest |= {"sums_sha256": hashlib.sha256(sums).hexdigest(), "format": ARCHIVE_FORMAT}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in {**parts, "SHA256SUMS": sums, "manifest.json": _json(manifest)}.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return target.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _phrases() -> list[bytes]:
    document = json.loads((find_directory() / "phrase" / "canonical.json").read_bytes())
    return [
        str(next(iter(vector["given"].values()))).encode("utf-8", "surrogatepass") for vector in document["vectors"]
    ]


def _rows(group: str) -> list[bytes]:
    """Return the binary members of the first vectors of a group."""
    document = json.loads((find_directory() / f"{group}.json").read_bytes())
    texts = [text for vector in document["vectors"] for text in vector["given"].values() if isinstance(text, str)]
    return [bytes.fromhex(text) for text in texts if len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")]


def _messages() -> list[bytes]:
    return [_json(_example(kind)) for kind in MESSAGES]


def _checkpoints() -> list[Any]:
    line = Checkpoint("head", 1, 2**63 - 1, bytes(32), EXAMPLE_KEYS.current.id, _NOW, bytes(64)).as_line()
    return [line, {"event": "checkpoint", "checkpoint": line | {"kind": "cut"}}]


def seeds() -> dict[str, Iterable[bytes]]:
    """Return valid inputs by target."""
    phrases = sorted(set(_phrases()), key=lambda phrase: (len(phrase), phrase))
    sample = phrases[:: max(1, len(phrases) // 25)][:25]
    token = encode_binary(bytes(48)).encode()
    session = _json(
        {
            "server": "https://a.test",
            "token": f"hta_{token.decode()}",
            "user_id": str(_ID),
            "session_id": str(_ID),
            "expires_at": "2026-11-21T12:30:00Z",
            "suite": "hushtag-v1",
            "phrase_salt": "A" * 22,
        }
    )
    opened = _json(json.loads(session) | {"token": f"hta_{encode_binary(_ID.bytes + bytes(32))}"}).replace(
        b'"server":"https://a.test",', b""
    )
    pin = b'{"user_id":"%s","phrase_salt":"AAAAAAAAAAAAAAAAAAAAAA"}' % str(_ID).encode()
    manifest = Manifest(1, "0.1.0", _NOW, 18, ["0001_vault"], {_ID: "00"}, {"users": TableSum(1, "2")})
    frames = [b"\0\0\0\x2a" + msgspec.msgpack.encode({"name": "n", "content_type": "t", "created_at": 1, "size": 4})]
    return {
        "canonical_phrase": sample,
        "transcript_candidates": [b"\n".join(sample[:6]), b"open sesame\nopen says me"],
        "phrase_strength": sample[::3],
        "spoken_numbers": [b"0", b"7", b"42", b"1905", b"123456", b"0012345678"],
        "wire_messages": [*_messages(), b"{}", b'{"a":' * 2000, b'{"email":"\xff"}'],
        "binary_fields": [b"", b"A", b"AA", b"AAA", b"AB", b"_-_-"],
        "problem_answers": [b"\x01" + _json(_example(kind)) for kind in MESSAGES if "Problem" in kind.__name__]
        + [b'\x15{"type":"t","title":"t","status":421,"code":"too_many_guesses","retry_after":9}'],
        "event_stream": [b"id: 1\nevent: due\ndata: {}\n\n", b": beat\r\n\r\n", b"data: a\rdata: b\r\r"],
        "client_state": [b"{}", b'{"version":2}', b'{"session":%s,"pins":{"a":%s}}' % (session, pin)],
        "account_session": [opened],
        "object_rows": _rows("suite/objects")[:6],
        "object_frames": [frames[0] + b"body", frames[0], b"", bytes(256)],
        "sealed_values": [b"", bytes(60), bytes(61)],
        "vault_heads": [bytes(112), bytes(52), bytes(84), b"\1" * 90],
        "tag_labels": [bytes(316), b"\0\0\0\2hi", b"\0\0\0\1\xff", b"\0\0\0\1ab"],
        "wrapped_keys": [bytes(40), bytes(32)],
        "large_objects": [bytes(200), _rows("suite/streams")[-1][:300]],
        "stream_indexes": [b"", bytes(32), bytes(range(96)), bytes(33)],
        "upload_headers": [b"", bytes(60), bytes(233)],
        "typed_messages": [bytes(size) for size in (16, 32, 40, 64, 96, 128, 192, 320)],
        "opaque_server": [bytes(size) for size in (32, 64, 96, 128, 192)]
        + [each for each in _rows("suite/login") if len(each) in {32, 64, 96, 192}][:5],
        "opaque_client": [
            *[each for each in _rows("suite/login") if len(each) in {64, 320}][:3],
            bytes(64),
            bytes(320),
        ],
        "ceremony_states": [bytes(32), bytes(144), bytes(288)],
        "bearer_tokens": [b"Bearer hta_" + token, b"bearer htv_" + token, b"Basic x"],
        "listing_cursors": [encode_binary(bytes(16) + msgspec.msgpack.encode(("a", 1))).encode(), b""],
        "sealed_ceremonies": [b"", bytes(44), UUID(int=9).bytes + bytes(60)],
        "key_files": [encode_key_ring(EXAMPLE_KEYS)],
        "server_settings": [
            b"port=80\nhost=::1\nsession_idle=15m\ntrusted_proxies=10.0.0.0/8, ::1",
            b"vault_lifetime=30d\nvault_idle=12h\nmetrics_token=" + b"t" * 32,
            b"log_level=WARNING\nworkers=64\npool_wait=60\ndatabase_url=postgresql:///x",
        ],
        "checkpoint_lines": [_json(line) for line in _checkpoints()],
        "backup_envelopes": [b"", bytes(88), bytes(200)],
        "backup_manifests": [write_manifest(manifest), b"\0\0\0\0", b"\xff\xff\xff\xff"],
        "import_archives": [_archive(), b"PK\x05\x06" + bytes(18)],
        "repetition_rules": [
            b"Europe/Berlin\nFREQ=WEEKLY;BYDAY=MO,FR;INTERVAL=2;COUNT=5",
            b"UTC\nFREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;UNTIL=20401231T235959Z",
            b"Asia/Tokyo\nFREQ=MONTHLY;BYDAY=-1FR;BYSETPOS=1;WKST=SU;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
            b"UTC\nFREQ=YEARLY;BYWEEKNO=53;BYDAY=TU",
            b"UTC\nFREQ=YEARLY;BYYEARDAY=-1,366",
        ],
        "time_zones": [b"UTC\n2026-03-29T02:30:00", b"Asia/Kolkata\n9999-12-31T23:59:59", b"Etc/GMT+12\n0001-01-01"],
        "headers_and_names": [
            b'"3"',
            b"*",
            b" a tag ",
            b"Expected `int` >= 1 - at `$.limit`",
            b"Object missing required field `email`",
            b"Object contains unknown field `x`",
        ],
        "vector_files": [
            b'{"format":"hushtag-vectors-1","vectors":[{"name":"n","operation":"suite.suite_by_id","given":{},'
            b'"expect":"success","expected":{}}]}',
            b'{"format":"hushtag-vectors-1","vectors":[]}',
        ],
        "client_archives": [_archive()],
    }


def files() -> dict[str, bytes]:
    """Return the seeds by their paths below the corpus."""
    made = ((name, content) for name, inputs in seeds().items() for content in inputs)
    return {f"{name}/seed-{hashlib.sha256(content).hexdigest()[:12]}": content for name, content in made}


def main() -> None:
    """Write the seeds in place of the old ones."""
    for old in CORPUS.glob("*/seed-*"):
        old.unlink()
    for name, content in files().items():
        path = CORPUS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    missing = TARGETS.keys() - seeds().keys()
    if missing:
        raise SystemExit(f"no seeds for {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main()
