"""The runner passes the committed vectors and fails on every way a vector, a file or a directory can be wrong."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hushtag.errors import MisuseError
from hushtag.vectors import GROUPS, GroupResult, _files, find_directory, list_groups, verify
from hushtag.vectors._runner import OPERATIONS, REFERENCE_ONLY, _verify_group
from tests.vectors.documents import ROOT, Vector, vectors, write_group

GROUP = "suite/broken"
FIRST_SUCCESS: dict[str, Vector] = {}
FIRST_REFUSAL: dict[str, Vector] = {}
for _vector in vectors():
    if _vector["operation"] in OPERATIONS:
        (FIRST_SUCCESS if _vector["expect"] == "success" else FIRST_REFUSAL).setdefault(_vector["operation"], _vector)


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return [*value, "00" * 32] if isinstance(value, list) else {**value, "surplus": 1}


def corruptions(vector: Vector, *, missing: bool) -> Iterator[Vector]:
    """The vector with each of its expected values changed or missing, and with one too many."""
    expected = vector["expected"]
    for name, value in expected.items():
        yield {**vector, "name": f"{vector['name']}_{name}", "expected": {**expected, name: other(value)}}
        if missing:
            yield {**vector, "expected": {member: kept for member, kept in expected.items() if member != name}}
    yield {**vector, "expected": {**expected, "surplus": ""}}


def run(directory: Path, entries: list[Vector]) -> GroupResult:
    write_group(directory, GROUP, entries)
    return next(result for result in verify(directory) if result.group == GROUP)


@pytest.fixture(scope="module")
def ran() -> dict[str, GroupResult]:
    """Results of the committed groups, so that none is run twice."""
    return {}


def _ran(group: str, ran: dict[str, GroupResult]) -> GroupResult:
    if group not in ran:
        ran[group] = _verify_group(find_directory(), group)
    return ran[group]


@pytest.fixture
def committed(ran: dict[str, GroupResult]) -> list[GroupResult]:
    return [_ran(group, ran) for group in sorted({*GROUPS, *list_groups(find_directory())})]


@pytest.mark.parametrize("group", GROUPS)
def test_the_committed_vectors_of_a_group_pass(group: str, ran: dict[str, GroupResult]) -> None:
    assert _ran(group, ran).mismatches == []


def test_every_committed_vector_passes(committed: list[GroupResult]) -> None:
    assert [(result.group, result.mismatches) for result in committed if not result.ok] == []
    assert [result.group for result in committed] == list(GROUPS)
    everything = sum(result.passed + result.reference_only for result in committed)
    assert everything == len(list(vectors()))


def test_reference_only_vectors_are_not_counted_as_passed(committed: list[GroupResult]) -> None:
    counted = {result.group: (result.passed, result.reference_only) for result in committed}
    assert counted["independent/rfc9496_ristretto255"] == (0, 52)
    expected = sum(vector["operation"] in REFERENCE_ONLY for vector in vectors())
    assert sum(result.reference_only for result in committed) == expected


@pytest.mark.parametrize("operation", sorted(FIRST_SUCCESS))
def test_a_corrupted_expectation_fails(operation: str, tmp_path: Path) -> None:
    # An unlock takes a fifth of a second; that a missing value fails is seen well enough elsewhere.
    entries = list(corruptions(FIRST_SUCCESS[operation], missing=operation != "suite.unlock"))
    result = run(tmp_path, entries)
    assert (result.passed, len(result.mismatches)) == (0, len(entries))
    assert not result.ok


@pytest.mark.parametrize("operation", sorted(FIRST_SUCCESS))
def test_a_success_that_should_be_refused_fails(operation: str, tmp_path: Path) -> None:
    vector = {name: value for name, value in FIRST_SUCCESS[operation].items() if name != "expected"}
    result = run(tmp_path, [{**vector, "expect": expect} for expect in ("malformed", "authentication_failed")])
    assert (result.passed, len(result.mismatches)) == (0, 2)


@pytest.mark.parametrize("operation", sorted(FIRST_REFUSAL))
def test_a_refusal_of_the_wrong_kind_fails(operation: str, tmp_path: Path) -> None:
    vector = FIRST_REFUSAL[operation]
    wrong = "malformed" if vector["expect"] == "authentication_failed" else "authentication_failed"
    result = run(tmp_path, [{**vector, "expect": wrong}, {**vector, "expect": "success", "expected": {}}])
    assert (result.passed, len(result.mismatches)) == (0, 2)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_member_too_many_or_too_few_is_a_broken_vector_and_no_refusal(operation: str, tmp_path: Path) -> None:
    vector = FIRST_REFUSAL.get(operation) or FIRST_SUCCESS[operation]
    given = vector["given"]
    fewer = dict(list(given.items())[1:])
    wrong: tuple[Any, ...] = ({**given, "surplus": 1}, fewer, [])
    entries = [{**vector, "given": broken} for broken in wrong]
    result = run(tmp_path, entries)
    assert (result.passed, len(result.mismatches)) == (0, 3)
    assert all("ValidationError" in mismatch.reason for mismatch in result.mismatches)


def changed(**members: object) -> Vector:
    return {**copy.deepcopy(FIRST_SUCCESS["suite.kek"]), **members}


@pytest.mark.parametrize(
    "entry",
    [
        changed(operation="suite.unheard_of"),
        changed(operation=None),
        changed(expect="acceptable"),
        changed(expected=None),
        changed(given=None),
        {"name": "kek_bare"},
        "no vector",
        changed(given={**changed()["given"], "salt": changed()["given"]["salt"].upper()}),
        changed(given={**changed()["given"], "key_version": "1"}),
        changed(given={**changed()["given"], "key_version": 2**32}),
    ],
)
def test_a_broken_vector_fails(entry: Any, tmp_path: Path) -> None:
    result = run(tmp_path, [entry])
    assert (result.passed, len(result.mismatches), result.ok) == (0, 1, False)


DEEP = pytest.param("[" * 100_000, id="deep")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "hushtag-vectors-1"}', "\udcff", DEEP])
def test_a_broken_file_fails(content: str, tmp_path: Path) -> None:
    (tmp_path / "suite").mkdir()
    (tmp_path / f"{GROUP}.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    result = next(result for result in verify(tmp_path) if result.group == GROUP)
    assert (result.passed, result.ok) == (0, False)


def test_another_format_fails(tmp_path: Path) -> None:
    write_group(tmp_path, GROUP, [changed()])
    path = tmp_path / f"{GROUP}.json"
    path.write_text(path.read_text("utf-8").replace("hushtag-vectors-1", "hushtag-vectors-2"), "utf-8")
    assert not next(result for result in verify(tmp_path) if result.group == GROUP).ok


def test_an_empty_group_fails(tmp_path: Path) -> None:
    result = run(tmp_path, [])
    assert [mismatch.reason for mismatch in result.mismatches] == ["group is empty"]


@pytest.mark.parametrize("copies", [1, 15])
def test_a_group_that_was_cut_down_fails(copies: int, tmp_path: Path) -> None:
    write_group(tmp_path, "independent/blake3", [next(vectors("independent/blake3"))] * copies)
    result = _verify_group(tmp_path, "independent/blake3")
    assert [mismatch.reason for mismatch in result.mismatches] == ["vectors are missing: 1 of 15 are there"]
    assert (result.passed, result.ok) == (copies, False)


def test_every_missing_file_fails(tmp_path: Path) -> None:
    results = verify(tmp_path)
    assert [result.group for result in results] == list(GROUPS)
    assert {mismatch.reason for result in results for mismatch in result.mismatches} == {"file is missing"}
    assert not any(result.ok for result in results)


def test_a_crash_of_the_library_is_a_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(**_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(OPERATIONS["suite.kek"], "_implementation", crash)
    result = run(tmp_path, [changed()])
    assert [mismatch.reason for mismatch in result.mismatches] == ["RuntimeError: broken"]


def test_the_files_of_a_wheel_come_before_those_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, wheel, nothing = ROOT, tmp_path / "_vectors", tmp_path / "nothing"
    assert find_directory() in {checkout, Path(_files.__file__).parents[1] / "_vectors"}
    wheel.mkdir()
    (wheel / "schema.json").write_text(json.dumps({}))
    monkeypatch.setattr(_files, "_PLACES", (wheel, checkout))
    assert find_directory() == wheel
    monkeypatch.setattr(_files, "_PLACES", (nothing, checkout))
    assert find_directory() == checkout
    monkeypatch.setattr(_files, "_PLACES", (nothing,))
    with pytest.raises(MisuseError, match="name their directory"):
        find_directory()


def test_generators_are_no_group(tmp_path: Path) -> None:
    write_group(tmp_path, GROUP, [changed()])
    write_group(tmp_path, "generators/figures", [changed()])
    assert list_groups(tmp_path) == [GROUP]
    assert list_groups(ROOT) == list(GROUPS)
