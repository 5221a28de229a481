"""Problems: every refusal is an RFC 9457 problem with a stable code, and none repeats what was sent."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import msgspec
import psycopg
import pytest
from anyio.abc import TaskStatus
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from hushtag.field_rules import field_problem
from hushtag.messages import Problem
from hushtag_server.database import transaction
from hushtag_server.hash_queue import HashQueue
from hushtag_server.keyfile import KeyRing
from hushtag_server.problems import PROBLEMS
from hushtag_server.settings import Settings

pytestmark = pytest.mark.anyio

CANARY = "canary-7fa9"
JSON = {"Content-Type": "application/json"}
GOOD = {"email": "ada@example.org", "password": "correct horse battery"}


def _problem(answer: httpx.Response, code: str) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert (problem.code, problem.status, answer.status_code) == (code, PROBLEMS[code].status, PROBLEMS[code].status)
    assert problem.type == f"urn:hushtag:problem:{code}"
    assert problem.request_id == answer.headers["hushtag-request-id"]
    assert CANARY not in answer.text
    return problem


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "$"),
        (b"{", "$"),
        (b"\xff\xfe", "$"),
        (b"null", "$"),
        (b"[]", "$"),
        (b'"canary-7fa9"', "$"),
        (b"[" * 60000, "$"),
        (b'{"email": "\\ud800@b"}', "$"),
        (json.dumps(GOOD | {CANARY: 1}).encode(), "$"),
        (json.dumps({"email": GOOD["email"]}).encode(), "$.password"),
        (json.dumps(GOOD | {"password": "short"}).encode(), "$.password"),
        (json.dumps(GOOD | {"password": CANARY * 50}).encode(), "$.password"),
        (json.dumps(GOOD | {"email": CANARY}).encode(), "$.email"),
        (json.dumps(GOOD | {"email": 5}).encode(), "$.email"),
        (json.dumps(GOOD | {"first_name": ""}).encode(), "$.first_name"),
        (json.dumps(GOOD | {"first_name": "a\0b"}).encode(), "$.first_name"),
        (json.dumps(GOOD | {"email": "a\0@b.c"}).encode(), "$.email"),
    ],
)
async def test_a_malformed_body_names_field_and_rule(app_client: httpx.AsyncClient, content: bytes, field: str) -> None:
    problem = _problem(await app_client.post("/v1/accounts", content=content, headers=JSON), "malformed_request")
    assert problem.fields is not None
    assert [item.field for item in problem.fields] == [field]
    assert all(item.rule for item in problem.fields)


async def test_numbers_as_text_are_refused(app_client: httpx.AsyncClient, sign_in: Callable[..., Any]) -> None:
    signed_in = await sign_in(app_client)
    for query in ("limit=0", "limit=1001", "limit=x", "after=x", "limit=1.5", "limit=%ff"):
        answer = await app_client.get(f"/v1/sessions?{query}", headers=signed_in.headers)
        problem = _problem(answer, "malformed_request")
        assert problem.fields is not None
        assert problem.fields[0].field == query.split("=")[0]


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "a/b/c"]
)
async def test_another_content_type_is_refused(app_client: httpx.AsyncClient, content_type: str) -> None:
    answer = await app_client.post(
        "/v1/accounts", content=json.dumps(GOOD).encode(), headers={"Content-Type": content_type}
    )
    _problem(answer, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON;charset=UTF-8"])
async def test_json_has_two_spellings(app_client: httpx.AsyncClient, content_type: str) -> None:
    answer = await app_client.post(
        "/v1/accounts", content=json.dumps(GOOD).encode(), headers={"Content-Type": content_type}
    )
    assert answer.status_code == 202


async def test_a_large_body_is_refused_with_and_without_a_length(app_client: httpx.AsyncClient) -> None:
    _problem(await app_client.post("/v1/accounts", content=b" " * 65537, headers=JSON), "body_too_large")

    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 4096

    _problem(await app_client.post("/v1/accounts", content=chunks(), headers=JSON), "body_too_large")


async def test_unknown_paths_and_methods_are_problems(app_client: httpx.AsyncClient) -> None:
    _problem(await app_client.get(f"/{CANARY}"), "not_found")
    _problem(await app_client.get("/%ff%00"), "not_found")
    _problem(await app_client.post("/schema/"), "method_not_allowed")
    answer = await app_client.put("/v1/accounts")
    _problem(answer, "method_not_allowed")
    assert "POST" in answer.headers["allow"]
    _problem(await app_client.request("BREW", "/v1/accounts"), "method_not_allowed")


OTHER_SPELLINGS = [
    "//v1//account",
    "/v1//account",
    "//v1/account",
    "/v1/account//",
    "/v1%2Faccount",
    "/v1%2faccount",
    "/v1%5Caccount",
    "/v1/account%00",
    "/v1/%61ccount",
    "/v1/x/%2e%2E/account",
    "/%2e/v1/account",
]
DOT_SEGMENTS = ["/v1/./account", "/v1/x/../account", "/v1/account/.", "/v1/account/x/..", "/../v1/account"]
"""As httpx never sends them: it would leave them out."""


def _told(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    ours = {name: value for name, value in answer.headers.items() if name not in {"hushtag-request-id", "date"}}
    return answer.status_code, ours, answer.json() | {"request_id": ""}


async def test_a_path_in_another_spelling_is_one_that_does_not_exist(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], sign_in: Any
) -> None:
    token = "m" * 32
    async with serve_in_process(replace(settings, metrics_token=token), keys) as client:
        headers = (await sign_in(client)).headers
        unknown = await client.get("/v1/acount", headers=headers)
        _problem(unknown, "not_found")
        for path in OTHER_SPELLINGS:
            address = httpx.URL("http://hushtag.test").copy_with(raw_path=path.encode())
            assert address.raw_path == path.encode()
            assert _told(await client.get(address, headers=headers)) == _told(unknown), path
        metrics = (await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).text
        counted = f"{len(OTHER_SPELLINGS) + 1}.0"
        assert f'hushtag_http_requests_total{{method="GET",route="unmatched",status="404"}} {counted}' in metrics
        assert f'hushtag_problems_total{{code="not_found"}} {counted}' in metrics
        # What is no part of the path may be spelt as ever.
        query = "from=2026-01-01T00%3A00%3A00Z&to=2026-01-01T00:00:00Z"
        assert (await client.get(f"/v1/account/audit?{query}", headers=headers)).status_code == 200


async def test_no_path_that_is_served_needs_another_spelling(app_client: httpx.AsyncClient) -> None:
    routes = app_client.app.application.application.routes  # type: ignore[attr-defined]
    assert len(routes) > 50
    for route in routes:
        assert re.fullmatch(r"(/([a-z0-9-]+|\{[a-z_]+(:[a-z]+)?\}))+", route.path), route.path


async def test_long_addresses_and_headers_are_refused_before_anything_else(app_client: httpx.AsyncClient) -> None:
    _problem(await app_client.get("/" + "x" * 2048), "uri_too_long")
    _problem(await app_client.get("/v1/account?" + "x" * 2040), "uri_too_long")
    _problem(await app_client.get("/v1/account", headers={"X": "y" * 17000}), "headers_too_large")
    many = [(f"x-{number}", "y") for number in range(70)]
    _problem(await app_client.get("/v1/account", headers=many), "headers_too_large")


async def test_a_clients_request_id_is_kept_if_it_is_one(app_client: httpx.AsyncClient) -> None:
    mine = str(uuid4())
    assert (await app_client.get("/health/live", headers={"Hushtag-Request-Id": mine})).headers[
        "hushtag-request-id"
    ] == mine
    for other in (CANARY, "", "\x7f", "x" * 36):
        answer = await app_client.get("/health/live", headers={"Hushtag-Request-Id": other})
        assert answer.headers["hushtag-request-id"] != other
        assert UUID(answer.headers["hushtag-request-id"])


async def test_an_unexpected_error_tells_nothing(
    app_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from hushtag_server.accounts import queries

    async def broken(*_: Any) -> None:
        hidden = CANARY
        raise RuntimeError(f"it broke at {hidden}")

    monkeypatch.setattr(queries, "sign_up", broken)
    answer = await app_client.post("/v1/accounts", json=GOOD)
    problem = _problem(answer, "internal_error")
    record = next(record for record in caplog.records if record.message == "internal error")
    assert record.request_id == problem.request_id  # type: ignore[attr-defined]
    assert record.error[0] == "builtins.RuntimeError"  # type: ignore[attr-defined]
    assert any("in broken" in frame or "broken" in frame for frame in record.error)  # type: ignore[attr-defined]
    assert CANARY not in str(record.__dict__)


@pytest.mark.parametrize("conflict", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
async def test_a_transaction_given_up_to_another_is_unavailable(
    app_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, conflict: type[Exception]
) -> None:
    from hushtag_server.accounts import queries

    async def given_up(*_: Any) -> None:
        raise conflict

    monkeypatch.setattr(queries, "sign_up", given_up)
    answer = await app_client.post("/v1/accounts", json=GOOD)
    assert answer.headers["retry-after"] == str(_problem(answer, "unavailable").retry_after) == "1"


async def test_an_exhausted_pool_is_unavailable(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    from datetime import timedelta

    tight = replace(settings, pool_size=1, pool_wait=timedelta(seconds=1))
    async with serve_in_process(tight, keys) as client:
        pool = client.app.application.application.state["services"].pool
        async with transaction(pool, None):
            answer = await client.post("/v1/sessions", json=GOOD)
        problem = _problem(answer, "unavailable")
        assert answer.headers["retry-after"] == str(problem.retry_after) == "1"
        assert (await client.post("/v1/sessions", json=GOOD)).status_code == 401


async def test_a_lost_connection_is_noticed_before_it_is_used(app_client: httpx.AsyncClient, database: Any) -> None:
    await app_client.post("/v1/accounts", json=GOOD)
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'hushtag-server' AND datname = current_database()"
        )
    await anyio.sleep(0.1)
    assert (await app_client.post("/v1/sessions", json=GOOD)).status_code == 201


async def test_a_slow_request_is_ended(settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]) -> None:
    from datetime import timedelta

    async with serve_in_process(replace(settings, request_timeout=timedelta(seconds=1)), keys) as client:

        async def trickle() -> Any:
            yield b"{"
            await anyio.sleep(5)
            yield b"}"

        _problem(await client.post("/v1/accounts", content=trickle(), headers=JSON), "request_timeout")
        services = client.app.application.application.state["services"]
        async with anyio.create_task_group() as group:
            for _ in range(4):  # nobody computes a password hash until these leave
                await group.start(_hold, services.passwords)
            _problem(await client.post("/v1/accounts", json=GOOD), "unavailable")
            group.cancel_scope.cancel()


async def _hold(queue: HashQueue, *, task_status: TaskStatus[None]) -> None:
    async with queue.turn():
        task_status.started()
        await anyio.sleep_forever()


@budget(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
)
def test_any_bytes_are_refused_by_the_decoder(content: bytes) -> None:
    from hushtag.messages import LogIn
    from hushtag_server.wire import _decoder

    try:
        _decoder(LogIn).decode(content)
    except msgspec.ValidationError as error:
        field_problem(str(error))  # total: any message gives a field and a rule
    except (msgspec.DecodeError, UnicodeError):
        pass


def test_every_code_of_the_contract_is_in_the_table() -> None:
    contract = (Path(__file__).parents[2] / "SPEC.md").read_text(encoding="utf-8")
    listed = contract[contract.index("Codes:") : contract.index("`request_id` equals")]
    codes = {name: int(status) for name, status in re.findall(r"([a-z_]+) (\d{3})", listed)}
    assert codes == {code: kind.status for code, kind in PROBLEMS.items()}
