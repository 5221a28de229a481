"""Archives made to hurt: every one is refused with a plain problem, and nothing is written."""

import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from hushtag_server.errors import MalformedRequestError
from hushtag_server.problems import PROBLEMS
from hushtag_server.transfer import zip_reader
from hushtag_server.transfer.archive import Archive
from tests.server.vault_support import run_sql
from tests.transfer.support import ZIP, export, fill, members, pack, rows, send

pytestmark = pytest.mark.anyio
PART = "journals/00001.ndjson"
Change = Callable[[dict[str, bytes]], dict[str, bytes]]


@pytest.fixture
async def archive(app_client: Any, ada: Any) -> bytes:
    await fill(app_client, ada)
    return await export(app_client, ada)


def counted(database: Any, who: Any) -> list[Any]:
    kinds = ("journals", "tags", "reminders", "user_settings", "transfers")
    return [run_sql(database, f"SELECT count(*) FROM {kind} WHERE user_id = %s", who.user_id) for kind in kinds]


def line(found: dict[str, bytes], name: str, **changed: Any) -> dict[str, bytes]:
    """Change fields of the first line of a part; a value of `...` removes the field."""
    first, *rest = found[name].splitlines()
    row = json.loads(first) | changed
    row = {field: value for field, value in row.items() if value is not ...}
    return found | {name: b"\n".join([json.dumps(row).encode(), *rest, b""])}


WHAT = "journals/00001.ndjson:1 "
REMINDER = "reminders/00001.ndjson"
ONE = f"{REMINDER}:1 "


def of_another_format(found: dict[str, bytes]) -> dict[str, bytes]:
    return found | {"manifest.json": found["manifest.json"].replace(b"archive/1", b"archive/9")}


