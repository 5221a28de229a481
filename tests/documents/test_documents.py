"""What the documents name exists, and what the code fixes stands in the documents."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from fuzz.wire_modules import WIRE_MODULES
from hushtag import _labels
from hushtag.cli.group import cli
from hushtag_server.cli import main as server_cli
from hushtag_server.problems import PROBLEMS
from tests.documents.blocks import ROOT

DOCUMENTS = ("README.md", "SECURITY.md", "CONTRIBUTING.md", "SPEC.md")
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_SUPERSCRIPTS = {2**63 - 1: "2^63 − 1", 2**31 - 1: "2^31 − 1"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def outside_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", outside_fences(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(text: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_resolve(name: str) -> None:
    text = read(name)
    for target in _LINK.findall(outside_fences(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        assert place.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), f"{name}: {target}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_sections_of_the_specification_exist(name: str) -> None:
    numbers = {int(number) for number in re.findall(r"^## (\d+) ", read("SPEC.md"), re.MULTILINE)}
    named = {int(number) for number in re.findall(r"SPEC\.md,? section (\d+)", read(name))}
    if name == "SPEC.md":
        named |= {int(number) for number in re.findall(r"\b[Ss]ection (\d+)\b(?!\.\d| of RFC)", read(name))}
    assert named <= numbers


@pytest.mark.parametrize("name", [name for name in vars(_labels) if name.isupper()])
def test_every_label_stands_in_the_specification(name: str) -> None:
    label: bytes = getattr(_labels, name)
    assert re.search(rf"`\"?{re.escape(label.decode())}\"?`", section(read("SPEC.md"), "3 Labels"))


def test_the_specification_has_no_other_labels() -> None:
    known = {value.decode() for name, value in vars(_labels).items() if name.isupper()}
    listed = re.findall(r"`\"?(hushtag-v1/[a-z/-]+|hush[a-z]+1)\"?`", section(read("SPEC.md"), "3 Labels"))
    assert listed
    assert set(listed) <= known


@pytest.mark.parametrize("code", list(PROBLEMS))
def test_every_problem_stands_in_the_specification_with_its_status(code: str) -> None:
    status = PROBLEMS[code].status
    assert re.search(rf"\b{code}`? (?:\| )?{status}\b", read("SPEC.md"))


def spellings(value: int) -> set[str]:
    """Return the ways in which a table may write a limit."""
    found = {str(value), f"{value:,}"}
    if value % 1024 == 0:
        found.add(f"{value // 1024} KiB")
    if value % 1024**2 == 0:
        found.add(f"{value // 1024**2} MiB")
    return found | ({_SUPERSCRIPTS[value]} if value in _SUPERSCRIPTS else set())


LIMITS = {
    name: value for module in WIRE_MODULES for name, value in vars(module).items() if re.match(r"(?:MAX|MIN)_", name)
}


@pytest.mark.parametrize("name", list(LIMITS))
def test_every_limit_stands_in_the_specification(name: str) -> None:
    values = re.findall(r"^\|[^|\n]+\|([^|\n]+)\|$", section(read("SPEC.md"), "19 Limits"), re.MULTILINE)
    value: int = LIMITS[name]
    words = "|".join(re.escape(spelling) for spelling in spellings(value))
    assert any(re.search(rf"(?<![\d,.])(?:{words})(?![\d,])", cell) for cell in values), f"{name} = {value}"


MESSAGES = {
    name: message
    for module in WIRE_MODULES
    for name, message in vars(module).items()
    if isinstance(message, type) and issubclass(message, msgspec.Struct) and message.__module__ == module.__name__
}


def documented_messages() -> dict[str, list[str]]:
    """Return the fields of every message that a table of the specification has, in its order."""
    found: dict[str, list[str]] = {}
    for table in re.findall(r"^\| message \| fields \|\n\|---\|---\|\n((?:\|.*\n)+)", read("SPEC.md"), re.MULTILINE):
        for names, cell in re.findall(r"^\| ([^|]+) \| (.+) \|$", table, re.MULTILINE):
            parts = re.split(r", | and | or ", re.sub(r"\([^()]*\)", "", cell))
            named = [field for part in parts for field in re.findall(r"^(?:\w+ )*`(\w+)`", part)[:1]]
            for name in names.split(", "):
                assert name not in found, f"{name} has two rows"
                found[name] = named
    return found


@pytest.mark.parametrize("name", [name for name in MESSAGES if re.search(rf"\| [^|\n]*\b{name}\b", read("SPEC.md"))])
def test_every_message_of_the_specification_has_a_row_with_exactly_its_fields(name: str) -> None:
    assert sorted(documented_messages()[name]) == sorted(MESSAGES[name].__struct_fields__)


def test_the_specification_has_no_other_messages() -> None:
    assert set(documented_messages()) <= set(MESSAGES)


def test_no_two_messages_have_one_name() -> None:
    owners = [(name, module.__name__) for module in WIRE_MODULES for name in vars(module) if name in MESSAGES]
    defined = [name for name, owner in owners if vars(sys.modules[owner])[name].__module__ == owner]
    assert len(defined) == len(set(defined)) == len(MESSAGES)


def test_every_promise_has_a_row() -> None:
    rows = re.findall(
        r"^\| (P\d+) \|[^|\n]+\| (tested|partly|open): ", section(read("SECURITY.md"), "Promises"), re.MULTILINE
    )
    promised = [promise for promise, _ in rows]
    assert promised == [f"P{number}" for number in range(1, 11)]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/.]+)`", read("SECURITY.md")))))
def test_tests_that_security_names_exist_and_test_something(name: str) -> None:
    path = ROOT / name
    files = [path] if path.suffix else sorted(path.glob("test_*.py"))
    assert files
    assert all(has_tests(file) for file in files)


def has_tests(path: Path) -> bool:
    return re.search(r"^(?:async )?def test_", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_tested_promises_name_their_test() -> None:
    for row in re.findall(r"^\| P\d+ \|.*tested: .*$", section(read("SECURITY.md"), "Promises"), re.MULTILINE):
        assert re.search(r"`tests/[\w/]+\.py`", row), row


def test_readme_tells_the_limits_that_security_tells() -> None:
    readme = section(read("README.md"), "What it does not protect against")
    for word in ("offline", "overhears", "padded", "wipe", "device secret", "SECURITY.md"):
        assert word in readme


def test_make_targets_that_contributing_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", read("CONTRIBUTING.md") + read("README.md"))) <= targets


def folders(place: Path) -> set[str]:
    """Return the names of the folders in a place that hold something of the project."""
    ignored = set(re.findall(r"^/([\w.-]+)/$", read(".gitignore"), re.MULTILINE)) | {"__pycache__"}
    found = [each for each in place.iterdir() if each.is_dir() and each.name not in ignored]
    return {each.name for each in found if {inner.name for inner in each.iterdir()} - ignored}


def layout() -> dict[str, str]:
    """Return what CONTRIBUTING.md says of each folder at the root, by the path that it begins with."""
    (fence,) = re.findall(r"^```\n(.*?)^```", section(read("CONTRIBUTING.md"), "Layout"), re.MULTILINE | re.DOTALL)
    entries: dict[str, str] = dict(re.findall(r"^([\w/]+)/ (.*?)(?=^\w|\Z)", fence, re.MULTILINE | re.DOTALL))
    return entries


def test_the_layout_names_every_folder_of_the_root() -> None:
    hidden = {name for name in folders(ROOT) if name.startswith(".")}
    assert {path.split("/")[0] for path in layout()} == folders(ROOT) - hidden


@pytest.mark.parametrize("path", ["src/hushtag", "server/hushtag_server", "tests", "benchmarks"])
def test_the_layout_names_every_folder_of_a_package_and_no_other(path: str) -> None:
    named = re.findall(r"\b([a-z_]+)/(?= |$)", layout()[path], re.MULTILINE)
    assert sorted(named) == sorted(folders(ROOT / path))


def test_the_modules_that_the_layout_names_exist() -> None:
    named = re.findall(r"[\w*]+\.py\b", layout()["src/hushtag"])
    assert len(named) > 20
    assert [name for name in named if not list((ROOT / "src/hushtag").glob(name))] == []


@pytest.mark.parametrize("pattern", ["routes*.py", "*_steps.py"])
def test_routes_and_steps_hold_no_sql(pattern: str) -> None:
    paths = sorted((ROOT / "server/hushtag_server").rglob(pattern))
    assert paths
    statement = re.compile(r"\b(?:SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
    assert [str(path) for path in paths if statement.search(path.read_text(encoding="utf-8"))] == []


CORE = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in ROOT.glob("src/hushtag/*.py")}


@pytest.mark.parametrize("name", list(CORE))
def test_the_core_asks_the_system_for_random_bytes_alone(name: str) -> None:
    # What no contract of imports sees: builtins, the environment in `os`, the clock in `datetime`.
    nodes = list(ast.walk(CORE[name]))
    of_system = [node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os"]
    assert set(of_system) <= {"urandom"}
    called = {ast.unparse(node.func).split(".")[-1] for node in nodes if isinstance(node, ast.Call)}
    assert not called & {"open", "input", "print", "now", "utcnow", "today", "__import__"}
    assert not any(isinstance(node, ast.ImportFrom) and node.module == "os" for node in nodes)


def test_every_module_of_the_core_that_does_something_is_mutated() -> None:
    configuration = tomllib.loads(read("pyproject.toml"))["tool"]["mutmut"]
    doing = {name for name, tree in CORE.items() if any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))}
    assert sorted(configuration["only_mutate"]) == sorted(doing)
    told = set(re.findall(r"^\| `(\w+)` \| \d", read("docs/mutation.md"), re.MULTILINE))
    assert told == {Path(name).stem for name in doing}


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every command below a group, such as `phrase draw`."""
    if not isinstance(command, click.Group):
        yield " ".join(path)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        each = command.get_command(context, name)
        assert each is not None
        yield from commands(each, (*path, name))


@pytest.mark.parametrize(
    ("program", "group", "page"),
    [("hushtag", cli, "docs/COMMAND.md"), ("hushtag-server", server_cli, "docs/OPERATING.md")],
)
def test_every_command_stands_on_its_page(program: str, group: click.Group, page: str) -> None:
    text = read(page)
    named = set(commands(group))
    assert len(named) > 20
    missing = {name for name in named if not re.search(rf"(?:`|\| |{program} ){re.escape(name)}\b", text)}
    assert not missing, f"{page} does not tell of {sorted(missing)}"
