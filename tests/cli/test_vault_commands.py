"""enrol, unlock, put, get, ls, rm, lock: what goes in comes out, and nothing is written over or out of place."""

import json
import os
import re
import stat
import subprocess
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from hushtag.cli.text import local_time
from hushtag.messages import MAX_OBJECTS_TOGETHER, Unlocked
from hushtag.phrase import check_phrase
from tests.cli.conftest import Run, as_json, command_line, error_of
from tests.client.fake_server import FakeServer, Fault, problem, the_vault
from tests.client.support import EMAIL, OTHER_PHRASE, PHRASE, UNKNOWN_PHRASE, unpadded_frame
from tests.client.test_hostile_server import rewrite

BODY = b"Dear reader\r\n\x00\xff\x1b"


@pytest.fixture
def letter(workplace: Path) -> Path:
    path = workplace / "letter.pdf"
    path.write_bytes(BODY)
    return path


def put_named(inside: Run, workplace: Path, name: str, body: bytes = BODY) -> str:
    path = workplace / f"source-{uuid4().hex}"
    path.write_bytes(body)
    stored = as_json(inside("put", str(path), "--name", name, "--json"))["stored"]
    path.unlink()
    return str(stored[0]["object_id"])


def test_files_go_in_and_come_out(inside: Run, letter: Path, workplace: Path) -> None:
    (workplace / "photo.png").write_bytes(b"\x89PNG")
    stored = as_json(inside("put", "letter.pdf", "photo.png", "--json"))["stored"]
    assert [set(each) for each in stored] == [{"object_id", "name", "content_type", "size", "revision"}] * 2
    assert [(each["name"], each["content_type"], each["size"]) for each in stored] == [
        ("letter.pdf", "application/pdf", len(BODY)),
        ("photo.png", "image/png", 4),
    ]
    listed = as_json(inside("ls", "--json"))["objects"]
    assert {each["name"]: each["object_id"] for each in listed} == {each["name"]: each["object_id"] for each in stored}
    letter.unlink()
    got = as_json(inside("get", "letter.pdf", "--json"))
    assert (got["path"], got["size"], got["name"]) == ("letter.pdf", len(BODY), "letter.pdf")
    assert letter.read_bytes() == BODY
    assert stat.S_IMODE(letter.stat().st_mode) == 0o600
    assert inside("get", stored[1]["object_id"], "-o", "elsewhere").exit_code == 0
    assert (workplace / "elsewhere").read_bytes() == b"\x89PNG"
    assert inside("get", "letter.pdf", "-o", "-").stdout_bytes == BODY
    removed = as_json(inside("rm", "letter.pdf", *[stored[1]["object_id"]] * 2, "--yes", "--json"))
    assert removed == {"deleted": [each["object_id"] for each in stored]}
    assert as_json(inside("ls", "--json")) == {"objects": []}


def test_an_object_that_breaks_the_rules_is_named_by_its_id_and_removed(
    inside: Run, letter: Path, workplace: Path
) -> None:
    inside("put", "letter.pdf")
    with patch("hushtag.objects._frame", unpadded_frame):
        broken = put_named(inside, workplace, "broken")
    told = inside("ls", "--json")
    assert {each["name"]: each["readable"] for each in as_json(told)["objects"]} == {"": False, "letter.pdf": True}
    assert f"{broken} was sealed by a client that broke the rules" in inside("ls").stderr
    assert inside("put", "letter.pdf", "--replace").exit_code == 0
    got = as_json(inside("get", "-r", ".", "-o", "all", "--json"))
    assert ([each["name"] for each in got["fetched"]], got["left_out"]) == (["letter.pdf"], [broken])
    assert inside("get", broken, "-o", "x").exit_code == 8
    assert as_json(inside("rm", broken, "--yes", "--json"))["deleted"] == [broken]
    assert [each["name"] for each in as_json(inside("ls", "--json"))["objects"]] == ["letter.pdf"]
    with patch("hushtag.objects._frame", unpadded_frame):
        broken = put_named(inside, workplace, "broken again")
    assert (
        broken in as_json(inside("rm", "-r", ".", "--yes", "--json"))["deleted"]
    )  # it has no name, and is in the vault
    assert as_json(inside("ls", "--json"))["objects"] == []


