"""Every block of README.md, run as a reader would run it, against a real server."""

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from hushtag_server.embedded import EmbeddedPostgres
from tests.documents.blocks import BLOCKS, DEFAULT_URL, README, ROOT, Block, blocks
from tests.documents.conftest import STAND_INS, Place
from tests.live_server import RunningServer, temporary_directory

LANGUAGES = {
    "make": "sh",
    "path": "sh",
    "terminal": "sh",
    "script": "sh",
    "files": "sh",
    "diary": "sh",
    "python": "python",
    "curl": "sh",
    "plain": "sh",
    "audit": "sh",
    "sql": "sql",
    "serve": "sh",
    "operate": "sh",
    "phrase": "sh",
}
TYPED_PASSWORD = "typed at a terminal"
SECONDS = 180


def run(command: list[str], place: Place) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=place.directory,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def run_shell(block: Block, place: Place, url: str = DEFAULT_URL) -> str:
    """Run a block as `sh -eu` does and return what it wrote; nothing may fail on the way, also not before a pipe."""
    done = run(["bash", "-euo", "pipefail", "-c", block.text.replace(DEFAULT_URL, url)], place)
    assert done.returncode == 0, f"README.md, line {block.line}: {done.stdout}{done.stderr}"
    return done.stdout


class Typist:
    """Somebody at a terminal who answers each question with the secret it asks for, and wants nothing more."""

    def __init__(self, password: str) -> None:
        self._password = password
        self.seen = ""
        self._answered = 0

    def answer(self) -> str | None:
        """Return what is typed now, if a question stands open."""
        pending = self.seen[self._answered :]
        question = re.search(r"(Password|Phrase|Repeat for confirmation|\[[yY]/[nN]\]): ?\Z", pending)
        if question is None:
            return None
        self._answered = len(self.seen)
        if question[1].startswith("["):
            return "n"
        return self.phrase if question[1] == "Phrase" else self._password

    @property
    def phrase(self) -> str:
        """The phrase that was drawn, as the screen showed it."""
        found = re.search(r"shown this once:\s+([a-z ]+?)\s*\r?\n", self.seen)
        assert found, self.seen
        return found[1]


def run_at_terminal(script: str, place: Place, typist: Typist) -> int:
    """Run a script at a terminal of its own."""
    ours, theirs = pty.openpty()
    controlled = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", controlled, "bash", "-euo", "pipefail", "-c", script],
        cwd=place.directory,
        env={**place.environment, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    deadline = time.monotonic() + SECONDS
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                read = os.read(ours, 4096)
            except OSError:  # Linux: nobody holds the other side any more
                break
            if not read:
                break
            typist.seen += read.decode()
            typed = typist.answer()
            if typed is not None:
                os.write(ours, typed.encode() + b"\n")
        return process.wait(max(0.1, deadline - time.monotonic()))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(ours)


def test_every_block_is_classified() -> None:
    assert len(BLOCKS) == README.count("```") // 2
    for block in BLOCKS:
        assert block.kind in LANGUAGES, f"README.md, line {block.line}: a block of unknown kind {block.kind!r}"
        assert block.language == LANGUAGES[block.kind], f"README.md, line {block.line}"
    assert {block.kind for block in BLOCKS} == set(LANGUAGES)


def test_make_targets_exist_and_do_what_their_names_say() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = dict(re.findall(r"^([a-z]+):[^\n]*\n((?:\t[^\n]*\n?)+)", makefile, re.MULTILINE))
    named = [line.split("#")[0].split() for block in blocks("make") for line in block.text.splitlines()]
    assert {tuple(words[:1]) for words in named} == {("make",)}
    assert {words[1] for words in named} == {"demo", "serve", "check", "test"}
    assert {words[1] for words in named} <= set(recipes)
    assert recipes["demo"].split() == ["@$(BIN)/hushtag", "demo"]
    assert recipes["serve"].split() == ["@$(BIN)/hushtag-server", "serve"]
    assert "tests/documents" in recipes["check"]


def test_path_block_finds_the_commands(place: Place) -> None:
    (block,) = blocks("path")
    (place.directory / ".venv").symlink_to(Path(sys.executable).parents[1])
    environment = place.environment | {"PATH": "/usr/bin:/bin"}
    found = subprocess.run(
        ["bash", "-euc", f"{block.text}\ncommand -v hushtag hushtag-server"],
        cwd=place.directory,
        env=environment,
        capture_output=True,
        text=True,
    )
    bin_directory = place.directory / ".venv" / "bin"
    assert found.stdout.split() == [str(bin_directory / name) for name in ("hushtag", "hushtag-server")], found.stderr


def test_named_extras_exist() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"pip install '\.\[([a-z,]+)\]'", README)
    assert {name for group in named for name in group.split(",")} == {"client", "server", "embedded"} <= set(extras)


