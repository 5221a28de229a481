"""Labels are unique, none is a prefix of another, and SPEC.md names each."""

from itertools import permutations
from pathlib import Path

from hushtag import _labels

LABELS = {name: value for name, value in vars(_labels).items() if name.isupper()}


def test_labels_are_unique_and_none_is_a_prefix_of_another() -> None:
    assert len(LABELS) >= 15
    clashes = [(a, b) for a, b in permutations(LABELS, 2) if LABELS[a].startswith(LABELS[b])]
    assert clashes == []


def test_person_labels_fit_blake2s() -> None:
    assert all(len(value) == 8 for name, value in LABELS.items() if name.endswith("_PERSON"))


def test_every_label_has_a_purpose_line_and_stands_in_the_specification() -> None:
    source = Path(_labels.__file__).read_text()
    specification = (Path(__file__).parents[2] / "SPEC.md").read_text()
    for name, value in LABELS.items():
        assert f'{name} = b"{value.decode()}"  # ' in source
        assert value.decode() in specification, name
