"""Direct routes answer exactly as the Litestar handlers they stand before."""

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest

from hushtag.messages import MAX_JSON_BYTES
from hushtag_server.edge import Edge
from hushtag_server.vault.routes_unlock import DIRECT_ROUTES
from tests.server.vault_support import enrol, locate, new_password, send

pytestmark = pytest.mark.anyio
PATHS = [route.path for route in DIRECT_ROUTES]
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
    text = re.sub(r'"(request_id|session_id)":"[^"]*"', r'"\1":""', answer.text)
    headers = {name: value for name, value in answer.headers.items() if name != "hushtag-request-id"}
    return answer.status_code, headers, text


@pytest.mark.parametrize("path", PATHS)
async def test_whatever_is_refused_is_refused_in_the_same_words(both, sign_in, path) -> None:
    token = (await sign_in(both.direct)).headers["Authorization"]
    good = {"authorization": token}
    requests: list[tuple[dict[str, str], bytes]] = [
        ({**JSON}, b"{}"),
        ({**JSON, "authorization": "Bearer nonsense"}, b"{}"),
        ({**JSON, "authorization": "Basic abc"}, b"{}"),
        ({**JSON, "authorization": token.replace("hta_", "htv_")}, b"{}"),
        ({**JSON, "authorization": token[:-2] + "AA"}, b"{}"),
        (good | JSON, b""),
        (good | JSON, b"{}"),
        (good | JSON, b"null"),
        (good | JSON, b"\xff\xfe"),
        (good | JSON, b"{" * 5000),
        (good | JSON, b'{"unknown":1}'),
        (good | JSON, b'{"session_id":1,"suite":"hushtag-v1","elements":[]}'),
        (good | {"content-type": "text/plain"}, b"{}"),
        (good | {"content-type": "application/json; charset=latin-1"}, b"{}"),
        (good | {"content-type": 'application/json; charset="UTF-8"'}, b"{}"),
        (good, b"{}"),
        (good | JSON, b" " * (MAX_JSON_BYTES + 1)),
        (good | {"content-type": "text/plain"}, b""),
        (good, b""),
    ]
    for headers, body in requests:
        answers = [await client.post(path, headers=headers, content=body) for client in (both.direct, both.general)]
        assert _seen(answers[0]) == _seen(answers[1]), (headers, body[:40])
        assert answers[0].status_code in range(400, 500)


@pytest.mark.parametrize("path", PATHS)
async def test_other_methods_and_spellings_are_left_to_litestar(both, sign_in, path) -> None:
    signed_in = await sign_in(both.direct)
    for method, target in [("GET", path), ("PUT", path), ("OPTIONS", path), ("POST", path + "/"), ("POST", path + "x")]:
        answers = [
            await client.request(method, target, headers=signed_in.headers | JSON, content=b"{}")
            for client in (both.direct, both.general)
        ]
        assert _seen(answers[0]) == _seen(answers[1]), (method, target)


async def test_a_whole_unlock_goes_both_ways(both, sign_in) -> None:
    signed_in, password = await sign_in(both.direct), new_password()
    await enrol(both.direct, signed_in.headers, password)
    for one, other in [(both.direct, both.general), (both.general, both.direct)]:
        proving = await locate(one, signed_in.headers, password)
        answer = await send(other, signed_in.headers, "/v1/unlock/start", proving.message)
        assert answer.headers["content-type"] == "application/json"
        assert answer.status_code == 200


async def test_a_body_longer_than_it_announced_is_cut_off(both, sign_in) -> None:
    signed_in = await sign_in(both.direct)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_JSON_BYTES // 1024 + 2):
            yield b" " * 1024

    for client in (both.direct, both.general):
        answer = await client.post(PATHS[0], headers=signed_in.headers | JSON, content=endless())
        assert answer.status_code == 413


async def test_a_failure_inside_a_step_is_an_internal_error_without_words(both, sign_in, monkeypatch) -> None:
    signed_in = await sign_in(both.direct)
    services = both.direct.app.application.application.state["services"]
    monkeypatch.setattr(type(services), "pool", property(lambda self: 1 / 0), raising=False)
    message = msgspec.json.encode({"suite": "hushtag-v1", "elements": ["A" * 43]})
    answer = await both.direct.post(PATHS[0], headers=signed_in.headers | JSON, content=message)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "division" not in answer.text
