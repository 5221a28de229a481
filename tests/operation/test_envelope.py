"""Files under a passphrase: what is noticed (a wrong passphrase, changes, cuts, moved chunks, another kind of file),
what stays (files that are there). Not covered: an older copy of a whole file, which nothing in it can tell."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hushtag_server.operation import envelope
from hushtag_server.operation.envelope import BACKUP, KEYS, SEALS, open_parts, replace_sealed_file, sealed_file
from hushtag_server.operation.failures import (
    BackupDamagedError,
    NotABackupError,
    OperationError,
    TargetNotEmptyError,
    WrongPassphraseError,
)
from tests.operation.conftest import PASSPHRASE

CHUNK = 16 * 1024 + 16
HEAD = 16 + 32 + 56
CONTENT = [bytes([n]) * 40_000 for n in range(4)]


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    written = sealed_file(BACKUP, path, PASSPHRASE, CONTENT, lambda _: None)
    assert written == path.stat().st_size
    return path


def opened(path: Path, passphrase: str = PASSPHRASE, kind: envelope.Kind = BACKUP) -> bytes:
    return b"".join(open_parts(kind, path, passphrase, lambda _: None))


def test_what_is_sealed_opens(sealed: Path) -> None:
    assert opened(sealed) == b"".join(CONTENT)
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert CONTENT[0][:100] not in sealed.read_bytes()


def test_the_same_passphrase_in_another_normal_form_opens(tmp_path: Path) -> None:
    sealed_file(KEYS, tmp_path / "f", "café au lait, s'il vous plaît", [b"x"], lambda _: None)
    assert opened(tmp_path / "f", "cafe\u0301 au lait, s'il vous plai\u0302t", KEYS) == b"x"


def test_a_wrong_passphrase_is_told_at_once(sealed: Path) -> None:
    parts = open_parts(BACKUP, sealed, PASSPHRASE + "r", lambda _: None)
    with pytest.raises(WrongPassphraseError):
        next(parts)


@pytest.mark.parametrize("place", [16, 47, 48, HEAD - 1, HEAD, HEAD + CHUNK, HEAD + 3 * CHUNK + 5, -1])
def test_every_changed_bit_is_noticed(sealed: Path, place: int) -> None:
    content = bytearray(sealed.read_bytes())
    content[place] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(WrongPassphraseError if 16 <= place < HEAD else BackupDamagedError):
        opened(sealed)


@pytest.mark.parametrize("left", [48, 50, HEAD, HEAD + CHUNK, HEAD + 2 * CHUNK, -CHUNK, -1])
def test_every_cut_is_noticed(sealed: Path, left: int) -> None:
    sealed.write_bytes(sealed.read_bytes()[:left])
    with pytest.raises(BackupDamagedError):
        opened(sealed)


def test_chunks_out_of_place_left_out_or_added_are_noticed(sealed: Path) -> None:
    content = sealed.read_bytes()
    first, second, rest = content[HEAD:][:CHUNK], content[HEAD + CHUNK :][:CHUNK], content[HEAD + 2 * CHUNK :]
    for changed in (second + first + rest, second + rest, first + first + second + rest, first + second + rest + first):
        sealed.write_bytes(content[:HEAD] + changed)
        with pytest.raises(BackupDamagedError):
            opened(sealed)


def test_a_chunk_of_another_file_under_the_same_passphrase_is_noticed(sealed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    sealed_file(BACKUP, other, PASSPHRASE, CONTENT, lambda _: None)
    content, foreign = sealed.read_bytes(), other.read_bytes()
    sealed.write_bytes(content[:HEAD] + foreign[HEAD : HEAD + CHUNK] + content[HEAD + CHUNK :])
    with pytest.raises(BackupDamagedError):
        opened(sealed)


def test_one_kind_does_not_open_as_the_other(sealed: Path) -> None:
    with pytest.raises(NotABackupError, match="no copy of a key file"):
        opened(sealed, kind=KEYS)
    sealed.write_bytes(KEYS.magic + sealed.read_bytes()[16:])
    with pytest.raises(WrongPassphraseError):
        opened(sealed, kind=KEYS)


@pytest.mark.parametrize("content", [b"", b"hushtag", b"hushtag-backup-1", b"PGDMP" * 100])
def test_other_files_are_told_apart(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(NotABackupError):
        opened(tmp_path / "f")


def test_a_missing_file_and_a_short_passphrase_say_so(tmp_path: Path) -> None:
    with pytest.raises(OperationError, match="cannot read"):
        opened(tmp_path / "none")
    with pytest.raises(OperationError, match="12 to 1024"):
        sealed_file(BACKUP, tmp_path / "f", "short", [], lambda _: None)
    with pytest.raises(OperationError, match="cannot write"):
        sealed_file(BACKUP, tmp_path / "no/such/f", PASSPHRASE, [], lambda _: None)


def test_a_file_that_is_there_stays(sealed: Path) -> None:
    content = sealed.read_bytes()
    with pytest.raises(TargetNotEmptyError):
        sealed_file(BACKUP, sealed, PASSPHRASE, [b"x"], lambda _: None)
    assert sealed.read_bytes() == content


def test_a_file_that_comes_meanwhile_stays_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / "f"

    def parts():
        yield b"x"
        path.write_bytes(b"mine")

    with pytest.raises(TargetNotEmptyError):
        sealed_file(BACKUP, path, PASSPHRASE, parts(), lambda _: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_no_hard_links_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As on a stick with vfat: a new file, one that comes meanwhile, and one that is replaced."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "f"
    sealed_file(SEALS, path, PASSPHRASE, [b"one"], lambda _: None)
    assert opened(path, kind=SEALS) == b"one"
    replace_sealed_file(SEALS, path, PASSPHRASE, [b"two"], lambda _: None)
    assert (opened(path, kind=SEALS), path.stat().st_mode & 0o777) == (b"two", 0o600)
    test_a_file_that_comes_meanwhile_stays_and_nothing_half_done_is_left(tmp_path / "beside")
    assert {entry.name for entry in tmp_path.iterdir()} == {"f", "beside"}


@pytest.mark.parametrize("write", [sealed_file, replace_sealed_file])
def test_a_full_disk_is_told_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(tempfile, "mkstemp", lambda **_: (full, str(tmp_path / "beside")))
    with pytest.raises(OperationError, match=f"cannot write {tmp_path / 'f'}: No space left on device"):
        write(SEALS, tmp_path / "f", PASSPHRASE, [b"x"], lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_where_the_parts_come_from_is_not_the_file(tmp_path: Path) -> None:
    def parts():
        yield b"x"
        os.stat("/no/such/program")

    with pytest.raises(FileNotFoundError):
        sealed_file(BACKUP, tmp_path / "f", PASSPHRASE, parts(), lambda _: None)


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def parts():
        yield b"x"
        raise OperationError("pg_dump failed")

    with pytest.raises(OperationError):
        sealed_file(BACKUP, tmp_path / "f", PASSPHRASE, parts(), lambda _: None)
    assert list(tmp_path.iterdir()) == []
