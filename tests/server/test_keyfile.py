"""The key file: made once, private, bound to its database."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from hushtag_server.errors import StartError
from hushtag_server.keyfile import KeyRing, encode_key_ring, ensure_keys, load_keys, new_keys, read_key_ring
from hushtag_server.settings import Settings

Setup = Callable[[], bytes]


def test_first_start_makes_a_private_file(database: Any, settings: Settings, make_setup: Setup) -> None:
    ring = ensure_keys(database.app_url, settings, make_setup)
    found = settings.key_path.stat()
    assert found.st_mode & 0o777 == 0o600
    assert found.st_uid == os.geteuid()
    assert load_keys(settings) == ring
    assert [path.name for path in settings.data.iterdir()] == ["keys.json"]


def test_later_starts_use_the_same_keys(database: Any, settings: Settings, make_setup: Setup) -> None:
    first = ensure_keys(database.app_url, settings, make_setup)
    content = settings.key_path.read_bytes()
    assert ensure_keys(database.app_url, settings, make_setup) == first
    assert settings.key_path.read_bytes() == content


def test_two_first_starts_make_one_key_set(database: Any, settings: Settings, make_setup: Setup) -> None:
    rings: list[KeyRing] = []
    threads = [
        threading.Thread(target=lambda: rings.append(ensure_keys(database.app_url, settings, make_setup)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rings) == 4
    assert len({ring.current.id for ring in rings}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_file_open_to_others_is_refused(database: Any, settings: Settings, make_setup: Setup, mode: int) -> None:
    ensure_keys(database.app_url, settings, make_setup)
    settings.key_path.chmod(mode)
    with pytest.raises(StartError, match="can be read by others; run: chmod 600"):
        load_keys(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(database: Any, settings: Settings, make_setup: Setup) -> None:
    ensure_keys(database.app_url, settings, make_setup)
    os.chown(settings.key_path, 12345, -1)
    with pytest.raises(StartError, match="belongs to another user"):
        load_keys(settings)


def test_a_symbolic_link_is_refused(database: Any, settings: Settings, make_setup: Setup) -> None:
    ensure_keys(database.app_url, settings, make_setup)
    elsewhere = settings.key_path.with_name("elsewhere.json")
    settings.key_path.rename(elsewhere)
    settings.key_path.symlink_to(elsewhere)
    with pytest.raises(StartError, match="cannot read the key file"):
        load_keys(settings)


def test_a_directory_in_its_place_is_refused(database: Any, settings: Settings, make_setup: Setup) -> None:
    settings.key_path.mkdir(mode=0o700)
    with pytest.raises(StartError, match="is not a regular file"):
        ensure_keys(database.app_url, settings, make_setup)


def test_a_missing_file_is_refused_when_the_database_has_keys(
    database: Any, settings: Settings, make_setup: Setup
) -> None:
    ensure_keys(database.app_url, settings, make_setup)
    settings.key_path.unlink()
    with pytest.raises(StartError, match="is missing, and the database was made under one"):
        ensure_keys(database.app_url, settings, make_setup)
    assert not settings.key_path.exists()


def test_a_database_made_under_other_keys_is_refused(database: Any, settings: Settings, make_setup: Setup) -> None:
    ensure_keys(database.app_url, settings, make_setup)
    settings.key_path.unlink()
    settings.key_path.write_bytes(encode_key_ring(new_keys(make_setup)))
    settings.key_path.chmod(0o600)
    with pytest.raises(StartError, match="made under other server keys"):
        ensure_keys(database.app_url, settings, make_setup)


@pytest.mark.parametrize("part", ["opaque_setup", "sealing_key", "audit_key", "decoy_seed"])
def test_one_altered_key_is_noticed(database: Any, settings: Settings, make_setup: Setup, part: str) -> None:
    ring = ensure_keys(database.app_url, settings, make_setup)
    value = bytearray(getattr(ring.current, part))
    value[-1] ^= 1
    altered = replace(ring.current, **{part: bytes(value)})
    settings.key_path.write_bytes(encode_key_ring(KeyRing(altered, {altered.id: altered})))
    with pytest.raises(StartError, match="made under other server keys"):
        ensure_keys(database.app_url, settings, make_setup)


def test_keys_come_from_the_environment_too(database: Any, settings: Settings, make_setup: Setup) -> None:
    content = encode_key_ring(new_keys(make_setup)).decode("ascii")
    given = replace(settings, keys=content)
    ring = ensure_keys(database.app_url, given, make_setup)
    assert encode_key_ring(ring).decode("ascii") == content
    assert not settings.key_path.exists()


def test_a_ring_of_which_nothing_was_retired_is_written_as_earlier_servers_read_it(make_setup: Setup) -> None:
    ring = new_keys(make_setup)
    assert set(json.loads(encode_key_ring(ring))) == {"version", "current", "keys"}
    retired = replace(ring, retired_audit_keys={uuid4(): bytes(32)})
    assert set(json.loads(encode_key_ring(retired))) == {"version", "current", "keys", "retired_audit_keys"}
    for each in (ring, retired):
        assert read_key_ring(encode_key_ring(each), "the key file x") == each


def test_a_second_key_is_recorded_beside_the_first(database: Any, settings: Settings, make_setup: Setup) -> None:
    first = ensure_keys(database.app_url, settings, make_setup)
    second = new_keys(make_setup)
    both = KeyRing(second.current, {**first.by_id, **second.by_id})
    settings.key_path.write_bytes(encode_key_ring(both))
    assert ensure_keys(database.app_url, settings, make_setup).current == second.current
    with psycopg.connect(database.app_url) as connection:
        assert connection.execute("SELECT count(*) FROM server_keys").fetchone() == (2,)


def test_the_database_holds_no_key(database: Any, settings: Settings, make_setup: Setup) -> None:
    keys = ensure_keys(database.app_url, settings, make_setup).current
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute("SELECT s::text FROM server_keys s").fetchone()
    assert row is not None
    for secret in (keys.opaque_setup, keys.sealing_key, keys.audit_key, keys.decoy_seed):
        assert secret[:8].hex() not in row[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"version":1}', b"null"])
def test_a_broken_file_is_refused_without_repeating_it(content: bytes) -> None:
    with pytest.raises(StartError, match="is not a key file"):
        read_key_ring(content, "the key file x")


def test_keys_are_not_in_the_repr(make_setup: Setup) -> None:
    ring = new_keys(make_setup)
    shown = repr(ring)
    assert ring.current.sealing_key.hex() not in shown
    assert str(ring.current.sealing_key) not in shown
    assert "not shown" in shown
