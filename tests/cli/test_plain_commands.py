"""journal, remind and account against a real server; with a terminal or a signal as processes of their own."""

import os
import re
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from hushtag.account_messages import AccountSettings
from hushtag.cli.group import cli
from hushtag.client import Client
from hushtag.client.profile import Profile
from hushtag.client.state import StateFile
from tests.cli.conftest import command_line
from tests.cli.plain_support import Process, failed, json_of, text_of
from tests.cli.test_process import Terminal
from tests.client.support import PASSWORD
from tests.coming import COMING, last_sunday


@pytest.fixture
def email() -> str:
    return f"{uuid4().hex}@example.org"


@pytest.fixture
def process(environment: dict[str, str]) -> Process:
    """`process("journal", "ls", input=b"…")` runs the command in this process, and tells what one of its own would."""

    def start(*arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:  # noqa: A002 - subprocess's
        ours = {name: None for name in os.environ if name.startswith("HUSHTAG_")} | environment
        done = CliRunner().invoke(cli, arguments, input=input, env=ours)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout_bytes, done.stderr_bytes)

    return start


@pytest.fixture
def ours(process: Process, environment: dict[str, str], real_url: str, email: str) -> Process:
    """The command of somebody who has just made an account and logged in."""
    password = f"{PASSWORD}\n".encode()
    environment["HUSHTAG_SERVER"] = real_url
    text_of(process("signup", email, "--password-stdin", input=password))
    text_of(process("login", email, "--password-stdin", input=password))
    return process


@pytest.fixture
def client(ours: Process, state: Path) -> Iterator[Client]:
    """A second program of the same person."""
    session = StateFile(state).load().session
    assert session is not None
    with Client(session.server, session=session) as made:
        yield made


def test_a_journal_is_kept(ours: Process) -> None:
    walk = json_of(
        ours("journal", "add", "A walk", "-m", "Along the river.", "--mood", "8", "--tag", "walks", "--json")
    )
    assert (walk["title"], walk["mood_rating"], walk["tags"][0]["name"]) == ("A walk", 8, "walks")
    piped = "Über Brücken\n\nerste Zeile\nzweite\n".encode()
    bridges = json_of(ours("journal", "add", "--date", "2026-01-31", "--private", "--json", input=piped))
    assert (bridges["title"], bridges["content"]) == ("Über Brücken", "erste Zeile\nzweite")
    assert (bridges["entry_date"], bridges["is_private"]) == ("2026-01-31", True)
    assert [line.split("\t")[1] for line in text_of(ours("journal", "ls")).splitlines()] == ["A walk", "Über Brücken"]
    listed = json_of(ours("journal", "ls", "--private", "--to", "2026-02-01", "--json"))["journals"]
    assert [entry["id"] for entry in listed] == [bridges["id"]]
    shown = text_of(ours("journal", "show", bridges["id"][:12]))
    assert shown.startswith("Über Brücken\n2026-01-31  3 words  private  ")
    assert shown.endswith("\n\nerste Zeile\nzweite\n")
    assert "Along the *river*" in text_of(ours("journal", "search", "river"))
    changed = json_of(
        ours("journal", "edit", walk["id"], "--mood", "none", "--no-tags", "-m", "-", "--json", input=b"new")
    )
    assert (changed["mood_rating"], changed["tags"], changed["content"]) == (None, [], "new")
    assert "deleted" in text_of(ours("journal", "rm", walk["id"][:8]))
    assert "A walk (deleted)" in text_of(ours("journal", "ls", "--deleted"))
    assert "Restored" in text_of(ours("journal", "restore", walk["id"][:8]))
    assert ours("journal", "rm", "--for-good", walk["id"]).returncode == 2
    assert "erased" in text_of(ours("journal", "rm", "--for-good", "--yes", walk["id"], walk["id"][:8]))
    assert failed(ours("journal", "show", walk["id"], "--json"), 9)["code"] == "not_found"