def test_terminal_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("terminal")
    typist = Typist(TYPED_PASSWORD)
    code = run_at_terminal(block.text.replace(DEFAULT_URL, readme_server.url), place, typist)
    assert code == 0, typist.seen
    assert (place.directory / "copy.txt").read_text() == (place.directory / "diary.txt").read_text() == "Dear diary\n"
    assert TYPED_PASSWORD not in typist.seen
    assert typist.seen.count(typist.phrase) == 1  # shown when drawn, never when typed
    assert "diary.txt" in typist.seen


def test_script_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("script")
    shown = run_shell(block, place, readme_server.url)
    notes = (place.directory / "notes.txt").read_text()
    assert shown.endswith(notes)
    assert '"name": "notes.txt"' in shown
    assert '"name": "now.txt"' in shown
    for name in ("phrase.txt", "password.txt"):
        assert stat.S_IMODE((place.directory / name).stat().st_mode) == 0o600
        assert (place.directory / name).read_text().strip() not in shown


def test_diary_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("diary")
    typist = Typist(TYPED_PASSWORD)
    code = run_at_terminal(block.text.replace(DEFAULT_URL, readme_server.url), place, typist)
    assert code == 0, typist.seen
    assert TYPED_PASSWORD not in typist.seen
    listed, _, rest = typist.seen.partition("Made: ")
    assert re.search(r"A walk +8 +3 +walks", listed)
    assert "A storm" in listed
    assert "*river*" in listed
    assert re.search(r"18:00 Europe/Berlin  Call Grace", rest)
    watched = re.findall(r"\n[0-9a-f]{8}  \S+ \S+ Europe/Berlin  (.*?)\s*(?=\n)", rest)
    assert watched == ["Tea"]
    assert re.search(r"FREQ=WEEKLY +pending", rest)


def test_the_commands_the_readme_names_exist(place: Place) -> None:
    section = README.partition("### A journal and reminders")[2].partition("\n## ")[0]
    named = re.findall(r"`(hushtag [a-z]+ [a-z]+)", section)
    assert len(named) == 4
    for command in named:
        assert run([*command.split(), "--help"], place).returncode == 0, command


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, ["True", "Dear Ada"]),
        (1, ["diary.txt 17 2", "b'Dear diary, again'", "heard as number 1", "that opens nothing"]),
        (2, ["b'Dear diary'"]),
        (3, ["A long walk 8", "now: Tea"]),
    ],
)
def test_python_blocks(readme_server: RunningServer, place: Place, number: int, shown: list[str]) -> None:
    assert len(blocks("python")) == 4
    block = blocks("python")[number]
    done = run([sys.executable, "-W", "error", "-c", block.text.replace(DEFAULT_URL, readme_server.url)], place)
    assert done.returncode == 0, f"README.md, line {block.line}: {done.stderr}"
    assert done.stdout.splitlines() == shown


def test_files_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("files")
    shown = run_shell(block, place, readme_server.url)
    assert shown.endswith("the same\n")
    assert re.search(r"└── photos/\n    ├── 2026/\n    │   └── sea.raw  2.9 MiB\n    └── index.txt", shown)


def test_curl_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("curl")
    shown = run_shell(block, place, readme_server.url)
    assert '"email":"lin@example.org"' in shown
    assert "phrase_salt" in shown


def test_plain_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("plain")
    seen_on_the_plain_side(run_shell(block, place, readme_server.url))


def seen_on_the_plain_side(shown: str) -> None:
    assert re.search(r'"mood_rating" ?: ?8', shown)
    assert "<mark>river</mark>" in shown
    event = shown.partition("event: reminder\n")[2]
    assert '"title":"Tea"' in event
    assert '"status":"due"' in event


