"""On every PostgreSQL of this machine: migrations there and back, and the product from sign-up to a read object."""

import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.migrate import migrate, rollback
from hushtag_server.migration_names import known_migrations
from tests.schema.clusters import installed, program
from tests.server.vault_support import new_id, open_vault


def _version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.info.server_version // 10000)


def _dump(postgres: EmbeddedPostgres, url: str) -> str:
    """What the migrations made; the notes of whoever runs them are not theirs."""
    options = ["--schema-only", "--restrict-key=fixed", "--exclude-table=*yoyo*"]
    command = [program("pg_dump", postgres.bin_dir, _version(url)), *options, url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_each_cluster_is_of_its_version(postgres: EmbeddedPostgres) -> None:
    programs: dict[str, Path] = installed()
    version = _version(postgres.admin_url)
    assert version == "18" if postgres.bin_dir not in programs.values() else programs[version] == postgres.bin_dir


def test_each_rollback_leads_back_to_what_was_before(postgres: EmbeddedPostgres, empty_database: Any) -> None:
    names, states = known_migrations(), []
    with psycopg.connect(empty_database.admin_url) as connection:  # a rollback leaves them: others may use them
        connection.execute("CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent")
    for name in names:
        assert migrate(empty_database.owner_url, most=1) == [name]
        states.append(_dump(postgres, empty_database.admin_url))
    assert len(set(states)) == len(names)
    complete = states[-1]
    for name in names[:0:-1]:
        states.pop()
        assert rollback(empty_database.owner_url, 1) == [name]
        assert _dump(postgres, empty_database.admin_url) == states[-1], name
    assert rollback(empty_database.owner_url, 1) == names[:1]
    assert migrate(empty_database.owner_url) == names
    assert _dump(postgres, empty_database.admin_url) == complete
    assert migrate(empty_database.owner_url) == []


@pytest.mark.anyio
async def test_sign_up_to_a_read_object(app_client: Any, sign_in: Any, database: Any) -> None:
    account = await sign_in(app_client)
    vault = await open_vault(app_client, account)
    object_id = new_id()
    for revision, content in enumerate((b"one", b"two" * 10_000), start=1):
        assert (await vault.put(object_id, content, revision=revision)).status_code in {200, 201}
    read = await vault.get(vault.url(object_id))
    assert read.content == bytes(vault.rows[object_id].encoded)
    assert (await app_client.get("/health/ready")).json()["ready"]
    with psycopg.connect(database.admin_url) as connection:
        trail = connection.execute("SELECT DISTINCT table_name FROM audit_logs").fetchall()
    assert ("users",) in trail


@pytest.mark.anyio
async def test_the_plain_side_answers(app_client: Any, sign_in: Any) -> None:
    """Every collection that is listed without parameters, as the OpenAPI document names them."""
    account = await sign_in(app_client)
    paths = (await app_client.get("/schema")).json()["paths"]
    lists = [
        path
        for path, methods in paths.items()
        if path.startswith("/v1/")
        and "{" not in path
        and "application/json" in methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    ]
    assert lists
    answers = {path: (await app_client.get(path, headers=account.headers)).status_code for path in lists}
    assert {path: status for path, status in answers.items() if status >= 500} == {}
    if "/v1/journals" in paths:
        entry = {"title": "Café", "content": "On PostgreSQL of every version.", "mood_rating": 7}
        made = await app_client.post("/v1/journals", json=entry, headers=account.headers)
        assert made.status_code == 201, made.text
        read = await app_client.get(f"/v1/journals/{made.json()['id']}", headers=account.headers)
        assert read.json()["title"] == "Café"
