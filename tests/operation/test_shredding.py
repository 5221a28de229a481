"""What is deleted is deleted from every backup too: a dump, the key file and the right phrase open nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import psycopg
import pytest

from hushtag.duress import Verdict
from hushtag.errors import AuthenticationError
from hushtag.types import Record
from hushtag_server.keyfile import KeyRing
from hushtag_server.operation.backup import take_backup
from hushtag_server.operation.envelope import BACKUP, SEALS, open_parts, sealed_file
from hushtag_server.operation.failures import NotABackupError, OperationError, WrongPassphraseError
from hushtag_server.operation.maintain import maintain
from hushtag_server.operation.reach import Reached
from hushtag_server.operation.restore import check_backup, restore_backup
from hushtag_server.operation.seals import copy_seals, read_seals, restore_seals
from hushtag_server.private_file import private_file
from hushtag_server.settings import Settings
from hushtag_server.vault.seals import SEALED_ENVELOPE
from tests.operation.conftest import PASSPHRASE, Silent
from tests.people import PASSWORD
from tests.server.vault_support import enrol, new_id, new_password, order, prove, run_sql, stored_record, unlock

pytestmark = pytest.mark.anyio


class Scene:
    """Two accounts with a vault and an object each, in one backup with its copy of the seals."""

    def __init__(self, client: Any, owner: Settings, reached: Reached, tmp_path: Path) -> None:
        self.client, self.owner, self.reached = client, owner, reached
        self.file, self.seals = tmp_path / "backup", tmp_path / "backup-seals"

    async def add(self, sign_in: Any, email: str) -> Any:
        account = await sign_in(self.client, email)
        password = new_password()
        await enrol(self.client, account.headers, password)
        opened = await unlock(self.client, account, password)
        assert (await opened.put(new_id(), b"a secret")).status_code == 201
        return account, password

    def back_up(self) -> None:
        take_backup(self.owner, self.reached, self.file, PASSPHRASE, Silent())
        self.copy()

    def copy(self) -> int:
        return copy_seals(self.reached, self.seals, PASSPHRASE, Silent()).seals


@pytest.fixture
async def scene(app_client: Any, owner: Settings, reached: Reached, tmp_path: Path) -> Scene:
    return Scene(app_client, owner, reached, tmp_path)


@pytest.fixture
def thief(
    scene: Scene, empty_database: Any, postgres: Any, settings: Settings, keys: KeyRing, serve_in_process: Any
) -> Any:
    """A server of the thief: the backup, the copy of the seals as it is now, and the key file."""

    def restored(*, seals: bool = True) -> Any:
        kept = read_seals(scene.seals, PASSPHRASE, Silent())[1] if seals else None
        target = Reached(empty_database.owner_url, postgres.bin_dir)
        manifest = check_backup(scene.file, PASSPHRASE, Silent())
        done = restore_backup(scene.owner, target, scene.file, PASSPHRASE, Silent(), manifest, kept)
        return done, serve_in_process(replace(settings, database_url=empty_database.app_url), keys)

    return restored


async def _delete_account(scene: Scene, account: Any, _: Any) -> None:
    answer = await scene.client.post(
        "/v1/account/deletion", json={"current_password": PASSWORD}, headers=account.headers
    )
    assert answer.status_code == 202, answer.text


async def _delete_tag(scene: Scene, account: Any, database: Any) -> None:
    run_sql(database, "DELETE FROM vault_blobs WHERE user_id = %s", account.user_id)
    run_sql(database, "DELETE FROM secret_tags WHERE user_id = %s", account.user_id)


async def _shred_tag(scene: Scene, account: Any, database: Any) -> None:
    (tag,) = run_sql(database, "SELECT id FROM secret_tags WHERE user_id = %s", account.user_id)[0]
    with psycopg.connect(database.app_url) as connection:
        connection.execute("SELECT set_config('app.user_id', %s, true)", [account.user_id])
        assert connection.execute("SELECT hushtag_shred_tag(%s, %s)", [account.user_id, tag]).fetchone() == (True,)
        assert connection.execute("SELECT hushtag_shred_tag(%s, %s)", [account.user_id, tag]).fetchone() == (False,)


@pytest.mark.parametrize("delete", [_delete_account, _delete_tag, _shred_tag])
async def test_a_backup_of_before_opens_nothing_of_what_was_deleted_since_and_all_of_the_rest(
    scene: Scene, thief: Any, sign_in: Any, database: Any, delete: Any
) -> None:
    gone, its_phrase = await scene.add(sign_in, "gone@example.org")
    stays, other_phrase = await scene.add(sign_in, "stays@example.org")
    scene.back_up()
    seal = run_sql(database, "SELECT seal FROM tag_seals WHERE user_id = %s", gone.user_id)[0][0]
    await delete(scene, gone, database)
    assert run_sql(database, "SELECT user_id::text FROM tag_seals") == [(stays.user_id,)]
    assert scene.copy() == 1
    assert seal not in read_seals(scene.seals, PASSPHRASE, Silent())[1]
    done, server = thief()
    assert (done.seals.loaded, done.without) == (1, 1)
    async with server as client:
        # Account session, phrase, key file, dump: whatever a thief can have. The account itself is in the backup.
        with pytest.raises(AuthenticationError):
            await prove(client, (await sign_in(client, gone.email)).headers, its_phrase)
        opened = await unlock(client, await sign_in(client, stays.email), other_phrase)
        assert opened.head.object_count == 1


@pytest.mark.parametrize("verdict", [Verdict.SHRED_PHRASE, Verdict.SHRED_VAULT])
async def test_a_backup_opens_nothing_of_what_a_duress_phrase_has_shredded(
    scene: Scene, thief: Any, sign_in: Any, database: Any, verdict: Verdict
) -> None:
    account, phrase = await scene.add(sign_in, "ada@example.org")
    harmless = new_password()
    await enrol(scene.client, account.headers, harmless)
    opened = await unlock(scene.client, account, phrase)
    assert (await order(opened, account, harmless, verdict)).status_code == 204
    scene.back_up()
    seals = run_sql(database, "SELECT seal FROM tag_seals WHERE tag_id = %s", str(opened.tag.tag_id))
    await unlock(scene.client, account, harmless)
    assert scene.copy() == 2
    assert seals[0][0] not in read_seals(scene.seals, PASSPHRASE, Silent())[1]
    # Backups and copies tell no more than the database: each tag has a seal, whatever it is.
    done, server = thief()
    assert (done.seals.loaded, done.without) == (2, 0)
    async with server as client:
        with pytest.raises(AuthenticationError):
            await prove(client, (await sign_in(client, account.email)).headers, phrase)
        await unlock(client, await sign_in(client, account.email), harmless)


async def test_no_seal_and_no_plain_envelope_is_in_a_backup(
    scene: Scene, sign_in: Any, database: Any, thief: Any
) -> None:
    await scene.add(sign_in, "ada@example.org")
    scene.back_up()
    ((seal, length),) = run_sql(
        database,
        "SELECT s.seal, octet_length(t.opaque_envelope) FROM secret_tags t JOIN tag_seals s ON s.tag_id = t.id",
    )
    assert length == SEALED_ENVELOPE
    record = Record(stored_record(database))
    plain = b"".join(open_parts(BACKUP, scene.file, PASSPHRASE, lambda _: None))
    thief(seals=False)
    for secret in (seal, record.masking_key.expose(), record[96:128]):
        assert secret not in plain
        assert secret.hex().encode() not in plain


async def test_without_the_seals_nothing_opens_until_they_are_brought(
    scene: Scene, thief: Any, sign_in: Any, empty_database: Any
) -> None:
    account, password = await scene.add(sign_in, "ada@example.org")
    scene.back_up()
    done, server = thief(seals=False)
    assert (done.seals, done.without) == (None, 1)
    async with server as client:
        there = await sign_in(client, account.email)
        with pytest.raises(AuthenticationError):
            await prove(client, there.headers, password)
        target = Reached(empty_database.owner_url)
        with pytest.raises(WrongPassphraseError):
            restore_seals(target, scene.seals, "some other passphrase", Silent())
        assert restore_seals(target, scene.seals, PASSPHRASE, Silent()) == (1, 0)
        assert restore_seals(target, scene.seals, PASSPHRASE, Silent()) == (0, 0)
        assert (await unlock(client, there, password)).head.object_count == 1


async def test_the_copy_is_replaced_as_a_whole_and_what_it_was_is_overwritten(
    scene: Scene, sign_in: Any, database: Any, tmp_path: Path
) -> None:
    await scene.add(sign_in, "ada@example.org")
    assert scene.copy() == 1
    before = scene.seals.read_bytes()
    (tmp_path / "elsewhere").mkdir()
    kept_open = tmp_path / "elsewhere" / "same file"
    kept_open.hardlink_to(scene.seals)  # the disk's blocks, under a name that a test can read
    run_sql(database, "DELETE FROM tag_seals")
    assert scene.copy() == 0
    assert kept_open.read_bytes() == bytes(len(before))
    assert scene.seals.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["backup-seals"]


async def test_an_unfinished_copy_of_a_run_that_was_killed_is_overwritten_and_removed(
    scene: Scene, sign_in: Any, tmp_path: Path
) -> None:
    await scene.add(sign_in, "ada@example.org")
    (tmp_path / "elsewhere").mkdir()
    with private_file(tmp_path / "backup-seals", Path.replace):
        (unfinished,) = tmp_path.glob(".backup-seals.*")
    unfinished.write_bytes(b"seals" * 100)
    (tmp_path / "elsewhere" / "unfinished").hardlink_to(unfinished)
    (tmp_path / "backup-seals").unlink()
    others = [tmp_path / name for name in (".backup-seals.abc", ".backup-seals-2.abcdefgh", "backup-seals.abcdefgh")]
    for other in others:
        other.write_bytes(b"mine")
    assert scene.copy() == 1
    assert not unfinished.exists()
    assert (tmp_path / "elsewhere" / "unfinished").read_bytes() == bytes(500)
    assert [other.read_bytes() for other in others] == [b"mine"] * 3


async def test_of_two_copies_at_once_the_later_one_stays(scene: Scene, sign_in: Any, database: Any) -> None:
    await scene.add(sign_in, "ada@example.org")
    writing, go_on = threading.Event(), threading.Event()

    class Slow(Silent):
        def bytes(self, count: int) -> None:
            if count > 48:  # magic and salt: from here on the seals are read
                writing.set()
                assert go_on.wait(60)

    with ThreadPoolExecutor(2) as threads, psycopg.connect(database.admin_url, autocommit=True) as admin:
        first = threads.submit(copy_seals, scene.reached, scene.seals, PASSPHRASE, Slow())
        assert writing.wait(60)
        admin.execute("DELETE FROM tag_seals")
        second = threads.submit(scene.copy)
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not (second.done() or admin.execute(waiting).rowcount):
            pass
        go_on.set()
        assert (first.result(60).seals, second.result(60)) == (1, 0)
    assert read_seals(scene.seals, PASSPHRASE, Silent())[0].seals == 0


async def test_a_copy_under_another_passphrase_is_replaced_only_if_told(scene: Scene, sign_in: Any) -> None:
    await scene.add(sign_in, "ada@example.org")
    scene.copy()
    before, other = scene.seals.read_bytes(), "some other passphrase"
    with pytest.raises(WrongPassphraseError, match=r"under another passphrase.*--change-passphrase"):
        copy_seals(scene.reached, scene.seals, other, Silent())
    assert scene.seals.read_bytes() == before
    assert copy_seals(scene.reached, scene.seals, other, Silent(), change=True).seals == 1
    assert read_seals(scene.seals, other, Silent())[0].seals == 1
    scene.seals.write_bytes(scene.seals.read_bytes()[:-5])
    assert copy_seals(scene.reached, scene.seals, other, Silent()).seals == 1


async def test_another_file_is_never_replaced_by_the_copy(scene: Scene, tmp_path: Path) -> None:
    scene.seals.write_bytes(b"mine" * 100)
    with pytest.raises(NotABackupError):
        scene.copy()
    assert scene.seals.read_bytes() == b"mine" * 100
    scene.seals.unlink()
    head = b'{"format":1,"taken_at":"2026-01-01T00:00:00Z","seals":2}\n'
    sealed_file(SEALS, scene.seals, PASSPHRASE, [head, bytes(64)], lambda _: None)
    with pytest.raises(OperationError, match="another version"):
        read_seals(scene.seals, PASSPHRASE, Silent())


async def test_tags_of_an_earlier_version_open_and_are_sealed_by_maintenance(
    scene: Scene, sign_in: Any, database: Any, owner: Settings
) -> None:
    account, password = await scene.add(sign_in, "ada@example.org")
    record = stored_record(database)
    run_sql(database, "DELETE FROM tag_seals")
    run_sql(database, "UPDATE secret_tags SET opaque_envelope = %s", record[32:])
    assert (await unlock(scene.client, account, password)).head.object_count == 1

    class Steps(Silent):
        def done(self, count: int) -> None:
            self.seen += count

    def maintained() -> int:
        return maintain(owner, scene.reached, Steps(), dry_run=False, wait=True).steps["tag_seals"]

    assert await anyio.to_thread.run_sync(maintained) == 1  # it has an event loop of its own
    assert run_sql(database, "SELECT octet_length(opaque_envelope) FROM secret_tags") == [(SEALED_ENVELOPE,)]
    assert (await unlock(scene.client, account, password)).head.object_count == 1
    assert await anyio.to_thread.run_sync(maintained) == 0


async def test_real_and_decoy_are_opened_once_each(scene: Scene, sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: the same openings of the same length for a phrase that is enrolled and for one that is not."""
    from hushtag_server.vault import seals

    account, password = await scene.add(sign_in, "ada@example.org")
    empty = await sign_in(scene.client, "eve@example.org")
    opened: list[int] = []
    original = seals._Stored.open

    def counted(stored: Any, user_id: Any) -> Any:
        opened.append(len(stored.envelope))
        return original(stored, user_id)

    monkeypatch.setattr(seals._Stored, "open", counted)
    await prove(scene.client, account.headers, password)
    for headers in (account.headers, empty.headers):
        with pytest.raises(AuthenticationError):
            await prove(scene.client, headers, new_password())
    assert opened == [SEALED_ENVELOPE] * 3


async def test_what_was_moved_between_rows_opens_nothing(scene: Scene, sign_in: Any, database: Any) -> None:
    ada, phrase = await scene.add(sign_in, "ada@example.org")
    await scene.add(sign_in, "eve@example.org")
    run_sql(
        database,
        "UPDATE secret_tags t SET opaque_envelope = o.opaque_envelope FROM secret_tags o WHERE o.user_id <> t.user_id",
    )
    with pytest.raises(AuthenticationError):
        await prove(scene.client, ada.headers, phrase)
