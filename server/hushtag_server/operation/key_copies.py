"""`backup-keys` and `restore-keys`: the key file under a passphrase of its own, never together with a backup."""

from pathlib import Path
from uuid import UUID

from hushtag_server.errors import StartError
from hushtag_server.keyfile import KeyRing, encode_key_ring, load_keys, read_key_ring
from hushtag_server.operation.envelope import KEYS, open_parts, sealed_file
from hushtag_server.operation.failures import KeysDifferError, OperationError
from hushtag_server.private_file import write_private
from hushtag_server.settings import Settings

__all__ = ["copy_keys", "fingerprints", "restore_keys", "tell_keys_apart"]


def fingerprints(ring: KeyRing) -> dict[UUID, str]:
    """Return id and fingerprint (hex) of every key set."""
    return {keys.id: keys.fingerprint.hex() for keys in ring.by_id.values()}


def copy_keys(settings: Settings, path: Path, passphrase: str) -> KeyRing:
    """Write the server's keys under a passphrase to a new file of mode 0600 and return them.

    Raises:
        OperationError: there is no key file, or the copy's name is taken. StartError: the key file is not usable.
    """
    ring = load_keys(settings)
    if ring is None:
        raise OperationError(f"there is no key file {settings.key_path}; set HUSHTAG_DATA or HUSHTAG_KEY_FILE to it")
    sealed_file(KEYS, path, passphrase, [encode_key_ring(ring)], lambda _: None)
    return ring


def restore_keys(settings: Settings, path: Path, passphrase: str) -> tuple[KeyRing, bool]:
    """Write the key file from a copy; return the keys, and whether it was written or there already with these keys.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: as they say, before anything is written.
        KeysDifferError: a key file with other keys is there; it stays untouched.
    """
    if settings.keys is not None:
        raise OperationError("HUSHTAG_KEYS is set, so no key file is read; unset it, then restore the keys")
    content = b"".join(open_parts(KEYS, path, passphrase, lambda _: None))
    ring = read_key_ring(content, str(path))
    there = load_keys(settings)
    if there is None:
        settings.key_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            write_private(settings.key_path, content)
        except OSError as error:
            raise OperationError(f"cannot write {settings.key_path}: {error.strerror}") from None
        return ring, True
    if fingerprints(there) != fingerprints(ring) or there.current.id != ring.current.id:
        raise KeysDifferError(
            f"the key file {settings.key_path} holds other keys and is kept; move it away first, and keep it, for the "
            "vaults made under it open with nothing else"
        )
    return ring, False


def tell_keys_apart(settings: Settings, expected: dict[UUID, str]) -> str | None:
    """Return what is wrong between the key file at hand and the keys a database was made under; None if nothing is."""
    if not expected:
        return None
    try:
        ring = load_keys(settings)
    except StartError as error:
        return str(error)
    if ring is None:
        return f"the key file {settings.key_path} is missing; bring it back with `hushtag-server restore-keys FILE`"
    here = fingerprints(ring)
    if any(here.get(key_id) != fingerprint for key_id, fingerprint in expected.items()):
        return (
            f"the key file {settings.key_path} does not hold the keys of this database, and the server will refuse it; "
            "bring theirs back with `hushtag-server restore-keys FILE`"
        )
    return None
