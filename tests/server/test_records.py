"""What is noted of requests that ended, and what is left of them."""

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hushtag_server import observability
from hushtag_server.edge import Exchange
from hushtag_server.observability import Ended, Metrics, RequestRecords

pytestmark = pytest.mark.anyio


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "hushtag.access"):
        yield


def _ended(number: int) -> Ended:
    return Ended(1_700_000_000.25, f"id-{number}", "GET", "/v1/account", 200, 0.001)


def _ids(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["request_id"] for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("logged")
async def test_the_first_is_noted_at_once_and_the_next_ones_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = Metrics()
    records = RequestRecords(metrics)
    turns: list[Any] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", lambda *timed: turns.append(timed) or timed)
    records.add(_ended(1))
    assert _ids(capsys) == ["id-1"]
    for number in (2, 3):
        records.add(_ended(number))
    assert _ids(capsys) == []
    delay, turn = turns.pop()
    assert delay == observability.TOGETHER
    turn()
    assert _ids(capsys) == ["id-2", "id-3"]
    turns.pop()[1]()
    assert turns == []  # nothing came, and no timer runs
    records.add(_ended(4))
    assert _ids(capsys) == ["id-4"]
    records.add(_ended(5))
    assert b'hushtag_http_requests_total{method="GET",route="/v1/account",status="200"} 5.0' in metrics.render()
    assert _ids(capsys) == ["id-5"]


@pytest.mark.usefixtures("logged")
async def test_what_has_come_is_noted_before_a_worker_ends(capsys: pytest.CaptureFixture[str]) -> None:
    records = RequestRecords(Metrics())
    for number in (1, 2):
        records.add(_ended(number))
    assert _ids(capsys) == ["id-1"]
    records.flush()
    assert _ids(capsys) == ["id-2"]


async def test_a_line_says_when_its_request_ended(capsys: pytest.CaptureFixture[str], logged: None) -> None:
    RequestRecords(Metrics()).add(_ended(1))
    assert json.loads(capsys.readouterr().err)["time"] == "2023-11-14T22:13:20.250+00:00"


async def test_a_request_leaves_nothing_to_the_garbage_collector(app_client: httpx.AsyncClient, sign_in: Any) -> None:
    account = await sign_in(app_client)
    for path in ("/v1/journals", "/v1/account", "/v1/journals/nobody", "/nowhere"):
        await app_client.get(path, headers=account.headers)
    gc.collect()
    gc.disable()
    try:
        for path in ("/v1/journals", "/v1/account", "/v1/journals/nobody", "/nowhere"):
            await app_client.get(path, headers=account.headers)
        assert [each for each in gc.get_objects() if isinstance(each, Exchange)] == []
    finally:
        gc.enable()
