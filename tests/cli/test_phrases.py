"""The phrases of a vault from the command line, each command in an unlock of its own."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from hushtag.cli import phrases_commands
from tests.cli.conftest import Run, as_json, error_of
from tests.client.fake_server import FakeServer, Fault, problem
from tests.client.support import EMAIL, OTHER_PHRASE, PHRASE, UNKNOWN_PHRASE


def test_a_phrase_is_added_changed_revoked_and_the_vault_destroyed(
    logged_in: Run, server: FakeServer, workplace: Path
) -> None:
    def run(*arguments: str, lines: tuple[str, ...] = (PHRASE,)) -> object:
        return as_json(logged_in(*arguments, "--phrase-stdin", "--json", input="\n".join(lines) + "\n"))

    (workplace / "letter").write_bytes(b"Dear reader")
    run("put", "letter")
    added = run("phrases", "add", "--label", "for Grace", lines=(PHRASE, OTHER_PHRASE))
    assert isinstance(added, dict)
    assert added["label"] == "for Grace"
    listed = run("phrases", lines=(OTHER_PHRASE,))
    assert isinstance(listed, dict)
    assert {each["label"]: each["current"] for each in listed["phrases"]} == {"for Grace": True, "for the diary": False}
    changed = run("phrases", "change", "for the diary", "--draw")
    assert isinstance(changed, dict)
    drawn = changed["phrase"]
    assert error_of(logged_in("ls", "--phrase-stdin", "--json", input=PHRASE + "\n"))["exit_code"] == 4
    revoked = run("phrases", "revoke", "for Grace", "--yes", lines=(drawn,))
    assert revoked == {"revoked": added["tag_id"], "resealed": 1}
    assert run("phrases", "reseal", lines=(drawn,)) == {"resealed": 0}
    vault_id = str(next(iter(server.users[EMAIL].vaults)))
    refused = logged_in("phrases", "destroy", added["tag_id"], "--yes", "--phrase-stdin", "--json", input=drawn + "\n")
    assert error_of(refused)["exit_code"] == 2
    assert run("phrases", "destroy", vault_id, "--yes", lines=(drawn,)) == {"destroyed": vault_id}
    assert not server.users[EMAIL].vaults


@pytest.mark.parametrize(
    ("arguments", "lines", "code"),
    [
        (("add",), (PHRASE,), 2),
        (("add",), (PHRASE, "too short"), 2),
        (("add",), (PHRASE, PHRASE), 5),
        (("revoke", "nobody", "--yes"), (PHRASE,), 9),
        (("revoke", "for the diary", "--yes"), (PHRASE,), 2),
        (("revoke", "for the diary"), (PHRASE,), 2),
        (("change", "nobody", "--draw"), (PHRASE,), 9),
        (("reseal",), (UNKNOWN_PHRASE,), 4),
        (("destroy", "3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11"), (PHRASE,), 2),
    ],
)
def test_what_is_refused_changes_nothing(
    logged_in: Run, server: FakeServer, arguments: tuple[str, ...], lines: tuple[str, ...], code: int
) -> None:
    before = {key: held.generation for key, held in server.users[EMAIL].vaults.items()}
    result = logged_in("phrases", *arguments, "--phrase-stdin", "--json", input="\n".join(lines) + "\n")
    assert error_of(result)["exit_code"] == code
    assert {key: held.generation for key, held in server.users[EMAIL].vaults.items()} == before
    assert len(server.users[EMAIL].tags) == 1


def test_what_is_said_to_a_person_names_the_phrase_and_shows_a_drawn_one_once(inside: Run) -> None:
    said = inside("phrases", "add", "--draw", "--label", "for Grace").stdout
    assert "Added “for Grace”" in said
    phrase = next(line.strip() for line in said.splitlines() if line.startswith("    "))
    assert "(this one)" in inside("phrases", "list", phrase=phrase).stdout
    changed = inside("phrases", "change", "for Grace", "--draw")
    assert "All orders of duress phrases on this vault have ended; give them again." in changed.stderr
    assert "Whatever the old phrase did as a duress phrase has ended too" in changed.stderr
    assert "Revoked “for Grace”; 0 objects re-sealed." in inside("phrases", "revoke", "for Grace", "--yes").stdout


def test_a_phrase_whose_label_does_not_open_is_revoked_by_its_id(logged_in: Run, server: FakeServer) -> None:
    def run(*arguments: str, lines: tuple[str, ...] = (PHRASE,)) -> Any:
        return logged_in("phrases", *arguments, "--phrase-stdin", "--json", input="\n".join(lines) + "\n")

    tag_id = as_json(run("add", lines=(PHRASE, OTHER_PHRASE)))["tag_id"]
    (vault,) = server.users[EMAIL].vaults.values()
    vault.labels[UUID(tag_id)] = "A" * 422
    for named in (("list",), ("revoke", "phrase", "--yes")):
        refused = error_of(run(*named))
        assert (refused["exit_code"], tag_id in refused["message"]) == (8, True)
    assert as_json(run("revoke", tag_id, "--yes"))["revoked"] == tag_id
    assert [each["label"] for each in as_json(run("list"))["phrases"]] == ["for the diary"]


def test_a_revocation_is_told_though_re_sealing_breaks_off(logged_in: Run, server: FakeServer, workplace: Path) -> None:
    def run(*arguments: str, lines: tuple[str, ...] = (PHRASE,)) -> Any:
        return logged_in(*arguments, "--phrase-stdin", input="\n".join(lines) + "\n")

    (workplace / "letter").write_bytes(b"Dear reader")
    assert run("put", "letter").exit_code == 0
    for label, told in (("for Grace", "Revoked “for Grace”; go on with: hushtag phrases reseal. "), ("for Max", None)):
        assert run("phrases", "add", "--label", label, lines=(PHRASE, OTHER_PHRASE)).exit_code == 0
        server.faults.append(Fault("PUT", "/objects/", times=100))
        broken = run("phrases", "revoke", label, "--yes", *(() if told else ("--json",)))
        assert broken.exit_code == 7
        server.faults.clear()
        if told:
            assert told in broken.stdout
        else:
            assert json.loads(broken.stdout)["resealed"] is None
        assert as_json(run("phrases", "--json"))["phrases"][0]["label"] == "for the diary"
    assert as_json(run("phrases", "reseal", "--json")) == {"resealed": 1}


def test_a_duress_phrase_shreds_what_it_was_told_to(logged_in: Run, server: FakeServer) -> None:
    def run(*arguments: str, lines: tuple[str, ...] = (PHRASE,), code: int = 0) -> object:
        result = logged_in(*arguments, "--phrase-stdin", "--json", input="\n".join(lines) + "\n")
        return as_json(result) if code == 0 else error_of(result)["exit_code"] == code

    run("enrol", "--label", "harmless", lines=(OTHER_PHRASE,))
    ordered = run("phrases", "duress", "--yes", lines=(PHRASE, OTHER_PHRASE))
    assert isinstance(ordered, dict)
    assert (ordered["phrase_only"], ordered["lock_days"], ordered["place"]) == (False, None, 1)
    run("phrases", "duress", "--clear")
    run("ls", lines=(OTHER_PHRASE,))
    locked = run(
        "phrases",
        "duress",
        "for the diary",
        "--only",
        "--lock",
        "7",
        "--place",
        "2",
        "--yes",
        lines=(PHRASE, OTHER_PHRASE),
    )
    assert isinstance(locked, dict)
    assert (locked["phrase_only"], locked["lock_days"], locked["place"]) == (True, 7, 2)
    run("ls")
    run("ls", lines=(OTHER_PHRASE,))
    assert run("ls", code=4)


@pytest.mark.parametrize(
    ("arguments", "lines", "code"),
    [
        ((), (PHRASE, OTHER_PHRASE), 2),
        (("--yes",), (PHRASE,), 2),
        (("--yes",), (PHRASE, PHRASE), 2),
        (("--yes",), (PHRASE, UNKNOWN_PHRASE), 4),
        (("nobody", "--yes"), (PHRASE, OTHER_PHRASE), 9),
        (("--clear", "--lock", "7"), (PHRASE,), 2),
        (("--lock", "8", "--yes"), (PHRASE, OTHER_PHRASE), 2),
        (("--clear", "--place", "5"), (PHRASE,), 2),
    ],
)
def test_a_duress_order_that_is_refused_is_not_given(
    logged_in: Run, server: FakeServer, arguments: tuple[str, ...], lines: tuple[str, ...], code: int
) -> None:
    result = logged_in("phrases", "duress", *arguments, "--phrase-stdin", "--json", input="\n".join(lines) + "\n")
    assert error_of(result)["exit_code"] == code
    assert not server.users[EMAIL].orders


@pytest.mark.parametrize("arguments", [("add", "--draw"), ("change", "for the diary", "--draw")])
@pytest.mark.parametrize("broken", ["lost", "afterwards"])
def test_a_drawn_phrase_is_not_lost_with_the_answer(
    logged_in: Run, server: FakeServer, arguments: tuple[str, ...], broken: str
) -> None:
    """P9: a changed vault opens with the drawn phrase alone, which nobody has seen yet."""
    stored: list[str] = []

    def rewrite(request: Any, honest: Any) -> Any:
        if request.method == "POST" and re.search(r"/rotations$|/v1/vaults/[^/]*/tags$", request.url.path):
            stored.append(request.url.path)
            if broken == "lost":
                raise httpx.ReadError("broken by the test", request=request)
            return honest
        if not stored or request.method != "GET":
            return honest
        if broken == "lost":
            raise httpx.ConnectError("broken by the test", request=request)
        return problem(409, "already_exists")

    server.rewrite = rewrite
    failed = logged_in("phrases", *arguments, "--phrase-stdin", input=PHRASE + "\n")
    server.rewrite = None
    assert failed.exit_code != 0
    assert len(stored) == 1
    assert "Whether the new phrase opens the vault is not known" in failed.stderr
    drawn = re.findall(r"^    ([a-z ]+)$", failed.stderr, re.MULTILINE)
    assert as_json(logged_in("ls", "--phrase-stdin", "--json", input=drawn[0] + "\n")) == {"objects": []}


def test_on_a_terminal_a_drawn_phrase_is_shown_before_it_is_sent(
    logged_in: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(phrases_commands, "_is_watched", lambda: True)
    monkeypatch.setattr("click.echo", lambda text, **_: order.append(str(text)))
    server.rewrite = lambda request, honest: (order.append(request.url.path), honest)[1]
    logged_in("phrases", "change", "for the diary", "--draw", "--phrase-stdin", input=PHRASE + "\n")
    [shown] = [place for place, said in enumerate(order) if "which is good when" in said]
    [stored] = [place for place, said in enumerate(order) if said.endswith("/rotations")]
    assert shown < stored
    assert re.search(r"^    [a-z]+( [a-z]+){5}$", order[shown], re.MULTILINE)


def test_a_drawn_phrase_that_was_not_stored_is_not_shown(logged_in: Run, server: FakeServer) -> None:
    server.faults.append(Fault("POST", "/v1/registrations", answer=problem(429, "too_many_guesses", retry_after=9)))
    failed = logged_in("phrases", "change", "for the diary", "--draw", "--phrase-stdin", input=PHRASE + "\n")
    assert failed.exit_code == 6
    assert "not known" not in failed.stderr
