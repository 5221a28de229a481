"""P9: what was acknowledged survives `kill -9`; what was not is there whole or not at all.

Covered: every process of the server, and separately PostgreSQL (postmaster, backends, or all of it), killed inside
the HTTP exchange of puts (new objects, alone and several together, and replacements, 0 bytes to 200 KiB) and of
deletions of several objects, of a real client on a real server with its embedded database: while the request is sent,
inside the transaction (held there by a lock: before anything is written, and with the objects written or deleted but
not the head), at a random moment of the wait for the answer, and at the answer.
Afterwards another client unlocks, verifies the listing against the head and opens everything.

Not covered: loss of power, disks that lie about fsync.

`make kill-puts` does it 10 times for each victim. A run prints its seed; `HUSHTAG_KILL_SEED=N` draws the same puts to
be killed and the same moments again.
"""

import contextlib
import enum
import os
import random
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest

from hushtag.client import Client, NewObject, RetryPolicy, TransportError, UnavailableError, Vault
from hushtag.phrase import draw_phrase
from hushtag_server.embedded.files import load_passwords
from tests.live_server import start_server, temporary_directory

ROUNDS = int(os.environ.get("HUSHTAG_KILL_ROUNDS", "1"))
PUTS = 100 * ROUNDS  # per victim; some of them are deletions
SIZES = (0, 1, 300, 4096, 50_000, 200_000)
SHORT = (0, 1, 300, 4096)
EMAIL, PASSWORD, PHRASE = "ada@example.org", "correct horse battery", draw_phrase().text
QUICK = RetryPolicy(reads=2, changes=4, first_pause=0.01, longest_pause=0.05)
SETTINGS = {"HUSHTAG_GUESS_CAPACITY": "10000", "HUSHTAG_POOL_WAIT": "1s"}
WAIT = 30.0  # seconds until a process that must do something counts as stuck


class Moment(enum.Enum):
    """Where in the exchange of a put or deletion a kill falls."""

    SENDING = "while the request was sent"
    UNWRITTEN = "in the transaction, nothing written"
    UNWRITTEN_LET_GO = "in the transaction, nothing written, let go"
    HALF = "in the transaction, objects written or deleted and head not"
    HALF_LET_GO = "in the transaction, objects written or deleted and head not, let go"
    WAITING = "while the answer was awaited"
    ANSWERED = "at the answer"


LET_GO = (Moment.UNWRITTEN_LET_GO, Moment.HALF_LET_GO)
LOCKS = {
    Moment.UNWRITTEN: "SELECT FROM vaults FOR UPDATE",
    # Stops writers of the table and lets row locks pass: the put stops where it would write the head.
    Moment.HALF: "LOCK TABLE vaults IN SHARE MODE",
}
LOCKS |= {Moment.UNWRITTEN_LET_GO: LOCKS[Moment.UNWRITTEN], Moment.HALF_LET_GO: LOCKS[Moment.HALF]}
MOMENTS = (*Moment, Moment.WAITING) * ROUNDS


class Place:
    """One data directory and the server on it, which is started again and again."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.server = start_server(data, first_start=True, **SETTINGS)

    def restart(self) -> None:
        """Start again, after the server was killed, on the same port."""
        self.server.process.wait(WAIT)
        url = self.server.url
        self.server.end()
        self.server = start_server(self._data, "--port", url.rsplit(":", 1)[1], **SETTINGS)
        assert self.server.url == url

    def connect(self) -> "psycopg.Connection[tuple[int, ...]]":
        """Connect to the database past the server, as its superuser."""
        password = load_passwords(self._data).admin
        socket = str(self._data / "socket")
        return psycopg.connect(host=socket, user="postgres", password=password, dbname="hushtag", autocommit=True)

    def postmaster(self) -> psutil.Process:
        return psutil.Process(int((self._data / "postgres/postmaster.pid").read_text().split("\n", 1)[0]))

    def await_database(self) -> None:
        """Wait until PostgreSQL is up again, and until the server has noticed."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            # Our own connection first: it is let in only when all backends of before are gone.
            with contextlib.suppress(psycopg.OperationalError, httpx.TransportError), self.connect():
                if httpx.get(f"{self.server.url}/health/ready").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"PostgreSQL did not come back: {self.server.log.read_text()[-2000:]}")