def test_plain_block_where_there_is_no_curl(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("plain")
    environment = place.environment | {"PATH": os.pathsep.join([str(STAND_INS), place.environment["PATH"]])}
    text = block.text.replace(DEFAULT_URL, readme_server.url).replace("max@example.org", "stand-in-max@example.org")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    seen_on_the_plain_side(done.stdout)


def test_curl_block_where_there_is_no_curl(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("curl")
    text = block.text.replace(DEFAULT_URL, readme_server.url).replace("lin@example.org", "stand-in@example.org")
    environment = place.environment | {"PATH": os.pathsep.join([str(STAND_INS), place.environment["PATH"]])}
    script = f'test "$(command -v curl)" = "{STAND_INS}/curl"\n{text}'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert '"email":"stand-in@example.org"' in done.stdout
    wrong = [STAND_INS / "curl", "-sSf", f"{readme_server.url}/no-such-path"]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0


def test_interface_documents_are_served(readme_server: RunningServer) -> None:
    section = README.partition("## Over HTTP")[2].partition("\n## ")[0]
    paths = [path for path in re.findall(r"`(/[a-z/.]+)`", section) if not path.startswith("/v1")]
    assert len(paths) == 2
    for path in paths:
        assert httpx.get(readme_server.url + path).status_code == 200, path


def test_audit_block(place: Place) -> None:
    (block,) = blocks("audit")
    assert " 0 failed" in run_shell(block, place)


def test_phrase_block(place: Place) -> None:
    (block,) = blocks("phrase")
    drawn, canonical, verdict = run_shell(block, place).splitlines()
    assert len(drawn.split()) == 7
    assert canonical == "twenty one pelicans"
    assert verdict.startswith("Strong enough")


def test_what_the_readme_says_of_spaces_is_so(place: Place) -> None:
    check = ["hushtag", "phrase", "check", "--phrase-stdin"]

    def accepted(phrase: str) -> bool:
        done = subprocess.run(check, input=phrase, env=place.environment, capture_output=True, text=True)
        return done.returncode == 0

    words = ["窗户", "蓝色", "电池", "大海", "订书钉", "外婆", "灯塔"]
    assert accepted(" ".join(words))
    assert not accepted("".join(words))


def test_operate_block(readme_server: RunningServer, place: Place) -> None:
    (block,) = blocks("operate")
    (place.directory / "hushtag-data").symlink_to(readme_server.data)
    shown = run_shell(block, place, readme_server.url)
    key_id = json.loads((readme_server.data / "keys.json").read_text())["keys"][0]["id"]
    assert key_id in shown
    assert '"ready":true' in shown
    # What the warning about /metrics rests on.
    assert re.search(r"^hushtag_http_requests_total\{.*route=", shown, re.MULTILINE)
    assert "HUSHTAG_TRUSTED_PROXIES" in shown


def test_operators_with_a_postgresql_of_their_own(place: Place) -> None:
    (statements,) = blocks("sql")
    (block,) = blocks("serve")
    with temporary_directory() as directory, EmbeddedPostgres(directory) as postgres:
        with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # thrown away with the test
            connection.execute("SELECT pg_reload_conf()")
            # A cluster of one's own has no role of ours.
            connection.execute("DROP ROLE hushtag_server, hushtag_maintainer, hushtag_monitor")
            for statement in statements.text.split(";\n"):
                connection.execute(statement.encode())
        host = postgres.url("postgres").partition("?")[2]
        text = block.text.replace("@db.example.org/vaults", f"@/vaults?{host}")
        assert text.count(host) == 2
        log = place.directory / "server.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", text],
                cwd=place.directory,
                env=place.environment | {"HUSHTAG_PORT": "0"},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        assert process.stdout is not None
        try:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "listens on" in line:
                    break
            found = re.search(r"listens on (http://\S+);", "".join(lines))
            assert found, log.read_text()
            assert any(line.startswith("applied ") for line in lines)
            answer = httpx.get(f"{found[1]}/health/ready")
            assert set(answer.json().values()) == {True}
            assert stat.S_IMODE((place.directory / "hushtag-keys.json").stat().st_mode) == 0o600
            serving(process.pid).terminate()
            process.wait(SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdout.close()


def serving(shell: int) -> psutil.Process:
    """Return the server of a shell: the shell itself, if it became the server, or its child."""
    top = psutil.Process(shell)
    return next(each for each in (top, *top.children()) if "bash" not in each.cmdline()[0])
