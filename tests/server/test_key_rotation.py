"""Rotating the server's keys: nobody is logged out, tags move at their unlock, and nothing tells where a tag is."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import psycopg
import pytest
from click.testing import CliRunner

from hushtag.duress import Verdict
from hushtag.errors import AuthenticationError
from hushtag.messages import Located, MoveTag, TagMoved, Unlocked, UnlockStarted, encode_binary
from hushtag.unlock import start_unlock
from hushtag_server.cli import main
from hushtag_server.errors import StartError
from hushtag_server.keyfile import KeyRing, encode_key_ring, ensure_keys, load_keys
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.key_sets import key_status, retire_keys, rotate_keys
from hushtag_server.operation.reach import Reached
from hushtag_server.settings import Settings
from tests.server.vault_support import (
    OpenedVault,
    enrol,
    new_id,
    new_password,
    order,
    prove,
    run_sql,
    same_password,
    send,
    send_enrolment,
    unlock,
    until_waiting,
)

pytestmark = pytest.mark.anyio
FINISH, MOVE = "/v1/unlock/finish", "/v1/unlock/move"


class Rotating:
    """A server that is started anew with the keys as they are now, on one database."""

    def __init__(
        self, settings: Settings, serve: Any, stack: AsyncExitStack, reached: Reached, make_setup: Any
    ) -> None:
        self.settings, self._serve, self._stack = settings, serve, stack
        self.reached, self.make_setup = reached, make_setup

    async def client(self) -> httpx.AsyncClient:
        ring = load_keys(self.settings)
        client: httpx.AsyncClient = await self._stack.enter_async_context(self._serve(self.settings, ring))
        return client

    async def rotate(self, **options: Any) -> httpx.AsyncClient:
        rotate_keys(self.settings, self.reached, self.make_setup, **options)
        return await self.client()

    def tags(self) -> list[int]:
        return [row.tags for row in key_status(self.settings, self.reached)]


@pytest.fixture
async def server(settings: Settings, keys: KeyRing, database: Any, serve_in_process: Any, make_setup: Any) -> Any:
    async with AsyncExitStack() as stack:
        yield Rotating(settings, serve_in_process, stack, Reached(database.owner_url), make_setup)


async def finish(client: httpx.AsyncClient, account: Any, password: Any) -> tuple[Unlocked, OpenedVault]:
    finishing = await prove(client, account.headers, password)
    answer = await send(client, account.headers, FINISH, finishing.message)
    assert answer.status_code == 200, answer.text
    unlocked = msgspec.json.decode(answer.content, type=Unlocked)
    tag = finishing.finish(unlocked)
    return unlocked, OpenedVault(client, UUID(account.user_id), tag, tag.vaults[0].head)


async def move(client: httpx.AsyncClient, opened: OpenedVault, **changed: Any) -> httpx.Response:
    assert opened.tag.move is not None
    message = msgspec.structs.replace(opened.tag.move.finish(opened.tag.vaults, "a phrase", {}).message, **changed)
    return await send(client, opened.headers, MOVE, message)


async def test_a_tag_moves_at_its_next_unlock_and_everything_stays(
    server: Rotating, sign_in: Any, database: Any
) -> None:
    client = await server.client()
    account = await sign_in(client)
    phrase = new_password()
    await enrol(client, account.headers, phrase)
    opened = await unlock(client, account, phrase)
    object_id = new_id()
    assert (await opened.put(object_id, b"kept")).status_code == 201
    old = load_keys(server.settings)
    client = await server.rotate()
    # Nobody was logged out, and what was open stays open.
    assert (await client.get("/v1/account", headers=account.headers)).status_code == 200
    assert (await client.get(opened.url(object_id), headers=opened.headers)).status_code == 200
    assert server.tags() == [1, 0]
    _, again = await finish(client, account, same_password(phrase))
    assert again.tag.candidate == 0
    answer = await move(client, again)
    assert msgspec.json.decode(answer.content, type=TagMoved).tag_id == again.tag.tag_id
    assert server.tags() == [0, 1]
    # Under the new setup alone, and the old one can go.
    retire_keys(server.settings, server.reached, old.current.id)  # type: ignore[union-attr]
    client = await server.client()
    unlocked, moved = await finish(client, account, phrase)
    assert unlocked.move is None
    assert moved.head.generation == 3
    assert moved.head.object_count == 1
    row = await client.get(moved.url(object_id), headers=moved.headers)
    assert row.status_code == 200


async def test_what_a_duress_phrase_has_ordered_holds_when_it_moves(
    server: Rotating, sign_in: Any, database: Any
) -> None:
    client = await server.client()
    account = await sign_in(client)
    real, duress = new_password(), new_password()
    for phrase in (real, duress):
        await enrol(client, account.headers, phrase)
    target = await unlock(client, account, real)
    assert (await order(target, account, duress, Verdict.LOCK_PHRASE_DAY)).status_code == 204
    tickets = "SELECT tag_id, place, ticket, created_at, updated_at FROM tag_orders ORDER BY 1, 2"
    before = run_sql(database, tickets)
    client = await server.rotate()
    _, opened = await finish(client, account, duress)
    assert run_sql(database, "SELECT count(*) FROM locked_tags") == [(1,)]
    run_sql(database, "UPDATE secret_tags t SET phrase_hash = l.phrase_hash FROM locked_tags l WHERE l.tag_id = t.id")
    run_sql(database, "DELETE FROM locked_tags")
    assert (await move(client, opened)).status_code == 200
    after = run_sql(database, tickets)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [(old[:2], old[3:]) for old, _ in changed] == [(new[:2], new[3:]) for _, new in changed]
    assert [old[0] for old, _ in changed] == [target.tag.tag_id]
    await finish(client, account, duress)
    with pytest.raises(AuthenticationError):
        await prove(client, account.headers, real)


async def test_an_offer_is_good_once_for_its_own_session_and_tag(server: Rotating, sign_in: Any, database: Any) -> None:
    client = await server.client()
    account = await sign_in(client)
    first, second = new_password(), new_password()
    for phrase in (first, second):
        await enrol(client, account.headers, phrase)
    client = await server.rotate()
    _, one = await finish(client, account, first)
    _, again = await finish(client, account, first)
    _, other = await finish(client, account, second)
    message = one.tag.move.finish(one.tag.vaults, "x", {}).message  # type: ignore[union-attr]
    before = run_sql(database, "SELECT id, phrase_hash, server_key_id FROM secret_tags ORDER BY id")
    for headers in (again.headers, other.headers):  # another session of the tag, another tag
        assert (await send(client, headers, MOVE, message)).status_code == 401
    assert (await send(client, account.headers, MOVE, message)).status_code == 401
    for state in ("A", encode_binary(bytes(92)), other.tag.move._offer):  # type: ignore[union-attr]
        altered = msgspec.structs.replace(message, state=state)
        assert (await send(client, one.headers, MOVE, altered)).status_code == 401
    assert run_sql(database, "SELECT id, phrase_hash, server_key_id FROM secret_tags ORDER BY id") == before
    seals = run_sql(database, "SELECT tag_id, seal FROM tag_seals ORDER BY tag_id")
    assert (await send(client, one.headers, MOVE, message)).status_code == 200
    assert (await send(client, one.headers, MOVE, message)).status_code in {401, 409}  # repeated
    assert (await move(client, again)).status_code in {401, 409}  # what another session prepared before
    # The seal stays the tag's own, so that older backups open as long as the tag lives.
    assert run_sql(database, "SELECT tag_id, seal FROM tag_seals ORDER BY tag_id") == seals
    assert (await unlock(client, account, first)).tag.tag_id == one.tag.tag_id
    assert (await unlock(client, account, second)).tag.tag_id == other.tag.tag_id


async def test_a_move_takes_every_key_or_none(server: Rotating, sign_in: Any, database: Any) -> None:
    client = await server.client()
    account = await sign_in(client)
    phrase = new_password()
    await enrol(client, account.headers, phrase)
    client = await server.rotate()
    for step in ("a key more", "a newer generation", "shredded"):
        _, opened = await finish(client, account, phrase)
        if step == "a key more":
            run_sql(
                database,
                "INSERT INTO wrapped_keys (user_id, tag_id, vault_id, wrapped_key, key_version)"
                " SELECT user_id, tag_id, vault_id, wrapped_key, 2 FROM wrapped_keys",
            )
        elif step == "a newer generation":
            assert (await opened.put(new_id(), b"meanwhile")).status_code == 201
        else:
            run_sql(database, "DELETE FROM tag_seals")
        before = run_sql(database, "SELECT t::text, w::text FROM secret_tags t JOIN wrapped_keys w ON w.tag_id = t.id")
        assert (await move(client, opened)).status_code == (401 if step == "shredded" else 409)
        after = run_sql(database, "SELECT t::text, w::text FROM secret_tags t JOIN wrapped_keys w ON w.tag_id = t.id")
        assert after == before
        run_sql(database, "DELETE FROM wrapped_keys WHERE key_version = 2")
    assert run_sql(database, "SELECT count(*) FROM tag_seals") == [(0,)]


async def test_a_moved_record_must_belong_to_its_phrase_hash(server: Rotating, sign_in: Any) -> None:
    client = await server.client()
    account = await sign_in(client)
    phrase = new_password()
    await enrol(client, account.headers, phrase)
    client = await server.rotate()
    _, opened = await finish(client, account, phrase)
    message: MoveTag = opened.tag.move.finish(opened.tag.vaults, "x", {}).message  # type: ignore[union-attr]
    for changed in (
        {"phrase_hash": encode_binary(bytes(16))},
        {"record": encode_binary(bytes(192))},
        {"vaults": message.vaults * 2},
    ):
        answer = await send(client, opened.headers, MOVE, msgspec.structs.replace(message, **changed))
        assert answer.status_code == 400, answer.text
    assert server.tags() == [1, 0]


def _shape(answer: httpx.Response) -> tuple[int, set[str], int]:
    return answer.status_code, set(answer.headers), len(answer.content)


async def test_no_answer_tells_under_which_setup_a_tag_is_nor_whether_there_is_one(
    server: Rotating, sign_in: Any, database: Any
) -> None:
    """P6 and P7 while setups are mixed: old tag, new tag, no tag, wrong phrase: one shape, one guess."""
    client = await server.client()
    people = {name: await sign_in(client, f"{name}@example.org") for name in ("old", "new", "none")}
    phrases = {name: new_password() for name in people}
    await enrol(client, people["old"].headers, phrases["old"])
    client = await server.rotate()
    await enrol(client, people["new"].headers, phrases["new"])
    assert server.tags() == [1, 1]
    run_sql(database, "UPDATE unlock_budget SET tokens = 10, refilled_at = now()")
    shapes = []
    for name in ("old", "new", "none", "old"):
        locating = start_unlock([phrases[name] if (shapes and len(shapes) < 3) or not shapes else new_password()])
        located = await send(client, people[name].headers, "/v1/unlock/locate", locating.message)
        answer = msgspec.json.decode(located.content, type=Located)
        assert len(answer.responses) == 2
        proving = locating.finish(answer)
        assert len(proving.message.candidates) == 2
        started = await send(client, people[name].headers, "/v1/unlock/start", proving.message)
        shapes.append((_shape(located), _shape(started)))
        assert len(msgspec.json.decode(started.content, type=UnlockStarted).ke2) == 2
    assert len(set(map(repr, [(a[0], a[2], b[0], b[2]) for a, b in shapes]))) == 1
    rows = dict(
        run_sql(database, "SELECT u.email, round(b.tokens) FROM unlock_budget b JOIN users u ON u.id = b.user_id")
    )
    assert rows == {"old@example.org": 8, "new@example.org": 9, "none@example.org": 9}


async def test_an_element_is_answered_under_its_own_setups_in_their_order(server: Rotating, sign_in: Any) -> None:
    client = await server.client()
    account = await sign_in(client)
    phrase = new_password()
    await enrol(client, account.headers, phrase)
    client = await server.rotate()
    locating = start_unlock([phrase])
    located = await send(client, account.headers, "/v1/unlock/locate", locating.message)
    proving = locating.finish(msgspec.json.decode(located.content, type=Located))
    candidates = proving.message.candidates
    for wrong in (candidates[:1], [*candidates, candidates[0]], []):
        message = msgspec.structs.replace(proving.message, candidates=wrong)
        assert (await send(client, account.headers, "/v1/unlock/start", message)).status_code in {400, 401}
        locating = start_unlock([phrase])
        located = await send(client, account.headers, "/v1/unlock/locate", locating.message)
        proving = locating.finish(msgspec.json.decode(located.content, type=Located))
        candidates = proving.message.candidates
    # The hash of one setup in the place of the other finds nothing there.
    swapped = [
        msgspec.structs.replace(c, phrase_hash=o.phrase_hash) for c, o in zip(candidates, candidates[::-1], strict=True)
    ]
    message = msgspec.structs.replace(proving.message, candidates=swapped)
    started = await send(client, account.headers, "/v1/unlock/start", message)
    with pytest.raises(AuthenticationError):
        proving.finish(msgspec.json.decode(started.content, type=UnlockStarted))


async def test_ceremonies_under_way_end_well_after_a_rotation(server: Rotating, sign_in: Any, database: Any) -> None:
    client = await server.client()
    account = await sign_in(client)
    phrase, other = new_password(), new_password()
    await enrol(client, account.headers, phrase)
    finishing = await prove(client, account.headers, phrase)
    locating = start_unlock([phrase])
    located = await send(client, account.headers, "/v1/unlock/locate", locating.message)
    # Sealed under the old sealing key, evaluated under the old setup; both are still known.
    client = await server.rotate()
    assert (await send(client, account.headers, FINISH, finishing.message)).status_code == 200
    proving = locating.finish(msgspec.json.decode(located.content, type=Located))
    started = await send(client, account.headers, "/v1/unlock/start", proving.message)
    done = proving.finish(msgspec.json.decode(started.content, type=UnlockStarted))
    assert (await send(client, account.headers, FINISH, done.message)).status_code == 200
    assert server.tags() == [1, 0]
    answer, _ = await send_enrolment(client, account.headers, other)
    assert answer.status_code == 201


async def test_an_enrolment_that_a_rotation_interrupts_is_stored_under_what_it_was_evaluated_under(
    server: Rotating, sign_in: Any
) -> None:
    from hushtag.enrollment import start_enrollment
    from hushtag.messages import RegistrationStarted

    client = await server.client()
    account = await sign_in(client)
    phrase = new_password()
    awaiting = start_enrollment(phrase)
    answer = await send(client, account.headers, "/v1/registrations", awaiting.message)
    client = await server.rotate()
    enrolled = awaiting.finish(msgspec.json.decode(answer.content, type=RegistrationStarted), label="x")
    assert (await send(client, account.headers, "/v1/tags", enrolled.message)).status_code == 201
    assert server.tags() == [1, 0]
    assert (await unlock(client, account, phrase)).tag.tag_id == enrolled.tag_id


async def test_a_phrase_of_an_older_setup_is_not_enrolled_twice(server: Rotating, sign_in: Any, database: Any) -> None:
    client = await server.client()
    account = await sign_in(client)
    phrase = new_password()
    await enrol(client, account.headers, phrase)
    client = await server.rotate()
    answer, enrolled = await send_enrolment(client, account.headers, phrase)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert len(enrolled.message.earlier_hashes) == 1
    assert (await send(client, account.headers, "/v1/tags", enrolled.message)).status_code == 401  # used up
    other, without = await send_enrolment(client, account.headers, new_password())
    assert other.status_code == 201
    left_out = msgspec.structs.replace(without.message, earlier_hashes=[])
    assert (await send(client, account.headers, "/v1/tags", left_out)).status_code == 401
    assert server.tags() == [1, 1]


async def test_a_server_that_still_has_a_retired_set_stores_nothing_under_it(
    server: Rotating, sign_in: Any, database: Any
) -> None:
    """P9: under keys that nobody has any more a phrase would open nothing, and its owner was told that it is there."""
    outdated = await server.client()
    account = await sign_in(outdated)
    moved, phrase = new_password(), new_password()
    await enrol(outdated, account.headers, moved)
    old = load_keys(server.settings).current.id  # type: ignore[union-attr]
    client = await server.rotate()
    _, opened = await finish(client, account, moved)
    retire_keys(server.settings, server.reached, old, force=True)
    answer, _ = await send_enrolment(outdated, account.headers, phrase)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert server.tags() == [1, 0]
    # To living keys it may still move.
    assert (await move(client, opened)).status_code == 200
    assert server.tags() == [0, 1]
    client = await server.client()
    await enrol(client, account.headers, phrase)
    await unlock(client, account, phrase)
    await unlock(client, account, moved)


async def test_a_server_is_ready_without_retired_keys_and_never_with_one_for_its_newest(server: Rotating) -> None:
    async def ready(client: httpx.AsyncClient) -> bool:
        answer = await client.get("/health/ready")
        assert answer.status_code == (200 if answer.json()["keys"] else 503)
        return bool(answer.json()["ready"])

    outdated = await server.client()
    old = load_keys(server.settings).current.id  # type: ignore[union-attr]
    prepared = await server.rotate(prepare=True)
    assert (await ready(outdated), await ready(prepared)) == (False, True)  # it cannot see what comes under the new set
    client = await server.rotate()
    retire_keys(server.settings, server.reached, old)
    assert [await ready(each) for each in (outdated, prepared, client)] == [False, False, True]
    assert await ready(await server.client())


async def test_a_tag_that_is_being_stored_is_counted_before_its_keys_are_retired(
    server: Rotating, sign_in: Any, database: Any
) -> None:
    client = await server.client()
    account = await sign_in(client)
    await enrol(client, account.headers, new_password())
    old = load_keys(server.settings).current.id  # type: ignore[union-attr]
    await server.rotate()
    copied = (
        "INSERT INTO secret_tags (user_id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
        " sealed_label, public_key, server_key_id) SELECT user_id, decode(repeat('01', 16), 'hex'), salt, verifier_kv,"
        " opaque_envelope, suite, 'another', sealed_label, public_key, server_key_id FROM secret_tags"
    )
    with psycopg.connect(database.admin_url) as storing, ThreadPoolExecutor(1) as retiring:
        storing.execute(copied)
        storing.execute("DELETE FROM secret_tags WHERE tag_name <> 'another'")
        done = retiring.submit(retire_keys, server.settings, server.reached, old)
        await until_waiting(database, done)
        storing.commit()
        with pytest.raises(OperationError, match="1 secret tags are still under"):
            done.result(timeout=30)
    assert server.tags() == [1, 0]
    assert old in load_keys(server.settings).by_id  # type: ignore[union-attr]


# --- operation ----------------------------------------------------------------------------------------------


def test_keys_are_retired_only_when_nothing_is_under_them(
    settings: Settings, keys: KeyRing, database: Any, make_setup: Any
) -> None:
    reached = Reached(database.owner_url)
    first = keys.current
    with pytest.raises(OperationError, match="rotate first"):
        retire_keys(settings, reached, first.id)
    rotate_keys(settings, reached, make_setup)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(
            "INSERT INTO users (email, password_hash, phrase_salt, opaque_credential_id)"
            " VALUES ('a@example.org', 'x', %s, %s)",
            [bytes(16), bytes(32)],
        )
        connection.execute(
            "INSERT INTO secret_tags (user_id, phrase_hash, salt, verifier_kv, opaque_envelope, suite, tag_name,"
            " sealed_label, public_key, server_key_id) SELECT id, %(a)s, %(a)s, %(b)s, %(c)s, 'hushtag-v1', 'n', %(d)s,"
            " %(b)s, %(key)s FROM users",
            {"a": bytes(16), "b": bytes(32), "c": bytes(160), "d": bytes(316), "key": first.id},
        )
    with pytest.raises(OperationError, match="1 secret tags are still under"):
        retire_keys(settings, reached, first.id)
    assert retire_keys(settings, reached, first.id, force=True).lost == 1
    ring = ensure_keys(database.app_url, settings, make_setup)  # a server starts without the retired set
    assert list(ring.by_id) == [ring.current.id]
    assert [(row.here, row.retired_at is None, row.tags) for row in key_status(settings, reached)] == [
        (False, False, 1),
        (True, True, 0),
    ]


def test_keys_that_are_missing_are_to_be_brought_back_and_not_made(
    settings: Settings, keys: KeyRing, database: Any, make_setup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = Reached(database.owner_url)
    settings.key_path.rename(settings.key_path.with_suffix(".away"))
    says = "there is no key file .* and the database was made under some; bring them back .*restore-keys"
    with pytest.raises(OperationError, match=says):
        key_status(settings, reached)
    with pytest.raises(OperationError, match=says):
        rotate_keys(settings, reached, make_setup)
    monkeypatch.setenv("HUSHTAG_DATA", str(settings.data))
    answer = CliRunner().invoke(main, ["keys"])
    assert (answer.exit_code, "restore-keys" in answer.stderr) == (1, True)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("DELETE FROM server_keys")
    with pytest.raises(OperationError, match="`hushtag-server serve` makes them"):
        key_status(settings, reached)


def test_at_most_three_sets_and_a_prepared_one_becomes_current(
    settings: Settings, keys: KeyRing, database: Any, make_setup: Any
) -> None:
    reached = Reached(database.owner_url)
    prepared = rotate_keys(settings, reached, make_setup, prepare=True)
    assert not prepared.current
    assert load_keys(settings).current == keys.current  # type: ignore[union-attr]
    with pytest.raises(OperationError, match="prepared already"):
        rotate_keys(settings, reached, make_setup, prepare=True)
    assert rotate_keys(settings, reached, make_setup).keys == prepared.keys
    rotate_keys(settings, reached, make_setup)
    with pytest.raises(OperationError, match="3 key sets are in use"):
        rotate_keys(settings, reached, make_setup)
    assert settings.key_path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("prepare", [False, True])
def test_a_clock_that_was_ahead_brings_no_old_set_back(
    settings: Settings, keys: KeyRing, database: Any, make_setup: Any, prepare: bool
) -> None:
    ahead = replace(keys.current, created_at=datetime.now(UTC) + timedelta(days=400))
    settings.key_path.write_bytes(encode_key_ring(KeyRing(ahead, {ahead.id: ahead})))
    reached = Reached(database.owner_url)
    first = rotate_keys(settings, reached, make_setup, prepare=prepare).keys
    second = rotate_keys(settings, reached, make_setup)
    assert ahead.id not in {first.id, second.keys.id}
    assert (second.keys.id == first.id) == prepare
    assert second.current
    assert [made.id for made in second.ring.in_use][-1] == ahead.id


def test_a_key_file_whose_newest_set_was_retired_is_refused(
    settings: Settings, keys: KeyRing, database: Any, make_setup: Any
) -> None:
    """As on a host where the next set was prepared, and which then was forgotten."""
    reached = Reached(database.owner_url)
    rotate_keys(settings, reached, make_setup, prepare=True)
    forgotten = settings.key_path.read_bytes()
    rotate_keys(settings, reached, make_setup)
    retire_keys(settings, reached, keys.current.id)
    now = settings.key_path.read_bytes()
    settings.key_path.write_bytes(forgotten)
    with pytest.raises(StartError, match="was retired, and nothing may be stored under it"):
        ensure_keys(database.app_url, settings, make_setup)
    settings.key_path.write_bytes(now)
    ensure_keys(database.app_url, settings, make_setup)


def test_a_key_file_of_before_the_rotation_is_refused(
    settings: Settings, keys: KeyRing, database: Any, make_setup: Any, tmp_path: Path
) -> None:
    before = settings.key_path.read_bytes()
    rotate_keys(settings, Reached(database.owner_url), make_setup)
    settings.key_path.write_bytes(before)
    with pytest.raises(StartError, match="made under other server keys"):
        ensure_keys(database.app_url, settings, make_setup)
    settings.key_path.unlink()
    with pytest.raises(StartError, match="is missing, and the database was made under one"):
        ensure_keys(database.app_url, replace(settings, data=tmp_path), make_setup)
