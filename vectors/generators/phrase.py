"""Vectors of `phrase-v1`, the self-check and the strength floor.

Transcripts and canonical forms are written by hand from SPEC.md; none is computed by the code under test. Code points
that cannot be told by eye are escaped.
"""

from typing import Any

from .phrase_support.canonical_cases import FORMS, REFUSALS
from .phrase_support.strength_cases import DRAWN, FAILING, FREE, PASSING, WEAK

_SOURCE = "SPEC.md, Phrases: written by hand"


def generate() -> dict[str, dict[str, Any]]:
    """Return the documents by their path under `vectors/`."""
    return dict(
        [
            _document("canonical", [*map(_form, FORMS), *map(_refusal, REFUSALS)]),
            _document("self_check", [_self_check(*case, True) for case in PASSING] + _failing()),
            _document("strength", [_strength(*case) for case in (*DRAWN, *FREE)] + [_weak(*case) for case in WEAK]),
        ]
    )


def _document(area: str, vectors: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return f"phrase/{area}.json", {
        "$schema": "../schema.json",
        "format": "hushtag-vectors-1",
        "area": area,
        "source": _SOURCE,
        "vectors": vectors,
    }


def _vector(
    name: str, description: str, operation: str, given: dict[str, str], expected: dict[str, Any] | None
) -> dict[str, Any]:
    vector: dict[str, Any] = {
        "name": name,
        "description": description,
        "operation": f"phrase.{operation}",
        "given": given,
        "expect": "malformed" if expected is None else "success",
    }
    return vector if expected is None else {**vector, "expected": expected}


def _form(case: tuple[str, str, str, str]) -> dict[str, Any]:
    name, description, transcript, canonical = case
    return _vector(name, description, "canonicalize", {"transcript": transcript}, {"canonical": canonical})


def _refusal(case: tuple[str, str, str]) -> dict[str, Any]:
    name, description, transcript = case
    return _vector(name, description, "canonicalize", {"transcript": transcript}, None)


def _self_check(name: str, description: str, canonical: str, passes: bool) -> dict[str, Any]:
    return _vector(name, description, "self_check", {"canonical": canonical}, {"passes": passes})


def _failing() -> list[dict[str, Any]]:
    return [_self_check(*case, False) for case in FAILING]


def _strength(name: str, description: str, canonical: str, bits: float) -> dict[str, Any]:
    return _vector(name, description, "strength", {"canonical": canonical}, {"bits": bits})


def _weak(name: str, description: str, canonical: str) -> dict[str, Any]:
    return _vector(name, description, "strength", {"canonical": canonical}, None)