def test_tags_are_renamed_merged_and_deleted(ours: Process) -> None:
    ours("journal", "add", "one", "-m", "x", "--tag", "walks")
    ours("journal", "add", "two", "-m", "x", "--tag", "strolls")
    assert text_of(ours("journal", "tags", "--merge", "strolls", "walks")).split("\t")[:2] == ["walks", "2"]
    assert text_of(ours("journal", "tags", "--rename", "WALKS", "long walks")).startswith("long walks\t2")
    assert "#3366cc" in text_of(ours("journal", "tags", "--color", "long walks", "#3366CC"))
    assert failed(ours("journal", "tags", "--delete", "none such", "--json"), 9)["code"] == "not_found"
    assert ours("journal", "tags", "--delete", "a", "--merge", "b", "c").returncode == 2
    assert json_of(ours("journal", "tags", "--delete", "long walks", "--json")) == {"tags": []}


def test_what_comes_from_elsewhere_does_not_move_the_cursor(ours: Process, client: Client) -> None:
    entry = client.journal.create("\x1b[2J title", content="\x1b[31mred\nsecond\tline", tags=["\u202etag"])
    for command in (["ls"], ["show", str(entry.id)], ["search", "red"], ["tags"]):
        shown = text_of(ours("journal", *command))
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "second    line" in text_of(ours("journal", "show", str(entry.id)))


def test_an_id_that_begins_several_entries_names_them(ours: Process, client: Client) -> None:
    ids = [client.journal.create(str(number)).id for number in range(17)]  # two begin alike, of 16 digits
    digits = [str(each)[0] for each in ids]
    twice = next(digit for digit in digits if digits.count(digit) > 1)
    error = failed(ours("journal", "show", twice, "--json"), 2)
    assert (error["code"], len(error["object_ids"])) == ("ambiguous_name", digits.count(twice))


# --- an editor ----------------------------------------------------------------------------------------------


@pytest.fixture
def editor(tmp_path: Path, environment: dict[str, str]) -> Callable[[str], None]:
    """`editor("python code over `text`")` is the editor from then on."""

    def make(code: str) -> None:
        script = tmp_path / "editor.py"
        script.write_text(
            "import sys, os, time\npath = sys.argv[1]\ntext = open(path).read()\n"
            f"{code}\nopen(path, 'w').write(text)\nos.utime(path, (time.time() + 5,) * 2)\n"
        )
        environment["EDITOR"] = f"{sys.executable} {script}"
        environment.pop("VISUAL", None)
        environment["TMPDIR"] = str(tmp_path)

    return make


def test_an_entry_is_written_and_edited_in_an_editor(
    ours: Process, environment: dict[str, str], client: Client, editor: Callable[[str], None]
) -> None:
    editor("text = 'From the editor\\n\\nfirst\\nsecond\\n'")
    terminal = Terminal(environment, "journal", "add")
    assert terminal.end() == 0, terminal.screen
    (entry,) = client.journal.list()
    assert client.journal.get(entry.id).content == "first\nsecond"
    editor("assert text == 'From the editor\\n\\nfirst\\nsecond\\n'; text = text.replace('first', 'FIRST')")
    terminal = Terminal(environment, "journal", "edit", str(entry.id)[:8])
    assert terminal.end() == 0, terminal.screen
    assert client.journal.get(entry.id).content == "FIRST\nsecond"
    editor("pass")
    terminal = Terminal(environment, "journal", "edit", str(entry.id))
    assert terminal.end() == 2
    assert b"nothing was written" in terminal.screen


