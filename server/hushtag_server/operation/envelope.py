"""Files under a passphrase: backups and copies of the key file.

A file is `magic(16) || salt(32) || ciphertext`. The key is Argon2id v1.3 of the passphrase (RFC 9106, second
recommended option: 64 MiB, t = 3, p = 4), the ciphertext C2SP chunked encryption, Cobblestone-256: 16 KiB chunks of
AES-256-GCM, key-committing, in constant memory. Its context is the label, the magic and the salt, so a chunk of another
file, kind or version, one out of place, a missing one and a changed bit are all noticed; the end is authentic too.
"""

import contextlib
import itertools
import os
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import IO, Final

from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from hushtag._labels import SEALED_FILE
from hushtag_server.operation.failures import (
    BackupDamagedError,
    NotABackupError,
    OperationError,
    TargetNotEmptyError,
    WrongPassphraseError,
)
from hushtag_server.private_file import place_new, private_file, unfinished_files

__all__ = [
    "BACKUP",
    "KEYS",
    "SEALS",
    "Kind",
    "check_passphrase",
    "check_replaceable",
    "open_parts",
    "replace_sealed_file",
    "sealed_file",
]

MIN_PASSPHRASE: Final = 12  # characters; 64 MiB and a tenth of a second a guess do not save a short one
MAX_PASSPHRASE: Final = 1024
_MAGIC: Final = 16
_SALT: Final = 32
_READ: Final = 1024 * 1024
_COMMITMENT: Final = 56  # bytes: nonce and key commitment at the start of the ciphertext, which only one key opens

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is: its first 16 bytes, and its name in messages."""

    magic: bytes
    name: str


BACKUP: Final = Kind(b"hushtag-backup-1", "backup")
KEYS: Final = Kind(b"hushtag-keys---1", "copy of a key file")
SEALS: Final = Kind(b"hushtag-seals--1", "copy of the seals")


def check_passphrase(passphrase: str) -> None:
    """Refuse a new passphrase that is too short to guard a file that a thief can guess at home.

    Raises:
        OperationError: it is not 12 to 1024 characters.
    """
    if not MIN_PASSPHRASE <= len(passphrase) <= MAX_PASSPHRASE:
        raise OperationError(f"the passphrase must have {MIN_PASSPHRASE} to {MAX_PASSPHRASE} characters; six words do")


def _derive_key(passphrase: str, salt: bytes) -> bytes:
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return hash_secret_raw(secret, salt, 3, 64 * 1024, 4, 32, Type.ID, ARGON2_VERSION)


def _context(kind: Kind, salt: bytes) -> bytes:
    return SEALED_FILE + kind.magic + salt


def _sealed(kind: Kind, passphrase: str, parts: Iterable[bytes]) -> Iterator[bytes]:
    salt = token_bytes(_SALT)
    encryptor = Cobblestone256Encryptor(_derive_key(passphrase, salt), _context(kind, salt))
    yield kind.magic + salt
    for part in parts:
        yield encryptor.update(part)
    yield encryptor.finalize()


def _replace(temporary: Path, path: Path) -> None:
    """Give the new file the name, and overwrite what had it: its content must not be found on the disk again.

    Where the disk or the file system writes elsewhere than where it was told to (flash, copy on write, snapshots),
    overwriting reaches nothing; the operator is told so (docs/OPERATING.md).
    """
    try:
        before = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        before = None
    temporary.replace(path)
    if before is not None:
        _overwrite(before)


def _overwrite(descriptor: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(bytes(min(left, _READ)))
        file.flush()
        os.fsync(file.fileno())


def _remove_unfinished(path: Path) -> None:
    for left in unfinished_files(path):
        with contextlib.suppress(FileNotFoundError):
            _overwrite(os.open(left, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
            left.unlink()


def _write(
    kind: Kind,
    path: Path,
    passphrase: str,
    parts: Iterable[bytes],
    progress: Progress,
    place: Callable[[Path, Path], object],
) -> int:
    written = 0
    try:
        with private_file(path, place) as file:
            for part in _sealed(kind, passphrase, parts):
                written += file.write(part)
                progress(written)
    except FileExistsError:
        raise TargetNotEmptyError(f"{path} was made meanwhile and is kept; name another file") from None
    except OSError as error:
        if error.filename is not None and Path(error.filename).absolute().parent != path.absolute().parent:
            raise  # of where the parts come from
        raise OperationError(f"cannot write {path}: {error.strerror}") from None
    return written


def sealed_file(kind: Kind, path: Path, passphrase: str, parts: Iterable[bytes], progress: Progress) -> int:
    """Write `parts` under a passphrase to a new file of mode 0600, complete or absent; return its bytes.

    Raises:
        TargetNotEmptyError: the file is there already.
        OperationError: the passphrase is too short, or the file cannot be written.
    """
    check_passphrase(passphrase)
    if path.exists():
        raise TargetNotEmptyError(f"{path} is there already and is kept; name another file")
    return _write(kind, path, passphrase, parts, progress, place_new)


def check_replaceable(kind: Kind, path: Path, passphrase: str | None) -> None:
    """Refuse a name that something else has than a file of this kind under this passphrase; None: under any.

    Raises:
        NotABackupError: it does. WrongPassphraseError: it is under another one. OperationError: it cannot be read.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            _first(file, kind, path)
    except OSError as error:
        raise OperationError(f"cannot read {path}: {error.strerror}") from None
    if passphrase is None:
        return
    try:
        # One that is damaged is under this passphrase too, and may be replaced.
        with (
            contextlib.suppress(BackupDamagedError),
            contextlib.closing(open_parts(kind, path, passphrase, lambda _: None)) as parts,
        ):
            next(parts, b"")
    except WrongPassphraseError:
        raise WrongPassphraseError(
            f"{path} is under another passphrase, and is kept: give that one, or replace it with --change-passphrase; "
            "backups that were made under it stay so"
        ) from None