def test_every_command_locks_what_it_opened(inside: Run, letter: Path, server: FakeServer) -> None:
    for arguments in (["put", "letter.pdf"], ["ls"], ["get", "letter.pdf", "-o", "x"], ["rm", "letter.pdf", "--yes"]):
        assert inside(*arguments).exit_code == 0
        assert server.vault_tokens == {}
    assert inside("get", "nothing").exit_code == 9
    assert server.vault_tokens == {}


def test_plain_output_is_one_line_an_object(inside: Run, letter: Path) -> None:
    assert inside("put", "letter.pdf").exit_code == 0
    columns = inside("ls").stdout.rstrip("\n").split("\t")
    assert UUID(columns[0])
    assert (columns[1], columns[3]) == (str(len(BODY)), "letter.pdf")


def test_an_existing_file_is_replaced_only_with_force(inside: Run, letter: Path, workplace: Path) -> None:
    inside("put", "letter.pdf")
    letter.write_bytes(b"other")
    refused = inside("get", "letter.pdf")
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert letter.read_bytes() == b"other"
    assert inside("get", "letter.pdf", "--force").exit_code == 0
    assert letter.read_bytes() == BODY
    assert sorted(path.name for path in workplace.iterdir()) == ["letter.pdf"]  # no temporary file is left


def test_a_place_that_cannot_be_written_is_named(inside: Run, logged_in: Run, letter: Path, workplace: Path) -> None:
    inside("put", "letter.pdf")
    (workplace / "shelf").mkdir()
    nowhere = inside("get", "letter.pdf", "-o", "missing/letter.pdf")
    assert (nowhere.exit_code, "missing/letter.pdf" in nowhere.stderr) == (1, True)
    assert ".hushtag-" not in nowhere.stderr
    for force in ([], ["--force"]):  # known before anything is fetched, and not offered to be replaced
        refused = inside("get", "letter.pdf", "-o", "shelf", *force)
        assert (refused.exit_code, "shelf is a directory; name a file in it" in refused.stderr) == (2, True)
    refused = inside("get", "letter.pdf", "-o", "new/")
    assert (refused.exit_code, "new/ is a directory; name a file in it" in refused.stderr) == (2, True)
    assert not (workplace / "new").exists()
    sheet = inside("recovery", "new", "--text", "missing/x")
    assert (sheet.exit_code, "missing is no directory" in sheet.stderr) == (2, True)
    archive = logged_in("export", "missing/x")
    assert (archive.exit_code, ".hushtag-" in archive.stderr, "missing/x" in archive.stderr) == (1, False, True)
    os.mkfifo(workplace / "pipe")
    for force in ([], ["--force"]):
        refused = inside("get", "letter.pdf", "-o", "pipe", *force)
        assert (refused.exit_code, "pipe is no regular file" in refused.stderr) == (2, True), refused.stderr


def test_a_link_in_the_place_of_a_file_is_not_followed(inside: Run, letter: Path, tmp_path: Path) -> None:
    inside("put", "letter.pdf")
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    letter.unlink()
    letter.symlink_to(target)
    assert inside("get", "letter.pdf").exit_code == 2
    assert inside("get", "letter.pdf", "--force").exit_code == 0
    assert target.read_bytes() == b"precious"
    assert not letter.is_symlink()


def test_a_place_that_cannot_be_written_is_exit_1(inside: Run, letter: Path, workplace: Path) -> None:
    inside("put", "letter.pdf")
    failed = inside("get", "letter.pdf", "-o", "no/such/place", "--json")
    assert (failed.exit_code, error_of(failed)["code"]) == (1, "os")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../../etc/cron.d/evil", "evil"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\evil.exe", "evil.exe"),
        ("..", "object"),
        (".bashrc", "_bashrc"),
        ("a\x1b[31m\nb\x00", "a_[31m_b_"),
        ("exe.\u202efdp", "exe._fdp"),
    ],
)
def test_a_name_from_the_vault_stays_in_the_present_directory(
    inside: Run, workplace: Path, name: str, expected: str
) -> None:
    kept = put_named(inside, workplace, "x")
    names_in_vault(inside, workplace, kept, name)
    got = as_json(inside("get", kept, "--json"))
    assert (got["name"], got["path"]) == (name, expected)
    assert [path.name for path in workplace.iterdir()] == [expected]