def without(found: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {each: body for each, body in found.items() if each != name}


LINES: list[tuple[Change, str, str]] = [
    (lambda found: line(found, PART, mood_rating=11), f"{WHAT}$.mood_rating", "must be 10 or less"),
    (lambda found: line(found, PART, mood_rating="5"), f"{WHAT}$.mood_rating", "must be a whole number or null"),
    (lambda found: line(found, PART, title=...), f"{WHAT}$.title", "is required"),
    (lambda found: line(found, PART, user_id="x"), f"{WHAT}$", "must have no other fields than id, title,"),
    (lambda found: line(found, PART, title="a\x00b"), f"{WHAT}$.title", "must be text without the character NUL"),
    (lambda found: line(found, PART, content="x" * 100_001), f"{WHAT}$.content", "must have at most 100000 characters"),
    (lambda found: line(found, PART, tags=["  "]), f"{WHAT}$.tags[0]", "must have 1 to 100 characters"),
    (lambda found: line(found, PART, created_at="0001-01-01T00:00:00Z"), f"{WHAT}$.created_at", "in the years"),
    (
        lambda found: line(found, PART, created_at="2026-01-01T00:00:00"),
        f"{WHAT}$.created_at",
        "must be a time with its zone",
    ),
    (lambda found: line(found, PART, id="no"), f"{WHAT}$.id", "must be a UUID"),
    (lambda found: found | {PART: b"\xff\n" + found[PART]}, WHAT.strip(), "must be JSON in UTF-8"),
    (lambda found: found | {PART: b'{"title":"\\ud800"}\n'}, WHAT.strip(), "must be JSON in UTF-8"),
    (lambda found: found | {PART: b"[" * 100_000}, WHAT.strip(), "must be"),
    (lambda found: found | {PART: b" " * 1_200_000}, PART, "must have lines of at most 1048576 bytes"),
    (lambda found: line(found, REMINDER, time_zone="Mars/Base"), f"{ONE}$.time_zone", "IANA"),
    (lambda found: line(found, REMINDER, repeat_pattern="FREQ=NEVER"), f"{ONE}$.repeat_pattern", "must be"),
    (
        lambda found: line(found, REMINDER, reminder_time="1200-01-01T00:00:00Z"),
        f"{ONE}$.reminder_time",
        "years",
    ),
    (
        lambda found: line(found, REMINDER, is_completed=True, completed_at=None),
        f"{ONE}$.completed_at",
        "must be",
    ),
    (
        lambda found: line(found, REMINDER, occurrence_time="1999-01-01T00:00:00"),
        f"{ONE}$.occurrence_time",
        "mu",
    ),
    (
        lambda found: line(found, REMINDER, occurrence_number=2**31),
        f"{ONE}$.occurrence_number",
        "must be 2147483647 or less",
    ),
    (
        lambda found: line(found, REMINDER, occurrence_number=2**31 - 1),
        f"{ONE}$.occurrence_number",
        "must not be more",
    ),
    (lambda found: found | {"account.json": b"{}"}, "account.json $.email", "is required"),
    (
        lambda found: of_another_format(found),
        "manifest",
        "hus",
    ),
    (
        lambda found: without(found, "tags.ndjson"),
        "$",
        "must have a member tags.ndjson",
    ),
    (lambda found: found | {"evil.exe": b"x"}, "$", "no other members"),
    (lambda found: found | {"markdown/../../x": b"x"}, "$", "plain relative names"),
    (lambda found: found | {"/etc/passwd": b"x"}, "$", "plain relative names"),
    (lambda found: found | {"markdown\\..\\x": b"x"}, "$", "plain relative names"),
    (lambda found: found | {"markdown/" + "n" * 500: b"x"}, "$", "names of at most 400 bytes"),
]


@pytest.mark.parametrize("case", range(len(LINES)))
async def test_a_row_that_breaks_a_rule_is_named_and_nothing_is_written(
    app_client, bob, archive, database, case: int
) -> None:
    change, field, rule = LINES[case]
    answer = await send(app_client, bob, pack(change(members(archive))))
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "malformed_request"
    named = answer.json()["fields"][0]
    assert named["field"].startswith(field), named
    assert rule in named["rule"], named
    assert counted(database, bob) == [[(0,)]] * 5


async def test_at_most_twenty_faults_are_named(app_client, bob, archive) -> None:
    found = members(archive)
    found[PART] = b"{}\n" * 1000
    assert len((await send(app_client, bob, pack(found))).json()["fields"]) == 20


async def test_a_part_that_is_missing_is_refused(app_client, bob, archive) -> None:
    # Not by `pack`, which would make sums that do not name it.
    answer = await send(app_client, bob, pack(without(members(archive), PART), sums=False))
    assert answer.json()["fields"] == [{"field": PART, "rule": "must be there, as SHA256SUMS names it"}]


async def test_content_that_does_not_have_its_checksum_is_refused(app_client, bob, archive) -> None:
    found = members(archive)
    for name in (PART, "tags.ndjson", "account.json", "SHA256SUMS"):
        changed = found | {name: found[name].replace(b"a", b"b")}
        answer = await send(app_client, bob, pack(changed, sums=False))
        assert (answer.status_code, answer.json()["fields"][0]["field"]) == (400, name)
        assert "checksum" in answer.json()["fields"][0]["rule"]


def flagged(archive: bytes, flag: int) -> bytes:
    """Set a flag in every header."""
    changed = bytearray(archive)
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := archive.find(mark, at + 1)) >= 0:
            changed[at + place] |= flag
    return bytes(changed)


