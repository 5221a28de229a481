"""`hushtag demo`: the whole product on real files, and a search of all the server has for what it must not have."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.cli import demo_report as report
from hushtag.cli.canaries import Canary, Sighting, search
from hushtag.cli.demo_files import SampleFile, sample_files
from hushtag.cli.demo_reader import exchanges_of
from hushtag.cli.demo_server import DemoServer, left_behind, running_server, temporary_directory
from hushtag.cli.demo_traffic import Exchange, Recorder
from hushtag.client import Client, Vault
from hushtag.errors import AuthenticationError
from hushtag.messages import decode_binary
from hushtag.phrase import draw_phrase
from hushtag.suites import HUSHTAG_V1

__all__ = ["Account", "Outcome", "demo", "run_demo"]


@dataclass(frozen=True)
class Account:
    """Credentials of one run; the phrase opens the vault, the rest opens only the account."""

    email: str = field(default_factory=lambda: f"demo-{secrets.token_hex(4)}@example.org")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(15), repr=False)
    phrase: str = field(default_factory=lambda: draw_phrase().text, repr=False)


@dataclass
class Outcome:
    """What a run found; `held` only if all of it was as promised."""

    checks: list[tuple[str, bool]] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    canaries: list[Canary] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether every check held and nothing was sighted."""
        return bool(self.checks) and all(held for _, held in self.checks) and not self.sightings


def _secrets_of(client: Client, vault: Vault, account: Account) -> Iterator[Canary]:
    """Yield everything that must stay on the client. Reads the open vault's keys, which no user of it can."""
    salt = decode_binary(client.session.phrase_salt) if client.session else b""
    stretch = stretch_phrase(account.phrase, salt, HUSHTAG_V1)
    password = opaque_password(stretch, None)
    yield Canary("phrase", account.phrase.encode())
    first, second, third, *_ = account.phrase.split()
    yield Canary("half the phrase", f"{first} {second} {third}".encode())
    yield Canary("stretch", stretch.expose())
    yield Canary("phrase key", bytes.fromhex(password.expose().decode()))
    yield Canary("OPAQUE password", password.expose())
    yield Canary("data key", vault._steps.witness.data_key.expose())  # noqa: SLF001  (see above)
    yield Canary("label", b"the hidden diary of the demo")


def _content_canaries(files: Sequence[SampleFile]) -> Iterator[Canary]:
    for file in files:
        yield Canary(f"name of {file.name.split()[0]}", file.name.encode())
        if file.body:
            yield Canary(f"content of {file.name.split()[0]}", file.body)
        if file.content_type != "application/octet-stream":  # what every row says, and so tells nothing
            yield Canary(f"type of {file.name.split()[0]}", file.content_type.encode())


def _store(url: str, account: Account, files: Sequence[SampleFile], outcome: Outcome, say: report.Say) -> None:
    recorder = Recorder()
    with Client(url, transport=recorder) as client:
        say("signing up and logging in")
        client.sign_up(account.email, account.password)
        client.log_in(account.email, account.password)
        say("enrolling a drawn phrase of six words")
        client.enrol(account.phrase, label="the hidden diary of the demo")
        with client.unlock(account.phrase) as vault:
            outcome.canaries += _secrets_of(client, vault, account)
            for file in files:
                say(f"storing {len(file.body):>9,} bytes of {file.content_type}")
                vault.put(file.body, name=file.name, content_type=file.content_type)
            outcome.checks.append(("every file is listed by its name", {e.name for e in vault.list()} == _names(files)))
        say("trying a wrong phrase")
        outcome.checks.append(("a wrong phrase opens nothing", _refused(client, draw_phrase().text)))
    outcome.exchanges += recorder.exchanges


def _names(files: Sequence[SampleFile]) -> set[str]:
    return {file.name for file in files}


def _refused(client: Client, phrase: str) -> bool:
    try:
        client.unlock(phrase).lock()
    except AuthenticationError:
        return True
    return False


def _read_elsewhere(url: str, account: Account, files: Sequence[SampleFile], directory: Path, outcome: Outcome) -> None:
    given = {"email": account.email, "password": account.password, "phrase": account.phrase}
    done = subprocess.run(  # noqa: S603  (our own interpreter and module; no shell)
        [sys.executable, "-m", "hushtag.cli.demo_reader", url, str(directory)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout) if done.returncode == 0 else {"types": {}, "exchanges": []}
    outcome.exchanges += exchanges_of(found["exchanges"])
    same_types = found["types"] == {file.name: file.content_type for file in files}
    outcome.checks.append(("a second process with account and phrase finds every name and type", same_types))
    same = [(directory / f.name).exists() and (directory / f.name).read_bytes() == f.body for f in files]
    outcome.checks.append(("every byte of every file came back", all(same)))


def _inspect(server: DemoServer, account: Account, outcome: Outcome) -> None:
    places = list(left_behind(server))
    traffic = [(f"traffic: {e.step}", side) for e in outcome.exchanges for side in (e.sent, e.received)]
    for place, content in [*places, *(("traffic", content) for _, content in traffic)]:
        outcome.places[place] = outcome.places.get(place, 0) + len(content)
    outcome.sightings = search(outcome.canaries, [*places, *traffic])
    # The search itself must be able to find: what the server rightly knows is in the dump, the log and on the wire.
    control = [Canary("email", account.email.encode())]
    found = {sighting.place for sighting in search(control, [*places, *traffic])}
    controls = {"database dump", "write-ahead log", "traffic: POST … accounts"}
    outcome.checks.append(("the search finds what the server does know", controls <= found))
    logs = [(place, content) for place, content in places if place.startswith("log")]
    known = [*control, Canary("account password", account.password.encode())]
    outcome.checks.append(("no log holds email or password", not search(known, logs)))


def run_demo(say: report.Say = report.silent) -> Outcome:
    """Run the demonstration and return what it found."""
    started = time.perf_counter()
    outcome, account, files = Outcome(), Account(), sample_files()
    outcome.canaries += _content_canaries(files)
    with temporary_directory() as directory, temporary_directory() as reading:
        say("starting a server with an embedded PostgreSQL")
        with running_server(directory) as server:
            _store(server.url, account, files, outcome, say)
            say("reading everything back from a second process")
            _read_elsewhere(server.url, account, files, reading, outcome)
        say("searching all the server has for what it must not have")
        _inspect(server, account, outcome)
    outcome.seconds = time.perf_counter() - started
    return outcome


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, for a script.")
def demo(as_json: bool) -> None:
    """Show the whole product on real files, in a temporary directory that is removed afterwards.

    Starts a server, enrols a phrase, stores files of several types and sizes, reads them back from a second process,
    tries a wrong phrase, and then searches the database dump, the write-ahead log, the logs and the traffic for the
    phrase, names, contents and keys. Exit code 0 only if everything held. If it is killed, the server ends with it, and
    its directories (hushtag-demo-…) stay behind.
    """
    outcome = run_demo(report.silent if as_json else report.spoken)
    click.echo(json.dumps(report.as_json(outcome), indent=2)) if as_json else report.show(outcome)
    sys.exit(0 if outcome.held else 1)