class Grip:
    """A connection of the superuser that holds a put inside its transaction; it ends when its PostgreSQL does."""

    def __init__(self, place: Place) -> None:
        self._connection = place.connect()

    def close(self) -> None:
        self._connection.close()

    def server_backends(self) -> list[int]:
        """Return the process ids of the backends that serve the server."""
        found = self._connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'hushtag-server'")
        return [row[0] for row in found]

    def hold(self, lock: str) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute(lock.encode())

    def await_held(self) -> int:
        """Wait until a backend waits for the lock, and return its process id."""
        waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            if found := self._connection.execute(waiting).fetchone():
                return found[0]
        raise AssertionError("no put came to the lock")

    def let_go(self) -> None:
        self._connection.execute("ROLLBACK")

    def await_gone(self, backend: int) -> None:
        """Wait until a backend has done its work and noticed that nobody wants the answer."""
        deadline = time.monotonic() + WAIT
        while self._connection.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [backend]).fetchone() is not None:
            assert time.monotonic() < deadline, "a backend outlived its client"

    def await_end(self) -> None:
        """Wait until the database has hung up on us: all of it falls when one process is killed."""
        with contextlib.suppress(psycopg.OperationalError):
            for _ in self._connection.notifies(timeout=WAIT):
                pass
            raise AssertionError("PostgreSQL did not notice the kill")


class Victim(ABC):
    """What is killed."""

    spares_database: bool

    def __init__(self, place: Place, chance: random.Random) -> None:
        self.place = place
        self._chance = chance
        self._targets: list[psutil.Process] = []

    def aim(self, grip: Grip) -> None:
        """Choose the processes beforehand, so that the kill itself takes no time."""
        self._targets = self._choose(grip)
        assert self._targets

    def strike(self) -> None:
        for process in self._targets:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    @abstractmethod
    def _choose(self, grip: Grip) -> list[psutil.Process]: ...

    @abstractmethod
    def repair(self, grip: Grip) -> None:
        """Bring it up again and wait until it serves."""


class ServerVictim(Victim):
    """The server's processes; PostgreSQL is left behind."""

    spares_database = True

    def _choose(self, _: Grip) -> list[psutil.Process]:
        # Workers have sessions of their own, so no one signal reaches all: the supervisor first, or it would respawn.
        supervisor = psutil.Process(self.place.server.process.pid)
        return [supervisor, *(one for one in supervisor.children(recursive=True) if "postgres" not in one.name())]

    def repair(self, _: Grip) -> None:
        self.place.restart()


class PostgresVictim(Victim):
    """The postmaster, or the server's backends, or every process of PostgreSQL; the server lives on."""

    spares_database = False

    def _choose(self, grip: Grip) -> list[psutil.Process]:
        postmaster = self.place.postmaster()
        backends = [psutil.Process(pid) for pid in grip.server_backends()]
        return self._chance.choice(([postmaster], backends, [postmaster, *postmaster.children()]))

    def repair(self, grip: Grip) -> None:
        grip.await_end()
        self.place.await_database()


@dataclass
class Blow:
    """One kill inside one put or deletion."""

    put: str
    moment: Moment
    share: float  # of the body, or of the usual wait, before the kill
    victim: Victim
    grip: Grip
    tried_again: bool  # whether the client's retries reach the server
    ended: str = "it was never sent"

    @property
    def interrupted(self) -> bool:
        """Whether the exchange brought no success: no answer, or an error."""
        return not self.ended.startswith("2")

    def prepare(self) -> None:
        self.victim.aim(self.grip)
        if self.moment in LOCKS:
            self.grip.hold(LOCKS[self.moment])

    def send(self, body: bytes, usual_wait: float) -> Iterator[bytes]:
        """Yield the request's body in parts and kill at the moment; all code here runs inside the exchange."""
        cut = int(self.share * len(body)) if self.moment is Moment.SENDING else len(body)
        yield body[:cut]
        if self.moment is Moment.WAITING:
            time.sleep(self.share * usual_wait)  # a random moment is no event
            self.victim.strike()
        elif self.moment in LOCKS:
            self._strike_held()
        elif self.moment is Moment.SENDING:
            self.victim.strike()
            yield body[cut:]

    def _strike_held(self) -> None:
        backend = self.grip.await_held()
        if self.moment in LET_GO and not self.victim.spares_database:
            self.grip.let_go()
        self.victim.strike()
        if self.moment in LET_GO and self.victim.spares_database:
            # The transaction goes on to its commit, and the server that would have told of it is dead.
            self.grip.let_go()
            self.grip.await_gone(backend)


class Parts(httpx.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)


