"""What a run of the command said, for somebody with an account on a real server."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

Process = Callable[..., subprocess.CompletedProcess[bytes]]


def text_of(done: subprocess.CompletedProcess[bytes]) -> str:
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def json_of(done: subprocess.CompletedProcess[bytes]) -> Any:
    return json.loads(text_of(done))


def failed(done: subprocess.CompletedProcess[bytes], code: int) -> Any:
    """Return the error of a run with --json that must exit with this code."""
    assert done.returncode == code, (done.stdout, done.stderr)
    error = json.loads(done.stderr)["error"]
    assert error["exit_code"] == code
    return error
