"""The command as a process: echo, argument lists, exit codes, start-up, two at once on one state, a closed pipe."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import hushtag.cli
from hushtag.cli.group import _COMMANDS, cli
from hushtag.phrase import draw_phrase
from tests.cli.conftest import Run, as_json, command_line
from tests.client.fake_server import FakeServer
from tests.client.support import EMAIL, PASSWORD, PHRASE

Process = Callable[..., subprocess.CompletedProcess[bytes]]
OURS = [name for name in _COMMANDS if name not in ("vectors", "demo")]


class Terminal:
    """The command on a terminal of its own; `screen` is everything that was shown."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.screen = b""
        self._process = subprocess.Popen(
            command_line(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**environment, "TERM": "xterm", "COLUMNS": "100"},
            start_new_session=True,
        )
        os.close(theirs)

    def answer(self, prompt: bytes, text: str) -> None:
        """Wait for the prompt, then type a line."""
        while not self.screen.endswith(prompt):
            assert self._read(), self.screen
        os.write(self._ours, text.encode() + b"\n")
        self.screen += b"\n"

    def end(self) -> int:
        """Read to the end and return the exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self._process.wait(30)

    def _read(self) -> bool:
        assert select.select([self._ours], [], [], 30)[0], self.screen
        try:
            piece = os.read(self._ours, 4096)
        except OSError:  # Linux reports the end of a terminal this way
            return False
        self.screen += piece
        return bool(piece)


def foreign_phrase() -> str:
    """Draw a phrase of which the command says no word by itself, as it would of "recommend"."""
    own = "".join(path.read_text() for path in Path(hushtag.cli.__file__).parent.glob("*.py")).lower()
    while True:
        phrase = draw_phrase().text
        if not any(word in own for word in phrase.split()):
            return phrase


def test_nothing_secret_is_echoed(environment: dict[str, str], url: str, server: FakeServer) -> None:
    login = Terminal(environment, "login", EMAIL, "--server", url)
    login.answer(b"Password: ", PASSWORD)
    assert login.end() == 0
    assert PASSWORD.encode() not in login.screen
    assert b"Logged in" in login.screen
    enrol = Terminal(environment, "enrol")
    phrase = foreign_phrase()
    enrol.answer(b"Phrase: ", phrase)
    enrol.answer(b"Repeat for confirmation: ", phrase)
    enrol.answer(b"[Y/n]: ", "n")
    assert enrol.end() == 0
    for word in phrase.split():
        assert word.encode() not in enrol.screen
    listing = Terminal(environment, "ls")
    listing.answer(b"Phrase: ", "not the phrase at all")
    assert listing.end() == 4
    assert b"not the phrase" not in listing.screen


def test_a_terminal_gets_a_table_and_a_question(
    logged_in: Run, environment: dict[str, str], server: FakeServer, workplace: Path
) -> None:
    (workplace / "[red]letter").write_bytes(b"x")
    logged_in("put", "[red]letter", "--phrase-stdin", input=PHRASE)
    listing = Terminal(environment, "ls")
    listing.answer(b"Phrase: ", PHRASE)
    assert listing.end() == 0
    assert b"[red]letter" in listing.screen  # a name is no markup
    assert b"created" in listing.screen
    no = Terminal(environment, "rm", "[red]letter")
    no.answer(b"Phrase: ", PHRASE)
    no.answer(b"[y/N]: ", "n")
    assert no.end() == 130
    yes = Terminal(environment, "rm", "[red]letter")
    yes.answer(b"Phrase: ", PHRASE)
    yes.answer(b"[y/N]: ", "y")
    assert yes.end() == 0
    assert server.vault_tokens == {}


def test_an_id_stays_whole_beside_a_long_name(
    inside: Run, environment: dict[str, str], workplace: Path, server: FakeServer
) -> None:
    (workplace / ("n" * 255)).write_bytes(b"x")
    stored = as_json(inside("put", "n" * 255, "--json"))["stored"][0]
    listing = Terminal(environment, "ls", "-l")
    listing.answer(b"Phrase: ", PHRASE)
    assert listing.end() == 0
    assert stored["object_id"].encode() in listing.screen  # or nobody could copy it


@pytest.mark.parametrize(
    "arguments",
    [
        ["login", EMAIL, "--password", "x"],
        ["login", EMAIL, "x"],
        ["unlock", "--phrase", "x"],
        ["unlock", "x"],
        ["enrol", "x"],
        ["phrase", "check", "x"],
    ],
)
def test_no_argument_takes_a_secret(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_no_environment_variable_takes_a_secret(logged_in: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PHRASE", "PASSWORD", "PHRASE_STDIN", "DEVICE_SECRET"):
        monkeypatch.setenv(f"HUSHTAG_{name}", PHRASE)
        monkeypatch.setenv(f"HUSHTAG_UNLOCK_{name}", PHRASE)
    assert logged_in("unlock").exit_code == 2


def test_exit_codes_reach_the_shell(process: Process, url: str) -> None:
    assert process("status").returncode == 3
    assert process("nonsense").returncode == 2
    assert process("--version").returncode == 0
    gone = process("signup", EMAIL, "--server", "http://127.0.0.1:1", "--password-stdin", input=PASSWORD.encode())
    assert gone.returncode == 7
    wrong = process("login", EMAIL, "--server", url, "--password-stdin", input=b"wrong password")
    assert (wrong.returncode, wrong.stdout) == (4, b"")
    assert b"Traceback" not in wrong.stderr


def imported_by(environment: dict[str, str], argument: str, watched: set[str], code: int = 0) -> tuple[bytes, bytes]:
    """Run the command to this exit code; return its output, and its errors with which of these modules it imported."""
    script = (
        "import sys\n"
        "from hushtag.cli import main\n"
        f"try:\n    main()\nexcept SystemExit as end:\n    assert (end.code or 0) == {code}\n"
        f"print(*sorted(name for name in {sorted(watched)} if sys.modules.get(name)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, argument], capture_output=True, env=environment, timeout=60
    )
    return done.stdout, done.stderr


def test_help_imports_nothing_heavy(environment: dict[str, str]) -> None:
    heavy = {"httpx", "rich", "anyio", "argon2", "cryptography", "msgspec", "opaque_ke_py", "hushtag.client"}
    shown, imported = imported_by(environment, "--help", heavy)
    assert imported == b"\n"
    assert b"Exit codes" in shown


def test_a_command_imports_no_command_of_its_libraries(environment: dict[str, str]) -> None:
    _, imported = imported_by(environment, "status", {"httpx", "httpx._main", "rich", "pygments"}, 3)
    assert imported.splitlines()[-1] == b"httpx"


@pytest.mark.parametrize("name", OURS)
def test_every_command_explains_itself(run: Run, name: str) -> None:
    shown = run(name, "--help")
    assert shown.exit_code == 0
    assert run("--help").stdout.count(f"\n  {name} ") >= 1
    if name not in ("lock", "logout", "status", "ls", "phrase"):
        assert "Example" in shown.stdout
    assert cli.get_command(None, name) is not None  # type: ignore[arg-type]


def test_two_processes_on_one_state_leave_a_whole_one(
    environment: dict[str, str], url: str, server: FakeServer, logged_in: Run
) -> None:
    """Logins beside each other, each of which replaces a session and ends it: one is left, here and on the server."""
    running = [
        subprocess.Popen(
            command_line("login", EMAIL, "--server", url, "--password-stdin"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        for _ in range(3)
    ]
    ends = [each.communicate(PASSWORD.encode(), timeout=60)[1] for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], ends
    assert logged_in("status").exit_code == 0
    assert len(server.tokens) == 1


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_command_as_ctrl_c_does(
    environment: dict[str, str], number: signal.Signals, as_json: bool
) -> None:
    """So that everything is let go of: keys, sessions, and files that are not whole yet."""
    code = (
        "import os, sys\n"
        "from hushtag.cli.failures import exit_code_of\n"
        f"with exit_code_of(as_json={as_json}) as outcome:\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "        __import__('time').sleep(30)\n"
        "    finally:\n"
        "        print('let go')\n"
        "sys.exit(outcome.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=20)
    assert (done.returncode, done.stdout) == (130, b"let go\n")
    if as_json:
        told = {"code": "interrupted", "message": "interrupted", "exit_code": 130}
        assert json.loads(done.stderr) == {"error": told}
    else:
        assert done.stderr == b"interrupted\n"


def test_an_interrupted_command_says_that_alone_and_exits_with_130_though_nobody_reads_it(
    logged_in: Run, environment: dict[str, str]
) -> None:
    def interrupted(errors: "int | io.BufferedWriter") -> "tuple[int, bytes | None]":
        command = command_line("device", "offer", "--json")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment)
        assert process.stdout is not None
        assert process.stdout.readline()  # the code is shown, and another device is waited for
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=30)[1]
        return process.returncode, told

    code, told = interrupted(subprocess.PIPE)
    assert (code, told is not None and told.startswith(b'{"error"')) == (130, True)
    with open("/dev/full", "wb") as full:
        assert interrupted(full)[0] == 130


def test_a_reader_that_goes_away_is_no_traceback(environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command_line("phrase", "draw"), stdout=write, stderr=subprocess.PIPE, env=environment, timeout=60
    )
    os.close(write)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_what_is_shown_once_is_shown_though_the_output_is_full(
    logged_in: Run, environment: dict[str, str], url: str
) -> None:
    def full(*arguments: str, lines: str = "") -> str:
        with open("/dev/full", "wb") as output:
            done = subprocess.run(
                command_line(*arguments), input=lines.encode(), stdout=output, stderr=subprocess.PIPE, env=environment
            )
        assert done.returncode == 1, done.stderr
        shown = re.search(r"^    (\S.*)$", done.stderr.decode(), re.MULTILINE)
        assert shown, done.stderr
        return shown[1]

    for arguments in (["--json"], []):
        first = full("enrol", "--draw", *arguments)
        second = full("phrases", "change", "phrase", "--draw", "--phrase-stdin", *arguments, lines=f"{first}\n")
        code = full("recovery", "new", "--phrase-stdin", *arguments, lines=f"{second}\n")
        again = full("recovery", "replace", "--phrase-stdin", *arguments, lines=f"{code}\n")
        for phrase, opens in ((first, 4), (second, 0), (code, 4), (again, 0)):
            assert logged_in("ls", "--phrase-stdin", input=f"{phrase}\n").exit_code == opens


def test_a_full_standard_error_changes_neither_what_is_done_nor_the_exit_code(
    logged_in: Run, environment: dict[str, str], url: str, server: FakeServer, workplace: Path
) -> None:
    (workplace / "tree").mkdir()
    (workplace / "tree" / "file").write_bytes(b"1")
    (workplace / "tree" / "link").symlink_to("file")

    def full(*arguments: str) -> int:
        with open("/dev/full", "wb") as errors:
            return subprocess.run(
                command_line(*arguments),
                input=PHRASE.encode(),
                stderr=errors,
                stdout=subprocess.DEVNULL,
                env=environment,
            ).returncode

    assert full("put", "-r", "tree", "--phrase-stdin") == 0  # a remark on the link cannot be written
    listed = as_json(logged_in("ls", "--phrase-stdin", "--json", input=PHRASE))["objects"]
    assert [each["name"] for each in listed] == ["tree/file"]
    for arguments in (["--json"], []):
        assert full("get", "nothing", "--phrase-stdin", *arguments) == 9
        assert full("nonsense", *arguments) == 2
    assert full("device", "offer") == 1  # but no code that nobody sees is offered


@pytest.mark.parametrize("group", [[], ["journal"], ["phrase"], ["recovery"]])
def test_a_group_alone_shows_its_help(process: Process, group: list[str]) -> None:
    alone, asked = process(*group), process(*group, "--help")
    assert (alone.returncode, alone.stderr, asked.returncode) == (2, asked.stdout, 0)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["lss"], "'ls'"), (["enroll"], "'enrol'"), (["journal", "serch"], "'search'"), (["ls", "--lnog"], "--long")],
)
def test_what_is_mistyped_is_told_with_what_was_meant(run: Run, typed: list[str], meant: str) -> None:
    refused = run(*typed)
    assert (refused.exit_code, f"Did you mean {meant}" in refused.stderr.replace("'--", "--")) == (2, True)
    assert "Did you mean" not in run("nonsense").stderr


def test_closed_streams_are_no_traceback(environment: dict[str, str]) -> None:
    """Closed standard input has nothing; what would be shown on closed standard output is not even made."""

    def closed(descriptor: int, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        shell = ["sh", "-c", f'"$@" {descriptor}>&-', "sh", *command_line(*arguments)]
        return subprocess.run(shell, capture_output=True, env=environment, timeout=60)

    no_input = closed(0, "phrase", "check", "--phrase-stdin")
    assert (no_input.returncode, no_input.stdout) == (2, b"")
    assert b"no phrase on standard input" in no_input.stderr
    nobody = closed(0, "phrase", "check")
    assert (nobody.returncode, b"no terminal to ask" in nobody.stderr) == (2, True)
    no_output = closed(1, "phrase", "draw", "--json")
    assert (no_output.returncode, b"standard output is closed" in no_output.stderr) == (2, True)
    assert json.loads(no_output.stderr)["error"]["code"] == "usage"
    no_errors = closed(2, "phrase", "check", "--phrase-stdin")
    assert (no_errors.returncode, no_errors.stdout, no_errors.stderr) == (2, b"", b"")