def test_a_conflict_overwrites_nothing_and_loses_nothing_typed(
    ours: Process,
    environment: dict[str, str],
    client: Client,
    editor: Callable[[str], None],
    state: Path,
    real_url: str,
) -> None:
    entry = client.journal.create("ours", content="first")
    # While the editor is open, another program of the same person changes the entry.
    editor(
        "from pathlib import Path\nfrom uuid import UUID\nfrom hushtag.client import Client\n"
        "from hushtag.client.state import StateFile\n"
        f"session = StateFile(Path({str(state)!r})).load().session\n"
        f"with Client({real_url!r}, session=session) as client:\n"
        f"    client.journal.edit(client.journal.get(UUID({str(entry.id)!r})), content='theirs')\n"
        "text = 'ours\\n\\nmine, typed for an hour'"
    )
    terminal = Terminal(environment, "journal", "edit", str(entry.id))
    assert terminal.end() == 5, terminal.screen
    assert client.journal.get(entry.id).content == "theirs"
    kept = re.search(rb"is kept in (\S+)", terminal.screen)
    assert kept, terminal.screen
    path = Path(kept[1].decode())
    assert path.read_text() == "ours\n\nmine, typed for an hour"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"read it again" in terminal.screen


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("text = '  \\n\\nan hour of work'", 2, b"the first line is the title"),
        ("open(path, 'wb').write(b'Caf\\xe9, an hour of work')\nos._exit(0)", 2, b"not UTF-8"),
        ("open(path, 'w').write('an hour of work')\nos.kill(os.getppid(), 2)\nos._exit(0)", 130, b"interrupted"),
    ],
)
def test_what_was_typed_is_kept_whatever_is_wrong_with_it(
    ours: Process, environment: dict[str, str], editor: Callable[[str], None], script: str, code: int, said: bytes
) -> None:
    editor(script)
    terminal = Terminal(environment, "journal", "add")
    assert terminal.end() == code, terminal.screen
    kept = re.search(rb"is kept in (\S+)", terminal.screen)
    assert kept, terminal.screen
    path = Path(kept[1].decode())
    assert b"an hour of work" in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert said in terminal.screen
    path.unlink()


def test_without_a_terminal_there_is_no_editor(ours: Process) -> None:
    error = failed(ours("journal", "add", "--json"), 2)
    assert "title" in error["message"]
    known = json_of(ours("journal", "add", "x", "--json"))
    assert known["content"] is None
    assert "-m" in failed(ours("journal", "edit", known["id"], "--json"), 2)["message"]


# --- reminders ----------------------------------------------------------------------------------------------


