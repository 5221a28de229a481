"""Tools of others that do a part of what Hushtag does, on the same machine in the same run; README.md says why these.

- opaque-snake, another binding of OPAQUE: the server's answers to a blinded element and to KE1.
- age (pyrage): a file of 1 MiB encrypted for one recipient, and decrypted, against one object sealed and opened.
- KeePass (pykeepass, KDBX 4 with its default Argon2id): a phrase opens a file of 100 notes of 1 KiB, one is read, one
  is added. Ours does the same over HTTP with a server and a database behind it, and the phrase cannot be tried offline.

The peer is the floor here: below 1 we are quicker. There is no limit: these are other products with other promises.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import opaque_snake
import pyrage
from pykeepass import PyKeePass, create_database

from benchmarks.figures import Figure, Measured, median_ratio
from benchmarks.measure import Ratio, compare
from benchmarks.processes import running_server, temporary_directory
from hushtag import _opaque
from hushtag.client import Client
from hushtag.objects import ObjectMeta, open_object, seal_object
from hushtag.phrase import draw_phrase
from hushtag.types import CredentialIdentifier, DataKey, OpaquePassword, Record

NOTES: Final = 100
NOTE: Final = 1024
MIB: Final = 1024 * 1024
ROUNDS: Final = 9
KEEPASS: Final = "pykeepass, KDBX 4, a local file"


def _opaque_ratios(rounds: int) -> list[Ratio]:
    setup, password = _opaque.ServerSetup.generate(), OpaquePassword(os.urandom(32).hex().encode())
    identifier = CredentialIdentifier(os.urandom(32))
    registration, request = _opaque.start_registration(password)
    response = _opaque.answer_registration(setup, identifier, request)
    record, _ = _opaque.finish_registration(password, registration, response)
    _, ke1 = _opaque.start_login(password)
    peer: Any = opaque_snake.OpaqueServer()
    client: Any = opaque_snake.OpaqueClient()
    theirs, state = client.start_registration("a phrase")
    upload = client.finish_registration(peer.create_registration_response(theirs, "somebody"), state, "a phrase").upload
    stored = peer.finish_registration(upload)
    login, _ = client.start_login("a phrase")
    return [
        compare(
            "a blinded element answered",
            lambda: _opaque.answer_registration(setup, identifier, request),
            "opaque-snake",
            lambda: peer.create_registration_response(theirs, "somebody"),
            calls=100,
            rounds=rounds,
        ),
        compare(
            "KE1 answered",
            lambda: _opaque.start_server_login(setup, identifier, Record(record), ke1),
            "opaque-snake",
            lambda: peer.create_credential_response(login, "somebody", stored),
            calls=100,
            rounds=rounds,
        ),
    ]


def _age_ratios(rounds: int) -> list[Ratio]:
    key, vault_id, object_id, body = DataKey(os.urandom(32)), uuid4(), uuid4(), os.urandom(MIB)
    meta = ObjectMeta(name="scan", content_type="image/png", created_at=1, size=MIB)
    somebody = pyrage.x25519.Identity.generate()
    reader = somebody.to_public()

    def sealed() -> Any:
        return seal_object(key, vault_id=vault_id, object_id=object_id, key_version=1, revision=1, meta=meta, body=body)

    row, encrypted = sealed(), pyrage.encrypt(body, [reader])
    opened = compare(
        "1 MiB opened",
        lambda: open_object(key, row, vault_id=vault_id, object_id=object_id),
        "age (pyrage), one recipient",
        lambda: pyrage.decrypt(encrypted, [somebody]),
        calls=3,
        rounds=rounds,
    )
    age = "age (pyrage), one recipient"
    written = compare("1 MiB sealed", sealed, age, lambda: pyrage.encrypt(body, [reader]), calls=3, rounds=rounds)
    return [written, opened]


def _ms(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


class _KeePass:
    """A KDBX file of notes, each an entry with an attachment."""

    def __init__(self, path: Path, phrase: str, notes: Sequence[bytes]) -> None:
        self._path, self._phrase = str(path), phrase
        self._file: Any = create_database(self._path, password=phrase)
        for number, note in enumerate(notes):
            self._add(f"note {number}", note)
        self._file.save()

    def _add(self, name: str, note: bytes) -> None:
        entry = self._file.add_entry(self._file.root_group, name, "", "")
        entry.add_attachment(self._file.add_binary(note), name)

    def open(self) -> None:
        """Open the file by the phrase."""
        self._file = PyKeePass(self._path, password=self._phrase)

    def read(self, name: str) -> bytes:
        """Return a note."""
        content: bytes = self._file.find_entries(title=name, first=True).attachments[0].data
        return content

    def write(self, name: str, note: bytes) -> None:
        """Add a note and save."""
        self._add(name, note)
        self._file.save()


def _keepass_times(rounds: int, count: int) -> dict[str, dict[str, list[float]]]:
    """Return milliseconds of unlock, read and write, ours and KeePass's, in turns."""
    phrase, notes = draw_phrase().text, [os.urandom(NOTE) for _ in range(count)]
    found: dict[str, dict[str, list[float]]] = {
        name: {"ours": [], "theirs": []} for name in ("unlock", "read", "write")
    }
    with temporary_directory() as directory, running_server() as (url, _), Client(url) as client:
        theirs = _KeePass(directory / "notes.kdbx", phrase, notes)
        client.sign_up("ada@example.org", "correct horse battery")
        client.log_in("ada@example.org", "correct horse battery")
        client.enrol(phrase)
        with client.unlock(phrase) as vault:
            stored = [vault.put(note, name=f"note {number}") for number, note in enumerate(notes)]
        for turn in range(rounds):
            begun = time.perf_counter()
            with client.unlock(phrase) as vault:
                found["unlock"]["ours"].append((time.perf_counter() - begun) * 1000)
                chosen = stored[turn % count].object_id
                # The first read of a session lists and verifies the whole vault; a KeePass file is read whole as well.
                found["read"]["ours"].append(_ms(partial(vault.get, chosen)))
                note = os.urandom(NOTE)
                found["write"]["ours"].append(_ms(partial(vault.put, note, name="new")))
            found["unlock"]["theirs"].append(_ms(theirs.open))
            found["read"]["theirs"].append(_ms(partial(theirs.read, f"note {turn % count}")))
            found["write"]["theirs"].append(_ms(partial(theirs.write, "new", note)))
    return found


def _figure(found: Ratio) -> Figure:
    return Figure(
        name=found.name,
        floor=found.floor,
        unit="µs",
        subject=found.subject_us,
        base=found.floor_us,
        ratio=found.ratio,
        spread=found.ratio_spread,
    )


def measured(quick: bool) -> Measured:
    """Return ours over each peer's."""
    rounds = 3 if quick else ROUNDS
    figures = [_figure(each) for each in (*_opaque_ratios(rounds), *_age_ratios(rounds))]
    times = _keepass_times(rounds, 5 if quick else NOTES)
    names = {
        "unlock": f"a phrase opens {NOTES} notes",
        "read": "then one note is read",
        "write": "and one of 1 KiB added",
    }
    figures += [
        median_ratio(names[name], each["ours"], KEEPASS, each["theirs"], unit="ms") for name, each in times.items()
    ]
    return Measured(figures, {"keepass_ms": times})


if __name__ == "__main__":
    print(json.dumps(measured(len(sys.argv) > 1).details, indent=2))
