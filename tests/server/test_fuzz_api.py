"""Anything into everything: a server error never, and every answer as the OpenAPI document says it is.

Runs against a real server. Three kinds of credentials, valid and broken requests; then bytes that are no request.
`make campaign` tries ten times as many.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from hushtag.messages import Problem
from hushtag_server.problems import PROBLEMS
from tests.server.vault_support import open_vault

schemathesis.serializer.alias("application/zip", "application/octet-stream")

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TIMES = 10 if os.environ.get("HUSHTAG_TEST_CAMPAIGN") == "full" else 1  # `make campaign` makes up more of everything
ENDING = {("DELETE", "/v1/sessions/current"), ("DELETE", "/v1/vault-session")}
STREAM = "/v1/reminders/events"  # would stay open for an hour
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]


def bounded(examples: int) -> Any:
    return settings(
        max_examples=examples * TIMES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=QUIET,
        phases=[Phase.generate],
    )


@dataclass
class Target:
    """A running server and whoever is signed in on it."""

    url: str
    new_credentials: Callable[[], dict[str, dict[str, str]]]
    credentials: dict[str, dict[str, str]]
    vault_id: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def module_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from tests.live_server import temporary_directory

    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def target(module_directory: Path) -> Iterator[Target]:
    from tests.live_server import run_server
    from tests.people import SignedIn

    credentials = {"email": "ada@example.org", "password": "correct horse battery"}

    async def enter(url: str) -> tuple[Any, Any]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            await client.post("/v1/accounts", json=credentials)
            body = (await client.post("/v1/sessions", json=credentials)).json()
            account = SignedIn(credentials["email"], body["user_id"], body["session_id"], body["token"])
            vault = await open_vault(client, account)
            await vault.put(vault.vault_id, b"an object whose id is the vault's")
            return account, vault

    # What is tried here asks for the password more often than anybody may in an hour.
    limits = {
        "HUSHTAG_GUESS_CAPACITY": "200",
        "HUSHTAG_LOGIN_ATTEMPTS_PER_ACCOUNT": "5000",
        "HUSHTAG_LOGIN_ATTEMPTS_PER_ADDRESS": "50000",
    }
    with run_server(module_directory, HUSHTAG_LOG_LEVEL="warning", **limits) as server:
        vaults = []

        def new_credentials() -> dict[str, dict[str, str]]:
            account, vault = anyio.run(enter, server.url)
            vaults.append(str(vault.vault_id))
            return {"nobody": {}, "account": account.headers, "vault": vault.headers}

        first = new_credentials()
        document = httpx.get(server.url + "/schema").json()
        yield Target(server.url, new_credentials, first, vaults[0], document)
        assert "internal error" not in server.log.read_text()


def _operations(target: Target) -> list[Any]:
    schema = schemathesis.openapi.from_dict(target.document)
    return [result.ok() for result in schema.get_all_operations()]


def _is_problem(answer: Any) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert PROBLEMS[problem.code].status == problem.status == answer.status_code < 500
    assert problem.request_id == answer.headers["hushtag-request-id"]
    return problem


def _try_operation(target: Target, people: list[dict[str, str]], strategy: Any, examples: int) -> None:
    """Try each request as each of these people: to make one up costs far more than to send it."""

    @bounded(examples)
    @given(case=strategy)
    def run(case: Any) -> None:
        if case.path == STREAM:
            wait = str((case.query or {}).get("wait", 0))
            case.query = (case.query or {}) | ({"wait": 0} if wait.isdigit() else {})
        for headers in people:
            answer = case.call(base_url=target.url, headers=headers, timeout=30)
            case.validate_response(answer, checks=CHECKS)

    run()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_answers_as_documented(target: Target, mode: GenerationMode) -> None:
    operations = _operations(target)
    assert len(operations) >= 20
    for operation in operations:
        described = target.document["paths"][operation.path][operation.method]
        if mode is GenerationMode.NEGATIVE and not described.keys() & {"parameters", "requestBody"}:
            continue  # it has no parts that could be wrong
        ending = (operation.method.upper(), operation.path) in ENDING
        people = [*(target.new_credentials() if ending else target.credentials).values()]
        _try_operation(target, people, operation.as_strategy(generation_mode=mode), 1 if ending else 3)
    answer = httpx.get(target.url + "/v1/account", headers=target.credentials["account"])
    assert answer.status_code == 200  # whoever tried all that is still signed in


def test_every_operation_on_a_vault_that_exists_answers_as_documented(target: Target) -> None:
    ids = {"vault_id": target.vault_id, "object_id": target.vault_id}
    for operation in _operations(target):
        if "{vault_id}" in operation.path:
            known = {name: value for name, value in ids.items() if f"{{{name}}}" in operation.path}
            strategy = operation.as_strategy(path_parameters=known)
            _try_operation(target, [target.credentials["vault"]], strategy, 8)


@st.composite
def _spoilt_json(draw: st.DrawFn) -> bytes:
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=40),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=12,
    )
    fields = ["suite", "elements", "session_id", "candidates", "ke3", "registration_request", "email", "password"]
    value = draw(values | st.dictionaries(st.sampled_from(fields), values, max_size=5))
    try:
        encoded = msgspec.json.encode(value)
    except (ValueError, UnicodeError):
        encoded = repr(value).encode("utf-8", "surrogatepass")
    cut = draw(st.integers(0, len(encoded)))
    return encoded[:cut] if draw(st.booleans()) else encoded + draw(st.binary(max_size=3))


BODIES = st.binary(max_size=300) | _spoilt_json()
TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "application/json; charset=latin-1", "text/plain", ""]
)


def _bodied(target: Target) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, operations in target.document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]


def _try_bodies(client: httpx.Client, method: str, path: str, credentials: dict[str, str], examples: int) -> None:
    @bounded(examples)
    @given(body=BODIES, kind=TYPES)
    def run(body: bytes, kind: str) -> None:
        answer = client.request(method, path, content=body, headers=credentials | {"Content-Type": kind})
        if answer.status_code == 200:  # a change that changes nothing is none to refuse
            assert (method, msgspec.json.decode(body)) == ("PATCH", {})
        else:
            _is_problem(answer)

    run()


@pytest.mark.parametrize(("who", "examples"), [("nobody", 4), ("account", 10), ("vault", 8)])
def test_any_bytes_in_a_body_are_answered_with_a_problem(target: Target, who: str, examples: int) -> None:
    operations = _bodied(target)
    assert len(operations) >= 8
    with httpx.Client(base_url=target.url, timeout=30) as client:
        for method, path in operations:
            place = re.sub(r"\{\w+\}", target.vault_id, path)
            _try_bodies(client, method, place, target.credentials[who], examples)


@bounded(30)
@given(token=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=120), prefix=st.booleans())
def _any_token(client: httpx.Client, token: str, prefix: bool) -> None:
    for path, kind in (("/v1/account", "hta_"), ("/v1/vault-session", "htv_"), ("/v1/unlock/locate", "hta_")):
        headers = {"Authorization": f"Bearer {kind}{token}" if prefix else token}
        method = {"/v1/account": "GET", "/v1/vault-session": "DELETE"}.get(path, "POST")
        assert _is_problem(client.request(method, path, headers=headers)).code == "unauthenticated"


def test_any_text_as_a_token_is_answered_as_unauthenticated(target: Target) -> None:
    with httpx.Client(base_url=target.url, timeout=30) as client:
        _any_token(client)