class Wire(httpx.HTTPTransport):
    """The network, below every retry: the blow falls inside the next put's first exchange and learns how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.next_blow: Blow | None = None
        self.takes_puts = True
        self._waits: list[float] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer."""
        several = request.method == "POST" and request.url.path.endswith(("/objects", "/objects/deletion"))
        if request.method != "PUT" and not several:
            return super().handle_request(request)
        blow, self.next_blow = self.next_blow, None
        if blow is None:
            if not self.takes_puts:
                raise httpx.ConnectError("this put is sent only once")
            started = time.perf_counter()
            answer = super().handle_request(request)
            self._waits.append(time.perf_counter() - started)
            return answer
        self.takes_puts = blow.tried_again
        # The length is announced in a header already, so the parts travel as they come.
        request.stream = Parts(blow.send(request.read(), statistics.median(self._waits)))
        try:
            answer = super().handle_request(request)
            assert isinstance(answer.stream, httpx.SyncByteStream)
            content = b"".join(answer.stream)
            answer.close()
        except httpx.TransportError as error:
            blow.ended = type(error).__name__
            raise
        blow.ended = str(answer.status_code)
        if blow.moment is Moment.ANSWERED:
            blow.victim.strike()
        return httpx.Response(answer.status_code, headers=answer.headers, stream=Parts([content]))


@dataclass
class Ledger:
    """What was sent, what the client was told of it, and what took the place of what; by the name of the put."""

    sent: dict[str, bytes] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, UUID] = field(default_factory=dict)
    together: list[set[str]] = field(default_factory=list)
    going: dict[str, set[str]] = field(default_factory=dict)
    """What was to be deleted together, by the name of the deletion."""
    gone: set[str] = field(default_factory=set)
    """Deletions that were acknowledged."""
    _newest: list[str] = field(default_factory=list)

    def change(self, vault: Vault, name: str, chance: random.Random) -> bool:
        """Put a new object, several together or the next revision of one, or delete several; tell whether it was
        acknowledged.
        """
        draw = chance.random()
        if draw < 0.25:
            return self._put_several(vault, name, chance)
        if draw < 0.45 and len(self._newest) >= 3:
            return self._delete_several(vault, name, chance)
        return self._put(vault, name, chance)

    def _put(self, vault: Vault, name: str, chance: random.Random) -> bool:
        body = self.sent[name] = chance.randbytes(chance.choice(SIZES))
        before = None
        if self._newest and chance.random() < 0.25:
            # Taken out for good if the put stays in doubt: the client would not replace what it does not know.
            before = self._newest.pop(chance.randrange(len(self._newest)))
            self.replaced[name] = before
        try:
            stored = vault.put(body, name=name, replace=self.acknowledged[before] if before else None)
        except (TransportError, UnavailableError):
            return False
        self.acknowledged[name] = stored.object_id
        self._newest.append(name)
        return True

    def _put_several(self, vault: Vault, name: str, chance: random.Random) -> bool:
        names = [name, f"{name}, second", f"{name}, third"]
        news = [NewObject(chance.randbytes(chance.choice(SHORT)), each) for each in names]
        self.sent |= {each.name: each.content for each in news}
        self.together.append(set(names))
        try:
            stored = vault.put_many(news)
        except (TransportError, UnavailableError):
            return False
        self.acknowledged |= {each.name: each.object_id for each in stored}
        self._newest += names
        return True

    def _delete_several(self, vault: Vault, name: str, chance: random.Random) -> bool:
        # Taken out for good, for they may be gone already if the deletion stays in doubt.
        names = [self._newest.pop(chance.randrange(len(self._newest))) for _ in range(3)]
        self.going[name] = set(names)
        try:
            deleted = vault.delete_many(self.acknowledged[each] for each in names)
        except (TransportError, UnavailableError):
            return False
        assert len(deleted) == len(names)
        self.gone.add(name)
        return True

    def revisions(self, name: str) -> int:
        """Return how many puts an object had when this one was made."""
        before = self.replaced.get(name)
        return 1 if before is None else 1 + self.revisions(before)


def put_while_killing(vault: Vault, wire: Wire, ledger: Ledger, victim: Victim, chance: random.Random) -> list[Blow]:
    """Make the puts and return the blows that fell into some of them."""
    # Never two in a row: after a put in doubt the next one finds out what became of it.
    places = chance.sample(range(5, PUTS, 2), len(MOMENTS))
    moments = dict(zip(places, chance.sample(MOMENTS, len(MOMENTS)), strict=True))
    blows = []
    for number in range(PUTS):
        name = f"put {number}"
        if number not in moments:
            # Only a kill excuses a put: between them the server must answer.
            assert ledger.change(vault, name, chance), f"{name} failed although nothing was killed"
            continue
        with contextlib.closing(Grip(victim.place)) as grip:
            tried_again = chance.random() < 0.5
            blow = wire.next_blow = Blow(name, moments[number], chance.random(), victim, grip, tried_again)
            blow.prepare()
            told = "acknowledged" if ledger.change(vault, name, chance) else "in doubt"
            what = f"{name}, a deletion" if name in ledger.going else name
            print(f"{what}: killed {blow.moment.value}; first answer: {blow.ended}; {told}")
            victim.repair(grip)
        wire.takes_puts = True
        blows.append(blow)
    return blows