def names_in_vault(inside: Run, workplace: Path, object_id: str, name: str) -> None:
    """Give an object a name that no argument could carry."""
    from hushtag.client import Client
    from tests.client.support import PASSWORD

    url = as_json(inside.__closure__[0].cell_contents("status", "--json"))["server"]  # type: ignore[attr-defined]
    with Client(url) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            vault.put(BODY, name=name, replace=UUID(object_id))


def test_names_cannot_steer_the_terminal(inside: Run, workplace: Path) -> None:
    kept = put_named(inside, workplace, "x")
    names_in_vault(inside, workplace, kept, "\x1b[2J\u202ename\x9b31m\r\n\ttab")
    shown = inside("ls").stdout
    assert shown.count("\n") == 1
    assert shown.count("\t") == 3
    assert not {"\x1b", "\u202e", "\x9b", "\r"} & set(shown)
    assert "\\u{1b}[2J\\u{202e}name\\u{9b}31m\\u{d}\\u{a}\\u{9}tab" in shown
    escaped = inside("ls", "--json").stdout
    assert escaped.isascii()
    assert "\x1b" not in escaped


def test_two_objects_of_one_name_are_told_apart_by_id(inside: Run, workplace: Path) -> None:
    first, second = (put_named(inside, workplace, "twin", body) for body in (b"1", b"2"))
    refused = inside("get", "twin", "--json")
    assert (refused.exit_code, error_of(refused)["code"]) == (2, "ambiguous_name")
    assert set(error_of(refused)["object_ids"]) == {first, second}
    assert inside("get", second, "-o", "-").stdout_bytes == b"2"
    assert inside("rm", "twin", "--yes").exit_code == 2
    assert len(as_json(inside("ls", "--json"))["objects"]) == 2


def test_a_name_that_is_not_there_is_said(inside: Run, letter: Path) -> None:
    inside("put", "letter.pdf")
    refused = inside("rm", "letter.pdf", "leter.pdf", "--yes", "--json")
    assert (refused.exit_code, error_of(refused)["code"]) == (9, "not_found")
    assert error_of(refused)["message"] == "no object is called leter.pdf; hushtag ls shows what there is"
    assert inside("get", "letter.pdf", "-o", "-").exit_code == 0  # nothing was deleted


def test_what_was_done_before_one_failed_is_told(
    inside: Run, letter: Path, workplace: Path, server: FakeServer
) -> None:
    def breaks_at_second(method: str, path: str) -> None:
        seen = list[httpx.Request]()

        def count(request: httpx.Request) -> None:
            if request.method == method and re.search(path, request.url.path):
                seen.append(request)
                if len(seen) == 2:
                    server.faults.append(Fault(method, path, answer=problem(400, "malformed")))

        server.on_request = count

    (workplace / "photo.png").write_bytes(b"\x89PNG" + bytes(200_000))  # too long to be stored together with another
    breaks_at_second("PUT", "/objects/")
    failed = inside("put", "letter.pdf", "photo.png", "--json")
    assert failed.exit_code == 1
    (stored,) = json.loads(failed.stdout)["stored"]
    assert stored["name"] == "letter.pdf"
    server.on_request = None
    server.faults.clear()
    other = put_named(inside, workplace, "photo.png")
    (workplace / "notes").mkdir()
    for number in range(2 * MAX_OBJECTS_TOGETHER):
        (workplace / "notes" / f"{number:03}").touch()
    notes = [each["object_id"] for each in as_json(inside("put", "-r", "notes", "--json"))["stored"]]
    breaks_at_second("POST", "/objects/deletion")
    failed = inside("rm", "-r", "notes", "--yes")
    deleted = [line.removeprefix("deleted ") for line in failed.stdout.splitlines()]
    assert (failed.exit_code, deleted) == (1, notes[:MAX_OBJECTS_TOGETHER])
    server.on_request = None
    left = {each["object_id"] for each in as_json(inside("ls", "--json"))["objects"]}
    assert left == {stored["object_id"], other, *notes[MAX_OBJECTS_TOGETHER:]}
    refused = inside("rm", "photo.png", "no-such", "--yes", "--json")
    assert (refused.exit_code, refused.stdout) == (9, "")  # nothing was done, and nothing is told


