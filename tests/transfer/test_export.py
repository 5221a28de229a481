"""What an export tells and what it does not; who may have one, how many at a time, and how it is sent."""

import json
import re
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from hushtag_server.streams import queries as stream_queries
from hushtag_server.transfer import exporting, segment_export
from tests.server.test_isolation import make_person
from tests.server.vault_support import new_id, open_vault, run_sql
from tests.streams.support import MIB, Streams, digest, random_bytes
from tests.transfer.support import create, export, fill, members, pack, rows, send

pytestmark = pytest.mark.anyio
UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
MOMENT = re.compile(rb"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
HASH = re.compile(rb"[0-9a-f]{64}")
MARK = re.compile(rb" [0-9a-f]{8}\.md")


def shape(archive: bytes) -> dict[str, bytes]:
    """An archive without ids and times."""

    def plain(octets: bytes) -> bytes:
        for pattern, word in ((UUID, b"ID"), (MOMENT, b"TIME"), (HASH, b"HASH"), (MARK, b" MARK.md")):
            octets = pattern.sub(word, octets)
        return octets

    def ordered(body: bytes) -> bytes:
        return b"\n".join(sorted(plain(body).splitlines()))  # rows stand in the order of their ids

    return {plain(name.encode()).decode(): ordered(body) for name, body in members(archive).items()}


async def test_an_archive_says_nothing_of_secret_tags_without_a_vault_token(app_client, sign_in, database) -> None:
    plain = await sign_in(app_client, "one@example.org")
    secret = await sign_in(app_client, "two@example.org")
    vault = await open_vault(app_client, secret)
    assert (await vault.put(new_id(), b"secret")).status_code == 201
    for who in (plain, secret):
        await create(app_client, who, "/v1/journals", {"title": "the same", "content": "in both", "tags": ["a"]})
    people = (plain, secret)
    answers = [await app_client.get("/v1/me/export", headers=who.headers) for who in people]
    one, two = (shape(answer.content) for answer in answers)
    two = {name: body.replace(b"two@example.org", b"one@example.org") for name, body in two.items()}
    assert list(one) == list(two)
    assert one == two
    headers = [
        {name: value for name, value in answer.headers.items() if name != "hushtag-request-id"} for answer in answers
    ]
    assert headers[0] == headers[1]
    everything = b"".join(members(answers[1].content).values())
    for row in run_sql(database, "SELECT id, encode(salt, 'hex'), tag_name FROM secret_tags"):
        assert not [value for value in row if str(value).encode() in everything]


async def test_nothing_that_opens_an_account_is_in_its_archive(app_client, ada, database) -> None:
    await fill(app_client, ada)
    vault = await open_vault(app_client, ada)
    assert (await vault.put(new_id(), b"x")).status_code == 201
    everything = b"".join(members(await export(app_client, ada, **{"Hushtag-Vault-Token": vault.token})).values())
    secrets = run_sql(
        database,
        "SELECT u.password_hash, encode(u.phrase_salt, 'base64'), encode(u.opaque_credential_id, 'base64'),"
        " encode(t.phrase_hash, 'base64'), encode(t.verifier_kv, 'base64'), encode(t.public_key, 'base64'),"
        " encode(substr(t.opaque_envelope, 1, 30), 'base64'), encode(substr(t.opaque_envelope, 64, 30), 'base64'),"
        " encode(s.token_hash, 'base64'), s.id::text FROM users u JOIN secret_tags t ON t.user_id = u.id"
        " JOIN user_sessions s ON s.user_id = u.id",
    )[0]
    for secret in [*secrets, ada.token, vault.token]:
        # As base64 of either alphabet, up to the last whole group.
        text = secret.rstrip("=").rstrip("\n")[:36]
        for spelling in (text, text.replace("+", "-").replace("/", "_")):
            if spelling == ada.session_id[:36]:
                continue  # the trail names the session that was opened, which its user may see
            assert spelling.encode() not in everything
    for row in run_sql(database, "SELECT encode(password_hash::bytea, 'hex') FROM users"):
        assert row[0].encode() not in everything


async def test_a_vault_token_adds_the_rows_its_phrase_opens_and_no_other(app_client, sign_in, database) -> None:
    ada = await make_person(app_client, sign_in, "ada@example.org")
    other = await open_vault(app_client, ada.account)
    assert (await other.put(new_id(), b"of another phrase")).status_code == 201
    found = members(await export(app_client, ada.account, **{"Hushtag-Vault-Token": ada.vault.token}))
    place = f"vault/{ada.vault.vault_id}"
    assert [name for name in found if name.startswith("vault/")] == [
        f"{place}/rows/{ada.object_id}",
        f"{place}/objects.ndjson",
        f"{place}/vault.json",
    ]
    assert found[f"{place}/rows/{ada.object_id}"] == bytes(ada.vault.rows[ada.object_id].encoded)
    described = json.loads(found[f"{place}/vault.json"])
    assert described["unchanged"] is True
    assert described["generation"] == ada.vault.head.generation
    assert len(described["wrapped_keys"]) == 1
    assert str(other.vault_id).encode() not in b"".join(found.values())
    # Without it, the rest is the same.
    without = members(await export(app_client, ada.account))
    assert set(found) - set(without) == {name for name in found if name.startswith("vault/")}


async def test_a_vault_token_adds_the_segments_of_large_objects(app_client, sign_in, monkeypatch) -> None:
    signed = await sign_in(app_client)
    streams = Streams(await open_vault(app_client, signed))
    bodies, second = [random_bytes(2 * MIB + 1), b"x"], random_bytes(7)
    first_id, second_id = sorted([new_id(), new_id()])
    streams_of = {}
    for object_id, segments in ((first_id, bodies), (second_id, [second])):
        streams_of[object_id] = await streams.upload(*segments)
        size = sum(map(len, segments))
        put = await streams.commit(streams_of[object_id], len(segments), size, object_id=object_id)
        assert put.status_code == 201
    await streams.upload(b"not committed")
    token, place = {"Hushtag-Vault-Token": streams.vault.token}, f"vault/{streams.vault.vault_id}"
    found = members(await export(app_client, signed, **token))
    names = [f"{place}/segments/{streams_of[first_id]}/{seq:05}" for seq in range(2)]
    names.append(f"{place}/segments/{streams_of[second_id]}/00000")
    assert [found[name] for name in names] == [*bodies, second]
    assert [name for name in found if "/segments/" in name] == names
    lines = rows(found, f"{place}/segments")
    assert [tuple(line.values()) for line in lines] == [
        (str(streams_of[object_id]), seq, len(body), digest(body), True)
        for object_id, seq, body in ((first_id, 0, bodies[0]), (first_id, 1, b"x"), (second_id, 0, second))
    ]
    objects = {line["object_id"]: line["stream_id"] for line in rows(found, f"{place}/objects")}
    assert objects == {str(object_id): str(stream_id) for object_id, stream_id in streams_of.items()}
    assert json.loads(found["manifest.json"])["counts"]["segments"] == 3
    assert (await send(app_client, signed, pack(found))).json()["vault_objects"]["skipped"] == 2
    # Whole streams, as long as they fit.
    monkeypatch.setattr(segment_export, "MAX_ARCHIVE_SEGMENT_BYTES", MIB)
    found = members(await export(app_client, signed, **token))
    assert [name for name in found if "/segments/" in name] == names[2:]
    assert [line["archived"] for line in rows(found, f"{place}/segments")] == [False, False, True]
    assert json.loads(found["manifest.json"])["counts"]["segments"] == 1


@pytest.mark.parametrize("fault", ["deleted", "damaged"])
async def test_a_large_object_that_goes_while_it_is_exported_breaks_nothing_off(
    app_client, sign_in, monkeypatch, database, fault
) -> None:
    signed = await sign_in(app_client)
    streams = Streams(await open_vault(app_client, signed))
    object_id, stream_id = new_id(), await streams.upload(random_bytes(3 * MIB), b"x")
    await streams.commit(stream_id, 2, 3 * MIB + 1, object_id=object_id)
    services, read = app_client.app.application.application.state["services"], stream_queries.read_part

    async def going(pool, place, segment_id, number):
        if number == 1 and fault == "deleted":
            await streams.vault.delete(object_id, revision=1)
            await services.remover.remove(services.pool, streams.vault.user_id)
        elif number == 1:
            run_sql(database, "DELETE FROM segment_parts WHERE part = 1")
        return await read(pool, place, segment_id, number)

    monkeypatch.setattr(stream_queries, "read_part", going)
    found = members(await export(app_client, signed, **{"Hushtag-Vault-Token": streams.vault.token}))
    place = f"vault/{streams.vault.vault_id}"
    assert len(found[f"{place}/segments/{stream_id}/00000"]) == MIB
    archived = [line["archived"] for line in rows(found, f"{place}/segments")]
    assert archived == ([False, False] if fault == "deleted" else [False, True])


@pytest.mark.parametrize(
    "kind", ["nonsense", "account token", "another user's", "another session's", "locked", "empty"]
)
async def test_a_wrong_vault_token_is_refused_like_no_token(app_client, sign_in, kind: str) -> None:
    ada = await make_person(app_client, sign_in, "ada@example.org")
    eve = await make_person(app_client, sign_in, "eve@example.org")
    who, token = ada.account, ada.vault.token
    if kind == "another session's":
        who = await sign_in(app_client, "ada@example.org")
    if kind == "locked":
        assert (await app_client.delete("/v1/vault-session", headers=ada.vault.headers)).status_code == 204
    given = {"nonsense": "x" * 68, "account token": ada.account.token, "another user's": eve.vault.token, "empty": ""}
    headers = who.headers | {"Hushtag-Vault-Token": given.get(kind, token)}
    answer = await app_client.get("/v1/me/export", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.json()["fields"][0]["field"] == "Hushtag-Vault-Token"
    assert (await app_client.get("/v1/me/export", headers=who.headers)).status_code == 200  # and holds no lease


class Reader:
    """An ASGI client that reads a response piece by piece, as slowly as it likes."""

    def __init__(self, app: Any, headers: dict[str, str]) -> None:
        self._app, self._headers = app, headers
        self._out, self._in = anyio.create_memory_object_stream[Any](0)
        self.left = anyio.Event()

    async def run(self) -> None:
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.left.wait()
            return {"type": "http.disconnect"}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/me/export",
            "raw_path": b"/v1/me/export",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "client": ("192.0.2.1", 1),
            "server": ("hushtag.test", 80),
            "asgi": {"version": "3.0"},
            "headers": [(name.lower().encode(), value.encode()) for name, value in self._headers.items()],
        }
        with self._out, self._in:
            await self._app(scope, receive, self._out.send)

    async def next(self) -> dict[str, Any]:
        with anyio.fail_after(20):
            message: dict[str, Any] = await self._in.receive()
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.left.set()  # as servers do at the end of an answer
        return message


async def test_one_export_at_a_time_and_another_after_it_ended(app_client, ada) -> None:
    await fill(app_client, ada)
    reader = Reader(app_client.app, ada.headers)
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        assert (await reader.next())["status"] == 200
        refused = await app_client.get("/v1/me/export", headers=ada.headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "transfer_running")
        assert 0 < int(refused.headers["retry-after"]) <= 120
        while (await reader.next()).get("more_body"):
            pass
    assert (await app_client.get("/v1/me/export", headers=ada.headers)).status_code == 200


async def test_a_reader_that_leaves_gives_its_place_back(app_client, ada, database) -> None:
    await fill(app_client, ada)
    reader = Reader(app_client.app, ada.headers)
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        await reader.next()
        reader.left.set()
        with anyio.fail_after(20):
            while run_sql(database, "SELECT kind FROM transfers"):
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert (await app_client.get("/v1/me/export", headers=ada.headers)).status_code == 200


async def test_a_lease_whose_worker_died_runs_out(app_client, ada, database) -> None:
    insert = (
        "INSERT INTO transfers (user_id, kind, lease_id, until) VALUES (%s, 'export', gen_random_uuid(), now() + %s)"
    )
    run_sql(database, insert, ada.user_id, timedelta(seconds=30))
    assert (await app_client.get("/v1/me/export", headers=ada.headers)).status_code == 429
    run_sql(database, "UPDATE transfers SET until = now()")
    assert (await app_client.get("/v1/me/export", headers=ada.headers)).status_code == 200


async def test_a_session_that_ends_meanwhile_ends_the_export_without_a_directory(
    app_client, ada, database, monkeypatch
) -> None:
    monkeypatch.setattr(exporting, "_ROWS", 2)
    await fill(app_client, ada)
    reader = Reader(app_client.app, ada.headers)
    received = bytearray()
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        await reader.next()
        received += (await reader.next())["body"]
        run_sql(database, "DELETE FROM user_sessions")
        while (message := await reader.next()).get("more_body"):
            received += message["body"]
    assert b"PK\x05\x06" not in received
    assert run_sql(database, "SELECT kind FROM transfers") == []


@pytest.fixture
async def hasty(serve_in_process, settings, keys, app_client, ada) -> Any:
    """The same database under a server whose requests may take two seconds; ada is signed in already."""
    async with serve_in_process(replace(settings, request_timeout=timedelta(seconds=2)), keys) as client:
        yield client


async def test_an_export_may_take_longer_than_a_request_while_it_goes_on(app_client, ada, hasty, monkeypatch) -> None:
    monkeypatch.setattr(exporting, "_ROWS", 1)
    monkeypatch.setattr(exporting, "_PIECE", 256)
    await fill(app_client, ada)
    reader = Reader(hasty.app, ada.headers)
    received, began = bytearray(), time.monotonic()
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        await reader.next()
        while (message := await reader.next()).get("more_body"):
            received += message["body"]
            if time.monotonic() - began < 4:
                await anyio.sleep(0.05)  # a slow reader: the time itself is what is tested
    assert time.monotonic() - began > 4
    assert len(rows(members(bytes(received)), "journals")) == 12


async def test_a_reader_that_stands_still_is_cut_off(ada, hasty, database) -> None:
    reader = Reader(hasty.app, ada.headers)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(reader.run)
            await reader.next()  # and nothing more: the request's deadline ends it
        while run_sql(database, "SELECT kind FROM transfers"):
            await anyio.sleep(0.01)


async def test_what_changes_meanwhile_is_in_the_archive_before_or_after_and_never_torn(
    app_client, ada, monkeypatch
) -> None:
    monkeypatch.setattr(exporting, "_ROWS", 1)
    ids = []
    for number in range(12):
        entry = {"title": f"old {number}", "content": f"old {number}"}
        ids.append((await create(app_client, ada, "/v1/journals", entry))["id"])
    reader = Reader(app_client.app, ada.headers)
    received = bytearray()
    async with anyio.create_task_group() as group:
        group.start_soon(reader.run)
        await reader.next()
        for number, changed in enumerate(ids):
            received += (await reader.next())["body"]
            change = {"title": f"new {number}", "content": f"new {number}"}
            headers = ada.headers | {"If-Match": "*"}
            assert (await app_client.patch(f"/v1/journals/{changed}", json=change, headers=headers)).status_code == 200
        while (message := await reader.next()).get("more_body"):
            received += message["body"]
    found = members(bytes(received))
    entries = rows(found, "journals")
    assert sorted(entry["id"] for entry in entries) == sorted(ids)
    for entry in entries:
        assert entry["title"] == entry["content"]
        (markdown,) = [body for name, body in found.items() if name.endswith(".md") and entry["id"].encode() in body]
        assert f'title: "{entry["title"]}"'.encode() in markdown
        assert markdown.endswith(entry["content"].encode() + b"\n")


async def test_markdown_names_are_safe_unique_and_bounded(app_client, ada) -> None:
    await fill(app_client, ada)
    twins = ["1b4e28ba-2fa1-41d2-883f-0016d3cca427", "1b4e28ba-2fa1-41d2-883f-0016d3cca428"]
    for number, twin in enumerate(twins):
        entry = {"id": twin, "title": "twin" if number else "TWIN", "entry_date": "2026-05-05"}
        await create(app_client, ada, "/v1/journals", entry)
    names = [name for name in members(await export(app_client, ada)) if name.startswith("markdown/")]
    assert len({name.casefold() for name in names}) == len(names) == 14
    pattern = r"markdown/(deleted/)?\d{4}/\d{4}-\d\d-\d\d [^/\\:*?\"<>|\x00-\x1f\u202e]+ [0-9a-f-]{8,36}\.md"
    for name in names:
        assert re.fullmatch(pattern, name), name
        assert len(name.encode()) <= 255
    assert "markdown/2026/2026-05-05 TWIN 1b4e28ba.md" in names
    assert f"markdown/2026/2026-05-05 twin {twins[1]}.md" in names
    assert any(name.startswith("markdown/deleted/") for name in names)


async def test_an_empty_account_has_every_kind_of_member(app_client, ada) -> None:
    found = members(await export(app_client, ada))
    assert [name for name in found if not name.startswith("audit/")] == [
        "account.json",
        "tags.ndjson",
        "journals/00001.ndjson",
        "reminders/00001.ndjson",
        "SHA256SUMS",
        "manifest.json",
    ]


async def test_an_export_shows_in_the_trail(app_client, ada, database) -> None:
    await export(app_client, ada)
    trail = run_sql(
        database,
        "SELECT action, old_values ->> 'kind', new_values ->> 'kind' FROM audit_logs"
        " WHERE table_name = 'transfers' ORDER BY created_at",
    )
    assert trail == [("CREATE", None, "export"), ("DELETE", "export", None)]
