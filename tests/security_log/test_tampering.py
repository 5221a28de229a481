"""Whoever can write to the database and has no key: every way of changing the log is found, and named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from hushtag.messages import encode_binary
from hushtag_server.errors import StartError
from hushtag_server.keyfile import KeyRing, encode_key_ring, new_keys, read_key_ring
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.checkpoint_file import read_checkpoints
from hushtag_server.security_log.recording import INSERT
from hushtag_server.security_log.rows import COLUMNS
from tests.security_log.support import kinds, log_id, seal, sign, signed_row, verified, write

NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
# Each column, made another value of its own kind.
OTHER = {
    "id": "gen_random_uuid()",
    "key_id": "gen_random_uuid()",
    "user_id_hash": "substr(user_id_hash, 2)",
    "session_id_hash": "NULL",
    "correlation_id": "gen_random_uuid()",
    "request_id": "gen_random_uuid()",
    "ip_address_hash": "substr(ip_address_hash, 2)",
    "user_agent_hash": "'x'",
    "event_data": "event_data || ' '",
    "timestamp": "timestamp + interval '1 microsecond'",
    "processing_time_ms": "7",
    "event_type": "'object_put'",
    "event_category": "'auth'",
    "severity": "'warning'",
    "event_message": "''",
    "is_sensitive": "NOT is_sensitive",
    "success": "NULL",
    "error_code": "'not_found'",
    "log_signature": "substr(log_signature, 2)",
}


def test_an_untouched_log_is_whole(ten: Any, keys: KeyRing) -> None:
    checkpoint = sign(ten.app_url, keys)
    done = verified(ten, keys, checkpoint)
    assert (done.tampering, done.rows, done.kept_from, done.head, done.waiting) == ([], 10, 1, 10, 0)
    assert done.checkpoints == 2
    write(ten.app_url, keys, 3)
    assert (verified(ten, keys).tampering, verified(ten, keys).waiting) == ([], 3)


def test_what_a_retired_key_set_has_signed_still_verifies(ten: Any, keys: KeyRing, make_setup: Any) -> None:
    sign(ten.app_url, keys)
    fresh = new_keys(make_setup).current
    retired = KeyRing(fresh, {fresh.id: fresh}, {key_id: each.audit_key for key_id, each in keys.by_id.items()})
    kept = read_key_ring(encode_key_ring(retired), "the test")
    assert kept == retired
    assert encode_binary(keys.current.audit_key) not in repr(kept)
    assert repr(keys.current.audit_key) not in repr(kept)
    assert kinds(ten, kept) == []
    # Without its key, or with another one in its place, nothing it signed is believed.
    assert {kind for kind, _ in kinds(ten, KeyRing(fresh, {fresh.id: fresh}))} >= {"unknown_key"}
    other = KeyRing(fresh, {fresh.id: fresh}, dict.fromkeys(keys.by_id, bytes(32)))
    assert "edited" in {kind for kind, _ in kinds(ten, other)}
    with pytest.raises(StartError):  # in use and retired at once
        read_key_ring(encode_key_ring(replace(retired, retired_audit_keys={fresh.id: bytes(32)})), "the test")


def test_every_column_has_an_attack(admin: Any) -> None:
    found = admin.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'security_audit_logs'::regclass"
                          " AND attnum > 0 AND NOT attisdropped").fetchall()  # fmt: skip
    assert {row[0] for row in found} == set(OTHER) == set(COLUMNS)


@pytest.mark.parametrize("column", OTHER)
def test_an_edited_column_is_found(ten: Any, keys: KeyRing, admin: Any, column: str) -> None:
    row = log_id(admin, 4)
    admin.execute(f'UPDATE security_audit_logs SET "{column}" = {OTHER[column]} WHERE id = %s', [row])
    found = kinds(ten, keys)
    if column == "id":
        assert found == [("deleted", 4), ("inserted", None)]
    else:
        assert found == [("unknown_key" if column == "key_id" else "edited", 4)]


@pytest.mark.parametrize("seq", [1, 5, 10])
@pytest.mark.parametrize("table", ["security_audit_logs", "security_audit_links", "both"])
def test_a_deleted_row_is_found_wherever_it_was(ten: Any, keys: KeyRing, admin: Any, seq: int, table: str) -> None:
    checkpoint = sign(ten.app_url, keys)
    row = log_id(admin, seq)
    if table != "security_audit_logs":
        admin.execute("DELETE FROM security_audit_links WHERE seq = %s", [seq])
    if table != "security_audit_links":
        admin.execute("DELETE FROM security_audit_logs WHERE id = %s", [row])
    found = kinds(ten, keys, checkpoint)
    if seq == 10 and table != "security_audit_logs":
        assert found[-1] == ("cut", 10)
    else:
        assert found[0] == ("deleted", seq)
    if table == "security_audit_links":
        assert ("inserted", None) in found  # the row itself is still there, in no place


def test_a_deleted_row_is_not_hidden_by_moving_the_others_up(ten: Any, keys: KeyRing, admin: Any) -> None:
    admin.execute("DELETE FROM security_audit_logs WHERE id = %s", [log_id(admin, 5)])
    admin.execute("DELETE FROM security_audit_links WHERE seq = 5")
    for seq in range(6, 11):
        admin.execute("UPDATE security_audit_links SET seq = seq - 1 WHERE seq = %s", [seq])
    assert kinds(ten, keys) == [("reordered", seq) for seq in range(5, 10)]


@pytest.mark.parametrize("what", ["log_id", "log_id, link"])
def test_two_swapped_rows_are_found(ten: Any, keys: KeyRing, admin: Any, what: str) -> None:
    """The rows change places in the chain, with or without their links."""
    rows = {seq: admin.execute("SELECT log_id, link FROM security_audit_links WHERE seq = %s", [seq]).fetchone()
            for seq in (3, 6)}  # fmt: skip
    admin.execute("DELETE FROM security_audit_links WHERE seq IN (3, 6)")
    for seq, other in ((3, 6), (6, 3)):
        link = rows[other if "link" in what else seq][1]
        admin.execute("INSERT INTO security_audit_links VALUES (%s, %s, %s, %s)",
                      [seq, rows[other][0], link, keys.current.id])  # fmt: skip
    found = kinds(ten, keys)
    assert found[0] == ("reordered", 3)
    assert ("reordered", 6) in found


def test_the_contents_of_two_rows_cannot_be_swapped(ten: Any, keys: KeyRing, admin: Any) -> None:
    one, other = log_id(admin, 3), log_id(admin, 6)
    names = ", ".join(f'"{name}"' for name in COLUMNS if name != "id")
    values = f"SELECT {names} FROM security_audit_logs o WHERE o.id = CASE l.id WHEN %s THEN %s ELSE %s END"
    swap = f"UPDATE security_audit_logs l SET ({names}) = ({values}) WHERE id IN (%s, %s)"
    admin.execute(swap, [one, other, one, one, other])
    assert kinds(ten, keys) == [("edited", 3), ("edited", 6)]


@pytest.mark.parametrize("queued", [False, True])
def test_an_invented_row_is_found_also_where_the_sealer_takes_it(
    ten: Any, keys: KeyRing, admin: Any, queued: bool
) -> None:
    row = uuid4()
    admin.execute("INSERT INTO security_audit_logs (id, key_id, event_type, event_category, severity, event_message,"
                  " log_signature) VALUES (%s, %s, 'vault_locked', 'session', 'info', 'x', repeat('0', 128))",
                  [row, keys.current.id])  # fmt: skip
    if not queued:
        assert kinds(ten, keys) == [("inserted", None)]
        return
    admin.execute("INSERT INTO security_audit_unsealed VALUES (%s)", [row])
    assert kinds(ten, keys) == [("edited", None)]
    seal(ten.app_url, keys)
    assert kinds(ten, keys) == [("edited", 11)]


def test_a_row_of_another_installation_is_found(ten: Any, keys: KeyRing, admin: Any, make_setup: Any) -> None:
    theirs = new_keys(make_setup)
    admin.execute(INSERT, [msgspec.json.encode(signed_row(audit_keys(theirs.current))).decode()])
    seal(ten.app_url, keys)
    assert kinds(ten, keys) == [("unknown_key", 11)]
    # Nor does it help to say that it was signed by the keys at hand.
    admin.execute("UPDATE security_audit_logs SET key_id = %s WHERE id = %s", [keys.current.id, log_id(admin, 11)])
    assert kinds(ten, keys) == [("edited", 11)]


def test_another_installation_cannot_seal(ten: Any, keys: KeyRing, make_setup: Any) -> None:
    write(ten.app_url, keys, 1)
    seal(ten.app_url, new_keys(make_setup))
    assert kinds(ten, keys) == [("unknown_key", 11)]


@pytest.mark.parametrize("id_", ["same", "fresh"])
def test_a_copy_of_an_old_row_is_found(ten: Any, keys: KeyRing, admin: Any, id_: str) -> None:
    row = log_id(admin, 2)
    copied = "id" if id_ == "same" else "gen_random_uuid()"
    names = ", ".join(f'"{name}"' for name in COLUMNS if name != "id")
    copy = (
        f"INSERT INTO security_audit_logs (id, {names}) SELECT {copied}, {names} FROM security_audit_logs WHERE id = %s"
    )
    if id_ == "same":
        with pytest.raises(psycopg.errors.UniqueViolation):
            admin.execute(copy, [row])
        admin.execute("INSERT INTO security_audit_unsealed VALUES (%s)", [row])
        write(ten.app_url, keys, 1)
        assert seal(ten.app_url, keys).rows == 1  # and it does not stop the sealer
        assert kinds(ten, keys) == [("replayed", 2)]
        return
    fresh = admin.execute(copy + " RETURNING id", [row]).fetchone()[0]
    admin.execute("INSERT INTO security_audit_unsealed VALUES (%s)", [fresh])
    seal(ten.app_url, keys)
    assert kinds(ten, keys) == [("edited", 11)]


def test_an_old_row_that_was_taken_away_and_is_put_back_is_found(
    database: Any, keys: KeyRing, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its signature is right, and the sealer takes it: its time tells."""
    write(database.app_url, keys, 1)
    taken = admin.execute(f"DELETE FROM security_audit_logs RETURNING {NAMES}").fetchone()
    admin.execute("DELETE FROM security_audit_unsealed")
    # Rows of one millisecond are chained in any order; between the first and these lie connections and statements.
    monkeypatch.setattr("hushtag_server.security_log.verify.LATE", 0.001)
    write(database.app_url, keys, 3)
    seal(database.app_url, keys)
    marks = ", ".join(["%s"] * len(COLUMNS))
    admin.execute(f"INSERT INTO security_audit_logs ({NAMES}) VALUES ({marks})", taken)
    admin.execute("INSERT INTO security_audit_unsealed VALUES (%s)", [taken[0]])
    seal(database.app_url, keys)
    assert kinds(database, keys) == [("replayed", 4)]