def test_32_digits_are_a_name(inside: Run, workplace: Path) -> None:
    name = "d41d8cd98f00b204e9800998ecf8427e"
    put_named(inside, workplace, name)
    assert inside("get", name).exit_code == 0
    assert (workplace / name).read_bytes() == BODY
    assert inside("rm", name, "--yes").exit_code == 0


def test_replace_makes_a_revision_and_no_twin(inside: Run, letter: Path) -> None:
    first = as_json(inside("put", "letter.pdf", "--replace", "--json"))["stored"][0]
    letter.write_bytes(b"newer")
    second = as_json(inside("put", "letter.pdf", "--replace", "--json"))["stored"][0]
    assert (first["revision"], second["revision"], second["object_id"]) == (1, 2, first["object_id"])
    assert inside("get", "letter.pdf", "-o", "-").stdout_bytes == b"newer"


def test_replace_loses_no_file_and_leaves_no_twin(inside: Run, workplace: Path) -> None:
    first = put_named(inside, workplace, "note", b"first")
    for place in ("one", "two"):
        (workplace / place).mkdir()
        (workplace / place / "note").write_bytes(place.encode())
    both = inside("put", "--replace", "one/note", "two/note")  # the second would replace what the first has stored
    assert (both.exit_code, "would both be called note" in both.stderr) == (2, True)
    assert inside("get", "note", "-o", "-").stdout_bytes == b"first"
    second = put_named(inside, workplace, "note", b"second")
    refused = inside("put", "--replace", "one/note")
    assert (refused.exit_code, first in refused.stderr, second in refused.stderr) == (2, True, True)
    assert [inside("get", each, "-o", "-").stdout_bytes for each in (first, second)] == [b"first", b"second"]


@pytest.mark.parametrize("body", [b"", BODY, b"a line\nand " + bytes(range(256)) * 2000])
def test_standard_input_is_stored_behind_the_phrase(logged_in: Run, inside: Run, body: bytes) -> None:
    arguments = ("put", "-", "--name", "piped", "--phrase-stdin", "--json")
    stored = as_json(logged_in(*arguments, input=PHRASE.encode() + b"\n" + body))["stored"]
    assert [(each["name"], each["size"]) for each in stored] == [("piped", len(body))]
    assert inside("get", "piped", "-o", "-").stdout_bytes == body


def test_what_is_piped_into_a_command_is_read_to_its_end(
    logged_in: Run, inside: Run, state: Path, workplace: Path
) -> None:
    assert logged_in("status").exit_code == 0
    body = os.urandom(700_000)  # more than a pipe holds
    command = command_line("put", "-", "--replace", "--name", "piped", "--phrase-stdin", "--json")
    for _ in range(2):
        done = subprocess.run(
            command,
            input=PHRASE.encode() + b"\n" + body,
            env={**os.environ, "HUSHTAG_STATE": str(state)},
            capture_output=True,
            check=True,
        )
    assert [each["revision"] for each in json.loads(done.stdout)["stored"]] == [2]
    assert inside("get", "piped", "-o", "-").stdout_bytes == body


def test_standard_input_is_one_thing_at_a_time(logged_in: Run, letter: Path) -> None:
    for arguments in (
        ["put", "-", "--phrase-stdin"],
        ["put", "-", "--name", "", "--phrase-stdin"],
        ["put", "-", "letter.pdf", "--phrase-stdin"],
        ["put", "-", "-r", "--phrase-stdin"],
        ["put", "-", "--name", "x", "--skip", "--phrase-stdin"],
        ["put", "-", "--name", "x", "--candidate-stdin"],
    ):
        refused = logged_in(*arguments, input=PHRASE + "\n")
        assert refused.exit_code == 2, refused.stderr
        assert "standard input" in refused.stderr


