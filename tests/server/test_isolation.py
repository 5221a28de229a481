"""Two users in one database: neither through the API nor through a query that forgot to check does one meet the other.

The API part walks the OpenAPI document, the query part walks the modules' `__all__`: what is added later and not
covered here fails.
"""

import inspect
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from hushtag.duress import expand_release
from hushtag.enrollment import accept_enrollment, accept_tag
from hushtag.messages import AddTag, MovedKey, MoveTag, NewTag, encode_binary
from hushtag.moving import AcceptedMove
from hushtag.objects import row_digest
from hushtag.types import PhraseHash, Record, Release
from hushtag_server.auth import Caller
from hushtag_server.errors import UnauthenticatedError
from hushtag_server.tokens import parse_bearer
from hushtag_server.vault import ceremony_queries, phrase_queries, vault_queries
from hushtag_server.vault.schemas import (
    Budget,
    MoveOffer,
    ObjectChange,
    ObjectsChange,
    ObjectsDeletion,
    RingChange,
    Rotation,
    VaultCaller,
)
from tests.server.test_enrolment import prepare
from tests.server.vault_support import (
    comparable,
    enrol,
    locate,
    new_id,
    new_password,
    open_vault,
    prove,
    run_sql,
    send,
    unlock,
)
from tests.streams.support import Streams

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
TABLES = [
    "users",
    "user_sessions",
    "secret_tags",
    "tag_seals",
    "vaults",
    "wrapped_keys",
    "key_rotations",
    "sealed_keys",
    "tag_orders",
    "locked_tags",
    "pairings",
    "vault_blobs",
    "vault_segments",
    "vault_streams",
    "segment_parts",
    "opaque_sessions",
    "unlock_budget",
    "user_settings",
    "transfers",
    "consents",
    "journals",
    "tags",
    "journal_tags",
    "journal_words",
    "reminders",
    "reminder_deliveries",
    "reminder_feeds",
]
MESSAGES: dict[tuple[str, str], Any] = {
    ("patch", "/v1/reminders/{reminder_id}"): {"title": "coffee"},
    ("post", "/v1/reminders/{reminder_id}/snooze"): {"minutes": 5},
    ("post", "/v1/journal-tags/{tag_id}/merge"): {"into": str(UUID(int=1))},
    ("put", "/v1/pairings/{pairing_id}/{step}"): {"message": "htp1a.AAAA"},
    ("put", "/v1/vaults/{vault_id}/tags/{tag_id}/orders"): {
        "orders": [{"place": 1, "ticket": encode_binary(bytes(16))}]
    },
    ("put", "/v1/vaults/{vault_id}/keys/{wrapped_key_id}"): {"key_version": 1, "wrapped_key": encode_binary(bytes(40))},
    ("post", "/v1/vaults/{vault_id}/objects/deletion"): {
        "generation": 3,
        "head": encode_binary(bytes(112)),
        "objects": [{"object_id": str(UUID(int=1)), "revision": 1}],
    },
    ("post", "/v1/vaults/{vault_id}/objects"): {
        "generation": 3,
        "key_version": 1,
        "head": encode_binary(bytes(112)),
        "objects": [{"object_id": str(UUID(int=1)), "revision": 1, "row": encode_binary(bytes(316))}],
    },
    ("post", "/v1/vaults/{vault_id}/rotations"): {
        "revoked": str(UUID(int=1)),
        "generation": 3,
        "key_version": 2,
        "head": encode_binary(bytes(112)),
        "ring": encode_binary(bytes(32)),
        "proof": encode_binary(bytes(32)),
        "old_key": encode_binary(bytes(92)),
        "members": [],
    },
}
HEADERS = {
    "Hushtag-Revision": "1",
    "Hushtag-Key-Version": "1",
    "Hushtag-Generation": "3",
    "Hushtag-Head": encode_binary(bytes(112)),
    "If-Match": "*",
}


class Person:
    """A user with an enrolled phrase, an open vault and one object in it."""

    def __init__(self, account: Any, password: Any, vault: Any, object_id: UUID) -> None:
        self.account, self.password, self.vault, self.object_id = account, password, vault, object_id
        self.user_id = vault.user_id
        self.reminder_id: Any = None

    def caller(self, user_id: UUID | None = None) -> Caller:
        token = parse_bearer(f"Bearer {self.account.token}", "hta_")
        return Caller(user_id or token.user_id, token.secret_hash, HOUR, HOUR)

    def vault_caller(self, user_id: UUID | None = None) -> VaultCaller:
        token = parse_bearer(f"Bearer {self.vault.token}", "htv_")
        return VaultCaller(user_id or token.user_id, token.secret_hash.hex(), HOUR, HOUR)


