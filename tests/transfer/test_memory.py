"""25,000 entries out and in again: the server's memory stays about where it was."""

import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import psycopg
import pytest

from tests.transfer.support import ZIP

ENTRIES = 25_000
GROWTH = 16 * 2**20
"""Bytes. Held whole, either way takes some hundred MiB; the directory alone, in `zipfile`, 18."""
SEED = """
    INSERT INTO journals (user_id, title, content, entry_date)
    SELECT %s, 'entry ' || n, repeat('Some words of the day. ', 10) || n, date '2020-01-01' + n %% 2000
    FROM generate_series(1, %s) n
"""


class Watch:
    """Looks at the memory of a server's processes several times a second while its context lasts."""

    def __init__(self, pid: int) -> None:
        parent = psutil.Process(pid)
        self._workers = [parent, *parent.children(recursive=True)]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.start = self.most = self._held()

    def _held(self) -> int:
        held: int = max(each.memory_info().rss for each in self._workers)
        return held

    def _run(self) -> None:
        while not self._done.wait(0.1):
            self.most = max(self.most, self._held())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """Bytes above what there was at the beginning."""
        return self.most - self.start


@pytest.fixture
def seeded(data_directory: Path, run_server: Any, database: Any) -> Iterator[Any]:
    """A real server, and the headers of two accounts; the first has the entries."""
    settings = {"HUSHTAG_DATABASE_URL": database.app_url, "HUSHTAG_LOG_LEVEL": "warning"}
    with run_server(data_directory, **settings) as server:
        people = []
        for email in ("ada@example.org", "bob@example.org"):
            message = {"email": email, "password": "correct horse battery"}
            assert httpx.post(server.url + "/v1/accounts", json=message, timeout=30).status_code == 202
            body = httpx.post(server.url + "/v1/sessions", json=message, timeout=30).json()
            people.append((body["user_id"], {"Authorization": f"Bearer {body['token']}"}))
        with psycopg.connect(database.admin_url, autocommit=True) as connection:
            # Without the words and the trail of these entries, which no export reads.
            connection.execute("ALTER TABLE journals DISABLE TRIGGER ALL")
            connection.execute(SEED, [people[0][0], ENTRIES])
            connection.execute("ALTER TABLE journals ENABLE TRIGGER ALL")
            connection.execute("ANALYZE journals")
        yield server, people[0][1], people[1][1]
        assert "internal error" not in server.log.read_text()


@pytest.mark.timeout(900)
def test_memory_stays_flat_over_many_entries(seeded: Any, tmp_path: Path) -> None:
    server, hers, his = seeded
    place = tmp_path / "all.zip"
    with httpx.Client(base_url=server.url, timeout=600) as client:
        assert client.get("/v1/me/export", headers=his).status_code == 200  # what an export needs once is there
        began = time.monotonic()
        asked = client.stream("GET", "/v1/me/export", headers=hers)
        with Watch(server.process.pid) as out, place.open("wb") as file, asked as answer:
            assert answer.status_code == 200
            for piece in answer.iter_raw(2**18):
                file.write(piece)
        print(f"export: {file_size(place)} bytes, {time.monotonic() - began:.1f} s, +{out.growth / 2**20:.0f} MiB")
        with zipfile.ZipFile(place) as archive:
            assert sum(name.endswith(".md") for name in archive.namelist()) == ENTRIES
            assert archive.testzip() is None
        began = time.monotonic()
        with Watch(server.process.pid) as back, place.open("rb") as file:
            done = client.post("/v1/me/import", content=file, headers=his | ZIP)
        print(f"import: {time.monotonic() - began:.1f} s, +{back.growth / 2**20:.0f} MiB")
    assert done.json()["journals"] == {"created": ENTRIES, "already_there": 0, "skipped": 0}
    assert out.growth < GROWTH
    assert back.growth < GROWTH


def file_size(place: Path) -> int:
    return place.stat().st_size
