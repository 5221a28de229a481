"""Every input of the fuzzing corpus passes its target, without a fuzzer: what was found once stays fixed."""

import json
from io import BytesIO

import pytest

from fuzz import seeds
from fuzz.all_targets import TARGETS
from fuzz.target import CORPUS, BrokenInvariantError, corpus_of, hold
from fuzz.wire_targets import MESSAGES
from hushtag.errors import MalformedError
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
