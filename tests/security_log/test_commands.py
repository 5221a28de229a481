"""`hushtag-server audit` and what doctor says of the log."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from hushtag_server.cli import main
from hushtag_server.keyfile import KeyRing
from hushtag_server.operation.checks import Examined, Finding, security_log
from hushtag_server.operation.reach import Reached, connect
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.checkpoint_file import append_checkpoint
from hushtag_server.security_log.events import UNLOCK_FINISHED
from hushtag_server.security_log.recording import Subject
from hushtag_server.settings import Settings
from tests.security_log.support import log_id, made_row, sign, store, write


@pytest.fixture
def audit(ten: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("HUSHTAG_DATABASE_URL", ten.owner_url)
    monkeypatch.setenv("HUSHTAG_DATA", str(settings.data))
    return lambda *words: CliRunner().invoke(main, ["audit", *map(str, words)])


def test_a_whole_log(audit: Callable[..., Result], ten: Any, keys: KeyRing, data_directory: Path) -> None:
    append_checkpoint(data_directory / "kept", sign(ten.app_url, keys))
    told = audit("verify", "--checkpoint", data_directory / "kept")
    assert (told.exit_code, told.output) == (0, "whole: 10 rows, 1 to 10; 2 checkpoints compared\n")
    told = audit("verify", "--json")
    assert told.exit_code == 0
    assert json.loads(told.output) == {
        "rows": 10,
        "kept_from": 1,
        "head": 10,
        "waiting": 0,
        "checkpoints": 1,
        "tampering": [],
        "whole": True,
    }


def test_a_log_that_was_tampered_with(audit: Callable[..., Result], admin: Any) -> None:
    row = log_id(admin, 3)
    admin.execute("UPDATE security_audit_logs SET success = NOT success WHERE id = %s", [row])
    told = audit("verify")
    assert told.exit_code == 1
    assert f"edited: row 3 ({row}): its signature does not cover the row as it is" in told.output
    told = audit("verify", "--json")
    assert (told.exit_code, json.loads(told.stdout)["tampering"][0]["seq"]) == (1, 3)


def test_checkpoints_are_read_out_of_a_log_of_the_server(
    audit: Callable[..., Result], ten: Any, keys: KeyRing, admin: Any, data_directory: Path
) -> None:
    log = data_directory / "log"
    lines = [{"event": "request"}, {"event": "checkpoint", "checkpoint": sign(ten.app_url, keys).as_line()}]
    log.write_text("not JSON\n" + "\n".join(map(json.dumps, lines)) + "\n")
    assert audit("verify", "--checkpoint", log).exit_code == 0
    admin.execute("TRUNCATE security_audit_logs, security_audit_links, security_audit_checkpoints")
    told = audit("verify", "--checkpoint", log)
    assert (told.exit_code, "cut: row 1" in told.output) == (1, True)
    log.write_text("{}\n")
    told = audit("verify", "--checkpoint", log)
    assert (told.exit_code, "holds no checkpoint" in told.output) == (1, True)
    told = audit("verify", "--checkpoint", "/dev/zero")
    assert (told.exit_code, "a line of more than" in told.output) == (1, True)


def test_the_keys_are_needed(audit: Callable[..., Result], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.key_path.unlink()
    told = audit("verify")
    assert (told.exit_code, f"there is no key file {settings.key_path}; " in told.output) == (1, True)
    monkeypatch.setenv("HUSHTAG_KEY_STORE", f"command:{sys.executable} -c 'raise SystemExit(3)'")
    told = audit("verify")
    assert (told.exit_code, f"the key store {sys.executable} holds no keys; " in told.output) == (1, True)


def test_events_are_found_by_whom_they_are_about(
    audit: Callable[..., Result], ten: Any, keys: KeyRing, admin: Any
) -> None:
    user = uuid4()
    subject = Subject(user, bytes(32))
    row = made_row(audit_keys(keys.current), UNLOCK_FINISHED, subject, "ceremony_failed")
    store(ten.app_url, row)
    found = [json.loads(line) for line in audit("show", "--user", user, "--json").output.splitlines()]
    assert [(row["event_type"], row["error_code"], row["signed"]) for row in found] == [
        ("unlock_finished", "ceremony_failed", True)
    ]
    assert audit("show", "--user", uuid4()).output == ""
    assert "ceremony_failed" in audit("show", "--failed").output
    assert len(audit("show", "--failed").output.splitlines()) == 1
    for address in ("192.0.2.1", "::ffff:192.0.2.1", "::FFFF:c000:201"):
        assert len(audit("show", "--address", address).output.splitlines()) == 11
    assert audit("show", "--address", "192.0.2.2").output == ""
    told = audit("show", "--address", "192.0.2.0/24")
    assert (told.exit_code, "'192.0.2.0/24' is no IP address" in told.output) == (2, True)
    assert len(audit("show", "--most", 4, "--since", "2020-01-01").output.splitlines()) == 4
    admin.execute("UPDATE security_audit_logs SET severity = 'x' WHERE id = %s", [row.id])
    assert "NOT AS SIGNED" in audit("show", "--failed").output


def _finding(database: Any, settings: Settings) -> Finding:
    with connect(database.owner_url) as connection:
        (found,) = security_log(Examined(connection, settings, Reached(database.owner_url)))
    return found


def test_doctor_notices_that_sealing_lags(ten: Any, keys: KeyRing, settings: Settings, admin: Any) -> None:
    found = _finding(ten, settings)
    assert (found.level, found.says) == ("warning", "the chain reaches row 10, and no checkpoint does")
    sign(ten.app_url, keys)
    assert _finding(ten, settings).says == "sealed up to row 10, signed up to row 10"
    write(ten.app_url, keys, 1)
    assert _finding(ten, settings).level == "fine"
    admin.execute("UPDATE security_audit_logs SET timestamp = now() - interval '2 minutes'"
                  " WHERE id IN (SELECT id FROM security_audit_unsealed)")  # fmt: skip
    found = _finding(ten, settings)
    assert (found.level, found.says) == ("warning", "1 events wait for their seal, the oldest for 2 min")
