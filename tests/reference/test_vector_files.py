"""The files of independent vectors: a closed schema, and generators that return them byte for byte."""

import importlib
import json
import re
from pathlib import Path

import jsonschema
import pytest

# Generators are found by name, like the files they write.
shape = importlib.import_module("vectors.generators.independent_support.shape")
published = importlib.import_module("vectors.generators.independent_support.published")

ROOT = Path(__file__).parents[2] / "vectors"
FILES = sorted(path for path in ROOT.glob("*/*.json") if path.parent.name != "generators")
GENERATORS = sorted(path.stem for path in (ROOT / "generators").glob("independent_*.py"))
SCHEMA = json.loads((ROOT / "schema.json").read_text(encoding="utf-8"))
OPERATIONS = {name: definition for name, definition in SCHEMA["$defs"].items() if "." in name}
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def example():
    """A small valid document to break."""
    return {
        "$schema": "../schema.json",
        "format": "hushtag-vectors-1",
        "area": "blake3",
        "source": "somewhere",
        "vectors": [
            {
                "name": "blake3_empty",
                "description": "nothing hashed",
                "operation": "independent.blake3",
                "given": {"data": ""},
                "expect": "success",
                "expected": {"digest": "00" * 32},
            }
        ],
    }


def test_there_are_files():
    assert len(FILES) >= len(GENERATORS) > 0


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_returns_its_file_byte_for_byte(name):
    generated = importlib.import_module(f"vectors.generators.{name}").generate()
    assert list(generated) == [f"independent/{name.removeprefix('independent_')}.json"]
    for path, document in generated.items():
        assert (ROOT / path).read_text(encoding="utf-8") == shape.dumps(document)


def test_every_independent_file_has_a_generator():
    assert [path.stem for path in FILES if path.parent.name == "independent"] == [
        name.removeprefix("independent_") for name in GENERATORS
    ]


def test_the_schema_itself_is_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_operation_of_the_schema_is_reachable_and_closed():
    listed = [reference["$ref"].removeprefix("#/$defs/") for reference in SCHEMA["$defs"]["vector"]["oneOf"]]
    assert listed == list(OPERATIONS)
    for name, definition in OPERATIONS.items():
        members = definition["properties"]
        assert members["operation"] == {"const": name}
        assert members["given"]["additionalProperties"] is False
        assert members["expected"]["additionalProperties"] is False


def test_the_example_is_valid():
    assert VALIDATOR.is_valid(example())


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ((), {"surplus": 1}),
        ((), {"format": "hushtag-vectors-2"}),
        ((), {"vectors": []}),
        (("vectors", 0), {"surplus": 1}),
        (("vectors", 0), {"name": "Blake3_Empty"}),
        (("vectors", 0), {"operation": "independent.blake4"}),
        (("vectors", 0), {"expect": "acceptable"}),
        (("vectors", 0), {"expect": "malformed"}),
        (("vectors", 0), {"given": {}}),
        (("vectors", 0, "given"), {"surplus": ""}),
        (("vectors", 0, "given"), {"data": "0"}),
        (("vectors", 0, "given"), {"data": "AB"}),
        (("vectors", 0, "expected"), {"surplus": ""}),
        (("vectors", 0, "expected"), {"digest": "00" * 31}),
    ],
)
def test_the_schema_refuses(place, change):
    document = target = example()
    for step in place:
        target = target[step]
    target.update(change)
    assert not VALIDATOR.is_valid(document)


def test_a_success_without_expected_values_is_refused():
    document = example()
    del document["vectors"][0]["expected"]
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(ValueError, match="expected values"):
        shape.vector("blake3_empty", "", "blake3", {})


def test_the_readme_names_every_independent_file_and_no_other():
    named = re.findall(r"`independent/(\w+)\.json`", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(path.stem for path in FILES if path.parent.name == "independent")


def test_the_reader_of_response_files_keeps_sections_and_failures():
    cases = list(published.read("ciphers/AES/GCM/gcmDecrypt256.rsp"))
    assert len(cases) == 7875
    assert {case.section["keylen"] for case in cases} == {256}
    assert all(("pt" in case.fields) != case.fails for case in cases)
