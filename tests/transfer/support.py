"""What the tests of export and import share: filling an account, reading and making archives."""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

ZIP = {"Content-Type": "application/zip"}
LONG = 'Zeile 🌲\n"quoted" \\ back\u2028slash\t' * 3500
TITLES = [
    "Ein Spaziergang",
    "../../etc/passwd",
    "a/b\\c:d*?<>|",
    "…",
    "日記 📓",
    "x" * 500,
    ".hidden ",
    "\u202egnp.exe",
    "CON",
]


async def create(client: httpx.AsyncClient, who: Any, path: str, message: dict[str, Any]) -> Any:
    answer = await client.post(path, json=message, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def fill(client: httpx.AsyncClient, who: Any) -> None:
    """Give an account every kind of content."""
    changes = {"first_name": "Ada", "last_name": "Lövelace"}
    assert (await client.patch("/v1/account", json=changes, headers=who.headers)).status_code == 200
    wanted = {"time_zone": "Europe/Berlin", "language": "german", "theme": "dark"}
    assert (await client.patch("/v1/account/settings", json=wanted, headers=who.headers)).status_code == 200
    await create(client, who, "/v1/account/consents", {"document": "terms", "version": "2026-01"})
    for number, title in enumerate(TITLES):
        entry = {
            "title": title,
            "content": None if number == 0 else f"{title}\n\n--- *a* & <b>",
            "tags": ["Wald", "Übung"],
        }
        entry |= {"mood_rating": number + 1, "is_private": bool(number % 2), "entry_date": f"2026-0{number + 1}-21"}
        await create(client, who, "/v1/journals", entry)
    await create(client, who, "/v1/journals", {"title": "long", "content": LONG[:100_000], "tags": []})
    published = {"title": "published", "published_at": "2026-02-03T04:05:06.789012+02:00", "content": ""}
    await create(client, who, "/v1/journals", published)
    gone = await create(client, who, "/v1/journals", {"title": "deleted", "tags": ["only here"]})
    answer = await client.delete(f"/v1/journals/{gone['id']}", headers=who.headers | {"If-Match": "*"})
    assert answer.status_code == 204, answer.text
    await create(client, who, "/v1/journal-tags", {"name": "unused", "color": "#12aB00"})
    soon = datetime.now(UTC) + timedelta(hours=1)
    await create(client, who, "/v1/reminders", {"title": "once", "reminder_time": soon.isoformat(), "priority": 5})
    again = {"title": "täglich", "description": "x\ny", "repeat_pattern": "FREQ=DAILY;COUNT=5"}
    again |= {"reminder_time": soon.isoformat(), "time_zone": "America/New_York"}
    made = await create(client, who, "/v1/reminders", again)
    for action, message in (("complete", None), ("reopen", None), ("snooze", {"minutes": 90}), ("complete", None)):
        answer = await client.post(f"/v1/reminders/{made['id']}/{action}", json=message, headers=who.headers)
        assert answer.status_code == 200, answer.text


async def export(client: httpx.AsyncClient, who: Any, **headers: str) -> bytes:
    answer = await client.get("/v1/me/export", headers=who.headers | headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return answer.content


async def send(client: httpx.AsyncClient, who: Any, archive: bytes) -> httpx.Response:
    return await client.post("/v1/me/import", content=archive, headers=who.headers | ZIP)


def members(archive: bytes) -> dict[str, bytes]:
    """Every member in order; zipfile checks each CRC-32."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = opened.namelist()
        assert len(names) == len(set(names))
        return {name: opened.read(name) for name in names}


def rows(found: dict[str, bytes], kind: str) -> list[dict[str, Any]]:
    names = [name for name in found if name == f"{kind}.ndjson" or (name.startswith(f"{kind}/") and name.endswith("n"))]
    return [json.loads(line) for name in names for line in found[name].splitlines()]


def pack(found: dict[str, bytes], *, sums: bool = True, **options: Any) -> bytes:
    """Make an archive of these members, with checksums that are right unless `sums` is false."""
    found = dict(found)
    if sums:
        listed = [name for name in found if name not in {"SHA256SUMS", "manifest.json"}]
        lines = (f"{hashlib.sha256(found[name]).hexdigest()}  {name}\n" for name in listed)
        found["SHA256SUMS"] = "".join(lines).encode()
        manifest = json.loads(found["manifest.json"])
        manifest["sums_sha256"] = hashlib.sha256(found["SHA256SUMS"]).hexdigest()
        found["manifest.json"] = json.dumps(manifest).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, **options) as made:
        for name, body in found.items():
            made.writestr(name, body)
    return target.getvalue()