def replace_sealed_file(
    kind: Kind, path: Path, passphrase: str, parts: Iterable[bytes], progress: Progress, *, change: bool = False
) -> int:
    """Write `parts` as `sealed_file` does, in place of the file of this kind that may be there; return its bytes.

    What is there must be under the same passphrase; with `change` it may be under another one. The new file is complete
    and on disk before the old one loses its name, and the old one's content is overwritten; so is what runs that were
    killed have left beside it. No other run may be at work on it.

    Raises:
        NotABackupError: what is there is no file of this kind; it stays. WrongPassphraseError: it is under another one.
        OperationError: the passphrase is too short, or the file cannot be written.
    """
    check_passphrase(passphrase)
    check_replaceable(kind, path, None if change else passphrase)
    try:
        _remove_unfinished(path)
    except OSError as error:
        raise OperationError(f"cannot remove what a run that was killed left of {path}: {error.strerror}") from None
    return _write(kind, path, passphrase, parts, progress, _replace)


def _first(file: IO[bytes], kind: Kind, path: Path) -> bytes:
    head = file.read(_MAGIC + _SALT)
    if len(head) < _MAGIC + _SALT or head[:_MAGIC] != kind.magic:
        raise NotABackupError(f"{path} is no {kind.name} of version 1; check the name, and this version of Hushtag")
    return head[_MAGIC:]


def open_parts(kind: Kind, path: Path, passphrase: str, progress: Progress) -> Generator[bytes, None, None]:
    """Yield the authenticated content, chunk by chunk; all of it is authentic only when the iterator ends normally.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: as they say.
        OperationError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            salt = _first(file, kind, path)
            decryptor = Cobblestone256Decryptor(_derive_key(passphrase, salt), _context(kind, salt))
            yield from _decrypted(decryptor, file, path, progress)
    except OSError as error:
        raise OperationError(f"cannot read {path}: {error.strerror}") from None


def _decrypted(decryptor: Cobblestone256Decryptor, file: IO[bytes], path: Path, progress: Progress) -> Iterator[bytes]:
    read, opened = _MAGIC + _SALT, 0
    damaged = f"{path} was changed or cut short after it was written; take another backup"
    try:
        # First the commitment alone: what only the right key opens.
        for size in itertools.chain([_COMMITMENT], itertools.repeat(_READ)):
            part = file.read(size)
            if not part:
                opened += 1  # the commitment is not there at all
                break
            read += len(part)
            plain = decryptor.update(part)
            opened += 1
            progress(read)
            if plain:
                yield plain
        last = decryptor.finalize()
    except (InvalidTag, ValueError):
        if opened == 0:
            raise WrongPassphraseError(f"the passphrase does not open {path}; try another") from None
        raise BackupDamagedError(damaged) from None
    if last:
        yield last
