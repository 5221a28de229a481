"""`hushtag vectors`: one line a group, counts that add up, exit 1 on anything that is not as published."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushtag.cli import vectors_command
from hushtag.cli.vectors_command import vectors as command
from hushtag.errors import MisuseError
from hushtag.vectors import GROUPS, GroupResult, Mismatch, verify
from tests.vectors.documents import ROOT, write_group
from tests.vectors.documents import vectors as committed_vectors


@pytest.fixture(scope="module")
def committed() -> list[GroupResult]:
    return verify(ROOT)


@pytest.fixture
def remembered(committed: list[GroupResult], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors_command, "verify", lambda _: committed)


@pytest.mark.usefixtures("remembered")
def test_verify_prints_one_line_a_group_and_counts_what_it_did_not_run() -> None:
    result = CliRunner().invoke(command, ["verify"])
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split()[0] for line in lines[:-1]] == list(GROUPS)
    passed, failed, left, groups = map(int, re.findall(r"\d+", lines[-1]))
    assert lines[-1].startswith("ok: ")
    assert (passed + left, failed, groups) == (len(list(committed_vectors())), 0, len(GROUPS))
    assert "52 reference only" in next(line for line in lines if "ristretto" in line)


@pytest.mark.usefixtures("remembered")
def test_verify_as_json_says_the_same() -> None:
    result = CliRunner().invoke(command, ["verify", "--json"])
    document = json.loads(result.stdout)
    assert (result.exit_code, document["ok"]) == (0, True)
    assert [group["group"] for group in document["groups"]] == list(GROUPS)
    assert all(group["passed"] == group["succeeded"] + group["refused"] for group in document["groups"])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_mismatch_fails_and_is_named(options: list[str], tmp_path: Path) -> None:
    vector = next(vector for vector in committed_vectors("suite/keys") if vector["name"] == "kek_first")
    write_group(tmp_path, "suite/keys", [{**vector, "expected": {"kek": "00" * 32}}])
    result = CliRunner().invoke(command, ["verify", *options, str(tmp_path)])
    assert result.exit_code == 1
    assert "kek_first" in result.stdout
    assert "not as expected: kek" in result.stdout
    assert "file is missing" in result.stdout


def test_what_a_file_holds_reaches_the_terminal_as_text_alone(tmp_path: Path) -> None:
    write_group(
        tmp_path, "suite/keys", [{**next(committed_vectors("suite/keys")), "name": "\x1b[2J\ud800", "operation": "x"}]
    )
    result = CliRunner().invoke(command, ["verify", str(tmp_path)])
    assert r"\u{1b}[2J\u{d800}: unknown operation x" in result.stdout


def test_a_long_list_of_mismatches_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = GroupResult("suite/keys", mismatches=[Mismatch(f"kek_{n}", "wrong") for n in range(30)])
    monkeypatch.setattr(vectors_command, "verify", lambda _: [broken])
    result = CliRunner().invoke(command, ["verify"])
    assert result.exit_code == 1
    assert "kek_19" in result.stdout
    assert "kek_20" not in result.stdout
    assert "and 10 more" in result.stdout
    assert result.stdout.splitlines()[-1] == "FAILED: 0 passed, 30 failed, 0 reference only, in 1 groups"


def test_list_prints_the_groups() -> None:
    assert CliRunner().invoke(command, ["list"]).stdout.split() == list(GROUPS)
    document = json.loads(CliRunner().invoke(command, ["list", "--json", str(ROOT)]).stdout)
    assert document == {"directory": str(ROOT), "groups": list(GROUPS)}


def test_a_directory_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, ["verify", str(tmp_path / "none")]).exit_code == 2


def test_an_installation_without_vectors_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise MisuseError("no vectors beside this installation; name their directory")

    monkeypatch.setattr(vectors_command, "find_directory", nowhere)
    result = CliRunner().invoke(command, ["verify"])
    assert result.exit_code == 1
    assert "name their directory" in result.stderr
