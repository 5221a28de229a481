"""P9: an upgrade loses nothing. Rows of the oldest version that can hold a vault, migrated to the newest, open whole.

The rows, the key file and the phrases are those that version's own server and client left (`store.py`); nothing of
them is made here.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from anyio.from_thread import start_blocking_portal
from psycopg import sql

from hushtag.client import Client
from hushtag.phrase import draw_phrase
from hushtag_server.embedded import EmbeddedPostgres
from hushtag_server.keyfile import ensure_keys
from hushtag_server.migrate import migrate, rollback
from hushtag_server.migration_names import MIGRATIONS, known_migrations
from hushtag_server.operation.checks import Examined, examine
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.settings import Settings
from tests.machine.world import URL, World
from tests.operation.conftest import Silent
from tests.stretching import remember_stretches

KEPT = Path(__file__).with_name("rows-0003.json")
OLDEST = "0003_vault_calls"


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    return found


def put_back(admin_url: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Insert rows as they were written; whatever column has come since takes its default."""
    with psycopg.connect(admin_url) as connection:
        for table, found in rows.items():
            columns = sql.SQL(", ").join(map(sql.Identifier, found[0]))
            statement = (
                "INSERT INTO {table} ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::{table}, %s)"
            )
            named = sql.SQL(statement).format(table=sql.Identifier(table), columns=columns)
            connection.execute(named, [json.dumps(found)])


@pytest.fixture
def upgraded(empty_database: Any, kept: dict[str, Any]) -> Any:
    """A database of the oldest version with its rows, migrated to the newest."""
    migrate(empty_database.owner_url)
    newer = [name for name in known_migrations() if name > OLDEST]
    assert rollback(empty_database.owner_url, len(newer)) == newer[::-1]
    put_back(empty_database.admin_url, kept["rows"])
    assert migrate(empty_database.owner_url) == newer
    return empty_database


@pytest.fixture
def world(upgraded: Any, kept: dict[str, Any], data_directory: Path) -> Iterator[World]:
    """The server of now on that database, with the key file of then."""
    key_file = data_directory / "keys.json"
    key_file.write_text(json.dumps(kept["keys"]), encoding="utf-8")
    key_file.chmod(0o600)
    settings = Settings(database_url=upgraded.app_url, data=data_directory, requests_per_address=0)
    settings = replace(settings, guess_capacity=1000)

    def no_new_setup() -> bytes:
        raise AssertionError("the key file of then is the one to use")

    keys = ensure_keys(upgraded.app_url, settings, no_new_setup)
    with start_blocking_portal() as portal, pytest.MonkeyPatch.context() as patch:
        remember_stretches(patch)
        made = World(portal, settings, keys)
        yield made
        made.stop()


def open_everything(world: World, kept: dict[str, Any]) -> None:
    for email, vaults in kept["accounts"].items():
        client, _, _ = world.client(None)
        client.log_in(email, kept["password"])
        for phrase, objects in vaults.items():
            with client.unlock(phrase) as vault:
                held = {entry.name: vault.get(entry.object_id).body.hex() for entry in vault.list()}
                assert held == objects
                assert [each.label for each in vault.phrases()] == ["the first"]
        client.close()


def test_the_rows_are_of_the_oldest_version_that_can_hold_a_vault(kept: dict[str, Any]) -> None:
    assert known_migrations().index(OLDEST) == 2
    assert "hushtag_enrol_tag" in (MIGRATIONS / f"{OLDEST}.sql").read_text(encoding="utf-8")
    assert {len(tag["opaque_envelope"]) for tag in kept["rows"]["secret_tags"]} == {len("\\x") + 2 * 160}
    assert [len(vaults) for vaults in kept["accounts"].values()] == [2, 1]
    assert all(len(objects) == 4 for vaults in kept["accounts"].values() for objects in vaults.values())


def test_everything_opens_and_goes_on_after_the_upgrade(
    world: World, kept: dict[str, Any], upgraded: Any, postgres: EmbeddedPostgres, data_directory: Path
) -> None:
    open_everything(world, kept)

    # Maintenance gives the tags their seals, and doctor says which lack one until then.
    owner = Settings(database_url=upgraded.owner_url, data=data_directory)
    reached = Reached(upgraded.owner_url, postgres.bin_dir, postgres.data)
    with connect(upgraded.owner_url) as connection:
        told = [found.says for found in examine(Examined(connection, owner, reached)) if found.check == "seals"]
    assert "3 of 3 secret tags are of an earlier version and have no seal yet" in told
    maintain(owner, reached, Silent())
    with psycopg.connect(upgraded.admin_url) as admin:
        assert admin.execute("SELECT count(*), min(octet_length(opaque_envelope)) FROM secret_tags").fetchone() == (
            3,
            188,
        )
    open_everything(world, kept)

    # What came later works on what was made before: a second phrase, a revocation, re-sealing.
    (email, vaults), new = next(iter(kept["accounts"].items())), draw_phrase().text
    old, objects = next(iter(vaults.items()))
    client: Client
    client, _, _ = world.client(None)
    client.log_in(email, kept["password"])
    with client.unlock(old) as vault:
        vault.add_phrase(new, label="the second")
    with client.unlock(new) as vault:
        (first,) = [phrase.tag_id for phrase in vault.phrases() if not phrase.current]
        vault.revoke_phrase(first)
        assert vault.reseal() == len(objects)
        vault.put(b"of today", name="new")
    with client.unlock(new) as vault:
        held = {entry.name: vault.get(entry.object_id).body.hex() for entry in vault.list()}
        assert held == {**objects, "new": b"of today".hex()}
    client.close()
    assert client._steps.url == URL