def vault_row(place: Place) -> tuple[int, ...]:
    """Return what the database says of the vault: generation, objects counted, objects stored."""
    with place.connect() as connection:
        counts = "SELECT generation, object_count, (SELECT count(*) FROM vault_blobs) FROM vaults"
        [row] = connection.execute(counts)
    return row


def check_with_a_fresh_unlock(place: Place, ledger: Ledger, generation: int) -> set[str]:
    """Open everything from another client, hold it against the ledger and return the puts that were committed."""
    with Client(place.server.url) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            entries = vault.list()  # raises unless it is what the head sums up
            assert vault.object_count == len(entries)
            found = {entry.name: entry for entry in entries}
            assert len(found) == len(entries), "one put became two objects"
            for name, entry in found.items():
                assert vault.get(entry.object_id).body == ledger.sent[name], f"{name} is not what was sent"
            committed = set(ledger.acknowledged) | set(found)
            outdated = {ledger.replaced[name] for name in committed if name in ledger.replaced}
            deletions = {each for each, names in ledger.going.items() if not names & set(found)}
            assert ledger.gone <= deletions, "a deleted object is back"
            deleted = set().union(*(ledger.going[each] for each in deletions))
            assert committed - outdated - deleted <= set(found), "an acknowledged object is gone"
            assert not outdated & set(found), "a replaced object is back"
            for name, entry in found.items():
                known = ledger.acknowledged.get(name) or ledger.acknowledged.get(ledger.replaced.get(name, ""))
                assert known in (entry.object_id, None), f"{name} is another object than it was"
            assert sum(entry.revision for entry in entries) == len(committed) - sum(map(ledger.revisions, deleted))
            whole = [names for names in ledger.together if names & committed]
            assert all(names <= committed for names in whole), "a part of what was put together is there"
            changes = len(committed) - sum(len(names) - 1 for names in whole) + len(deletions)
            assert vault_row(place) == (generation + changes, len(found), len(found))
            one_more = vault.put(b"one more", name="one more")
            assert vault.get(one_more.object_id).body == b"one more"
            assert len(vault.list()) == len(entries) + 1
    return committed | deletions


def run_promise(victim: Victim, chance: random.Random) -> None:
    wire, ledger = Wire(), Ledger()
    with Client(victim.place.server.url, retry=QUICK, transport=wire) as client:
        client.sign_up(EMAIL, PASSWORD)
        client.log_in(EMAIL, PASSWORD)
        client.enrol(PHRASE)
        generation = vault_row(victim.place)[0]
        with client.unlock(PHRASE) as vault:
            blows = put_while_killing(vault, wire, ledger, victim, chance)
    committed = check_with_a_fresh_unlock(victim.place, ledger, generation)
    assert len(ledger.sent) - sum(len(names) - 1 for names in ledger.together) + len(ledger.going) == PUTS
    interrupted = [blow.put for blow in blows if blow.interrupted]
    stored = [put for put in interrupted if put in committed]
    print(f"{len(interrupted)} of {len(blows)} puts interrupted; of these stored: {', '.join(stored) or 'none'}")
    assert interrupted, "no kill met a put"
    for blow in blows:
        assert blow.interrupted or blow.moment not in (Moment.UNWRITTEN, Moment.HALF), (
            f"{blow.put} was acknowledged before its transaction could commit"
        )


@pytest.fixture
def place() -> Iterator[Place]:
    with temporary_directory() as directory:
        place = Place(directory)
        try:
            yield place
        finally:
            place.server.end()


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("HUSHTAG_KILL_SEED") or random.SystemRandom().randrange(2**32))
    print(f"HUSHTAG_KILL_SEED={seed}")
    return random.Random(seed)


def test_acknowledged_objects_survive_a_killed_server_and_no_half_is_visible(
    place: Place, chance: random.Random
) -> None:
    run_promise(ServerVictim(place, chance), chance)


def test_acknowledged_objects_survive_a_killed_postgres_and_no_half_is_visible(
    place: Place, chance: random.Random
) -> None:
    run_promise(PostgresVictim(place, chance), chance)
