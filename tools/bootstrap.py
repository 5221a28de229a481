"""Make `.venv` with everything the lock file names. Standard library only: this runs before anything is installed.

Usage: python3 tools/bootstrap.py [--venv DIR] [--group NAME]
"""

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.8"
NEEDED = (3, 11)


def fail(message: str) -> None:
    """Print what is wrong and what to do, and end."""
    sys.exit(f"bootstrap: {message}")


def make_environment(directory: Path) -> Path:
    """Return the interpreter of a virtual environment that has pip."""
    python = directory / "bin" / "python"
    if not python.exists():
        try:
            venv.create(directory, with_pip=True, clear=directory.exists())
        except (subprocess.CalledProcessError, ImportError):
            fail("this python3 cannot make a virtual environment with pip; install its venv package (python3-venv)")
    return python


def main() -> None:
    """Create or update the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--group", help="a dependency group of pyproject.toml to install besides")
    arguments = parser.parse_args()
    directory = arguments.venv.resolve()
    groups = ["--group", arguments.group] if arguments.group else []
    if sys.version_info < NEEDED:
        fail(f"needs Python {NEEDED[0]}.{NEEDED[1]} or later, this is {sys.version.split()[0]}")
    python = make_environment(directory)
    quiet = [] if os.environ.get("VERBOSE") else ["--quiet"]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "UV_PROJECT_ENVIRONMENT": str(directory)}
    environment.pop("VIRTUAL_ENV", None)
    # Compiled once: where Python may not write bytecode, every start of every command would compile all it imports.
    sync = ["uv", "sync", *quiet, "--frozen", "--inexact", "--all-extras", "--compile-bytecode", *groups]
    steps = [
        [str(python), "-m", "pip", "install", *quiet, UV],
        [str(python), "-m", *sync, "--python", str(python)],
    ]
    for step in steps:
        # Our own interpreter and fixed arguments; no shell.
        if subprocess.run(step, cwd=ROOT, env=environment, check=False).returncode:  # noqa: S603
            fail(f"failed: {' '.join(step)}")
    (directory / (f".installed-{arguments.group}" if arguments.group else ".installed")).touch()


if __name__ == "__main__":
    main()
