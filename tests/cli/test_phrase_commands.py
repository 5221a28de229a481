"""phrase draw, check, canonical: they need no server, no state and no network."""

import pytest

from hushtag.phrase import canonicalize, check_phrase
from tests.cli.conftest import Run, as_json, error_of
from tests.client.support import PHRASE


def test_draw_prints_a_phrase_that_is_strong_enough(run: Run) -> None:
    drawn = as_json(run("phrase", "draw", "--json"))
    assert check_phrase(drawn["phrase"]).bits == drawn["bits"] >= 50
    assert drawn["words"] == 6
    plain = run("phrase", "draw", "--words", "8")
    assert len(plain.stdout.split()) == 8
    assert "bits" in plain.stderr
    assert error_of(run("phrase", "draw", "--words", "5", "--json"))["code"] == "misuse"


def test_check_tells_the_strength_and_refuses_weak_phrases(run: Run) -> None:
    shown = as_json(run("phrase", "check", "--phrase-stdin", "--json", input=f"{PHRASE.upper()}!\n"))
    assert shown == {"bits": check_phrase(PHRASE).bits, "words": 6, "drawn": True}
    weak = run("phrase", "check", "--phrase-stdin", input="open sesame\n")
    assert weak.exit_code == 2
    assert "words" in weak.stderr
    assert "sesame" not in weak.stderr + weak.stdout


@pytest.mark.parametrize("transcript", ["Twenty-One Pelicans!", "Café au lait"])
def test_canonical_prints_the_canonical_form(run: Run, transcript: str) -> None:
    shown = run("phrase", "canonical", "--phrase-stdin", input=transcript + "\n")
    assert shown.stdout == canonicalize(transcript) + "\n"


def test_a_text_that_is_no_phrase_is_exit_2(run: Run) -> None:
    refused = run("phrase", "canonical", "--phrase-stdin", "--json", input="½\n")
    assert (refused.exit_code, error_of(refused)["code"]) == (2, "phrase")
