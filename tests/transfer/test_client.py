"""Both clients and the command against a real server; then servers that break off or lie."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from hushtag.client import BudgetError, Client, ServerError, SourceChangedError, TimedOutError, TransportError
from hushtag.errors import LimitError, MalformedError, MisuseError
from hushtag.messages import encode_binary
from hushtag.phrase import draw_phrase
from tests.client.support import connect_async, connect_sync
from tests.transfer.support import members, pack, rows

PASSWORD = "correct horse battery"
PHRASE = draw_phrase().text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tests.live_server import run_server, temporary_directory

    with temporary_directory() as directory, run_server(directory) as server:
        with connect_sync(server.url) as client:
            for email in ("ada@example.org", "bob@example.org", "eve@example.org"):
                client.sign_up(email, PASSWORD)
            session = client.log_in("ada@example.org", PASSWORD)
        headers = {"Authorization": f"Bearer {session.token}"}
        with httpx.Client(base_url=server.url, headers=headers) as http:
            for number in range(30):
                entry = {"title": f"entry {number}", "content": "Wörter " * number, "tags": [f"tag {number % 3}"]}
                assert http.post("/v1/journals", json=entry).status_code == 201
        yield server
        assert "internal error" not in server.log.read_text()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, served: Any) -> Any:
    with start_blocking_portal() as portal:
        made = []

        def log_in(email: str) -> Any:
            client: Any = connect_sync(served.url) if request.param == "sync" else connect_async(portal, served.url)
            made.append(client.__enter__())
            client.log_in(email, PASSWORD)
            return client

        yield log_in
        for client in made:
            client.__exit__(None, None, None)


def test_export_and_import_over_a_real_server_with_progress(connect: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    done = connect("ada@example.org").export_data(tmp_path / "all.zip", on_progress=lambda *each: seen.append(each))
    found = members((tmp_path / "all.zip").read_bytes())
    assert len(rows(found, "journals")) == done.manifest.counts.journals == 30
    assert (tmp_path / "all.zip").stat().st_mode & 0o777 == 0o600
    assert done.size == (tmp_path / "all.zip").stat().st_size
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] >= 30
    sent: list[tuple[int, int]] = []
    imported = connect("bob@example.org").import_data(tmp_path / "all.zip", on_progress=lambda *each: sent.append(each))
    assert imported.journals.created + imported.journals.already_there == 30
    assert sent[-1] == (done.size, done.size)
    assert list(tmp_path.iterdir()) == [tmp_path / "all.zip"]


def test_streams_serve_as_well_as_paths(connect: Any) -> None:
    target = io.BytesIO()
    done = connect("ada@example.org").export_data(target)
    assert done.manifest is None
    assert done.size == len(target.getvalue())
    target.seek(0)
    assert connect("bob@example.org").import_data(target).journals.skipped == 0

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert connect("bob@example.org").import_data(Pipe(target.getvalue())).journals.already_there == 30
    with pytest.raises(LimitError):
        connect("bob@example.org").import_data(io.BytesIO())


def test_an_archive_that_shrinks_while_it_is_sent_is_told(connect: Any, tmp_path: Path) -> None:
    place = tmp_path / "all.zip"
    place.write_bytes(bytes(1_000_000))
    client = connect("ada@example.org")
    with pytest.raises(SourceChangedError):
        client.import_data(place, on_progress=lambda done, _total: os.truncate(place, done))
    assert client.account().email == "ada@example.org"


def test_a_file_that_is_there_is_kept_unless_forced(connect: Any, tmp_path: Path) -> None:
    place = tmp_path / "all.zip"
    place.write_bytes(b"mine")
    client = connect("ada@example.org")
    with pytest.raises(MisuseError):
        client.export_data(place)
    assert place.read_bytes() == b"mine"
    client.export_data(place, force=True)
    assert zipfile.is_zipfile(place)


def test_an_archive_that_is_not_in_order_says_where(connect: Any, tmp_path: Path) -> None:
    client = connect("ada@example.org")
    client.export_data(tmp_path / "all.zip")
    found = members((tmp_path / "all.zip").read_bytes())
    lines = found["journals/00001.ndjson"].splitlines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"mood_rating": 11}).encode()
    found["journals/00001.ndjson"] = b"\n".join(lines) + b"\n"
    with pytest.raises(ServerError) as caught:
        client.import_data(io.BytesIO(pack(found)))
    assert caught.value.code == "malformed_request"
    assert [(each.field, each.rule) for each in caught.value.fields] == [
        ("journals/00001.ndjson:5 $.mood_rating", "must be 10 or less")
    ]


def test_an_open_vault_adds_its_ciphertext_and_no_more(served: Any, tmp_path: Path) -> None:
    with connect_sync(served.url) as client:
        client.log_in("eve@example.org", PASSWORD)
        client.enrol(PHRASE, label="hers")
        with client.unlock(PHRASE) as vault:
            stored = vault.put(b"a secret \xff" * 100, name="letter")
            done = client.export_data(tmp_path / "all.zip", vault=vault)
            place = f"vault/{vault.vault_id}"
    assert (done.manifest.counts.vaults, done.manifest.counts.objects) == (1, 1)
    found = members((tmp_path / "all.zip").read_bytes())
    assert {name for name in found if name.startswith("vault/")} == {
        f"{place}/vault.json",
        f"{place}/objects.ndjson",
        f"{place}/rows/{stored.object_id}",
    }
    assert b"a secret" not in b"".join(found.values())
    assert json.loads(found[f"{place}/vault.json"])["unchanged"] is True


def command(served: Any, state: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-W", "error", "-c", "from hushtag.cli import main; main()", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAG_")}
    environment = {**kept, "HUSHTAG_STATE": str(state), "HUSHTAG_SERVER": served.url}
    return subprocess.run(line, input=given, capture_output=True, env=environment, timeout=60)


def test_the_command_exports_and_imports(served: Any, tmp_path: Path) -> None:
    state, place = tmp_path / "state", tmp_path / "all.zip"
    login = ("login", "--password-stdin")
    assert command(served, state, *login, "ada@example.org", given=PASSWORD.encode() + b"\n").returncode == 0
    done = command(served, state, "export", str(place), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["journals"] == 30
    piped = command(served, state, "export", "-")
    assert members(piped.stdout)["tags.ndjson"] == members(place.read_bytes())["tags.ndjson"]
    again = command(served, state, "export", str(place))
    assert again.returncode == 2
    assert b"exists" in again.stderr
    imported = command(served, state, "import", str(place))
    assert imported.returncode == 0, imported.stderr
    assert b"30 already there" in imported.stdout
    place.write_bytes(b"no archive")
    refused = command(served, state, "import", str(place))
    assert refused.returncode == 1
    assert b"must be one complete ZIP archive" in refused.stderr


# --- servers that break off or lie -----------------------------------------------------------------------------


def lying(answer: httpx.Response) -> Client:
    token = "hta_" + encode_binary(bytes(48))
    client = connect_sync("https://hushtag.test", httpx.MockTransport(lambda _: answer))
    client._steps.session = SimpleNamespace(token=token)  # type: ignore[assignment]
    return client


HEADERS = {"Content-Type": "application/zip", "Hushtag-Archive-Members": "3"}


class Pieces(httpx.SyncByteStream):
    def __init__(self, *pieces: bytes, broken: bool = False) -> None:
        self._pieces, self._broken = pieces, broken

    def __iter__(self) -> Any:
        yield from self._pieces
        if self._broken:
            raise httpx.RemoteProtocolError("incomplete chunked read")


@pytest.fixture(scope="module")
def archive(served: Any) -> bytes:
    with connect_sync(served.url) as client:
        client.log_in("ada@example.org", PASSWORD)
        target = io.BytesIO()
        client.export_data(target)
        return target.getvalue()


@pytest.mark.parametrize("kept", [0, 1, 5000, -1, -30])
def test_an_export_that_ends_early_leaves_nothing(archive: bytes, tmp_path: Path, kept: int) -> None:
    with (
        lying(httpx.Response(200, headers=HEADERS, stream=Pieces(archive[:kept]))) as client,
        pytest.raises(MalformedError),
    ):
        client.export_data(tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_export_whose_connection_breaks_leaves_nothing(archive: bytes, tmp_path: Path) -> None:
    with (
        lying(httpx.Response(200, headers=HEADERS, stream=Pieces(archive[:9000], broken=True))) as client,
        pytest.raises(TransportError),
    ):
        client.export_data(tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []


def test_an_export_with_another_content_than_its_sums_leaves_nothing(archive: bytes, tmp_path: Path) -> None:
    found = members(archive) | {"tags.ndjson": b"{}\n"}
    with (
        lying(httpx.Response(200, headers=HEADERS, stream=Pieces(pack(found, sums=False)))) as client,
        pytest.raises(MalformedError, match="checksum"),
    ):
        client.export_data(tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []


class Endless(httpx.SyncByteStream):
    """A body that never ends."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    def __iter__(self) -> Any:
        while True:
            yield self._piece


