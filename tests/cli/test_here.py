"""What is shown while a command works: to somebody who watches, and only if it takes long."""

import io
import sys
import time

import pytest

from hushtag.cli.here import Here


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def here(*, as_json: bool = False) -> Here:
    return Here(as_json=as_json, server=None, state=None, allow_insecure=False)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock: `seconds[0]` is now."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def shown_after(seconds: list[float], passed: float, monkeypatch: pytest.MonkeyPatch, screen: io.StringIO) -> str:
    monkeypatch.setattr(sys, "stderr", screen)
    with here().progress("storing", 100) as advance:
        seconds[0] += passed
        advance(50)
    return screen.getvalue()


def test_a_bar_appears_after_a_second(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "storing" in shown_after(seconds, 1.5, monkeypatch, Terminal())


def test_quick_work_shows_no_bar(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_after(seconds, 0.5, monkeypatch, Terminal()) == ""


def test_nobody_watching_sees_no_bar(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_after(seconds, 1.5, monkeypatch, io.StringIO()) == ""


def test_json_shows_nothing_but_the_outcome(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    working = here(as_json=True)
    with working.working("x"), working.progress("x", 1) as advance:
        seconds[0] += 2
        advance(1)
    working.note("x")
    working.say("for a person", value=1)
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]
    assert capsys.readouterr().out == '{"value": 1}\n'