def test_usage_is_checked_before_a_phrase_is_asked_for(logged_in: Run, letter: Path) -> None:
    for arguments in (
        ["put", "letter.pdf", "letter.pdf", "--name", "x"],
        ["put", "missing"],
        ["get", "x", "-o", "-", "--json"],
        ["rm", "x"],
    ):
        assert logged_in(*arguments).exit_code == 2


def test_without_a_terminal_or_an_option_there_is_no_phrase(logged_in: Run) -> None:
    refused = logged_in("ls", input=PHRASE)
    assert (refused.exit_code, "--phrase-stdin" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("fault", "code", "name"),
    [
        (Fault("POST", "locate", answer=problem(429, "too_many_guesses", retry_after=60)), 6, "budget_exhausted"),
        (Fault("POST", "finish", answer=problem(401, "ceremony_failed")), 4, "ceremony_failed"),
        (Fault("POST", "locate"), 7, "transport"),
        (Fault("PUT", "objects", answer=problem(409, "limit_reached")), 1, "limit_reached"),
        (Fault("POST", "locate", answer=problem(401, "unauthenticated")), 3, "session_expired"),
        (Fault("POST", "locate", answer=problem(503, "unavailable")), 7, "unavailable"),
        (Fault("POST", "locate", answer=problem(418, "never_heard_of")), 1, "server_refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_failure_has_its_exit_code(
    inside: Run, letter: Path, server: FakeServer, fault: Fault, code: int, name: str
) -> None:
    server.faults = [Fault(fault.method, fault.path, fault.when, fault.failure, fault.answer)]
    failed = inside("put", "letter.pdf", "--json")
    assert (failed.exit_code, error_of(failed)["code"]) == (code, name)
    assert error_of(failed).get("retry_after") == (60 if code == 6 else None)
    assert failed.stdout == ""


def test_a_wrong_phrase_is_exit_4_and_says_nothing_more(inside: Run) -> None:
    failed = inside("ls", "--json", phrase=UNKNOWN_PHRASE)
    assert (failed.exit_code, error_of(failed)["message"]) == (4, "the phrase opens nothing here")


def test_a_vault_that_lies_is_exit_8(inside: Run, letter: Path, server: FakeServer) -> None:
    inside("put", "letter.pdf")
    kept = the_vault(server).objects.popitem()
    failed = inside("ls", "--json")
    assert (failed.exit_code, error_of(failed)["code"]) == (8, "rollback")
    kept[1].row = kept[1].row._replace(revision=2)
    the_vault(server).objects[kept[0]] = kept[1]
    assert inside("ls").exit_code == 8
    # The head counts another revision of it.
    assert error_of(inside("get", str(kept[0]), "--json"))["code"] == "rollback"


def test_unlock_shows_what_a_phrase_opens(inside: Run, letter: Path) -> None:
    inside("put", "letter.pdf")
    shown = as_json(inside("unlock", "--json"))
    assert set(shown) == {
        "tag_id",
        "candidate",
        "expires_at",
        "failed_guesses",
        "last_failed_at",
        "vaults",
        "phrases",
    }
    assert [each["objects"] for each in shown["vaults"]] == [1]
    assert [each["label"] for each in shown["phrases"]] == ["for the diary"]
    assert inside("ls", "--vault", shown["vaults"][0]["vault_id"]).exit_code == 0
    assert inside("ls", "--vault", str(uuid4())).exit_code == 9
    assert "1 objects" in inside("unlock").stdout


def test_every_unlock_tells_of_guesses_that_opened_nothing(inside: Run, server: FakeServer, letter: Path) -> None:
    assert "opened nothing" not in inside("put", "letter.pdf").stderr
    last = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    for count, words in ((1, "1 guess opened nothing"), (12, "12 guesses opened nothing")):
        rewrite(server, Unlocked, partial(msgspec.structs.replace, failed_guesses=count, last_failed_at=last))
        for command in ("unlock", "ls"):
            told = inside(command)
            assert told.exit_code == 0
            assert f"Since the last unlock {words}, the last at {local_time(last)}." in told.stderr
    shown = as_json(inside("unlock", "--json"))
    assert (shown["failed_guesses"], shown["last_failed_at"]) == (12, last.isoformat())


def test_candidates_come_one_a_line_plain_or_in_json(logged_in: Run) -> None:
    for lines in (
        f"misheard once\n{PHRASE}\n",
        f'"misheard once"\n\n{json.dumps(PHRASE)}',
        f'{{"transcript": "misheard once", "score": 0.5}}\n{json.dumps({"transcript": PHRASE})}\n',
    ):
        opened = as_json(logged_in("unlock", "--candidate-stdin", "--json", input=lines))
        assert opened["candidate"] == 1
    for wrong in ("", "a\n" * 6, "{}", '{"transcript": 1}', '"open', b"\xff\n", "x" * 20_000):
        assert logged_in("unlock", "--candidate-stdin", input=wrong).exit_code == 2
    both = logged_in("unlock", "--candidate-stdin", "--phrase-stdin", input=PHRASE)
    assert both.exit_code == 2


def test_enrol_draws_or_takes_a_phrase(logged_in: Run, inside: Run) -> None:
    drawn = as_json(logged_in("enrol", "--draw", "--label", "second", "--json"))
    assert set(drawn) == {"tag_id", "vault_id", "label", "bits", "phrase"}
    assert check_phrase(drawn["phrase"]).drawn
    assert as_json(inside("unlock", "--json", phrase=drawn["phrase"]))["tag_id"] == drawn["tag_id"]
    typed = as_json(inside("enrol", "--json", phrase=OTHER_PHRASE))
    assert set(typed) == {"tag_id", "vault_id", "label", "bits"}
    again = inside("enrol", "--json", phrase=OTHER_PHRASE)
    assert (again.exit_code, error_of(again)["code"]) == (5, "conflict")
    weak = inside("enrol", "--json", phrase="too short")
    assert (weak.exit_code, error_of(weak)["code"]) == (2, "weak_phrase")
    assert inside("enrol", "--floor-bits", "20", phrase=UNKNOWN_PHRASE).exit_code == 2


@pytest.mark.parametrize("option", [("--vault", str(UUID(int=1))), ("--candidate-stdin",)])
def test_enrol_takes_no_option_that_says_nothing_of_a_new_vault(inside: Run, option: tuple[str, ...]) -> None:
    refused = inside("enrol", *option, phrase=OTHER_PHRASE)
    assert refused.exit_code == 2
    assert f"No such option '{option[0]}'" in refused.stderr or f"No such option: {option[0]}" in refused.stderr
    assert inside("unlock", phrase=OTHER_PHRASE).exit_code == 4


def test_a_device_secret_comes_from_a_private_file(logged_in: Run, inside: Run, workplace: Path) -> None:
    device = workplace / "device"
    device.write_text(os.urandom(32).hex() + "\n")
    device.chmod(0o600)
    drawn = as_json(logged_in("enrol", "--draw", "--json", "--device-secret", str(device)))["phrase"]
    assert inside("ls", phrase=drawn).exit_code == 4
    assert inside("ls", "--device-secret", str(device), phrase=drawn).exit_code == 0
    device.chmod(0o644)
    assert inside("ls", "--device-secret", str(device), phrase=drawn).exit_code == 1
    device.chmod(0o600)
    device.write_text("zz" * 32)
    assert inside("ls", "--device-secret", str(device), phrase=drawn).exit_code == 2


def test_outside_of_a_shell_there_is_nothing_to_lock(run: Run) -> None:
    assert as_json(run("lock", "--json")) == {"locked": True}


def test_every_put_is_listed_by_name_in_order(inside: Run, workplace: Path) -> None:
    names: list[Any] = ["b", "a", "c"]
    for name in names:
        (workplace / name).write_bytes(b"")
    inside("put", *names)
    assert [each["name"] for each in as_json(inside("ls", "--json"))["objects"]] == sorted(names)