def linked(found: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        member = zipfile.ZipInfo("markdown/link")
        member.external_attr = 0o120777 << 16
        made.writestr(member, "/etc/passwd")
        for name, body in found.items():
            made.writestr(name, body)
    return target.getvalue()


def doubled(found: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name in found:
            made.writestr(name, found[name])
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr(PART, found[PART])
    return target.getvalue()


def nested(found: dict[str, bytes]) -> bytes:
    return pack(found | {PART: pack(found)})


def packed_with(found: dict[str, bytes], method: int) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        for name, body in found.items():
            made.writestr(name, body)
    return target.getvalue()


SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "no zip": lambda _: b"no archive at all",
    "empty zip": lambda _: b"PK\x05\x06" + bytes(18),
    "encrypted": lambda archive: flagged(archive, 1),
    "link": lambda archive: linked(members(archive)),
    "twice": lambda archive: doubled(members(archive)),
    "nested": lambda archive: nested(members(archive)),
    "bzip2": lambda archive: packed_with(members(archive), zipfile.ZIP_BZIP2),
    "before": lambda archive: b"#!/bin/sh\n" + archive,
    "after": lambda archive: archive + b"more",
    "two of them": lambda archive: archive + archive,
    "entries that are not there": lambda archive: archive[:-12] + struct.pack("<2L2H", 2**32 - 1, 0, 0, 0),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_is_no_archive_of_ours_is_refused(app_client, bob, archive, database, shape: str) -> None:
    answer = await send(app_client, bob, SHAPES[shape](archive))
    assert answer.status_code == 400, answer.text
    assert counted(database, bob) == [[(0,)]] * 5


def bomb(found: dict[str, bytes], size: int) -> bytes:
    """An archive whose one part inflates to `size` bytes, written without holding them."""
    target, digest, piece = io.BytesIO(), hashlib.sha256(), b"\n" * 2**20
    for _ in range(size // len(piece)):
        digest.update(piece)
    lines = [f"{digest.hexdigest()}  {PART}"]
    lines += [f"{hashlib.sha256(found[name]).hexdigest()}  {name}" for name in ("account.json", "tags.ndjson")]
    sums = ("\n".join(lines) + "\n").encode()
    manifest = json.loads(found["manifest.json"]) | {"sums_sha256": hashlib.sha256(sums).hexdigest()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        with made.open(PART, "w") as part:
            for _ in range(size // len(piece)):
                part.write(piece)
        made.writestr("SHA256SUMS", sums)
        made.writestr("manifest.json", json.dumps(manifest))
        for name in ("account.json", "tags.ndjson"):
            made.writestr(name, found[name])
    return target.getvalue()


def inflated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes that are inflated from now on."""
    seen: list[int] = []
    original = zip_reader._inflated

    def counting(*given: Any) -> Any:
        for chunk in original(*given):
            seen.append(len(chunk))
            yield chunk

    monkeypatch.setattr(zip_reader, "_inflated", counting)
    return seen


async def test_a_bomb_is_refused_by_what_it_announces_before_anything_is_inflated(
    app_client, bob, archive, monkeypatch
) -> None:
    seen = inflated(monkeypatch)
    large = bomb(members(archive), 65 * 2**20)
    answer = await send(app_client, bob, large)
    assert answer.json()["fields"] == [{"field": PART, "rule": "must have at most 67108864 bytes when inflated"}]
    assert seen == []


async def test_many_parts_that_inflate_much_more_than_their_size_are_refused(
    app_client, bob, archive, monkeypatch
) -> None:
    seen = inflated(monkeypatch)
    found = {f"journals/{number:05}.ndjson": b"\n" * (32 * 2**20) for number in range(1, 5)}
    answer = await send(app_client, bob, pack(members(archive) | found))
    assert "250 times" in answer.json()["fields"][0]["rule"]
    assert seen == []


async def test_a_member_that_says_less_than_it_inflates_to_is_cut_off(app_client, bob, archive, monkeypatch) -> None:
    seen = inflated(monkeypatch)
    large = bytearray(bomb(members(archive), 32 * 2**20))
    at = large.find(b"PK\x01\x02")
    large[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    answer = await send(app_client, bob, bytes(large))
    assert answer.status_code == 400
    assert sum(seen) < 2**20


async def test_members_over_the_same_bytes_are_refused(app_client, bob, archive) -> None:
    found = members(archive)
    made = bytearray(pack(found | {"journals/00002.ndjson": found[PART]}))
    first = made.find(b"PK\x01\x02")
    entries = {}
    while first >= 0:
        size = int.from_bytes(made[first + 28 : first + 30], "little")
        entries[bytes(made[first + 46 : first + 46 + size]).decode()] = first
        first = made.find(b"PK\x01\x02", first + 46)
    one, other = entries[PART], entries["journals/00002.ndjson"]
    made[other + 42 : other + 46] = made[one + 42 : one + 46]
    assert (await send(app_client, bob, bytes(made))).status_code == 400


def outcome(archive: bytes) -> str:
    """Check an archive as an import does: `fine`, or the rule it breaks; anything else escapes and fails the test."""
    try:
        Archive(io.BytesIO(archive), len(archive)).check()
    except MalformedRequestError as error:
        return (error.fields or [])[0].rule
    return "fine"


async def test_an_archive_cut_anywhere_is_refused(archive) -> None:
    assert outcome(archive) == "fine"
    for cut in [*range(0, len(archive), 997), *range(len(archive) - 200, len(archive))]:
        assert outcome(archive[:cut]) != "fine", cut


async def test_every_flipped_bit_of_a_name_in_the_directory_is_refused_or_harmless(archive) -> None:
    titles = [row["title"] for row in rows(members(archive), "journals")]
    start = archive.index(PART.encode(), archive.index(b"PK\x01\x02"))
    for place in range(start - 46, start + len(PART)):
        for bit in range(8):
            changed = bytearray(archive)
            changed[place] ^= 1 << bit
            if outcome(bytes(changed)) == "fine":
                opened = Archive(io.BytesIO(changed), len(changed))
                opened.check()
                assert [row.message.title for row in opened.journals()] == titles


async def test_flipped_bits_are_refused_or_harmless(archive) -> None:
    dice, fine = random.Random(20261121), 0
    titles = [row["title"] for row in rows(members(archive), "journals")]
    for _ in range(1500):
        changed = bytearray(archive)
        for _ in range(dice.choice([1, 1, 1, 4, 40])):
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        octets = bytes(changed)
        if outcome(octets) == "fine":
            # Only where nothing is read: Markdown, the audit trail's checksum holds, times and comments.
            opened = Archive(io.BytesIO(octets), len(octets))
            opened.check()
            assert [row.message.title for row in opened.journals()] == titles
            fine += 1
    assert 0 < fine < 1200


async def test_any_bytes_over_http_are_a_problem(app_client, bob, archive) -> None:
    dice = random.Random(7)
    for _ in range(40):
        at, length = dice.randrange(len(archive)), dice.randrange(1, 400)
        octets = archive[:at] + dice.randbytes(length) + archive[at + dice.choice([0, length]) :]
        answer = await send(app_client, bob, octets)
        assert answer.status_code in {200, 400}, answer.text
        if answer.status_code == 400:
            assert PROBLEMS[answer.json()["code"]].status == 400


async def test_an_archive_packed_anew_by_another_program_is_taken(app_client, bob, archive) -> None:
    found = members(archive)
    names = ["markdown/", *sorted(found, reverse=True)]
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as made:
        for name in names:
            made.writestr(name, found.get(name, b""))
        made.comment = b"packed anew"
    assert (await send(app_client, bob, target.getvalue())).status_code == 200


async def test_other_types_and_sizes_are_refused(serve_in_process, settings, keys, sign_in) -> None:
    from dataclasses import replace

    async with serve_in_process(replace(settings, max_import_bytes=2000), keys) as client:
        ada = await sign_in(client)
        answer = await send(client, ada, bytes(2001))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert answer.json()["fields"] == [{"field": "body", "rule": "must have at most 2000 bytes"}]
        headers = ada.headers | ZIP | {"Content-Type": "application/json"}
        answer = await client.post("/v1/me/import", content=b"{}", headers=headers)
        assert answer.status_code == 415
        answer = await client.post("/v1/me/import", content=b"x", headers=ZIP)
        assert answer.status_code == 401


async def test_too_many_tags_are_refused_before_anything_is_written(app_client, bob, archive, database) -> None:
    run_sql(
        database,
        "INSERT INTO tags (user_id, name) SELECT %s, 'mine ' || n FROM generate_series(1, 998) n",
        bob.user_id,
    )
    before = counted(database, bob)
    answer = await send(app_client, bob, archive)
    assert (answer.status_code, answer.json()["code"]) == (409, "limit_reached")
    assert counted(database, bob) == before


def test_deflated_data_that_goes_on_is_refused() -> None:
    squeezed = zlib.compressobj(wbits=-15)
    octets = squeezed.compress(b"x" * 1000) + squeezed.flush() + b"rest"
    member = zip_reader.Member("tags.ndjson", 0, 8, zlib.crc32(b"x" * 1000), len(octets), 1000)
    head = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, 0, 0, 11, 0) + b"tags.ndjson"
    with pytest.raises(MalformedRequestError):
        list(zip_reader.read_member(io.BytesIO(head + octets), member))
