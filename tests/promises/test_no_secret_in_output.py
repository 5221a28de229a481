"""The watch over the suite's own output sees a leak in every spelling, and fails the test that made it."""

import base64
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from hushtag.errors import MisuseError
from hushtag.types import DataKey
from tests.canaries import WATCH, Watch

LEAKING = """
import logging
from hushtag.errors import MisuseError
from hushtag.types import DataKey

def test_leak():
    key = DataKey(bytes(range(100, 132)))
    {leak}
"""
LEAKS = {
    "print(key.expose().hex())": "DataKey in captured stdout call",
    "logging.getLogger('x').warning('%r', key.expose())": "DataKey in captured log call",
    "MisuseError(f'bad key {key.expose()!r}')": "DataKey in the text of MisuseError",
    "print(key, repr(key), key.expose()[:4])": None,
}


def varied() -> bytes:
    """Return 32 bytes that no chance takes for a plain value: no two are the same."""
    return bytes(random.sample(range(256), 32))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a session says of a test for each of the leaks, in files of their own."""
    place = tmp_path_factory.mktemp("leaks")
    for number, leak in enumerate(LEAKS):
        (place / f"test_{number}.py").write_text(LEAKING.format(leak=leak))
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "tests.canaries", "-p", "no:cacheprovider"]
    command += ["-p", "no:schemathesis", "-p", "no:xdist", f"--rootdir={place}", str(place)]
    wide = {**os.environ, "COLUMNS": "1000"}  # its summary has a line for each test, and cuts none
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=wide)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("number", "leak"), list(enumerate(LEAKS)))
def test_a_session_fails_when_a_test_says_a_secret(session: str, number: int, leak: str) -> None:
    said = [line for line in session.splitlines() if f"test_{number}.py::test_leak" in line]
    found = LEAKS[leak]
    assert said[0].startswith("PASSED")  # of itself
    assert [line.split(" - ")[1] for line in said[1:]] == ([f"something secret got out: {found}"] if found else [])


@pytest.mark.parametrize("shift", range(3))
def test_every_spelling_is_seen(shift: int) -> None:
    watch, secret = Watch(), varied()
    watch.keep_bytes("key", secret)
    around = os.urandom(shift) + secret + os.urandom(5)
    said = [
        secret.hex(),
        secret.hex().upper(),
        f"value={secret!r}",
        base64.b64encode(around).decode(),
        base64.urlsafe_b64encode(around).decode().rstrip("="),
    ]
    for text in said:
        watch.hear("a log", f"before {text} behind")
        assert watch.leaks() == ["key in a log"], text
    assert watch.leaks() == []


def test_texts_are_seen_and_plain_values_are_no_canaries() -> None:
    watch = Watch()
    watch.keep_text("phrase", b"seven words nobody ought to read")
    for plain in (bytes(32), b"ab" * 16):
        watch.keep_bytes("zeros", plain)
    watch.keep_text("password", b"aaaaaaaaaaaa")
    watch.hear("a log", f"{bytes(32).hex()} {'ab' * 16} aaaaaaaaaaaa")
    assert watch.leaks() == []
    watch.hear("stderr", "error: seven words nobody ought to read")
    assert watch.leaks() == ["phrase in stderr"]


def test_a_state_file_may_hold_the_session_and_no_other_secret() -> None:
    watch, token, key = Watch(), varied(), varied()
    watch.keep_bytes("account token", token, may_be_in_state=True)
    watch.keep_bytes("data key", key)
    watch.hear("state file", token.hex() + " " + key.hex())
    assert watch.leaks() == ["data key in state file"]
    watch.hear("a log", token.hex())
    assert watch.leaks() == ["account token in a log"]


def test_the_watch_of_this_run_is_on() -> None:
    key = DataKey(varied())
    MisuseError(key.expose().hex())
    assert WATCH.leaks() == ["DataKey in the text of MisuseError"]
