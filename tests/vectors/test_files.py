"""Every file follows the schema, every operation is used and run, every row of the suite is covered both ways."""

import json
import re
from collections import defaultdict
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest

from hushtag.vectors import GROUPS
from hushtag.vectors._runner import OPERATIONS as RUN_HERE
from hushtag.vectors._runner import REFERENCE_ONLY
from tests.vectors.documents import FILES, OPERATIONS, ROOT, SCHEMA, group_of, vectors

VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

# The rows of the suite (SPEC.md sections 2 to 12) and the operations whose vectors pin them down.
ROWS = {
    "suite id": {"suite.parameters"},
    "canonical phrase": {"phrase.canonicalize"},
    "candidates of an unlock": {"phrase.candidates"},
    "word list and self-check": {"phrase.self_check", "phrase.strength"},
    "stretch": {"suite.stretch"},
    "phrase key": {"suite.phrase_key"},
    "OPAQUE password": {"suite.phrase_key"},
    "OPAQUE registration": {"opaque.registration_response", "opaque.locate"},
    "OPAQUE login": {"opaque.evaluate_login", "opaque.finish_login", "opaque.finish_server_login"},
    "credential identifier": {"suite.credential_identifier"},
    "record": {"suite.record"},
    "decoy record": {"suite.decoy_record"},
    "phrase hash": {"suite.phrase_hash"},
    "KEK": {"suite.kek"},
    "wrapped key": {"suite.wrap_key"},
    "unwrapped key": {"suite.unwrap_key"},
    "tag key pair": {"suite.tag_key_pair"},
    "vault token": {"suite.vault_token"},
    "release and tickets": {"suite.release"},
    "small object, sealing": {"suite.seal_object"},
    "small object, plaintext frame and opening": {"suite.open_object"},
    "row digest": {"suite.row_digest"},
    "set hash": {"suite.set_hash"},
    "listing": {"suite.verify_listing"},
    "next head": {"suite.next_head", "suite.next_head_of_several"},
    "vault head, sealing": {"suite.seal_head"},
    "vault head, opening": {"suite.open_head"},
    "epoch code": {"suite.epoch_code", "suite.judge_code"},
    "tag label, sealing": {"suite.seal_label"},
    "tag label, opening": {"suite.open_label"},
    "recovery code": {"phrase.recovery"},
    "device secret": {"suite.device_name", "suite.write_device_text", "suite.read_device_text"},
    "pairing": {"suite.spake2", "suite.pairing_keys", "suite.seal_carried_secret", "suite.open_carried_secret"},
    "ring": {"suite.ring_digest", "suite.check_ring"},
    "data key sealed to a tag": {"suite.open_sealed_key"},
    "old data key": {"suite.seal_old_key", "suite.open_old_key"},
    "succession": {"suite.prove_succession", "suite.follow"},
    "shape of a stream": {"suite.stream_shape"},
    "segment": {"suite.open_segment"},
    "content of a large object": {"suite.read_segment"},
    "large object's row, sealing": {"suite.seal_descriptor"},
    "large object's row, opening": {"suite.open_descriptor"},
    "unlock": {"suite.unlock"},
    "binary fields": {"wire.decode_binary"},
}
# A formula over all numbers refuses none.
ONLY_POSITIVE = {"suite.padded_length", "suite.pin_keys", "suite.segment_context", "suite.stream_root"}


def by_operation() -> dict[str, set[str]]:
    """Which outcomes the vectors of each operation expect."""
    seen: dict[str, set[str]] = defaultdict(set)
    for vector in vectors():
        seen[vector["operation"]].add(vector["expect"])
    return seen


@pytest.mark.parametrize("path", FILES, ids=group_of)
def test_a_file_follows_the_schema(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    problem = jsonschema.exceptions.best_match(VALIDATOR.iter_errors(document))
    assert problem is None, f"{problem.json_path}: {problem.message[:300]}"
    assert (path.parent / document["$schema"]).resolve() == ROOT / "schema.json"
    assert document["area"] == path.stem


@pytest.mark.parametrize("path", FILES, ids=group_of)
def test_names_are_unique_and_say_area_and_condition(path: Path) -> None:
    names = [vector["name"] for vector in vectors(group_of(path))]
    assert len(set(names)) == len(names) > 0
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name)] == []


def test_the_runner_expects_exactly_the_files_and_vectors_there_are() -> None:
    assert {group_of(path): len(list(vectors(group_of(path)))) for path in FILES} == GROUPS
    assert list(GROUPS) == sorted(GROUPS)


def test_every_operation_is_run_by_the_library_or_by_the_reference() -> None:
    assert set(RUN_HERE) | REFERENCE_ONLY == OPERATIONS
    assert set(RUN_HERE) & REFERENCE_ONLY == set()


def test_every_operation_has_vectors() -> None:
    assert set(by_operation()) == OPERATIONS


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_suite_has_a_positive_and_a_negative_vector(row: str) -> None:
    outcomes = set().union(*(by_operation()[operation] for operation in ROWS[row]))
    assert "success" in outcomes
    assert outcomes & {"malformed", "authentication_failed"}


def test_every_operation_of_the_suite_belongs_to_a_row() -> None:
    covered = set().union(*ROWS.values()) | ONLY_POSITIVE | REFERENCE_ONLY
    assert {name for name in OPERATIONS if not name.startswith("independent.")} - covered == set()


def test_the_readme_names_every_file() -> None:
    named = re.findall(r"^\| `(\w+/\w+)\.json`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(group_of(path) for path in FILES)
