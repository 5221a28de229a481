"""put -r, get -r, ls -l, ls --tree: whole directories, and names that mean harm."""

import errno
import json
import os
import re
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from hushtag.cli import store_tree
from hushtag.cli.failures import UsageError
from hushtag.cli.trees import DIRECTORY_TYPE, MAX_DEPTH, is_below, plan_get, plan_put, tree_lines
from hushtag.client import SourceChangedError, Vault, new_file, storing_steps, stream_files
from hushtag.client.stream_files import ContentSource
from tests.cli.conftest import Run, as_json, error_of
from tests.cli.test_vault_commands import put_named
from tests.client.fake_server import URL, FakeServer, Fault, problem, the_vault
from tests.client.support import EMAIL, PASSWORD, PHRASE, connect_sync

LARGE = os.urandom(300_000)
FILES = {
    "photos/index.txt": b"two",
    "photos/2026/sea.raw": LARGE,
    "photos/2026/.hidden": b"dot",
    "photos/2026/naïve – name.txt": b"umlaut",
    "photos/a\\b:c": b"odd",
}


@pytest.fixture
def photos(workplace: Path) -> Path:
    for name, body in FILES.items():
        path = workplace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (workplace / "photos" / "empty").mkdir()
    return workplace / "photos"


def contents(directory: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


def test_a_directory_goes_in_and_comes_out(inside: Run, photos: Path, workplace: Path) -> None:
    stored = as_json(inside("put", "-r", "photos", "--json"))
    assert stored["left_out"] == []
    assert {each["name"] for each in stored["stored"]} == {*FILES, "photos/empty/"}
    before = contents(photos)
    fetched = as_json(inside("get", "-r", "photos", "-o", "out", "--json"))["fetched"]
    assert len(fetched) == len(FILES) + 1
    after = contents(workplace / "out" / "photos")
    assert {name.replace("a_b_c", "a\\b:c"): body for name, body in after.items()} == before
    assert (workplace / "out" / "photos").stat().st_mode & 0o777 == 0o700


def test_small_files_are_stored_many_at_a_time(inside: Run, workplace: Path, server: FakeServer) -> None:
    bodies = {f"notes/{number:03}": os.urandom(100) for number in range(130)} | {"notes/100 large": LARGE}
    (workplace / "notes").mkdir()
    for name, body in bodies.items():
        (workplace / name).write_bytes(body)
    server.log.clear()
    stored = as_json(inside("put", "-r", "notes", "--json"))["stored"]
    assert [each["name"] for each in stored] == sorted(bodies)
    changes = [line.split(" ")[0] for line in server.log if re.search("/objects(/[^/]+)?$", line) and "GET" not in line]
    assert changes == ["POST", "POST", "PUT", "POST"]  # 64 and 37; the large one; 29
    server.log.clear()
    again = as_json(inside("put", "-r", "--replace", "notes", "--json"))["stored"]
    assert ({each["revision"] for each in again}, len(again)) == ({2}, len(bodies))
    assert sum(line.startswith("POST") and line.endswith("/objects") for line in server.log) == 3
    as_json(inside("get", "-r", "notes", "-o", "out", "--json"))
    assert contents(workplace / "out") == {"notes": None} | bodies


def test_a_directory_is_deleted_with_everything_in_it(inside: Run, photos: Path, workplace: Path) -> None:
    (workplace / "photos.txt").write_bytes(b"beside it")
    inside("put", "-r", "photos", "photos.txt")
    assert inside("rm", "photos", "--yes").exit_code == 9
    refused = inside("rm", "-r", "photos", "no such", "--yes", "--json")
    assert (refused.exit_code, error_of(refused)["code"]) == (9, "not_found")
    assert len(as_json(inside("ls", "--json"))["objects"]) == len(FILES) + 2
    asked = inside("rm", "-r", "photos/2026")
    assert (asked.exit_code, "--yes" in asked.stderr) == (2, True)
    below = [name for name in FILES if name.startswith("photos/2026/")]
    deleted = as_json(inside("rm", "-r", "photos/2026/", "photos/2026", "--yes", "--json"))["deleted"]
    assert len(deleted) == len(below) == 3
    left = {each["name"] for each in as_json(inside("ls", "--json"))["objects"]}
    assert left == {*FILES, "photos/empty/", "photos.txt"} - {*below}
    assert inside("rm", "-r", "photos", "--yes").exit_code == 0
    assert [each["name"] for each in as_json(inside("ls", "--json"))["objects"]] == ["photos.txt"]
    for nothing in ("", "/", "//"):  # as `rm -r "$DIR/"` where DIR is not set
        refused = inside("rm", "-r", "photos.txt", nothing, "--yes")
        assert (refused.exit_code, "name is empty" in refused.stderr) == (2, True)
    assert len(as_json(inside("ls", "--json"))["objects"]) == 1
    assert inside("rm", "-r", ".", "--yes").exit_code == 0
    assert as_json(inside("ls", "--json"))["objects"] == []


def test_what_somebody_else_deletes_meanwhile_is_deleted_as_well(inside: Run, photos: Path, server: FakeServer) -> None:
    inside("put", "-r", "photos")

    def meanwhile(request: httpx.Request) -> None:
        if request.method == "DELETE" and "/objects/" in request.url.path:
            server.on_request = None
            with connect_sync(URL, server.transport()) as client:
                client.log_in(EMAIL, PASSWORD)
                vault = client.unlock(PHRASE)
                for object_id in list(the_vault(server).objects)[1:4]:
                    vault.delete(object_id)

    server.on_request = meanwhile
    assert inside("rm", "-r", "photos", "--yes").exit_code == 0
    assert as_json(inside("ls", "--json"))["objects"] == []


def test_files_before_one_that_cannot_be_read_are_stored(
    inside: Run, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (workplace / name).write_bytes(name.encode())
    really = ContentSource.open

    def denied(self: ContentSource) -> None:
        if self.name == "b":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "b")
        really(self)

    monkeypatch.setattr(ContentSource, "open", denied)
    failed = inside("put", "a", "b", "c", "--json")
    assert failed.exit_code == 1
    assert [each["name"] for each in json.loads(failed.stdout)["stored"]] == ["a"]
    assert [each["name"] for each in as_json(inside("ls", "--json"))["objects"]] == ["a"]


def test_what_was_stored_before_a_group_failed_is_told(inside: Run, workplace: Path, server: FakeServer) -> None:
    (workplace / "notes").mkdir()
    for number in range(70):
        (workplace / "notes" / f"{number:03}").write_bytes(b"note")

    def refuse_second(request: httpx.Request) -> None:
        if request.method == "POST" and request.url.path.endswith("/objects"):
            server.on_request = None
            server.faults = [Fault("POST", "/objects$", answer=problem(409, "limit_reached"))]

    server.on_request = refuse_second
    server.faults = []
    failed = inside("put", "-r", "notes", "--json")
    assert failed.exit_code == 1
    server.faults, server.on_request = [], None
    told = json.loads(failed.stdout or '{"stored": []}')["stored"]
    assert [each["name"] for each in told] == [each["name"] for each in as_json(inside("ls", "--json"))["objects"]]


def test_a_file_that_grows_since_it_was_looked_at_is_stored_all_the_same(
    inside: Run, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (workplace / name).write_bytes(name.encode())
    is_small = store_tree._is_small

    def grow(item: Any) -> bool:
        small = is_small(item)
        (workplace / "b").write_bytes(LARGE)
        return small

    monkeypatch.setattr(store_tree, "_is_small", grow)
    stored = as_json(inside("put", "a", "b", "c", "--json"))["stored"]
    assert {each["name"]: each["size"] for each in stored} == {"a": 1, "b": len(LARGE), "c": 1}
    assert inside("get", "b", "-o", "copy").exit_code == 0
    assert (workplace / "copy").read_bytes() == LARGE


def test_a_directory_needs_to_be_asked_for(inside: Run, photos: Path) -> None:
    refused = inside("put", "photos")
    assert (refused.exit_code, "use -r" in refused.stderr) == (2, True)


def test_what_is_there_already_is_left_out_or_replaced_never_doubled(inside: Run, photos: Path) -> None:
    inside("put", "-r", "photos")
    refused = inside("put", "-r", "photos")
    assert (refused.exit_code, "--skip" in refused.stderr) == (2, True)
    (photos / "new.txt").write_bytes(b"new")
    skipped = as_json(inside("put", "-r", "--skip", "photos", "--json"))["stored"]
    assert [each["name"] for each in skipped] == ["photos/new.txt"]
    assert "Nothing to store" in inside("put", "-r", "--skip", "photos").stdout
    (photos / "new.txt").write_bytes(b"newer")
    replaced = as_json(inside("put", "-r", "--replace", "photos", "--json"))["stored"]
    assert [each["revision"] for each in replaced] == [2] * (len(FILES) + 2)
    assert inside("put", "-r", "--replace", "--skip", "photos").exit_code == 2
    assert len(as_json(inside("ls", "--json"))["objects"]) == len(FILES) + 2


def test_links_special_files_and_odd_names_are_left_out_and_said(inside: Run, photos: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"precious")
    (photos / "link").symlink_to(secret / "key")
    (photos / "dirlink").symlink_to(secret)
    (photos / "loop").symlink_to(photos)
    os.mkfifo(photos / "pipe")
    whole = as_json(inside("put", "-r", "photos", "--json"))
    assert len(whole["left_out"]) == 4
    assert {each["name"] for each in whole["stored"]} == {*FILES, "photos/empty/"}
    (Path(os.fsdecode(os.fsencode(photos) + b"/\xff\xfe"))).write_bytes(b"odd")
    (Path(os.fsdecode(os.fsencode(photos) + b"/\xfe"))).mkdir()
    told = inside("put", "-r", "--replace", "photos")
    assert "a link" in told.stderr
    assert "2026/sea.raw" in told.stdout
    # What somebody may miss was not put: whoever looks at the exit code alone must not take it for a whole copy.
    assert (told.exit_code, "left out what could not be put: 2" in told.stderr) == (1, True)


def test_a_file_that_was_named_is_put_or_the_command_fails(inside: Run, workplace: Path) -> None:
    odd = Path(os.fsdecode(b"odd\xff"))
    odd.write_bytes(b"odd")
    (workplace / "fine").write_bytes(b"fine")
    refused = inside("put", "fine", str(odd))
    assert (refused.exit_code, "--name" in refused.stderr) == (2, True)
    assert inside("put", "fine", "--name", "odd\udcff").exit_code == 2
    assert as_json(inside("ls", "--json"))["objects"] == []
    assert as_json(inside("put", str(odd), "--name", "odd", "--json"))["stored"][0]["size"] == 3


def test_a_single_link_that_was_named_is_followed(inside: Run, workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"meant")
    (workplace / "link").symlink_to(tmp_path / "target")
    assert as_json(inside("put", "link", "--json"))["stored"][0]["size"] == 5


NAMES = ["../../evil", "/etc/evil", "x/../../../evil", "..//evil", "~/evil", "a\nb/\x1b[2Jc", ".ssh/authorized_keys"]


def test_no_name_leads_out_of_the_directory(inside: Run, workplace: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        put_named(inside, workplace, name, str(number).encode())
    before = {path for path in tmp_path.rglob("*") if workplace not in path.parents}
    assert inside("get", "-r", ".", "-o", "out").exit_code == 0
    after = {path for path in tmp_path.rglob("*") if workplace not in path.parents}
    state = tmp_path / "state"
    assert {path for path in after - before if state not in path.parents} == set()
    written = contents(workplace / "out")
    assert sorted(body for body in written.values() if body is not None) == [b"%d" % n for n in range(len(NAMES))]
    assert not any(re.search(r"[\x00-\x1f]", name) or name.startswith(".") for name in written)


def test_nothing_is_written_through_a_link(inside: Run, photos: Path, workplace: Path, tmp_path: Path) -> None:
    inside("put", "-r", "photos")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = workplace / "out"
    out.mkdir()
    (out / "photos").symlink_to(elsewhere)
    for more in ([], ["--force"]):
        refused = inside("get", "-r", "photos", "-o", "out", *more)
        assert (refused.exit_code, "link" in refused.stderr) == (2, True)
    assert list(elsewhere.iterdir()) == []


def test_existing_files_are_kept_or_replaced_as_a_whole(inside: Run, photos: Path, workplace: Path) -> None:
    inside("put", "-r", "photos")
    (workplace / "out" / "photos").mkdir(parents=True)
    (workplace / "out" / "photos" / "index.txt").write_bytes(b"mine")
    refused = inside("get", "-r", "photos", "-o", "out")
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert contents(workplace / "out") == {"photos": None, "photos/index.txt": b"mine"}
    assert inside("get", "-r", "photos", "-o", "out", "--force").exit_code == 0
    assert (workplace / "out" / "photos" / "index.txt").read_bytes() == b"two"
    (workplace / "file").write_bytes(b"mine")
    refused = inside("get", "-r", "photos", "-o", "file", "--force")
    assert (refused.exit_code, "is no directory" in refused.stderr) == (2, True)


@pytest.mark.parametrize("names", [("same", "same"), ("a\x01", "a\x02"), ("d", "d/below")])
def test_two_objects_never_go_to_one_place(inside: Run, workplace: Path, names: tuple[str, str]) -> None:
    for name in names:
        put_named(inside, workplace, name)
    refused = inside("get", "-r", ".", "-o", "out")
    assert refused.exit_code == 2
    assert not (workplace / "out").exists()


def test_a_name_too_deep_is_said(inside: Run, workplace: Path) -> None:
    put_named(inside, workplace, "/".join("a" * 500))
    assert inside("get", "-r", ".", "-o", "out").exit_code == 2
    assert inside("ls", "--tree").exit_code == 0


def test_nothing_below_a_name_is_said(inside: Run, photos: Path) -> None:
    refused = inside("get", "-r", "nothing")
    assert (refused.exit_code, "nothing is called" in refused.stderr) == (9, True)
    assert inside("get", "-r", "photos", "-o", "-").exit_code == 2


def test_a_listing_shows_directories_long_lines_and_a_tree(inside: Run, photos: Path, workplace: Path) -> None:
    inside("put", "-r", "photos")
    put_named(inside, workplace, "letter.txt", b"abc")
    assert len(inside("ls").stdout.splitlines()) == len(FILES) + 2
    assert len(inside("ls", "photos/2026").stdout.splitlines()) == 3
    assert inside("ls", "phot").stdout == ""
    long_ = next(line for line in inside("ls", "-l").stdout.splitlines() if line.endswith("sea.raw")).split("\t")
    assert (long_[1], long_[4]) == (str(len(LARGE)), "1")
    assert int(long_[6]) > len(LARGE)
    tree = inside("ls", "--tree").stdout
    assert "├── letter.txt  3 B\n└── photos/\n    ├── 2026/\n" in tree
    assert "    ├── empty/\n" in tree
    assert inside("ls", "--tree", "-l").exit_code == 2
    assert inside("ls", "--tree", "--json").exit_code == 2


def entry(name: str) -> Any:
    class Entry:
        readable = True
        object_id = uuid4()
        size = 0 if name.endswith("/") else 1
        content_type = DIRECTORY_TYPE if name.endswith("/") else "text/plain"

    found: Any = Entry()
    found.name = name
    return found


def test_a_tree_shows_no_control_character() -> None:
    lines = list(tree_lines([entry("a\x1b[2J/b\u202ec"), entry("same"), entry("same"), entry("dir/")]))
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)


def test_what_is_below_a_directory() -> None:
    assert is_below("a/b", "a")
    assert is_below("a/b", "a/")
    assert is_below("a", "a")
    assert is_below("anything", ".")
    assert not is_below("ab", "a")


def test_a_large_file_that_was_broken_off_goes_on(
    inside: Run, workplace: Path, server: FakeServer, state: Path
) -> None:
    (workplace / "film").write_bytes(os.urandom(9_000_000))
    sent: list[str] = []

    def kill(request: Any) -> None:
        if request.method == "PUT" and "/segments/" in request.url.path:
            sent.append(request.url.path)
            if request.url.path.endswith("/2"):
                raise RuntimeError

    server.on_request = kill
    assert inside("put", "film").exit_code != 0
    server.on_request = None
    sent.clear()
    server.log.clear()
    assert inside("put", "film").exit_code == 0
    assert sum("PUT" in line and "/segments/" in line for line in server.log) < 3
    assert inside("get", "film", "-o", "-").stdout_bytes == (workplace / "film").read_bytes()
    assert sorted(path.name for path in state.iterdir() if path.name.startswith("uploads-")) == [
        f"uploads-{number}" for number in range(4)
    ]


def test_what_merely_has_the_name_of_a_directory_is_a_file(inside: Run, workplace: Path) -> None:
    (workplace / "notes.txt").write_bytes(b"content")
    refused = inside("put", "notes.txt", "--name", "notes/")
    assert (refused.exit_code, "is a directory's" in refused.stderr) == (2, True)
    entries = [entry("notes/")]
    entries[0].size, entries[0].content_type = 7, "text/plain"
    (item,) = plan_get(entries, ".", workplace / "out", force=False).items
    assert (item.is_directory, item.path) == (False, workplace / "out" / "notes")
    assert list(tree_lines(entries)) == ["└── notes  7 B"]


def test_a_file_that_changes_while_it_is_read_keeps_the_others_from_nobody(
    inside: Run, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "log").mkdir()
    for name in ("a", "m.log", "z"):
        (workplace / "log" / name).write_bytes(name.encode())
    unchanged = ContentSource.check_unchanged

    def check(source: ContentSource) -> None:
        if source.name == "m.log":
            raise SourceChangedError("the file was changed while it was read; nothing was stored")
        unchanged(source)

    monkeypatch.setattr(ContentSource, "check_unchanged", check)
    made = inside("put", "-r", "log", "--json")
    assert made.exit_code == 1
    told = json.loads(made.stdout)
    assert [each["name"] for each in told["stored"]] == ["log/a", "log/z"]
    assert told["left_out"] == ["log/m.log"]
    assert "left out what could not be put: 1" in made.stderr


def test_the_type_of_an_empty_directory_is_one_that_others_know() -> None:
    assert DIRECTORY_TYPE == "inode/directory"


def test_what_could_not_come_out_again_is_not_put(tmp_path: Path) -> None:
    for side, name in (("x", "p/a.txt"), ("y", "p/a.txt"), ("z", "a"), ("v", "p/a.txt/b")):
        path = tmp_path / side / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"1")
    with pytest.raises(UsageError, match="both be called p/a"):
        plan_put([tmp_path / "x/p", tmp_path / "y/p"], recursive=True)
    with pytest.raises(UsageError, match="would lie in"):
        plan_put([tmp_path / "x/p", tmp_path / "v/p"], recursive=True)
    (tmp_path / "logs").mkdir()
    for name in ("12:00.log", "12_00.log"):  # apart here, and one when they are written somewhere else
        (tmp_path / "logs" / name).write_bytes(b"1")
    with pytest.raises(UsageError, match=r"both be called logs/12_00\.log"):
        plan_put([tmp_path / "logs"], recursive=True)
    assert len(plan_put([tmp_path / "x/p", tmp_path / "z/a"], recursive=True).items) == 2
    deep = tmp_path.joinpath("deep", *["d"] * (MAX_DEPTH - 1))
    deep.mkdir(parents=True)
    assert len(plan_put([tmp_path / "deep"], recursive=True).items) == 1
    (deep / "file").write_bytes(b"1")
    with pytest.raises(UsageError, match="more than 64"):
        plan_put([tmp_path / "deep"], recursive=True)


@pytest.mark.parametrize("given", [["-r", "dup", "dup/"], ["-r", "dup", "dup"], ["--replace", "new", "new"]])
def test_what_is_named_twice_in_one_command_is_not_put_twice(inside: Run, workplace: Path, given: list[str]) -> None:
    (workplace / "dup").mkdir()
    (workplace / "dup" / "file").write_bytes(b"1")
    (workplace / "new").write_bytes(b"1")
    refused = inside("put", *given)
    assert (refused.exit_code, "is named twice" in refused.stderr) == (2, True)
    assert as_json(inside("ls", "--json"))["objects"] == []


def test_one_object_that_cannot_be_placed_keeps_the_others_from_nobody(tmp_path: Path) -> None:
    entries = [entry("ok"), entry("/".join("d" * 70)), entry("a/"), entry("a/")]
    plan = plan_get(entries, ".", tmp_path, force=False)
    assert [item.entry.name for item in plan.items] == ["a/", "ok"]
    assert [each.name for each, _ in plan.left_out] == [entries[1].name]


def test_a_file_is_replaced_only_if_it_was_there_when_all_was_planned(tmp_path: Path) -> None:
    """So two names that are one on this file system do not replace each other."""
    (tmp_path / "there").write_bytes(b"1")
    plan = plan_get([entry("there"), entry("New"), entry("new")], ".", tmp_path, force=True)
    assert {item.entry.name: item.replaces for item in plan.items} == {"there": True, "New": False, "new": False}
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "A").hardlink_to(tmp_path / "a")  # what a file system without cases shows of one file
    with pytest.raises(UsageError, match="one file"):
        plan_get([entry("A"), entry("a")], ".", tmp_path, force=True)