def test_an_event_that_waits_and_is_taken_away_is_found_by_what_waits(database: Any, keys: KeyRing, admin: Any) -> None:
    write(database.app_url, keys, 2)
    admin.execute(
        "DELETE FROM security_audit_logs WHERE id = (SELECT min(id::text)::uuid FROM security_audit_unsealed)"
    )
    assert kinds(database, keys) == [("deleted", None)]
    assert seal(database.app_url, keys).rows == 1
    assert kinds(database, keys) == [("deleted", None)]


def test_a_cut_tail_is_found_by_the_checkpoint_of_the_database(ten: Any, keys: KeyRing, admin: Any) -> None:
    sign(ten.app_url, keys)
    admin.execute("DELETE FROM security_audit_logs WHERE id IN (SELECT log_id FROM security_audit_links WHERE seq > 7)")
    admin.execute("DELETE FROM security_audit_links WHERE seq > 7")
    assert kinds(ten, keys) == [("cut", 8)]


def test_a_cut_tail_that_grew_anew_is_found_by_the_checkpoint_that_was_kept_elsewhere(
    ten: Any, keys: KeyRing, admin: Any
) -> None:
    kept = sign(ten.app_url, keys)
    admin.execute("DELETE FROM security_audit_logs WHERE id IN (SELECT log_id FROM security_audit_links WHERE seq > 7)")
    admin.execute("DELETE FROM security_audit_links WHERE seq > 7")
    admin.execute("DELETE FROM security_audit_checkpoints")
    write(ten.app_url, keys, 5)
    sign(ten.app_url, keys)
    assert kinds(ten, keys) == []  # as far as the database alone can tell
    assert kinds(ten, keys, kept) == [("cut", 10)]


