"""The local state: private, whole, and shared by several processes without loss."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from hushtag.client import Pin, Session, StateFileError, private_file
from hushtag.client.session import account_key
from hushtag.client.state import StateFile
from hushtag.messages import encode_binary

SALT = encode_binary(bytes(16))


def session() -> Session:
    return Session("http://localhost:1", "hta_secret", uuid4(), uuid4(), datetime.now(UTC), "hushtag-v1", SALT)


@pytest.fixture
def state(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "state" / "hushtag")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_kept_comes_back(state: StateFile) -> None:
    assert state.load().session is None
    assert not state.directory.exists()  # looking makes nothing
    kept = session()
    assert state.keep_session(session()) is None
    assert state.keep_session(kept) is not None
    state.write("account", Pin(uuid4(), SALT))
    assert state.load().session == kept
    assert state.read("account") is not None
    assert state.read("another") is None
    state.forget_session(session())
    assert state.load().session == kept  # another process has logged in since
    state.forget_session(kept)
    assert state.load().session is None
    assert state.read("account") is not None


def test_only_the_owner_can_read_it_whatever_the_umask(state: StateFile) -> None:
    before = os.umask(0)
    try:
        state.keep_session(session())
    finally:
        os.umask(before)
    assert mode(state.directory) == 0o700
    assert {path.name: mode(path) for path in state.directory.iterdir()} == {"state.json": 0o600, "lock": 0o600}


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o622])
def test_a_file_that_is_open_to_others_is_refused(state: StateFile, bits: int) -> None:
    state.keep_session(session())
    state.path.chmod(bits)
    with pytest.raises(StateFileError, match="chmod 600"):
        state.load()
    with pytest.raises(StateFileError):
        state.keep_session(session())


@pytest.mark.parametrize("bits", [0o750, 0o701, 0o777])
def test_a_directory_that_is_open_to_others_is_refused(state: StateFile, bits: int) -> None:
    state.directory.mkdir(parents=True)
    state.directory.chmod(bits)
    with pytest.raises(StateFileError, match="chmod 700"):
        state.load()
    with pytest.raises(StateFileError):
        state.keep_session(session())
    assert list(state.directory.iterdir()) == []


def test_links_and_other_kinds_of_file_are_refused(state: StateFile, tmp_path: Path) -> None:
    state.keep_session(session())
    elsewhere = tmp_path / "elsewhere"
    state.path.rename(elsewhere)
    state.path.symlink_to(elsewhere)
    with pytest.raises(StateFileError):
        state.load()
    state.path.unlink()
    os.mkfifo(state.path, 0o600)
    with pytest.raises(StateFileError, match="no regular file"):
        state.load()
    state.path.unlink()
    state.path.mkdir(0o700)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with pytest.raises(StateFileError, match="no regular file"):
            state.load()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_lock_that_another_process_keeps_is_told(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    state.keep_session(session())
    monkeypatch.setattr(private_file, "LOCK_SECONDS", 0.0)
    with (
        private_file.locked(state.directory / "lock"),
        pytest.raises(StateFileError, match=f"another process holds {state.directory}"),
    ):
        state.keep_session(session())
    state.keep_session(session())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{", b"[]", b'{"version":2}', b'{"session":1}', b'{"more":1}', b"[" * 100_000, b" " * 1_100_000],
)
def test_a_damaged_file_is_refused_and_left_alone(state: StateFile, content: bytes) -> None:
    state.keep_session(session())
    state.path.write_bytes(content)
    with pytest.raises(StateFileError):
        state.load()
    with pytest.raises(StateFileError):
        state.keep_session(session())
    assert state.path.read_bytes() == content


def test_a_write_that_fails_leaves_the_old_state(state: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = session()
    state.keep_session(kept)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.keep_session(session())
    monkeypatch.undo()
    assert state.load().session == kept
    assert sorted(path.name for path in state.directory.iterdir()) == ["lock", "state.json"]


_WRITER = """
import sys, uuid, pathlib
from hushtag.client import Pin
from hushtag.client.state import StateFile
state = StateFile(pathlib.Path(sys.argv[1]))
for number in range(25):
    state.write(f"{sys.argv[2]}-{number}", Pin(uuid.uuid4(), "A" * 22))
"""


def test_processes_that_write_at_once_lose_nothing(state: StateFile) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", _WRITER, str(state.directory), str(number)])
        for number in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(state.load().pins) == 100


def test_the_state_names_nobody() -> None:
    key = account_key("https://vault.example.org", "Ada@example.org")
    assert len(key) == 64
    assert key == account_key("https://vault.example.org", "ada@EXAMPLE.org")
    assert key != account_key("https://vault.example.com", "ada@example.org")
