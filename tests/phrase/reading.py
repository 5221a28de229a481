"""A canonical form, or the refusal, as one value; the vectors of phrases as cases of pytest."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from hushtag.errors import PhraseError
from hushtag.phrase import canonicalize

ROOT = Path(__file__).parents[2]
REFUSED = "!"


def form(transcript: str) -> str:
    """The canonical form, or `REFUSED`, which no canonical form can be."""
    try:
        return canonicalize(transcript)
    except PhraseError:
        return REFUSED


def vectors(area: str) -> list[Any]:
    """The vectors of one file."""
    document = json.loads((ROOT / "vectors" / "phrase" / f"{area}.json").read_text("utf-8"))
    return [pytest.param(vector, id=vector["name"]) for vector in document["vectors"]]


def examples(count: int) -> settings:
    """So many examples without a deadline; under the profile of `make mutation` no more than its few."""
    if settings.get_current_profile_name() == "mutation":
        return settings(deadline=None)
    return settings(max_examples=count, deadline=None)
