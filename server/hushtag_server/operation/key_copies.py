"""`backup-keys` and `restore-keys`: the key file under a passphrase of its own, never together with a backup."""

from pathlib import Path
from typing import Final
from uuid import UUID

from hushtag_server.errors import StartError
from hushtag_server.key_stores import absent, key_store
from hushtag_server.keyfile import KeyRing, encode_key_ring, load_keys, read_key_ring
from hushtag_server.operation.envelope import KEYS, open_parts, sealed_file
from hushtag_server.operation.failures import KeysDifferError, OperationError
from hushtag_server.settings import Settings

__all__ = ["BRING_BACK", "check_copy", "copy_keys", "fingerprints", "restore_keys", "tell_keys_apart"]


BRING_BACK: Final = (
    "and the database was made under some; bring them back with `hushtag-server restore-keys FILE`: without them no "
    "phrase opens anything"
)


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
        raise OperationError(f"{absent(settings)}; set HUSHTAG_DATA, HUSHTAG_KEY_FILE or HUSHTAG_KEY_STORE to them")
    sealed_file(KEYS, path, passphrase, [encode_key_ring(ring)], lambda _: None)
    return ring


def restore_keys(settings: Settings, path: Path, passphrase: str) -> tuple[KeyRing, bool]:
    """Write the key file from a copy; return the keys, and whether it was written or there already with these keys.

    A key file that holds nothing but keys of the copy is replaced: that is how a rotation reaches other hosts.

    Raises:
        NotABackupError, WrongPassphraseError, BackupDamagedError: as they say, before anything is written.
        KeysDifferError: a key file with other keys is there; it stays untouched.
    """
    store = key_store(settings)
    if settings.keys is not None:
        raise OperationError("HUSHTAG_KEYS is set, so no key file is read; unset it, then restore the keys")
    content = b"".join(open_parts(KEYS, path, passphrase, lambda _: None))
    ring = read_key_ring(content, str(path))
    there = load_keys(settings)
    if there is not None:
        here, copied = fingerprints(there), fingerprints(ring)
        if any(copied.get(key_id) != fingerprint for key_id, fingerprint in here.items()):
            raise KeysDifferError(
                f"{store.name} holds other keys and is kept; move it away first, and keep it, for the vaults made "
                "under it open with nothing else"
            )
        # A copy of before a retirement lacks what is left of that set; it is kept.
        retired = {
            key_id: key
            for key_id, key in (there.retired_audit_keys | ring.retired_audit_keys).items()
            if key_id not in ring.by_id
        }
        if here == copied and there.current.id == ring.current.id and there.retired_audit_keys == retired:
            return there, False
        ring = KeyRing(ring.current, ring.by_id, retired)
        content = encode_key_ring(ring)
    # Nothing is here, or nothing but what the copy holds as well: a rotation elsewhere has come since.
    try:
        store.store(content, first=there is None)
    except (StartError, FileExistsError) as error:
        raise OperationError(str(error)) from None
    return ring, True


def check_copy(settings: Settings, path: Path, passphrase: str) -> int:
    """Return how many key sets are in use here, all of which the copy holds.

    Raises:
        OperationError: it lacks one, or there are no keys here. NotABackupError, WrongPassphraseError,
            BackupDamagedError: as they say.
    """
    held = read_key_ring(b"".join(open_parts(KEYS, path, passphrase, lambda _: None)), str(path))
    copied = fingerprints(held)
    ring = load_keys(settings)
    if ring is None:
        raise OperationError(f"{key_store(settings).name} holds no keys yet; there is nothing to compare with")
    lacking = [key_id for key_id, mark in fingerprints(ring).items() if copied.get(key_id) != mark]
    lacking += [key_id for key_id in ring.retired_audit_keys if key_id not in held.by_id | held.retired_audit_keys]
    if lacking:
        raise OperationError(f"{path} lacks {len(lacking)} key sets that are in use here; export the keys again")
    return len(ring.by_id)


def tell_keys_apart(settings: Settings, expected: dict[UUID, str]) -> str | None:
    """Return what is wrong between the key file at hand and the keys a database was made under; None if nothing is."""
    if not expected:
        return None
    try:
        ring = load_keys(settings)
    except StartError as error:
        return str(error)
    if ring is None:
        return f"{key_store(settings).name} is missing; bring it back with `hushtag-server restore-keys FILE`"
    here = fingerprints(ring)
    if any(here.get(key_id) != fingerprint for key_id, fingerprint in expected.items()):
        return (
            f"{key_store(settings).name} does not hold the keys of this database, and the server will refuse it; "
            "bring theirs back with `hushtag-server restore-keys FILE`"
        )
    return None
