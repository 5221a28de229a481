"""What a refused request broke is said in plain English: the field by its name on the wire, and the rule."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from hushtag.field_rules import pattern_words
from hushtag.messages import Problem
from hushtag_server.query_rules import _query_names

pytestmark = pytest.mark.anyio

CANARY = "canary-7fa9"


@pytest.mark.parametrize(
    ("path", "field", "rule"),
    [
        ("journals/search", "q", "is required"),
        ("journals/search?q=", "q", "must have at least 1 character"),
        ("journals?deleted=canary-7fa9", "deleted", "must be one of false, true and any"),
        ("journals?private=canary-7fa9", "private", "must be true or false"),
        ("journals?limit=0", "limit", "must be 1 or more"),
        ("reminders?status=", "status", "must be one of pending, due, overdue, done and all"),
        ("reminders?sort=canary-7fa9", "sort", "must be one of time, -time and priority"),
        (
            "account/audit?action=canary-7fa9",
            "action",
            "must be one of CREATE, UPDATE, DELETE, LOGIN, LOGOUT and FAILED_LOGIN",
        ),
    ],
)
async def test_a_refused_parameter_is_named_with_its_rule(
    app_client: httpx.AsyncClient, sign_in: Callable[..., Any], path: str, field: str, rule: str
) -> None:
    signed_in = await sign_in(app_client)
    answer = await app_client.get(f"/v1/{path}", headers=signed_in.headers)
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert problem.code == "malformed_request"
    assert [(item.field, item.rule) for item in problem.fields or []] == [(field, rule)]


async def test_a_refused_header_has_the_name_it_was_sent_under(
    app_client: httpx.AsyncClient, sign_in: Callable[..., Any]
) -> None:
    signed_in = await sign_in(app_client)
    headers = {**signed_in.headers, "Last-Event-ID": "x" * 65}
    answer = await app_client.get("/v1/reminders/events?wait=0", headers=headers)
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert [(item.field, item.rule) for item in problem.fields or []] == [
        ("Last-Event-ID", "must have at most 64 characters")
    ]


def _patterns(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(document.get("pattern"), str):
            yield document["pattern"]
        document = [*document.values()]
    if isinstance(document, list):
        for each in document:
            yield from _patterns(each)


async def test_every_pattern_of_the_interface_has_words(app_client: httpx.AsyncClient) -> None:
    patterns = set(_patterns((await app_client.get("/schema")).json()))
    assert len(patterns) > 20
    assert sorted(pattern for pattern in patterns if pattern_words(pattern) is None) == []


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [("POST", "accounts", 65536), ("POST", "journals", 1310720), ("PATCH", "journals/{}", 1310720)],
)
async def test_what_is_too_large_is_told_the_number_and_what_is_of_another_type_the_type(
    app_client: httpx.AsyncClient, sign_in: Callable[..., Any], method: str, path: str, most: int
) -> None:
    signed_in = await sign_in(app_client)
    address = f"/v1/{path.format('00000000-0000-4000-8000-000000000001')}"
    headers = {**signed_in.headers, "Content-Type": "application/json"}
    answer = await app_client.request(method, address, content=b" " * (most + 1), headers=headers)
    assert (answer.status_code, answer.json()["fields"]) == (
        413,
        [{"field": "body", "rule": f"must have at most {most} bytes"}],
    )
    headers["Content-Type"] = "text/plain"
    answer = await app_client.request(method, address, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["fields"]) == (
        415,
        [{"field": "Content-Type", "rule": "must be application/json in UTF-8"}],
    )


async def test_a_query_with_an_unknown_parameter_is_refused(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    ada = await sign_in(app_client)
    for path, rule in (
        ("/v1/journals?moodmin=5", "deleted, from, limit,"),
        ("/v1/journals?limit=3&moodmin=5", "deleted, from, limit,"),
        (f"/v1/journals?{CANARY}", "deleted, from, limit,"),
        ("/v1/account?verbose=1", "must have no parameters"),
        ("/v1/journals/00000000-0000-4000-8000-000000000000?x=1", "must have no parameters"),
    ):
        answer = await app_client.get(path, headers=ada.headers)
        problem = msgspec.json.decode(answer.content, type=Problem)
        assert (answer.status_code, problem.code) == (400, "malformed_request"), path
        assert problem.fields is not None
        assert problem.fields[0].field == "query"
        assert rule in problem.fields[0].rule
        assert CANARY not in answer.text
    for path in ("/v1/journals?limit=3&mood_min=5&tag=a&tag=b", "/v1/journals?limit=5"):
        assert (await app_client.get(path, headers=ada.headers)).status_code == 200
    assert (await app_client.get("/health/live?t=1")).status_code == 200


async def test_every_documented_query_parameter_is_known(app_client: httpx.AsyncClient) -> None:
    document = (await app_client.get("/schema")).json()
    routes = {route.path_format: route for route in app_client.app.application.application.routes}  # type: ignore[attr-defined]
    seen = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
            handler = routes[path].route_handler_map[method.upper()][0]
            assert named == {*_query_names(handler)}, path
            seen += len(named)
    assert seen > 20