def test_an_emptied_log_is_found_by_a_kept_checkpoint(ten: Any, keys: KeyRing, admin: Any) -> None:
    kept = sign(ten.app_url, keys)
    admin.execute("TRUNCATE security_audit_logs, security_audit_links, security_audit_checkpoints")
    assert kinds(ten, keys) == []
    assert kinds(ten, keys, kept) == [("cut", 1)]


@pytest.mark.parametrize(
    "change", ["last_seq = 9", "first_seq = 2", "kind = 'cut'", "link = sha256('x')", "signed_at = now()"]
)
def test_a_changed_checkpoint_is_found(ten: Any, keys: KeyRing, admin: Any, change: str) -> None:
    sign(ten.app_url, keys)
    admin.execute(f"UPDATE security_audit_checkpoints SET {change}")
    assert [kind for kind, _ in kinds(ten, keys)] == ["forged_checkpoint"]


@pytest.mark.parametrize(
    "line",
    [
        b'"last_seq": %d' % 10**30,
        b'"first_seq": -1',
        b'"first_seq": 1e400',
        b'"signed_at": "0001-01-01T00:00:00+10:00"',
        b'"kind": []',
        b"[" * 500_000,
    ],
)
def test_a_line_that_is_no_checkpoint_does_not_stop_the_verification(
    ten: Any, keys: KeyRing, tmp_path: Path, line: bytes
) -> None:
    kept = sign(ten.app_url, keys)
    whole = json.dumps(kept.as_line()).encode()
    (tmp_path / "kept").write_bytes(line + b"\n" + whole[:-1] + b", " + line + b"}\n" + whole + b"\n")
    assert read_checkpoints(tmp_path / "kept") == [kept]


