"""Logs hold what happened and never what was sent."""

import json
import logging
import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from hushtag_server.observability import JsonFormatter

CANARIES = {
    "email": "canary-email@example.org",
    "password": "canary-password-1",
    "first_name": "canary-first-name",
    "path": "canary-path",
    "query": "canary-query",
    "header": "canary-header",
    "agent": "canary-agent",
    "body": "canary-body",
}


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


def test_a_traceback_of_another_logger_is_left_out() -> None:
    record = logging.LogRecord(
        "_granian", logging.ERROR, "x", 1, f"Application callable raised\n{CANARIES['body']}", (), None
    )
    assert json.loads(JsonFormatter().format(record))["event"] == "Application callable raised"


def test_the_log_of_a_real_server_holds_no_canary(server: Any) -> None:
    account = {"email": CANARIES["email"], "password": CANARIES["password"]}
    headers = {"User-Agent": CANARIES["agent"], "X-Canary": CANARIES["header"]}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        client.post("/v1/accounts", json=account | {"first_name": CANARIES["first_name"]})
        client.post("/v1/accounts", json=account)
        token = client.post("/v1/sessions", json=account).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        client.post("/v1/sessions", json=account | {"password": CANARIES["body"]})
        client.get(f"/{CANARIES['path']}?x={CANARIES['query']}", headers=bearer)
        client.get(f"/v1/sessions?after={CANARIES['query']}", headers=bearer)
        client.get("/v1/account", headers={"Authorization": f"Bearer {CANARIES['body']}"})
        client.post("/v1/accounts", content=CANARIES["body"], headers={"Content-Type": "application/json"})
        client.post("/v1/accounts", json={CANARIES["body"]: CANARIES["body"]})
        client.request("CANARY", "/v1/account", headers=bearer)
        answer = client.delete("/v1/sessions/current", headers=bearer)
    assert answer.status_code == 204
    assert server.stop() == 0
    log = server.log.read_text()
    postgres_log = (server.data / "postgres.log").read_text()
    requests = [line for line in _lines(log) if line["event"] == "request"]
    assert len(requests) >= 11
    for secret in (*CANARIES.values(), "canary", token, token[4:20]):
        assert secret.lower() not in log.lower(), secret
        assert secret.lower() not in postgres_log.lower(), secret
    assert {"time", "level", "logger", "event", "request_id", "method", "route", "status", "ms"} == set(requests[0])
    assert all(UUID(line["request_id"]) for line in requests)
    assert {line["route"] for line in requests} >= {"/v1/accounts", "/v1/sessions", "/v1/sessions/current", "unmatched"}
    assert {line["method"] for line in requests} >= {"OTHER"}
    assert not re.search(r"WARNING|DETAIL|STATEMENT", postgres_log)


def test_a_foreign_logger_contributes_no_values() -> None:
    record = logging.LogRecord("psycopg", logging.WARNING, "x.py", 1, "failed for %s", ("canary",), None)
    line = json.loads(JsonFormatter().format(record))
    assert line["event"] == "failed for %s"
    assert line["logger"] == "psycopg"


def _fail() -> None:
    raise KeyError("canary")


def _fail_again() -> None:
    try:
        _fail()
    except KeyError as error:
        raise ValueError("canary") from error


def test_an_exception_is_logged_by_type_and_place() -> None:
    with pytest.raises(ValueError, match="canary") as caught:
        _fail_again()
    info = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("hushtag.server", logging.ERROR, "x.py", 1, "internal error", (), info)
    line = json.loads(JsonFormatter().format(record))
    assert line["error"][0] == "builtins.ValueError"
    assert "builtins.KeyError" in line["error"]
    assert any(frame.endswith("_fail_again") for frame in line["error"])
    assert "canary" not in json.dumps(line)


def test_only_named_extras_reach_a_line() -> None:
    record = logging.makeLogRecord({"name": "hushtag.x", "msg": "event", "status": 200, "password": "canary"})
    assert set(json.loads(JsonFormatter().format(record))) == {"time", "level", "logger", "event", "status"}


@pytest.mark.anyio
async def test_request_id_of_the_answer_is_in_the_log(
    app_client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "hushtag.access"):
        answer = await app_client.get("/v1/account")
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert line["request_id"] == answer.headers["hushtag-request-id"]
    assert (line["route"], line["status"]) == ("/v1/account", 401)
    assert set(line) == {"time", "level", "logger", "event", "request_id", "method", "route", "status", "ms"}
