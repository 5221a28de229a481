"""Clusters of the PostgreSQL versions that this machine has beside the embedded one.

Debian's packages put theirs into /usr/lib/postgresql/VERSION/bin; HUSHTAG_TEST_POSTGRES may name further directories of
programs, separated by colons. What is not here is no test parameter: nothing is skipped.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from hushtag_server.embedded import EmbeddedPostgres, cluster
from hushtag_server.embedded.account import choose_account
from hushtag_server.embedded.bootstrap import ADMIN, _password_file
from hushtag_server.embedded.files import load_passwords, prepare_directory
from tests.live_server import temporary_directory


def _places() -> Iterator[Path]:
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    yield from (Path(part) for part in os.environ.get("HUSHTAG_TEST_POSTGRES", "").split(":") if part)


def installed() -> dict[str, Path]:
    """Return the directories of programs that can make and run a cluster, by major version."""
    found = {}
    for place in _places():
        if (place / "initdb").exists() and (place / "postgres").exists():
            said = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
            version = re.search(r"\) (\d+)", said)
            assert version, said
            found[version[1]] = place
    return found


def program(name: str, bin_dir: Path, version: str) -> str:
    """Return a client program: of the server's own directory, or of Debian's client package of that version."""
    found = shutil.which(name, path=f"{bin_dir}:/usr/lib/postgresql/{version}/bin")
    assert found, f"{name} of PostgreSQL {version} is missing"
    return found


@contextmanager
def running(bin_dir: Path | None) -> Iterator[EmbeddedPostgres]:
    """Run a throw-away cluster with these programs, or with the embedded ones."""
    with temporary_directory() as directory:
        if bin_dir is None:
            with EmbeddedPostgres(directory) as postgres:
                yield postgres
            return
        account = choose_account()
        prepare_directory(directory, account)
        new = directory / "postgres"
        new.mkdir(mode=0o700)
        account.own(new)
        with _password_file(directory, account, load_passwords(directory).admin) as file:
            options = ["-U", ADMIN, f"--pwfile={file}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]
            done = account.run([bin_dir / "initdb", "-D", new, "--no-sync", *options])
        assert done.returncode == 0, done.stdout
        with ExitStack() as stack:
            # Found once, at the start: another cluster that is begun while this one runs has programs of its own.
            with mock.patch.object(cluster, "find_programs", return_value=bin_dir):
                postgres = stack.enter_context(EmbeddedPostgres(directory))
            yield postgres
