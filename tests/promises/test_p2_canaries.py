"""Promise P2: the server never sees phrase, keys, names, types or content. The demonstration's search, as a test."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hushtag.cli import demo
from hushtag.cli.canaries import Canary
from hushtag.cli.demo_server import DemoServer
from hushtag.cli.group import cli


@pytest.fixture(scope="module")
def outcome() -> demo.Outcome:
    return demo.run_demo()


def test_nothing_secret_is_in_dump_log_wal_key_file_or_traffic(outcome: demo.Outcome) -> None:
    assert outcome.sightings == []
    assert set(outcome.places) == {
        "database dump",
        "write-ahead log",
        "log of the server",
        "log of PostgreSQL",
        "key file",
        "traffic",
    }
    assert all(outcome.places.values())
    assert outcome.held, outcome.checks


def test_what_the_second_process_sent_and_got_is_shown_and_searched(outcome: demo.Outcome) -> None:
    steps = [exchange.step for exchange in outcome.exchanges]
    assert steps.count("POST … sessions") == 2  # one of each process
    assert steps.count("POST … finish") == 2  # the wrong phrase gets no further than its start
    assert [len(each.received) > 2**20 for each in outcome.exchanges if each.step == "GET … segments"] == [True]


def test_every_kind_of_secret_was_searched_for(outcome: demo.Outcome) -> None:
    names = {canary.name.split(" of ")[0] for canary in outcome.canaries}
    assert names == {
        "phrase",
        "half the phrase",
        "stretch",
        "phrase key",
        "OPAQUE password",
        "data key",
        "label",
        "name",
        "content",
        "type",
    }


def test_a_leak_into_any_place_is_sighted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = Canary("phrase", b"six words that nobody may read")
    leaks = [(place, b"before " + secret.value.hex().encode()) for place in ("database dump", "log of the server")]
    monkeypatch.setattr(demo, "left_behind", lambda _: iter(leaks))
    outcome = demo.Outcome(checks=[("before", True)], canaries=[secret])
    demo._inspect(DemoServer("http://127.0.0.1:1", tmp_path, tmp_path), demo.Account(), outcome)
    assert [sighting.place for sighting in outcome.sightings] == ["database dump", "log of the server"]
    assert not outcome.held


@pytest.mark.parametrize(("held", "code"), [(True, 0), (False, 1)])
def test_the_command_ends_with_zero_only_when_everything_held(
    outcome: demo.Outcome, monkeypatch: pytest.MonkeyPatch, held: bool, code: int
) -> None:
    shown = outcome if held else demo.Outcome(checks=[("something", False)])
    monkeypatch.setattr(demo, "run_demo", lambda *_: shown)
    done = CliRunner().invoke(cli, ["demo", "--json"])
    assert done.exit_code == code, done.stderr
    told = json.loads(done.stdout)
    assert (told["held"], told["found"]) == (held, [])
