"""Changing the keys of a running server, as an operator does, and what a client sees of it."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec

from hushtag.client import TransportError
from hushtag.errors import AuthenticationError
from hushtag.messages import Located
from hushtag.unlock import start_unlock
from tests.client.support import PHRASE, connect_sync
from tests.operation.conftest import PASSPHRASE
from tests.operation.test_commands import done, run
from tests.people import PASSWORD
from tests.server.vault_support import new_password

EMAIL = "ada@example.org"


def _reloaded(server: Any, token: str, sets: int) -> None:
    """Wait until a server that got SIGHUP evaluates under so many sets, as its answers show."""
    deadline = time.monotonic() + 90
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Connection": "close"}
    while time.monotonic() < deadline:
        message = msgspec.json.encode(start_unlock([new_password()]).message)
        try:
            answer = httpx.post(f"{server.url}/v1/unlock/locate", content=message, headers=headers, timeout=30)
        except httpx.TransportError:
            continue  # the worker that is leaving
        assert answer.status_code == 200, answer.text
        if len(msgspec.json.decode(answer.content, type=Located).responses) == sets:
            return
        time.sleep(0.2)  # a condition in another process: nothing here could be awaited
    raise AssertionError("the server did not take the keys over")


def _scraped(server: Any, line: str) -> None:
    """Wait until `/metrics` has this line: a worker that is leaving still answers, of the keys it knows."""
    deadline, page = time.monotonic() + 90, ""
    while line not in page:
        assert time.monotonic() < deadline, page
        time.sleep(0.2)  # as above
        with suppress(httpx.TransportError):  # the worker that is leaving
            page = httpx.get(f"{server.url}/metrics", headers={"Connection": "close"}).text


@contextmanager
def _again(server: Any) -> Iterator[Any]:
    """Unlock over a new connection, so that no worker of before answers."""
    with connect_sync(server.url) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            yield vault


def _names_in_the_end(server: Any) -> list[str]:
    """List the vault; a worker of before, which does not know the set the tag is under, may answer first."""
    for _ in range(10):
        try:
            with _again(server) as vault:
                return [entry.name for entry in vault.list()]
        except (AuthenticationError, TransportError):
            time.sleep(1)  # it is leaving; nothing here could be awaited
    raise AssertionError("the phrase opens nothing after the rotation")


def test_keys_change_under_a_running_server_and_nobody_notices(data_directory: Path, run_server: Any) -> None:
    data, copies = data_directory / "data", data_directory / "copies"
    data_directory.chmod(0o755)
    for directory in (data, copies):
        directory.mkdir(mode=0o755)
    line = PASSPHRASE + "\n"
    with (
        run_server(data, HUSHTAG_GUESS_CAPACITY="1000", HUSHTAG_METRICS_LOOPBACK="yes") as server,
        connect_sync(server.url) as client,
    ):
        client.sign_up(EMAIL, PASSWORD)
        token = client.log_in(EMAIL, PASSWORD).token
        client.enrol(PHRASE, label="mine")
        with client.unlock(PHRASE) as vault:
            vault.put(b"kept", name="note")
        (first,) = done("keys", "--json", data=data)
        rotated = done("keys", "rotate", "--json", data=data)
        assert rotated == {"id": rotated["id"], "current": True, "sets": 2}
        refused = run("keys", "retire", first["id"], data=data)
        assert refused.returncode == 1
        assert "1 secret tags are still under" in refused.stderr
        server.process.send_signal(signal.SIGHUP)
        _reloaded(server, token, 2)  # with the token of before: nobody was logged out
        tags: list[int] = []
        for _ in range(10):  # the worker that is leaving may still answer one unlock; under its keys nothing moves
            with suppress(TransportError), _again(server) as vault:
                assert [entry.name for entry in vault.list()] == ["note"]
            rows = {row["id"]: row for row in done("keys", "status", "--json", data=data)}
            tags = [rows[key]["tags"] for key in (first["id"], rotated["id"])]
            if tags == [0, 1]:
                break
        assert tags == [0, 1]
        _scraped(server, f'hushtag_key_set_tags{{current="true",key_set="{rotated["id"]}"}} 1.0')
        assert "retired" in done("keys", "retire", first["id"], data=data)
        server.process.send_signal(signal.SIGHUP)
        _reloaded(server, token, 1)
        assert _names_in_the_end(server) == ["note"]
        done("keys", "export", str(copies / "keys"), "--passphrase-stdin", data=data, given=line)
        assert "all 1 key sets" in done(
            "keys", "check", str(copies / "keys"), "--passphrase-stdin", data=data, given=line
        )
        assert "1 seals" in done(
            "backup-seals", str(copies / "backup-seals"), "--passphrase-stdin", data=data, given=line
        )
        # What the retired set signed still verifies: its audit key is in the store, and in the copy.
        assert done("audit", "verify", "--json", data=data)["whole"] is True
        kept = json.loads((data / "keys.json").read_text())["retired_audit_keys"]
        assert [entry["id"] for entry in kept] == [first["id"]]
        status = json.loads(run("keys", "status", "--json", data=data).stdout)
        assert [row["retired_at"] is None for row in status] == [False, True]


def test_a_key_set_that_is_none_is_a_usage_error(data_directory: Path) -> None:
    assert run("keys", "retire", "nonsense", data=data_directory).returncode == 2
