"""The alert rules name only metrics that /metrics answers, with the thresholds of the reference documents."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from hushtag_server.operation.database_metrics import DATABASE_GAUGES
from tests.documents.blocks import ROOT

RULES = ROOT / "docs/alerts/hushtag.rules.yml"
_METRIC = re.compile(r"\bhushtag_\w+")


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def names(text: str) -> set[str]:
    return set(re.findall(r"^(hushtag_\w+)", text, re.MULTILINE))


async def scrape(client: httpx.AsyncClient, settings: Any) -> str:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return answer.text


@pytest.fixture
async def here(settings: Any, keys: Any, serve_in_process: Any) -> Any:
    async with serve_in_process(replace(settings, metrics_loopback=True), keys, "127.0.0.1") as client:
        yield client


@pytest.mark.anyio
async def test_every_metric_of_an_alert_is_exposed(here: httpx.AsyncClient, settings: Any, database: Any) -> None:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("INSERT INTO backups (version, bytes, row_count, started_at) VALUES ('1', 1, 1, now())")
        connection.execute("INSERT INTO seal_copies (seals, taken_at) VALUES (1, now())")
    await here.post("/v1/sessions", json={})  # a problem, and a timed request
    exposed = names(await scrape(here, settings))
    # Known only where there is a replica, pg_stat_statements or a directory of segments; other tests look at those.
    exposed |= {DATABASE_GAUGES[key][0] for key in ("replication_lag", "statement_seconds")}
    exposed |= {"hushtag_segment_disk_free_bytes", "hushtag_segment_disk_size_bytes"}
    asked = {name for rule in alerts().values() for name in _METRIC.findall(rule["expr"])}
    assert len(asked) > 10
    assert asked <= exposed


@pytest.mark.anyio
async def test_the_gauges_tell_what_the_database_tells(here: httpx.AsyncClient, settings: Any, database: Any) -> None:
    text = await scrape(here, settings)
    assert "hushtag_database_up 1.0" in text
    assert "hushtag_backup_age_seconds" not in names(text)  # never one: unknown, not zero
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(
            "INSERT INTO backups (version, bytes, row_count, started_at, finished_at)"
            " VALUES ('1', 1, 1, now() - interval '27 hours', now() - interval '26 hours')"
        )
        limit = connection.execute("SHOW max_connections").fetchone()
    values = dict(re.findall(r"^(hushtag_\w+) ([\d.e+]+)$", await scrape(here, settings), re.MULTILINE))
    assert 26 * 3600 <= float(values["hushtag_backup_age_seconds"]) < 26 * 3600 + 120
    assert limit is not None
    assert float(values["hushtag_database_max_connections"]) == float(limit[0])
    assert float(values["hushtag_database_size_bytes"]) > 1_000_000
    assert float(values["hushtag_database_connections"]) >= 1
    assert float(values["hushtag_database_replicas"]) == 0
    assert 0 < float(values["hushtag_data_disk_free_bytes"]) <= float(values["hushtag_data_disk_size_bytes"])


@pytest.mark.anyio
async def test_the_gauges_tell_how_late_the_seals_and_the_security_log_are(
    here: httpx.AsyncClient, settings: Any, database: Any
) -> None:
    text = await scrape(here, settings)
    assert "hushtag_seals_copy_age_seconds" not in names(text)  # never one: unknown, not zero
    assert "hushtag_security_log_lag_seconds 0.0" in text
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("INSERT INTO seal_copies (seals, taken_at) VALUES (1, now() - interval '26 hours')")
        # Two events that no sealer can take: a lock holds what is queued, as a sealer that hangs does.
        connection.execute(
            """
            WITH l AS (
                INSERT INTO security_audit_logs (event_type, event_category, severity, event_message, timestamp)
                SELECT 'x', 'vault', 'info', 'x', now() - i * interval '1 hour' FROM generate_series(1, 2) i
                RETURNING id)
            INSERT INTO security_audit_unsealed SELECT id FROM l
            """
        )
        connection.commit()
        connection.execute("SELECT FROM security_audit_unsealed FOR UPDATE")
        values = dict(re.findall(r"^(hushtag_\w+) ([\d.e+]+)$", await scrape(here, settings), re.MULTILINE))
    assert 26 * 3600 <= float(values["hushtag_seals_copy_age_seconds"]) < 26 * 3600 + 120
    assert 2 * 3600 <= float(values["hushtag_security_log_lag_seconds"]) < 2 * 3600 + 120


@pytest.mark.anyio
async def test_a_database_that_does_not_answer_is_told(
    here: httpx.AsyncClient, settings: Any, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hushtag_server.operation import database_metrics

    with psycopg.connect(database.admin_url) as connection, monkeypatch.context() as patch:
        patch.setattr(database_metrics, "_STATEMENT_MS", "100")
        connection.execute("LOCK TABLE backups")  # the query waits, and its time is bounded
        text = await scrape(here, settings)
    assert "hushtag_database_up 0.0" in text
    assert "hushtag_pool_connections" in names(text)  # the worker's own metrics are there all the same
    assert "hushtag_database_up 1.0" in await scrape(here, settings)


@pytest.mark.parametrize(("alert", "metric"), [("Backup", "backup_age"), ("SealsCopy", "seals_age")])
def test_what_is_absent_until_it_is_made_has_an_alert_of_its_own(alert: str, metric: str) -> None:
    missing = alerts()[f"Hushtag{alert}Missing"]["expr"]
    assert missing == f"hushtag_database_up == 1 unless on (instance) {DATABASE_GAUGES[metric][0]}"


def test_the_thresholds_are_those_of_the_reference_documents() -> None:
    found = {name: rule["expr"] for name, rule in alerts().items()}
    for name, threshold in {
        "HushtagConnectionsUsed": "> 0.8",
        "HushtagStatementsSlow": "> 0.1",
        "HushtagDiskFull": "> 0.8",
        "HushtagSegmentDiskFull": "> 0.8",
        "HushtagDatabaseLarge": "> 0.8",
        "HushtagBackupOld": "> 25 * 3600",
        "HushtagSealsCopyOld": "> 25 * 3600",
        "HushtagSecurityLogLate": "> 60",
        "HushtagReplicaLate": "> 300",
        "HushtagRequestsSlow": "> 0.1",
    }.items():
        assert found[name].strip().endswith(threshold), name
    assert all({"summary", "next_step"} == set(rule["annotations"]) for rule in alerts().values())
    assert {rule["labels"]["severity"] for rule in alerts().values()} == {"warning", "critical"}


def _takes_long(path: str, operation: dict[str, Any], document: dict[str, Any]) -> bool:
    """Tell whether an operation hashes a password, or lasts as long as its caller likes."""
    body = operation.get("requestBody", {}).get("content", {})
    sent = {kind for answer in operation["responses"].values() for kind in answer.get("content", {})}
    named = body.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    message = document["components"]["schemas"].get(named, {})
    return (
        any("password" in name for name in message.get("properties", {}))
        or bool({"text/event-stream", "application/zip", "application/x-ndjson"} & {*sent, *body})
        or "/streams/" in path
        or path == "/v1/journals/bulk"
    )


@pytest.mark.anyio
async def test_what_takes_long_on_purpose_makes_no_alert_of_slow_requests(here: httpx.AsyncClient) -> None:
    document = (await here.get("/schema")).json()
    found = re.search(r'route!~"([^"]+)"', alerts()["HushtagRequestsSlow"]["expr"])
    assert found is not None
    left_out = {path for path in document["paths"] if re.fullmatch(found[1], path)}
    long = {
        path
        for path, operations in document["paths"].items()
        if any(_takes_long(path, each, document) for each in operations.values() if isinstance(each, dict))
    }
    assert len(long) > 10
    assert left_out == long
    for part in re.split(r"\|(?![^(]*\))", found[1]):
        assert any(re.fullmatch(part, path) for path in left_out), f"{part} is no route"


@pytest.mark.parametrize("code", re.findall(r'code="(\w+)"', Path(RULES).read_text(encoding="utf-8")))
def test_problems_that_alerts_count_exist(code: str) -> None:
    from hushtag_server.problems import PROBLEMS

    assert code in PROBLEMS
