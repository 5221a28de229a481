"""Every input of the fuzzing corpus passes its target, without a fuzzer: what was found once stays fixed."""

import json
from io import BytesIO
from pathlib import Path

import pytest

from fuzz import seeds
from fuzz.all_targets import TARGETS
from fuzz.target import CORPUS, BrokenInvariantError, corpus_of, hold
from fuzz.wire_targets import MESSAGES
from hushtag.client import archive_file
from hushtag.errors import MalformedError
from hushtag_server.operation.failures import BackupDamagedError
from hushtag_server.operation.manifest import read_manifest
from hushtag_server.transfer.archive import Archive
from hushtag_server.wire import decode_message


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_of_the_corpus_is_a_finding(name: str) -> None:
    inputs = corpus_of(name)
    assert inputs
    for path in inputs:
        TARGETS[name].check(path.read_bytes())


def test_the_corpus_belongs_to_targets_and_is_small() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000


def test_the_committed_seeds_are_what_their_generator_makes() -> None:
    """`python -m fuzz.seeds` writes them anew after the vectors or the messages have changed."""
    assert {path.relative_to(CORPUS).as_posix() for path in CORPUS.glob("*/seed-*")} == set(seeds.files())


def test_the_seeds_of_archive_and_messages_are_valid() -> None:
    """A fuzzer that starts from refused inputs would take hours to get behind the first check."""
    archive = seeds._archive()
    Archive(BytesIO(archive), len(archive)).check()
    valid = [kind for kind in MESSAGES if _decodes(kind)]
    assert {kind.__name__ for kind in set(MESSAGES) - set(valid)} <= {"ArchivedReminder"}


def _decodes(kind: type) -> bool:
    try:
        decode_message(kind, json.dumps(seeds._example(kind)).encode())
    except Exception:
        return False
    return True


def test_a_broken_promise_is_a_finding() -> None:
    with pytest.raises(BrokenInvariantError, match="one spelling"):
        hold(False, "a value has one spelling")
    assert not issubclass(BrokenInvariantError, MalformedError)


@pytest.mark.parametrize("change", [0x01, 0xFF])
def test_an_archive_with_any_byte_changed_is_refused_with_the_clients_error(change: int, tmp_path: Path) -> None:
    """`zipfile` lets errors of zlib, struct and the file system through; none of them may get out."""
    archive, path = seeds._archive(), tmp_path / "export.zip"
    refused = 0
    for place in range(len(archive)):
        path.write_bytes(archive[:place] + bytes([archive[place] ^ change]) + archive[place + 1 :])
        try:
            archive_file._verify(path)
        except MalformedError:
            refused += 1
    assert refused > len(archive) // 2  # times and flags of a member are nothing a checksum covers


def test_a_manifest_that_is_not_utf8_is_a_damaged_backup() -> None:
    content = b'{"form\xfbt":1}'
    with pytest.raises(BackupDamagedError):
        read_manifest(len(content).to_bytes(4) + content)