def test_a_tree_shows_the_whole_name() -> None:
    (line,) = tree_lines([entry("letter.pdf\0.exe")])
    assert "letter.pdf\\u{0}.exe" in line


def test_what_cannot_be_read_is_left_out_and_the_rest_is_put(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root can read everything, so what the system says is made up: of a file, and of one in a closed directory."""
    locked, lost = photos / "index.txt", photos / "2026" / "sea.raw"
    stat_of, access = os.stat, os.access

    def refusing_stat(path: Any, **options: Any) -> os.stat_result:
        if path == lost:
            raise PermissionError(13, "Permission denied", str(path))
        return stat_of(path, **options)

    monkeypatch.setattr(os, "stat", refusing_stat)
    monkeypatch.setattr(os, "access", lambda path, mode: path != locked and access(path, mode))
    plan = plan_put([photos], recursive=True)
    assert dict(plan.left_out) == {locked: "cannot be read", lost: "Permission denied"}
    assert plan.missing == 2
    assert {item.name for item in plan.items} == {*FILES, "photos/empty/"} - {"photos/index.txt", "photos/2026/sea.raw"}


def test_what_is_written_otherwise_than_it_was_put_is_said(inside: Run, workplace: Path) -> None:
    names = {
        "logs/12:00.log": "logs/12_00.log",
        ".profile": "_profile",
        "logs/ spaced ": "logs/spaced",
        "/etc/hosts": "etc/hosts",
        f"logs/{'n' * 250}": f"logs/{'n' * 200}",
        "a\nb": "a_b",
    }
    for name in (*names, "logs/.hidden", "logs/plain – ö"):
        put_named(inside, workplace, name)
    (workplace / "empty").mkdir()
    inside("put", "-r", "empty")
    made = inside("get", "-r", ".", "-o", "out")
    assert made.exit_code == 0
    told = [line.partition(": ")[::2] for line in made.stderr.splitlines() if line.startswith("written as ")]
    assert {name.replace("\\u{a}", "\n"): path.removeprefix("written as out/") for path, name in told} == names
    assert len(told) == len(names)
    assert all((workplace / "out" / path).is_file() for path in names.values())
    again = inside("get", "-r", ".", "-o", "again", "--json")
    assert (len(as_json(again)["fetched"]), again.stderr) == (len(names) + 3, "")


@pytest.mark.parametrize("step", ["write", "name"])
@pytest.mark.parametrize("given", [["-r", "photos", "-o", "out"], ["photos/index.txt", "-o", "out/photos/index.txt"]])
def test_a_disk_that_is_full_is_told_with_the_file(
    inside: Run, photos: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], step: str
) -> None:
    inside("put", "-r", "photos")
    (workplace / "out" / "photos").mkdir(parents=True)
    (workplace / "out" / "photos" / "index.txt").write_bytes(b"mine")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if step == "write":
            for module in (new_file, stream_files):
                patched.setattr(module, "write_all", full)
        else:
            patched.setattr(new_file, "_name", full)
        made = inside("get", *given, "--force", "--json")
    assert (made.exit_code, error_of(made)["code"]) == (1, "os")
    assert re.search(r"No space left on device: out/photos/", error_of(made)["message"])
    assert contents(workplace / "out")["photos/index.txt"] == b"mine"


@pytest.fixture
def notes(inside: Run, workplace: Path) -> list[dict[str, Any]]:
    """Six small files in the vault, in the order of a listing."""
    (workplace / "notes").mkdir()
    for name in "abcdef":
        (workplace / "notes" / name).write_text(name)
    as_json(inside("put", "-r", "notes", "--json"))
    listed: list[dict[str, Any]] = as_json(inside("ls", "--json"))["objects"]
    return listed


def test_small_files_are_fetched_side_by_side_and_told_in_order(
    inside: Run, notes: list[dict[str, Any]], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_to, all_of_them = Vault.get_to, threading.Barrier(len(notes))

    def meeting(vault: Vault, object_id: Any, place: Any, **options: Any) -> Any:
        all_of_them.wait(30)
        return get_to(vault, object_id, place, **options)

    monkeypatch.setattr(Vault, "get_to", meeting)
    fetched = as_json(inside("get", "-r", "notes", "-o", "out", "--json"))["fetched"]
    assert [each["object_id"] for each in fetched] == [entry["object_id"] for entry in notes]
    assert contents(workplace / "out" / "notes") == {name: name.encode() for name in "abcdef"}


def test_what_was_written_before_a_failure_is_told(
    inside: Run, notes: list[dict[str, Any]], workplace: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_to, written, broken = Vault.get_to, threading.Semaphore(0), notes[0]["object_id"]

    def failing_last(vault: Vault, object_id: Any, place: Any, **options: Any) -> Any:
        if str(object_id) == broken:
            assert all(written.acquire(timeout=30) for _ in notes[1:])
            server.faults = [Fault("GET", broken, answer=problem(500, "internal_error"), times=99)]
        done = get_to(vault, object_id, place, **options)
        written.release()
        return done

    monkeypatch.setattr(Vault, "get_to", failing_last)
    made = inside("get", "-r", "notes", "-o", "out", "--json")
    assert made.exit_code != 0
    assert [each["object_id"] for each in json.loads(made.stdout)["fetched"]] == [e["object_id"] for e in notes[1:]]
    assert set(contents(workplace / "out" / "notes")) == {entry["name"][-1] for entry in notes[1:]}


def test_an_object_whose_bytes_are_lost_keeps_the_others_from_nobody(
    inside: Run, workplace: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing_steps, "SMALL_OBJECT_BYTES", 100_000)
    (workplace / "log").mkdir()
    for name, body in (("a", b"a"), ("m", LARGE), ("z", b"z")):
        (workplace / "log" / name).write_bytes(body)
    lost = as_json(inside("put", "-r", "log", "--json"))["stored"][1]
    server.faults = [Fault("GET", "/segments/", answer=problem(410, "segment_lost"), times=99)]
    made = inside("get", "-r", "log", "-o", "out", "--json")
    told = json.loads(made.stdout)
    assert [each["name"] for each in told["fetched"]] == ["log/a", "log/z"]
    assert (told["left_out"], lost["name"]) == ([lost["object_id"]], "log/m")
    assert contents(workplace / "out" / "log") == {"a": b"a", "z": b"z"}
    assert made.exit_code == 1
    assert "lost bytes of 1 of 3" in made.stderr
    single = inside("get", "log/m", "-o", "x", "--json")
    assert (error_of(single)["code"], (workplace / "x").exists()) == ("content_lost", False)


def test_an_object_that_was_altered_keeps_the_others_from_nobody(
    inside: Run, workplace: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing_steps, "SMALL_OBJECT_BYTES", 100_000)
    (workplace / "log").mkdir()
    for name, body in (("a", b"a"), ("m", LARGE), ("n", LARGE), ("z", b"z")):
        (workplace / "log" / name).write_bytes(body)
    stored = {each["name"]: each["object_id"] for each in as_json(inside("put", "-r", "log", "--json"))["stored"]}
    streams = set[str]()

    def alter(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if "/segments/" not in request.url.path or response.status_code != 200:
            return response
        stream = request.url.path.split("/")[5]
        if not streams:
            streams.add(stream)  # all of the first large object, and nothing of the other
        content = bytes([response.content[0] ^ 1]) + response.content[1:]
        headers = {"Content-Type": response.headers["content-type"]}
        return httpx.Response(200, content=content, headers=headers) if stream in streams else response

    server.rewrite = alter
    made = inside("get", "-r", "log", "-o", "out", "--json")
    told = json.loads(made.stdout)
    assert [each["name"] for each in told["fetched"]] == ["log/a", "log/n", "log/z"]
    assert told["left_out"] == [stored["log/m"]]
    assert contents(workplace / "out" / "log") == {"a": b"a", "n": LARGE, "z": b"z"}
    error = error_of(made)
    assert (made.exit_code, error["code"], "1 of 4" in error["message"]) == (8, "integrity", True)