async def make_person(client, sign_in, email: str) -> Person:
    account, password, object_id = await sign_in(client, email), new_password(), new_id()
    await enrol(client, account.headers, password)
    vault = await unlock(client, account, password)
    assert (await vault.put(object_id, b"secret")).status_code == 201
    person = Person(account, password, vault, object_id)
    reminder = {"title": "tea", "reminder_time": "2199-01-01T00:00:00Z"}
    person.reminder_id = (await client.post("/v1/reminders", json=reminder, headers=account.headers)).json()["id"]
    assert (await client.post("/v1/reminders/feed", headers=account.headers)).status_code == 201
    return person


@pytest.fixture
async def ada(app_client, sign_in) -> Person:
    return await make_person(app_client, sign_in, "ada@example.org")


@pytest.fixture
async def eve(app_client, sign_in) -> Person:
    return await make_person(app_client, sign_in, "eve@example.org")


def everything(database) -> dict[str, list[str]]:
    return {table: sorted(map(repr, run_sql(database, f"SELECT * FROM {table}"))) for table in TABLES}


async def _large_object(person: Person) -> UUID:
    """A stream of one segment, committed with an object of the person's vault."""
    streams, stream_id = Streams(person.vault), new_id()
    assert (await streams.put(stream_id, 0, b"a segment")).status_code == 201
    answer = await streams.commit(stream_id, 1, 9)
    assert answer.status_code == 201, answer.text
    return stream_id


