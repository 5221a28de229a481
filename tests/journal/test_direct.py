"""The direct routes of entries answer exactly as the Litestar handlers they stand before."""

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from hushtag.journal_messages import MAX_JOURNAL_BYTES
from hushtag_server.edge import Edge

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.fixture
async def both(app_client) -> AsyncIterator[SimpleNamespace]:
    """The application as it is, and without its direct routes."""
    edge = app_client.app
    plain = Edge(edge.application.application, edge._metrics, 60)
    transport = httpx.ASGITransport(plain, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://hushtag.test") as client:
        yield SimpleNamespace(direct=app_client, general=client)


def _seen(answer: httpx.Response) -> tuple[Any, ...]:
    varying = r'"(request_id|id|created_at|updated_at)":"[^"]*"'
    text = re.sub(varying, r'"\1":""', re.sub(r'" ?: ?', '":', answer.text))
    headers = {name: value for name, value in answer.headers.items() if name != "hushtag-request-id"}
    if "content-length" in headers:
        assert int(headers.pop("content-length")) == len(
            answer.content
        )  # a time's fraction has as many digits as it needs
    if "location" in headers:
        headers["location"] = headers["location"].rpartition("/")[0]
    return answer.status_code, headers, text


async def _same(both: SimpleNamespace, method: str, path: str, **given: Any) -> httpx.Response:
    answers = [await client.request(method, path, **given) for client in (both.direct, both.general)]
    assert _seen(answers[0]) == _seen(answers[1]), (method, path, given)
    return answers[0]


async def test_entries_are_written_read_and_listed_alike(both, sign_in) -> None:
    headers = (await sign_in(both.direct)).headers
    for body in (
        {"title": "One"},
        {"title": "Two", "content": "Zwölf Boxkämpfer", "tags": ["sport", "Öl"], "mood_rating": 7, "is_private": True},
        {"title": "x" * 500, "entry_date": "2026-02-28", "published_at": "2026-03-01T00:00:00Z"},
    ):
        assert (await _same(both, "POST", "/v1/journals", headers=headers, json=body)).status_code == 201
    listed = await _same(both, "GET", "/v1/journals", headers=headers)
    assert len(listed.json()["journals"]) == 6
    for query in (
        "limit=3",
        "limit=100",
        "limit=101",
        "limit=0",
        "limit=x",
        "limit=3&sort=title",
        "sort=-title",
        "a=b",
    ):
        await _same(both, "GET", f"/v1/journals?{query}", headers=headers)
    for entry in listed.json()["journals"]:
        read = await _same(both, "GET", f"/v1/journals/{entry['id']}", headers=headers)
        assert read.json()["title"] == entry["title"]
        for named in ('"1"', 'W/"1"', "*", '"2"', '"2", "1"', "nonsense", ""):
            await _same(both, "GET", f"/v1/journals/{entry['id']}", headers=headers | {"if-none-match": named})


async def test_a_page_goes_on_from_the_direct_route_in_the_other(both, sign_in) -> None:
    headers = (await sign_in(both.direct)).headers
    for number in range(5):
        await both.direct.post("/v1/journals", headers=headers, json={"title": f"entry {number}"})
    first = (await both.direct.get("/v1/journals?limit=2", headers=headers)).json()
    second = await both.general.get("/v1/journals", headers=headers, params={"limit": 2, "cursor": first["next"]})
    assert len({entry["id"] for entry in [*first["journals"], *second.json()["journals"]]}) == 4


async def test_whatever_is_refused_is_refused_in_the_same_words(both, sign_in) -> None:
    headers = (await sign_in(both.direct)).headers
    token = headers["Authorization"]
    other = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    for authorization in (None, "Bearer nonsense", token.replace("hta_", "htv_"), other):
        given = {} if authorization is None else {"authorization": authorization}
        for method, path in (("GET", "/v1/journals"), ("GET", f"/v1/journals/{uuid4()}"), ("POST", "/v1/journals")):
            answer = await _same(
                both, method, path, headers=given, **({"json": {"title": "x"}} if method == "POST" else {})
            )
            assert answer.status_code == 401
    for row in (str(uuid4()), str(uuid4()).upper(), "x", "é" * 36, f"{uuid4()}/", "search", str(uuid4())[:-1] + "g"):
        await _same(both, "GET", f"/v1/journals/{row}", headers=headers)
    for content in (
        b"",
        b"{}",
        b"null",
        b"\xff",
        b'{"title":""}',
        b'{"title":"\\u0000"}',
        b'{"title":"\\ud800"}',
        b'{"title":"x","mood_rating":11}',
        b'{"title":"x","unknown":1}',
        b'{"title":"x","published_at":"2026-01-01T00:00:00"}',
        b'{"title":"x","tags":["a","A"," "]}',
        b'{"title":"' + b"x" * MAX_JOURNAL_BYTES,
    ):
        answer = await _same(both, "POST", "/v1/journals", headers=headers | JSON, content=content)
        assert answer.status_code in range(400, 500), content[:40]
    for kind in ("text/plain", "application/json; charset=latin-1", 'application/json; charset="UTF-8"'):
        await _same(both, "POST", "/v1/journals", headers=headers | {"content-type": kind}, content=b'{"title":"x"}')


async def test_an_id_that_is_taken_is_refused_alike(both, sign_in) -> None:
    headers = (await sign_in(both.direct)).headers
    body = {"title": "once", "id": str(uuid4())}
    assert (await both.direct.post("/v1/journals", headers=headers, json=body)).status_code == 201
    assert (await _same(both, "POST", "/v1/journals", headers=headers, json=body)).status_code == 409


async def test_who_wrote_is_recorded_whichever_way_it_came(both, sign_in, database) -> None:
    from tests.server.vault_support import run_sql

    headers = (await sign_in(both.direct)).headers | {"user-agent": "a\x7fgent " + "x" * 300}
    for client in (both.direct, both.general):
        await client.post("/v1/journals", headers=headers, json={"title": "x"})
    rows = run_sql(
        database,
        "SELECT DISTINCT host(ip_address), user_agent FROM audit_logs WHERE table_name = 'journals'",
    )
    assert rows == [("192.0.2.1", ("agent " + "x" * 300)[:200])]