@pytest.mark.parametrize("at", ["infinity", "-infinity", "0001-12-31Z", "9999-01-01Z"])
def test_no_row_has_a_time_that_would_stop_the_verification(ten: Any, keys: KeyRing, at: str) -> None:
    sign(ten.app_url, keys)
    with psycopg.connect(ten.app_url, autocommit=True) as server:
        for table, column in (("security_audit_logs", "timestamp"), ("security_audit_checkpoints", "signed_at")):
            server.execute(f"CREATE TEMPORARY TABLE copy AS SELECT * FROM {table} LIMIT 1")
            server.execute(f'UPDATE copy SET id = gen_random_uuid(), "{column}" = %s', [at])
            with pytest.raises(psycopg.errors.CheckViolation):
                server.execute(f"INSERT INTO {table} SELECT * FROM copy")
            server.execute("DROP TABLE copy")
    assert kinds(ten, keys) == []


def test_a_signature_that_is_no_ascii_is_found(ten: Any, keys: KeyRing, admin: Any) -> None:
    admin.execute("UPDATE security_audit_logs SET log_signature = 'é' WHERE id = %s", [log_id(admin, 4)])
    assert kinds(ten, keys) == [("edited", 4)]


def test_a_kept_checkpoint_that_was_changed_is_found(ten: Any, keys: KeyRing) -> None:
    kept = sign(ten.app_url, keys)
    assert kinds(ten, keys, kept._replace(last_seq=9)) == [("forged_checkpoint", 9)]


def test_rows_of_every_key_set_of_the_ring_are_verified(ten: Any, keys: KeyRing, make_setup: Any) -> None:
    """Keys were changed: rows, links and checkpoints name the set they were made under."""
    first = sign(ten.app_url, keys)
    later = new_keys(make_setup).current
    ring = replace(keys, current=later, by_id={**keys.by_id, later.id: later})
    write(ten.app_url, keys, 2)  # one worker still has the old keys
    write(ten.app_url, ring, 3)
    second = sign(ten.app_url, ring)
    assert (first.key_id, second.key_id) == (keys.current.id, later.id)
    assert verified(ten, ring, first, second).tampering == []
    assert verified(ten, ring).rows == 15
    assert {kind for kind, _ in kinds(ten, keys)} == {"unknown_key", "forged_checkpoint"}


def test_a_verification_ends_after_twenty_findings(ten: Any, keys: KeyRing, admin: Any) -> None:
    write(ten.app_url, keys, 20)
    seal(ten.app_url, keys)
    admin.execute("UPDATE security_audit_logs SET severity = 'error'")
    assert kinds(ten, keys) == [("edited", seq) for seq in range(1, 21)]
