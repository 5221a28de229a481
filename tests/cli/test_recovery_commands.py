"""hushtag recovery: a code on a sheet opens the vault, without the device, until it is replaced."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from hushtag.client import recovery_sheet
from hushtag.phrase import passes_self_check
from hushtag.recovery import CODE_WORDS, parse_recovery_code, recovery_form
from tests.cli.conftest import Run, as_json, error_of
from tests.client.fake_server import FakeServer, Fault, problem
from tests.client.support import OTHER_PHRASE, PHRASE


def opened(run: Run, code: str, *options: str) -> Any:
    return run("ls", "--phrase-stdin", "--json", *options, input=code + "\n")


def code_on(sheet: Path) -> str:
    lines = re.findall(r"^ +\d+\. \w+$", sheet.read_text(), re.MULTILINE)
    assert len(lines) == CODE_WORDS
    return " ".join(parse_recovery_code("\n".join(lines)).words)


def test_a_new_code_opens_the_vault_and_a_replaced_one_does_not(inside: Run, logged_in: Run, workplace: Path) -> None:
    made = as_json(inside("recovery", "new", "--text", "sheet.txt", "--json"))
    assert (made["label"], made["sheet"]) == ("recovery code", "sheet.txt")
    assert "code" not in made
    sheet = workplace / "sheet.txt"
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    code = code_on(sheet)
    assert as_json(opened(logged_in, code.upper())) == {"objects": []}
    assert as_json(opened(logged_in, code, "--this-device")) == {"objects": []}  # it goes without the device
    replaced = as_json(inside("recovery", "replace", "--json", phrase=code))
    assert opened(logged_in, code).exit_code == 4
    assert as_json(opened(logged_in, replaced["code"])) == {"objects": []}
    assert as_json(opened(logged_in, PHRASE)) == {"objects": []}
    said = inside("recovery", "replace", "--text", "another.txt")
    assert "orders of duress phrases on this vault have ended" in said.stderr


def test_a_code_opens_the_vault_with_the_numbers_of_its_sheet(
    inside: Run, logged_in: Run, server: FakeServer, workplace: Path
) -> None:
    inside("recovery", "new", "--text", "sheet.txt")
    sheet = (workplace / "sheet.txt").read_text()
    numbered = " ".join(re.findall(r"^ +\d+\. \w+$", sheet, re.MULTILINE))
    assert as_json(opened(logged_in, numbered)) == {"objects": []}
    asked = len(server.log)
    refused = error_of(opened(logged_in, sheet))
    assert refused["code"] == "usage"
    assert "give its 15 words in one line" in refused["message"]
    assert not [line for line in server.log[asked:] if "unlock" in line]


def test_a_sheet_is_never_written_over_a_file(inside: Run, server: FakeServer, workplace: Path) -> None:
    (workplace / "sheet.pdf").write_text("mine")
    refused = inside("recovery", "new", "--pdf", "sheet.pdf", "--json")
    assert error_of(refused)["code"] == "usage"
    assert (workplace / "sheet.pdf").read_text() == "mine"
    assert "POST /v1/registrations" not in server.log
    assert inside("recovery", "new", "--pdf", "a", "--text", "b").exit_code == 2


def test_no_sheet_is_left_of_a_code_that_came_to_nothing(inside: Run, server: FakeServer, workplace: Path) -> None:
    server.faults.append(Fault("POST", "/v1/registrations", answer=problem(429, "too_many_guesses", retry_after=9)))
    assert inside("recovery", "new", "--text", "sheet.txt").exit_code == 6
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("command", ["new", "replace"])
@pytest.mark.parametrize("broken", ["answer", "afterwards"])
def test_a_code_that_may_open_the_vault_is_kept_whatever_is_answered(
    inside: Run, logged_in: Run, server: FakeServer, workplace: Path, command: str, broken: str
) -> None:
    """Otherwise the old code may open nothing any more, and the words of the new one are gone."""
    if command == "replace":
        inside("recovery", "new")
    place = r"/rotations$" if command == "replace" else r"/v1/vaults/[^/]*/tags$"
    stored: list[str] = []

    def rewrite(request: Any, honest: Any) -> Any:
        if request.method == "POST" and re.search(place, request.url.path):
            stored.append(request.url.path)
            return problem(400, "malformed_request") if broken == "answer" else honest
        return problem(409, "already_exists") if stored and request.method == "GET" else honest

    for sheet in (("--text", "sheet.txt"), ()):
        stored.clear()
        server.rewrite = rewrite
        failed = inside("recovery", command, *sheet)
        server.rewrite = None
        assert failed.exit_code != 0
        assert len(stored) == 1
        assert "Whether the new code opens the vault is not known" in failed.stderr
        lines = re.findall(r"^ +\d+\. \w+$", failed.stderr, re.MULTILINE)
        code = code_on(workplace / "sheet.txt") if sheet else " ".join(parse_recovery_code("\n".join(lines)).words)
        assert as_json(opened(logged_in, code)) == {"objects": []}


def _mistyped(code: list[str]) -> str | None:
    """Two words in each other's place, such that it cannot be a phrase; None: this code has no such mistake.

    What reads as no code may be a drawn phrase by chance, or, where a word comes twice, one that somebody made up.
    """
    swaps = (" ".join([*code[:n], code[n + 1], code[n], *code[n + 2 :]]) for n in range(len(code) - 1))
    noticed = (each for each in swaps if recovery_form(each) is None and not passes_self_check(each))
    return next(noticed, None) if len(set(code)) == len(code) else None


def test_a_mistyped_code_is_told_before_the_server_is_asked(inside: Run, logged_in: Run, server: FakeServer) -> None:
    # One in ten codes has a word twice.
    drawn = (as_json(inside("recovery", "new", "--json"))["code"].split(" ") for _ in range(10))
    code, mistyped = next((code, wrong) for code in drawn if (wrong := _mistyped(code)) is not None)
    asked = len(server.log)
    result = opened(logged_in, mistyped)
    assert error_of(result)["code"] == "phrase"
    assert not any(word in result.stderr for word in code)
    assert not [line for line in server.log[asked:] if "unlock" in line]


@pytest.mark.parametrize("name", ["sheet.txt", "sheet.pdf"])
def test_an_enrolment_makes_one_if_asked(logged_in: Run, workplace: Path, name: str) -> None:
    made = as_json(logged_in("enrol", "--draw", "--this-device", "--recovery-sheet", name, "--json"))
    sheet = workplace / name
    assert made["recovery"]["sheet"] == name
    assert sheet.read_bytes().startswith(b"%PDF-") == (name == "sheet.pdf")
    if name == "sheet.txt":
        assert as_json(opened(logged_in, code_on(sheet))) == {"objects": []}
    assert opened(logged_in, made["phrase"]).exit_code == 4  # it was enrolled with the device's secret


def test_a_sheet_that_cannot_be_made_here_is_refused_before_anything_is(
    logged_in: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_sheet, "find_spec", lambda _: None)
    asked = len(server.log)
    for command in (("enrol", "--recovery-sheet", "sheet.pdf"), ("recovery", "new", "--pdf", "sheet.pdf")):
        refused = logged_in(*command, "--phrase-stdin", input=OTHER_PHRASE + "\n")
        assert refused.exit_code == 2
        assert "hushtag[sheet]" in refused.stderr
    assert server.log[asked:] == []


def test_an_enrolment_shows_its_phrase_though_the_code_fails(
    logged_in: Run, server: FakeServer, workplace: Path
) -> None:
    (workplace / "mine").write_text("mine")
    for sheet in ("mine", "missing/sheet"):
        assert logged_in("enrol", "--draw", "--recovery-sheet", sheet).exit_code == 2
    assert logged_in("enrol", "--draw", "--phrase-stdin", input="a phrase of somebody's").exit_code == 2
    assert "POST /v1/tags" not in server.log
    refusal = problem(429, "too_many_guesses", retry_after=9)
    server.faults.append(Fault("POST", "/v1/unlock/locate", answer=refusal, times=2))
    told = logged_in("enrol", "--draw", "--recovery-sheet", "sheet.txt")
    assert (told.exit_code, "No recovery code was made" in told.stderr) == (6, True)
    made = logged_in("enrol", "--draw", "--recovery-sheet", "sheet.txt", "--json")
    assert error_of(made)["code"] == "budget_exhausted"
    drawn = json.loads(made.stdout)["phrase"]
    assert as_json(opened(logged_in, drawn)) == {"objects": []}
