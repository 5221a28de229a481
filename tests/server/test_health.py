"""Health, metrics, OpenAPI and the docs page."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from hushtag_server.keyfile import KeyRing
from hushtag_server.problems import PROBLEMS
from hushtag_server.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_worker_lives_and_is_ready(app_client: httpx.AsyncClient) -> None:
    assert (await app_client.get("/health/live")).json() == {"live": True}
    answer = await app_client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "database": True, "migrations": True, "keys": True, "segments": True}


async def test_a_missing_migration_is_not_ready(app_client: httpx.AsyncClient, database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("DELETE FROM _yoyo_migration WHERE migration_id = '0002_access'")
    answer = await app_client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "database": True, "migrations": False, "keys": False, "segments": True}


async def test_other_keys_are_not_ready(app_client: httpx.AsyncClient, database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("UPDATE server_keys SET fingerprint = decode(repeat('00', 32), 'hex')")
    assert (await app_client.get("/health/ready")).json() == {
        "ready": False,
        "database": True,
        "migrations": True,
        "keys": False,
        "segments": True,
    }


async def test_metrics_exist_for_this_host_on_a_listener_of_both_families(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    async with serve_in_process(replace(settings, metrics_loopback=True), keys, "::ffff:127.0.0.1") as client:
        assert (await client.get("/metrics")).status_code == 200


async def test_metrics_count_routes_and_problems_not_paths(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], sign_in: Callable[..., Any]
) -> None:
    async with serve_in_process(replace(settings, metrics_loopback=True), keys, "127.0.0.1") as app_client:
        await _check_metrics(app_client, await sign_in(app_client))


@pytest.mark.parametrize("address", ["192.0.2.1", "::ffff:192.0.2.1", "unix"])
async def test_metrics_exist_for_this_host_alone(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], address: str
) -> None:
    async with serve_in_process(replace(settings, metrics_loopback=True), keys, address) as client:
        hidden, unknown = await client.get("/metrics"), await client.get("/no-such-path")
        assert hidden.status_code == 404
        assert hidden.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_metrics_do_not_exist_for_whom_a_proxy_on_this_host_speaks(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any], header: str
) -> None:
    async with serve_in_process(replace(settings, metrics_loopback=True), keys, "127.0.0.1") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics", headers={header: "x"})).status_code == 404


async def test_metrics_exist_for_nobody_by_default(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    async with serve_in_process(settings, keys, "127.0.0.1") as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_with_a_token_metrics_are_for_whoever_has_it(
    settings: Settings, keys: KeyRing, serve_in_process: Callable[..., Any]
) -> None:
    token = "m" * 32
    for address in ("127.0.0.1", "192.0.2.1"):
        async with serve_in_process(replace(settings, metrics_token=token), keys, address) as client:
            for given, status in [(None, 404), (f"Bearer {token}x", 404), (token, 404), (f"Bearer {token}", 200)]:
                headers = {"Authorization": given} if given else {}
                assert (await client.get("/metrics", headers=headers)).status_code == status


async def _check_metrics(app_client: httpx.AsyncClient, signed_in: Any) -> None:
    await app_client.delete(f"/v1/sessions/{signed_in.session_id}", headers=signed_in.headers)
    await app_client.get("/canary-path?canary-query=1")
    await app_client.request("CANARY", "/v1/accounts")
    answer = await app_client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.text
    assert 'hushtag_http_requests_total{method="DELETE",route="/v1/sessions/{session_id}",status="204"} 1.0' in text
    assert 'hushtag_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'hushtag_problems_total{code="not_found"} 1.0' in text
    assert 'hushtag_pool_connections{state="open"}' in text
    assert "canary" not in text.lower()
    assert signed_in.session_id not in text


async def test_openapi_documents_every_problem(app_client: httpx.AsyncClient) -> None:
    document = (await app_client.get("/schema")).json()
    assert document["openapi"].startswith("3.")
    assert set(document["components"]["securitySchemes"]) == {"accountToken", "vaultToken"}
    assert document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(PROBLEMS)
    assert set(document["paths"]["/v1/account"]["get"]["responses"]) == {
        "200",
        "401",
        "414",
        "429",
        "431",
        "500",
        "503",
    }
    assert set(document["paths"]["/v1/sessions"]["post"]["responses"]) == {
        "201", "400", "401", "408", "413", "414", "415", "429", "431", "500", "503"
    }  # fmt: skip
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, answer in operation["responses"].items():
                if status >= "400":
                    schema = answer["content"]["application/problem+json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, (path, method, status)


async def test_every_reference_of_the_document_resolves(app_client: httpx.AsyncClient) -> None:
    answer = await app_client.get("/schema")
    schemas = answer.json()["components"]["schemas"]
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text)) <= set(schemas)


async def test_the_docs_page_loads_nothing_from_anywhere(app_client: httpx.AsyncClient) -> None:
    answer = await app_client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = answer.text
    document = (await app_client.get("/schema")).json()
    assert all(path in page for path in document["paths"])
    assert all(f'id="{name}"' in page for name in document["components"]["schemas"])
    assert not re.search(r"<script|<link|<img|<iframe|https?://|src=|@import|url\(", page)
    assert all(target.startswith(("#", "/schema")) for target in re.findall(r'href="([^"]+)"', page))


async def test_answers_forbid_sniffing_and_storing(app_client: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/v1/account", "/nowhere", "/docs"):
        headers = (await app_client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