@pytest.mark.parametrize(("limit", "told"), [("MAX_EXPORT_BYTES", MalformedError), ("EXPORT_SECONDS", TimedOutError)])
def test_an_export_that_never_ends_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, told: type[Exception]
) -> None:
    monkeypatch.setattr(f"hushtag.client.transfer_steps.{limit}", 1_000_000 if told is MalformedError else 0)
    with lying(httpx.Response(200, headers=HEADERS, stream=Endless(b"x" * 1000))) as client, pytest.raises(told):
        client.export_data(tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_of_reminders_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hushtag.client.due_events.GRACE_SECONDS", 0)
    answer = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Endless(b": still here\n"))
    with lying(answer) as client, pytest.raises(TimedOutError):
        list(client.reminders.events(wait=0))


def test_an_export_under_way_is_told_with_the_time_to_wait(tmp_path: Path) -> None:
    problem = {"type": "urn:hushtag:problem:transfer_running", "title": "t", "status": 429, "code": "transfer_running"}
    problem |= {"retry_after": 7}
    kind = {"Content-Type": "application/problem+json"}
    with (
        lying(httpx.Response(429, headers=kind, stream=Pieces(json.dumps(problem).encode()))) as client,
        pytest.raises(BudgetError, match="7 s"),
    ):
        client.export_data(tmp_path / "all.zip")
    assert list(tmp_path.iterdir()) == []