def test_reminders_are_made_completed_and_put_off(ours: Process) -> None:
    text_of(ours("account", "settings", "--time-zone", "Europe/Berlin"))
    call = json_of(ours("remind", "add", "Call Grace", "--at", f"{COMING}-12-24 18:00", "--json"))
    assert call["reminder_time"] == f"{COMING}-12-24T17:00:00Z"
    plants = json_of(ours("remind", "add", "Plants", "--in", "3d", "--repeat", "weekly", "--priority", "5", "--json"))
    assert (plants["repeat_pattern"], plants["priority"]) == ("FREQ=WEEKLY", 5)
    listed = text_of(ours("remind", "ls")).splitlines()
    assert [line.split("\t")[1] for line in listed] == ["Plants", "Call Grace"]
    assert f"{COMING}-12-24 18:00 Europe/Berlin" in listed[1]
    done = text_of(ours("remind", "done", plants["id"][:8]))
    assert re.search(r"^Done: .*Plants\nNext: .*Plants$", done, re.MULTILINE)
    assert "Plants" in text_of(ours("remind", "ls", "--status", "done"))
    assert "Reopened" in text_of(ours("remind", "reopen", plants["id"]))
    options = ("--title", "Call Ada", "--at", f"{COMING}-12-24 19:30", "--repeat", "yearly", "-m", "about the engine")
    changed = json_of(ours("remind", "edit", call["id"][:8], *options, "--priority", "4", "--json"))
    at = f"{COMING}-12-24T18:30:00Z"
    assert (changed["title"], changed["reminder_time"], changed["priority"]) == ("Call Ada", at, 4)
    assert (changed["repeat_pattern"], changed["description"]) == ("FREQ=YEARLY", "about the engine")
    emptied = json_of(ours("remind", "edit", call["id"], "--repeat", "none", "-m", "", "--json"))
    assert emptied.get("repeat_pattern") is emptied.get("description") is None
    assert emptied["title"] == "Call Ada"
    assert "say what is to change" in failed(ours("remind", "edit", call["id"], "--json"), 2)["message"]
    put_off = json_of(ours("remind", "snooze", call["id"], "--until", f"{COMING + 1}-01-01 9:00", "--json"))
    assert put_off["reminders"][0]["snoozed_until"] == f"{COMING + 1}-01-01T08:00:00Z"
    for given in ((), ("--for", "2h", "--until", f"{COMING + 1}-01-01 9:00"), ("--until", "soon")):
        assert ours("remind", "snooze", "nothing", *given).returncode == 2
    text_of(ours("remind", "done", plants["id"]))
    partly = ours("remind", "snooze", "--for", "2h", call["id"], plants["id"])
    assert (partly.returncode, partly.stdout.decode().count("Snoozed")) == (1, 1)
    assert ours("remind", "rm", call["id"]).returncode == 2
    assert call["id"] in text_of(ours("remind", "rm", "--yes", call["id"], call["id"][:8]))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--at", f"{last_sunday(3)} 02:30"], 2, "does not exist"),
        (["--at", f"{last_sunday(10)} 02:30"], 2, "comes twice"),
        (["--at", "soon"], 2, "2026-12-24 18:00"),
        (["--in", "5m", "--at", "tomorrow 8:00"], 2, "either"),
        ([], 2, "either"),
        (["--at", "2020-01-01 8:00"], 1, "reminder_time must lie in the future"),
        (["--in", "5m", "--repeat", "SOMETIMES"], 1, "repeat_pattern"),
    ],
)
def test_a_reminder_that_cannot_be_says_why(ours: Process, arguments: list[str], code: int, said: str) -> None:
    text_of(ours("account", "settings", "--time-zone", "Europe/Berlin"))
    done = ours("remind", "add", "x", *arguments)
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_the_settings_are_asked_for_once_and_only_where_the_zone_counts(
    ours: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[None] = []
    settings = Profile.settings

    def counted(profile: Profile) -> AccountSettings:
        asked.append(None)
        return settings(profile)

    monkeypatch.setattr(Profile, "settings", counted)
    once = json_of(ours("remind", "add", "Rent", "--at", f"{COMING}-01-31 9:00", "--repeat", "monthly", "--json"))
    assert (len(asked), "BYSETPOS" in once["repeat_pattern"]) == (1, True)
    text_of(ours("remind", "add", "Rent", "--at", f"{COMING}-01-31T09:00+01:00"))
    text_of(ours("account", "audit", "--since", "2026-01-31T09:00+01:00"))
    assert len(asked) == 1
    other = json_of(ours("remind", "add", "Tea", "--in", "5m", "--json"))
    text_of(ours("remind", "snooze", once["id"], other["id"], "--until", f"{COMING}-02-01 9:00"))
    assert len(asked) == 2
    text_of(ours("journal", "ls", "--from", "yesterday", "--to", "today"))
    assert len(asked) == 3


def test_what_is_not_found_and_what_the_system_refuses_is_told_harmless_and_readable(
    ours: Process, tmp_path: Path
) -> None:
    for command in (("journal", "show"), ("remind", "done"), ("journal", "tags", "--delete")):
        told = ours(*command, "\x1b[31m\u202ex").stderr.decode()
        assert "'\\x1b[31m\\u202ex'" in told
    refused = ours("export", str(tmp_path / "no\nsuch" / "x.zip"))
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert refused.stderr.decode() == f"hushtag: No such file or directory: {tmp_path}/no\\u{{a}}such/x.zip\n"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_an_output_without_the_signs_of_a_title_shows_it_all_the_same(
    ours: Process, environment: dict[str, str], encoding: str
) -> None:
    text_of(ours("journal", "add", "Tōkyō", "-m", "x"))
    shown = subprocess.run(
        command_line("journal", "ls"),
        env={**environment, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
        timeout=60,
    )
    expected = "T\\u014dky\\u014d" if encoding in {"latin-1", "cp1252"} else "Tōkyō"  # click writes UTF-8 for ASCII
    assert shown.stdout.decode().split("\t")[1] == expected


@pytest.mark.parametrize("command", [("journal", "ls"), ("remind", "ls"), ("account", "audit")])
def test_a_number_that_is_too_large_is_refused(ours: Process, command: tuple[str, ...]) -> None:
    assert "is not in the range" in failed(ours(*command, "-n", "9" * 20, "--json"), 2)["message"]


def coming(day: str) -> str:
    """Return a day of 2027 or later, fours of years later so that it is still to come: the leap years are the same."""
    later = -(-max(0, datetime.now(UTC).year + 1 - 2027) // 4) * 4
    return f"{int(day[:4]) + later}{day[4:]}"


@pytest.mark.parametrize(
    ("at", "word", "following"),
    [
        ("2027-01-31 09:00", "monthly", ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]),
        ("2027-12-30 09:00", "monthly", ["2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30"]),
        ("2027-01-29 09:00", "monthly", ["2027-02-28", "2027-03-29", "2027-04-29", "2027-05-29"]),
        ("2027-01-28 09:00", "monthly", ["2027-02-28", "2027-03-28", "2027-04-28", "2027-05-28"]),
        ("2028-02-29 09:00", "yearly", ["2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]),
    ],
)
def test_a_word_leaves_no_short_month_and_no_year_out(
    ours: Process, client: Client, at: str, word: str, following: list[str]
) -> None:
    at, *following = [coming(day) for day in (at, *following)]
    text_of(ours("account", "settings", "--time-zone", "Pacific/Auckland"))  # where the day has come before UTC's
    made = json_of(ours("remind", "add", "Rent", "--at", at, "--repeat", word, "--json"))
    zone = ZoneInfo("Pacific/Auckland")

    def days() -> list[str]:
        return [str(each.astimezone(zone).date()) for each in client.reminders.occurrences(UUID(made["id"]), limit=5)]

    assert days() == [at[:10], *following]
    # Moved, it stays what the word says.
    text_of(ours("remind", "edit", made["id"], "--at", coming("2027-06-15 09:00")))
    moved = ["2027-07-15", "2027-08-15"] if word == "monthly" else ["2028-06-15", "2029-06-15"]
    assert days()[:3] == [coming(day) for day in ("2027-06-15", *moved)]
    text_of(ours("remind", "edit", made["id"], "--at", at))
    assert days() == [at[:10], *following]
    text_of(ours("remind", "edit", made["id"], "--repeat", "FREQ=DAILY"))
    text_of(ours("remind", "edit", made["id"], "--repeat", word))
    assert days() == [at[:10], *following]


def test_watch_shows_what_becomes_due_until_it_is_interrupted(ours: Process, environment: dict[str, str]) -> None:
    watching = subprocess.Popen(
        command_line("remind", "watch", "--json"),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert watching.stdout is not None
    text_of(ours("remind", "add", "Tea", "--in", "4s"))
    assert select.select([watching.stdout], [], [], 30)[0]
    assert b'"title": "Tea"' in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, told = watching.communicate(timeout=30)
    assert watching.returncode == 130, told
    assert b"Traceback" not in told
    assert text_of(ours("remind", "watch", "--once")) == ""  # each once in a session
    assert ours("remind", "watch", "--for", "2h").returncode == 2


def test_the_feed_has_an_address_that_is_shown_once(ours: Process) -> None:
    for none in (["remind", "feed", "--json"], ["remind", "feed", "--close", "--json"]):
        told = failed(ours(*none), 9)
        assert (told["code"], "remind feed --open makes one" in told["message"]) == ("not_found", True)
    url = json_of(ours("remind", "feed", "--open", "--json"))["url"]
    shown = text_of(ours("remind", "feed"))
    assert url.rsplit("/", 1)[1] not in shown
    assert "revoked" in text_of(ours("remind", "feed", "--close"))


# --- the account --------------------------------------------------------------------------------------------


def test_the_account_is_looked_after(ours: Process, email: str) -> None:
    shown = json_of(ours("account", "show", "--json"))
    assert shown["email"] == email
    assert "phrase_salt" not in shown
    assert text_of(ours("account", "settings")).split() == [
        "time",
        "zone",
        "UTC",
        "language",
        "simple",
        "theme",
        "system",
    ]
    assert "german" in text_of(ours("account", "settings", "--language", "german"))
    refused = ours("account", "settings", "--language", "klingon")
    assert refused.returncode == 1
    assert "language must be one of" in refused.stderr.decode()
    assert json_of(ours("account", "name", "--first-name", "Ada", "--json"))["first_name"] == "Ada"
    assert json_of(ours("account", "name", "--first-name", "", "--json"))["first_name"] is None
    assert text_of(ours("account", "consents", "--give", "terms", "2026-01")).split("\t")[1:] == ["terms", "2026-01\n"]
    trail = json_of(ours("account", "audit", "--table", "consents", "--since", "yesterday 0:00", "--json"))["entries"]
    assert [entry["action"] for entry in trail] == ["CREATE"]
    (session,) = json_of(ours("account", "sessions", "--json"))["sessions"]
    assert session["current"]
    ended = ours("account", "sessions", "--end", session["session_id"], "--json")
    assert failed(ended, 3)["code"] == "session_expired"  # this very one


def test_email_and_password_are_changed(ours: Process, email: str) -> None:
    wrong = ours("account", "email", f"new-{email}", "--password-stdin", "--json", input=b"not the password\n")
    assert failed(wrong, 4)["code"] == "login_failed"
    text_of(ours("account", "email", f"new-{email}", "--password-stdin", input=PASSWORD.encode()))
    both = f"{PASSWORD}\nanother password\n".encode()
    text_of(ours("account", "password", "--password-stdin", input=both))
    assert ours("login", email, "--password-stdin", input=b"another password").returncode == 4
    text_of(ours("login", f"new-{email}", "--password-stdin", input=b"another password"))


def test_the_account_is_closed_and_opened_again(ours: Process, email: str) -> None:
    password = f"{PASSWORD}\n".encode()
    text_of(ours("journal", "add", "kept", "-m", "x"))
    assert ours("account", "deactivate", "--password-stdin", input=password).returncode == 2  # nobody to ask
    text_of(ours("account", "deactivate", "--yes", "--password-stdin", input=password))
    assert failed(ours("account", "show", "--json"), 3)["code"] == "not_logged_in"
    assert ours("login", email, "--password-stdin", input=password).returncode == 4
    text_of(ours("account", "reactivate", email, "--password-stdin", input=password))
    text_of(ours("login", email, "--password-stdin", input=password))
    deletion = json_of(ours("account", "delete", "--yes", "--password-stdin", "--json", input=password))
    assert set(deletion) == {"deletion_at"}
    text_of(ours("account", "restore", email, "--password-stdin", input=password))
    text_of(ours("login", email, "--password-stdin", input=password))
    assert "kept" in text_of(ours("journal", "ls"))


def test_a_terminal_gets_tables(ours: Process, environment: dict[str, str], client: Client) -> None:
    client.journal.create("[red]A walk", mood_rating=7, tags=["walks"])
    terminal = Terminal(environment, "journal", "ls")
    assert terminal.end() == 0
    assert b"[red]A walk" in terminal.screen
    assert b"mood" in terminal.screen


GROUPS = {
    "journal": ["add", "ls", "search", "show", "edit", "rm", "restore", "tags"],
    "remind": ["add", "ls", "edit", "done", "reopen", "snooze", "rm", "watch", "feed"],
    "account": [
        *("show", "name", "settings", "email", "password", "deactivate", "delete", "reactivate", "restore"),
        *("consents", "audit", "sessions"),
    ],
}


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_has_an_example(process: Process, group: str) -> None:
    listed: Any = text_of(process(group, "--help"))
    for name in GROUPS[group]:
        assert f"\n  {name} " in listed
        assert "Example" in text_of(process(group, name, "--help"))