async def _ask(client, method: str, path: str, ids: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
    headers = headers | {"Hushtag-Confirm": str(ids["vault_id"])}
    body = {"content": bytes(100), "headers": headers | {"Content-Type": "application/octet-stream"}}
    given = body if method == "put" else {"headers": headers}
    if method == "patch" or (method, path) in MESSAGES:
        given = {"headers": headers, "json": MESSAGES.get((method, path), {})}
    return comparable(await client.request(method.upper(), path.format(**ids), **given))


def _further(enrolment: Any, *, generation: int) -> AddTag:
    """A further phrase of a vault, made of an enrolment that was not sent."""
    fields = {name: getattr(enrolment, name) for name in NewTag.__struct_fields__}
    return AddTag(NewTag(**fields), generation, encode_binary(bytes(112)), encode_binary(bytes(32)))


async def test_anothers_ids_answer_like_ids_that_do_not_exist_in_every_operation(
    app_client, ada, eve, database, monkeypatch
) -> None:
    further = _further(await prepare(app_client, eve.account), generation=3)
    monkeypatch.setitem(MESSAGES, ("post", "/v1/vaults/{vault_id}/tags"), _builtins(further))
    document = (await app_client.get("/schema")).json()
    hers = {"vault_id": ada.vault.vault_id, "object_id": ada.object_id, "session_id": ada.account.session_id}
    written = {"title": "hers", "tags": ["private"]}
    entry = (await app_client.post("/v1/journals", json=written, headers=ada.account.headers)).json()
    hers |= {"journal_id": entry["id"], "tag_id": entry["tags"][0]["id"]}
    # The address of her feed is a secret, which nobody but her has; her id in front of another one is worth nothing.
    hers |= {"reminder_id": ada.reminder_id, "feed": encode_binary(ada.user_id.bytes + bytes(32)) + ".ics"}
    offered = await app_client.post("/v1/pairings", json={"offer": "htp1o.AAAA"}, headers=ada.account.headers)
    hers |= {"pairing_id": offered.json()["pairing_id"], "step": "answer"}
    hers["wrapped_key_id"] = ada.vault.vault.wrapped_key_id
    hers |= {"stream_id": await _large_object(ada), "seq": 0}
    before, asked = everything(database), 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = [item["name"] for item in operation.get("parameters", []) if item["in"] == "path"]
            if not names:
                continue
            assert set(names) <= set(hers), f"{path}: say whose ids these are"
            scheme = next(iter(operation.get("security", [{}])[0]), None)
            tokens = {"vaultToken": eve.vault.headers, "accountToken": eve.account.headers}
            headers = tokens.get(str(scheme), {}) | HEADERS
            foreign = await _ask(app_client, method, path, hers, headers)
            unknown = await _ask(app_client, method, path, {name: new_id() for name in hers} | {"seq": 0}, headers)
            assert foreign == unknown, (method, path)
            assert foreign[0] == 404, (method, path)
            # Her object's id in eve's own vault is unknown as well; a put there would make eve's own.
            if "object_id" in names and method != "put":
                mixed = hers | {"vault_id": eve.vault.vault_id}
                assert await _ask(app_client, method, path, mixed, headers) == unknown
            asked += 1
    assert asked >= 7
    assert everything(database) == before


async def test_anothers_ceremony_answers_like_one_that_does_not_exist(app_client, ada, eve, database) -> None:
    hers = await locate(app_client, ada.account.headers, ada.password)
    finishing = await prove(app_client, ada.account.headers, ada.password)
    enrolment = await prepare(app_client, ada.account)
    before = everything(database)
    for path, message in (
        ("/v1/unlock/start", hers.message),
        ("/v1/unlock/finish", finishing.message),
        ("/v1/tags", enrolment),
    ):
        answers = []
        for session_id in (message.session_id, "0" * 64):
            changed = {**_builtins(message), "session_id": session_id}
            answers.append(comparable(await send(app_client, eve.account.headers, path, changed)))
        assert answers[0] == answers[1]
        assert answers[0][1]["code"] == "ceremony_failed"
    assert everything(database) == before


def _builtins(message: Any) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(message)
    return built


async def _begin(pool: Any, caller: Caller) -> Any:
    begun = await ceremony_queries.begin_ceremony(
        pool,
        caller,
        Budget(20.0, 0.0, HOUR),
        guesses=1,
        session_id="ab" * 32,
        state="located",
        kept=b"x",
        lifetime=HOUR,
    )
    return [value for value in begun if value is not None]


async def _advance(pool: Any, caller: Caller, session_id: str) -> Any:
    taken = await ceremony_queries.advance_ceremony(
        pool,
        caller,
        session_id=session_id,
        phrase_hashes=[bytes(16)],
        next_id="cd" * 32,
        lifetime=HOUR,
    )
    return [value for value in taken if value is not None]


async def _open(pool: Any, caller: Caller, phrase_hash: bytes, key_id: UUID) -> Any:
    try:
        return await ceremony_queries.open_tag(
            pool,
            caller,
            Budget(20.0, 0.0, HOUR),
            step_id="ab" * 32,
            session_id="ef" * 32,
            phrase_hash=phrase_hash,
            guesses=1,
            released=expand_release(Release(bytes(32))),
            key_id=key_id,
            lifetime=HOUR,
        )
    except UnauthenticatedError:
        return None


async def _check(pool: Any, caller: Caller, session_id: str, phrase_hash: bytes, own: UUID) -> Any:
    check = await ceremony_queries.check_registration(pool, caller, session_id=session_id, earlier=[phrase_hash])
    return [value for value in check if value and value != own]


async def _seal_of(pool: Any, caller: Any) -> Any:
    try:
        return await ceremony_queries.seal_of(pool, caller)
    except UnauthenticatedError:
        return None


async def _move(pool: Any, caller: Any, hers: Person, key_id: UUID) -> str:
    """Move a tag with ada's vault and key in the message; empty if it was refused."""
    vault = hers.vault.vault
    key = MovedKey(vault.vault_id, vault.wrapped_key_id, encode_binary(bytes(40)), 1, 3, encode_binary(bytes(112)))
    forged = {name: encode_binary(bytes(size)) for name, size in {"salt": 16, "public_key": 32, "release": 32}.items()}
    message = MoveTag(
        state="A",
        suite="hushtag-v1",
        phrase_hash=encode_binary(bytes(16)),
        record=encode_binary(bytes(192)),
        sealed_label=encode_binary(bytes(316)),
        vaults=[key],
        **forged,
    )
    accepted = AcceptedMove(message, PhraseHash(bytes(16)), Record(bytes(192)))
    offer = MoveOffer(key_id, key_id, bytes(16), Release(bytes(32)))
    outcome = await ceremony_queries.move_tag(pool, caller, accepted, offer, hers.vault.tag.tag_id, bytes(32))
    return "" if outcome in {"unauthenticated", "generation_conflict"} else outcome


async def _ceremony_calls(
    client, ada: Person, eve: Person, database: Any, key_id: UUID
) -> tuple[Any, dict[str, list[Any]]]:
    """Each query with one of its names of ada and the other of eve, in both directions: rows before, what came back."""
    pool = client.app.application.application.state["services"].pool
    located = (await locate(client, ada.account.headers, ada.password)).message.session_id
    enrolment = accept_enrollment(await prepare(client, ada.account))
    phrase_hash = run_sql(database, "SELECT phrase_hash FROM secret_tags WHERE user_id = %s", ada.user_id)[0][0]
    mixed = [ada.caller(eve.user_id), eve.caller(ada.user_id)]
    eve_session = UUID(eve.account.session_id)
    before = everything(database)
    insiders = [ada.vault_caller(eve.user_id), eve.vault_caller(ada.user_id)]
    step = enrolment.message.session_id
    return before, {
        "check_registration": [
            await _check(pool, caller, step, phrase_hash, eve_session) for caller in [*mixed, eve.caller()]
        ],
        "seal_of": [await _seal_of(pool, caller) for caller in insiders],
        "move_tag": [await _move(pool, caller, ada, key_id) for caller in [*insiders, eve.vault_caller()]],
        "begin_ceremony": [await _begin(pool, caller) for caller in mixed],
        "advance_ceremony": [(await _advance(pool, caller, located)) for caller in mixed]
        + [
            [value for value in await _advance(pool, eve.caller(), located) if value != eve_session],
        ],
        "open_tag": [await _open(pool, caller, phrase_hash, key_id) for caller in [*mixed, eve.caller()]],
        "enrol_tag": [
            (await ceremony_queries.enrol_tag(pool, caller, enrolment, key_id=key_id)).replace("unauthenticated", "")
            for caller in mixed
        ]
        + [
            (await ceremony_queries.enrol_tag(pool, eve.caller(), enrolment, key_id=key_id)).replace(
                "ceremony_failed", ""
            )
        ],
    }


async def test_a_ceremony_query_that_mixes_two_users_finds_and_changes_nothing(
    app_client, ada, eve, database, keys
) -> None:
    before, results = await _ceremony_calls(app_client, ada, eve, database, keys.current.id)
    assert set(results) == set(ceremony_queries.__all__)
    for name, found in results.items():
        assert not any(found), name
    assert everything(database) == before


async def _vault_calls(client, ada: Person, eve: Person) -> dict[str, list[Any]]:
    services = client.app.application.application.state["services"]
    pool, hers = services.pool, ada.vault
    row = hers.seal(ada.object_id, b"forged", revision=2)
    change = ObjectChange(hers.vault_id, ada.object_id, 2, 3, bytes(112))
    gone = ObjectChange(hers.vault_id, ada.object_id, 1, 3, bytes(112))
    # A token under the wrong user, and eve's valid token with ada's ids.
    callers = [(ada.vault_caller(eve.user_id), "unauthenticated"), (eve.vault_caller(ada.user_id), "unauthenticated")]
    callers.append((eve.vault_caller(), "not_found"))
    several = ObjectsChange(hers.vault_id, 1, 3, bytes(112))
    new = hers.seal(new_id(), b"forged", revision=1)
    rows = [(ada.object_id, row, row_digest(row)), (new_id(), new, row_digest(new))]
    going = ObjectsDeletion(hers.vault_id, 3, bytes(112))
    asked = ("put_object", "put_objects", "delete_object", "delete_objects", "get_object")
    results: dict[str, list[Any]] = {name: [] for name in asked}
    results["tag_of"] = [await vault_queries.tag_of(pool, caller) for caller, _ in callers[:2]]
    for caller, outcome in callers:
        put = await vault_queries.put_object(pool, caller, change, row, digest=row_digest(row), most=100)
        results["put_object"].append(put.replace(outcome, ""))
        stored = await vault_queries.put_objects(pool, caller, several, rows, most=100)
        results["put_objects"].append(stored.replace(outcome, ""))
        results["delete_object"].append(
            (await vault_queries.delete_object(pool, caller, gone)).outcome.replace(outcome, "")
        )
        deleted = await vault_queries.delete_objects(pool, caller, going, [(ada.object_id, 1)])
        results["delete_objects"].append(deleted.replace(outcome, ""))
        results["get_object"].append((await vault_queries.get_object(pool, caller, hers.vault_id, ada.object_id)).body)
    page: dict[str, Any] = {"after": None, "limit": 10}
    for caller, _ in callers[:2]:
        with pytest.raises(UnauthenticatedError):
            await vault_queries.list_objects(pool, caller, hers.vault_id, **page)
        with pytest.raises(UnauthenticatedError):
            await vault_queries.list_objects(pool, caller, hers.vault_id, **page, rows_up_to=4096)
    results["list_objects"] = [
        await vault_queries.list_objects(pool, callers[2][0], hers.vault_id, **page, rows_up_to=up_to)
        for up_to in (None, 4096)
    ]
    # A route that forgot every check and asks with ada's names inside eve's transaction, or inside nobody's.
    for user_id in (eve.user_id, None):
        async with services.transaction(user_id) as connection:
            names = (connection, ada.user_id, hers.tag.tag_id, hers.vault_id)
            session_id = ada.vault_caller().session_id
            for name, found in {
                "find_vault": await vault_queries.find_vault(*names),
                "list_tags": await vault_queries.list_tags(*names, **page),
                "end_vault_session": await vault_queries.end_vault_session(connection, ada.user_id, session_id),
            }.items():
                results.setdefault(name, []).append(found)
    # And eve's own names with ada's vault: the tag has no key of it.
    async with services.transaction(eve.user_id) as connection:
        own = (connection, eve.user_id, eve.vault.tag.tag_id, hers.vault_id)
        results["find_vault"].append(await vault_queries.find_vault(*own))
        results["list_tags"].append(await vault_queries.list_tags(*own, **page))
    return results


async def test_a_vault_query_that_mixes_two_users_finds_and_changes_nothing(app_client, ada, eve, database) -> None:
    before = everything(database)
    results = await _vault_calls(app_client, ada, eve)
    assert set(results) == set(vault_queries.__all__)
    for name, found in results.items():
        assert not any(found), name
    assert everything(database) == before


async def _phrase_calls(client, ada: Person, eve: Person, key_id: UUID) -> dict[str, list[Any]]:
    services = client.app.application.application.state["services"]
    pool, hers = services.pool, ada.vault
    further = _further(await prepare(client, eve.account), generation=3)
    tag = accept_tag(further.tag)
    change = RingChange(hers.vault_id, 3, bytes(112), bytes(32))
    rotation = Rotation(hers.tag.tag_id, 2, bytes(32), bytes(92), b"")
    callers = [(ada.vault_caller(eve.user_id), "unauthenticated"), (eve.vault_caller(ada.user_id), "unauthenticated")]
    callers.append((eve.vault_caller(), "not_found"))
    results: dict[str, list[Any]] = {name: [] for name in phrase_queries.__all__}
    for caller, outcome in callers:
        for name, answer in {
            "add_tag": await phrase_queries.add_tag(pool, caller, change, tag, keys=[key_id]),
            "rotate_vault": await phrase_queries.rotate_vault(pool, caller, change, rotation, tag, keys=[key_id]),
            "rewrap_key": await phrase_queries.rewrap_key(
                pool, caller, hers.vault_id, hers.vault.wrapped_key_id, 1, bytes(40)
            ),
            "put_orders": await phrase_queries.put_orders(
                pool, caller, hers.vault_id, hers.tag.tag_id, [(1, bytes(16))]
            ),
            "forget_old_keys": await phrase_queries.forget_old_keys(pool, caller, hers.vault_id),
            "destroy_vault": await phrase_queries.destroy_vault(pool, caller, hers.vault_id, 2),
        }.items():
            results[name].append(answer.replace(outcome, ""))
    # Eve's own vault, and a key of Ada's.
    own = (pool, eve.vault_caller(), eve.vault.vault_id, hers.vault.wrapped_key_id, 1, bytes(40))
    results["rewrap_key"].append((await phrase_queries.rewrap_key(*own)).replace("not_found", ""))
    own_vault = (pool, eve.vault_caller(), eve.vault.vault_id, hers.tag.tag_id, [(1, bytes(16))])
    results["put_orders"].append((await phrase_queries.put_orders(*own_vault)).replace("not_found", ""))
    results["remove_destroyed"].append(await phrase_queries.remove_destroyed(pool, eve.user_id))
    for user_id in (eve.user_id, None):
        async with services.transaction(user_id) as connection:
            names = (connection, ada.user_id, hers.tag.tag_id, hers.vault_id)
            results["list_old_keys"].append(await phrase_queries.list_old_keys(*names))
    return results


async def test_a_phrase_query_that_mixes_two_users_finds_and_changes_nothing(
    app_client, ada, eve, database, keys
) -> None:
    run_sql(
        database,
        "INSERT INTO key_rotations (user_id, vault_id, key_version, proof, old_key) SELECT user_id, id, 2,"
        " decode(repeat('00', 32), 'hex'), decode(repeat('00', 92), 'hex') FROM vaults",
    )
    await prepare(app_client, eve.account)  # what the calls below begin as well
    before = everything(database)
    results = await _phrase_calls(app_client, ada, eve, keys.current.id)
    for name, found in results.items():
        assert found, name
        assert not any(found), name
    after = everything(database)
    for table in set(TABLES) - {"opaque_sessions", "unlock_budget", "user_sessions"}:
        assert after[table] == before[table]
    hers = [[row for row in rows["user_sessions"] if str(ada.user_id) in row] for rows in (before, after)]
    assert hers[0] == hers[1] != []  # Eve's has counted Eve's guesses


async def test_the_same_queries_find_everything_for_the_right_user(app_client, ada) -> None:
    # Without this, the tests above would also pass with queries that never find anything.
    services = app_client.app.application.application.state["services"]
    vault = ada.vault
    async with services.transaction(ada.user_id) as connection:
        names = (connection, ada.user_id, vault.tag.tag_id, vault.vault_id)
        assert await vault_queries.find_vault(*names)
        assert await vault_queries.list_tags(*names, after=None, limit=10)
    caller = ada.vault_caller()
    assert (await vault_queries.list_objects(services.pool, caller, vault.vault_id, after=None, limit=10)).objects
    assert (await vault_queries.get_object(services.pool, caller, vault.vault_id, ada.object_id)).body


def test_the_functions_run_with_the_callers_rights_and_only_the_server_may_call_them(database) -> None:
    rows = run_sql(
        database,
        "SELECT proname, prosecdef, has_function_privilege('public', oid, 'EXECUTE')"
        " FROM pg_proc WHERE starts_with(proname, 'hushtag_') AND prorettype <> 'trigger'::regtype",
    )
    assert len(rows) >= 15
    assert [name for name, definer, _ in rows if definer] == []
    assert [name for name, _, public in rows if public] == ["hushtag_current_user"]


async def test_a_call_leaves_no_user_behind_on_its_connection(app_client, ada) -> None:
    services = app_client.app.application.application.state["services"]
    await vault_queries.get_object(services.pool, ada.vault_caller(), ada.vault.vault_id, ada.object_id)
    async with services.pool.connection() as connection:
        left = await (await connection.execute("SELECT current_setting('app.user_id', true)")).fetchone()
        assert left is not None
        assert not left[0]
        seen = await (await connection.execute("SELECT count(*) FROM vault_blobs")).fetchone()
        assert seen == (0,)


def test_every_query_of_the_vault_names_its_user() -> None:
    for module in (ceremony_queries, phrase_queries, vault_queries):
        for name in module.__all__:
            names = inspect.signature(getattr(module, name)).parameters
            assert {"caller", "user_id"} & set(names), name


async def test_two_tags_of_one_account_are_kept_apart_like_two_accounts(app_client, ada, database) -> None:
    other, hers = await open_vault(app_client, ada.account), ada.vault.vault_id
    services = app_client.app.application.application.state["services"]
    caller = VaultCaller(other.user_id, parse_bearer(f"Bearer {other.token}", "htv_").secret_hash.hex(), HOUR, HOUR)
    assert (await vault_queries.get_object(services.pool, caller, hers, ada.object_id)).body is None
    async with services.transaction(other.user_id) as connection:
        names = (connection, other.user_id, other.tag.tag_id, hers)
        assert await vault_queries.find_vault(*names) is None
        assert await vault_queries.list_tags(*names, after=None, limit=10) == []
    assert await vault_queries.list_objects(services.pool, caller, hers, after=None, limit=10) is None
    # What the other tag knows of this vault is all that a change names, but for the key.
    before, generation = everything(database), ada.vault.head.generation + 1
    row = ada.vault.seal(ada.object_id, b"forged", revision=2)
    put, gone = (ObjectChange(hers, ada.object_id, revision, generation, bytes(112)) for revision in (2, 1))
    several, going = ObjectsChange(hers, 1, generation, bytes(112)), ObjectsDeletion(hers, generation, bytes(112))
    pool, digest = services.pool, row_digest(row)
    assert [
        await vault_queries.put_object(pool, caller, put, row, digest=digest, most=100),
        await vault_queries.put_objects(pool, caller, several, [(ada.object_id, row, digest)], most=100),
        (await vault_queries.delete_object(pool, caller, gone)).outcome,
        await vault_queries.delete_objects(pool, caller, going, [(ada.object_id, 1)]),
    ] == ["not_found"] * 4
    assert everything(database) == before
    # The same words of the tag that has the key are heard.
    assert await vault_queries.delete_objects(pool, ada.vault_caller(), going, [(ada.object_id, 1)]) == "deleted"
