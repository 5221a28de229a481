"""What is misused is refused with an error that says so, before anything of it is sent."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from hushtag.client import RetryPolicy, Timeouts
from hushtag.client.storing_steps import SMALL_OBJECT_BYTES
from hushtag.errors import MisuseError
from hushtag.journal_messages import NewJournal
from tests.client.fake_server import FakeServer, Fault
from tests.client.plain_calls import ENTRY, ID, REMINDER
from tests.client.support import OTHER_PHRASE, PHRASE


@pytest.mark.parametrize(
    "call",
    [
        lambda journal: list(journal.list(tag="trash")),
        lambda journal: list(journal.search("river", moodmin=9)),
        lambda journal: journal.facets("river", private=True),
        lambda journal: list(journal.export(mood_min=3, until=None)),
    ],
)
def test_a_filter_that_does_not_exist_is_none(client: Any, server: FakeServer, call: Callable[[Any], Any]) -> None:
    """It was dropped, and everything came that it should have left out."""
    server.log.clear()
    with pytest.raises(TypeError, match=r"'(tag|moodmin|private|until)'"):
        call(client.journal)
    assert server.log == []


@pytest.mark.parametrize(
    ("group", "change", "other"),
    [
        ("journal", lambda journal, given: journal.edit(given, title="unseen"), REMINDER),
        ("journal", lambda journal, given: journal.delete(given), REMINDER),
        ("reminders", lambda reminders, given: reminders.edit(given, title="unseen"), ENTRY),
        ("reminders", lambda reminders, given: reminders.delete(given), ENTRY),
    ],
)
def test_what_was_not_read_is_not_changed(
    client: Any, server: FakeServer, group: str, change: Callable[[Any, Any], Any], other: Any
) -> None:
    """The `version` of an id, mostly 4, was taken for that of the entry."""
    server.log.clear()
    for given in (ID, str(ID), other):
        with pytest.raises(MisuseError, match="pass what was read"):
            change(getattr(client, group), given)
    assert server.log == []


@pytest.mark.parametrize(
    "call",
    [
        lambda client, _: client.unlock(None),
        lambda client, _: client.unlock(5),
        lambda client, _: client.unlock(PHRASE, epoch_code=5),
        lambda client, _: client.unlock(PHRASE, device_secret=5),
        lambda client, _: client.unlock(PHRASE, device_secret="s" * 32),
        lambda client, _: client.enrol(OTHER_PHRASE, label=None),
        lambda _, vault: vault.add_phrase(OTHER_PHRASE, label=5),
        lambda _, vault: vault.put(b"body", name=5),
        lambda _, vault: vault.put(b"body", name=b"name"),
        lambda _, vault: vault.change_phrase(vault.tag_id, OTHER_PHRASE, label=b"mine"),
        lambda _, vault: vault.check_epoch(None),
        lambda client, _: client.journal.create("a walk", tags="walks"),
        lambda client, _: client.journal.create("a walk", tags=None),
        lambda client, _: client.journal.create("a walk", content=b"along the river"),
        lambda client, _: client.journal.create_many("ab"),
        lambda client, _: client.journal.create_many([NewJournal("a walk", tags=[b"walks"])]),  # type: ignore[list-item]
        lambda client, _: client.journal.edit(ENTRY, tags="walks"),
        lambda client, _: list(client.journal.list(tags="walks")),
        lambda client, _: list(client.journal.list(deleted="any")),
        lambda client, _: list(client.journal.list(start="2026-01-01")),
        lambda client, _: list(client.journal.export(end=None)),
        lambda client, _: client.journal.facets("river", is_private="no"),
        lambda client, _: list(client.profile.audit(since="2026-01-01")),
        lambda client, _: list(client.reminders.events(wait="5")),
    ],
)
def test_what_is_of_another_type_is_misuse(
    client: Any, vault: Any, server: FakeServer, call: Callable[[Any, Any], Any]
) -> None:
    server.log.clear()
    with pytest.raises(MisuseError, match=r" (is|are) .*, not (NoneType|int|str|bytes)$"):
        call(client, vault)
    assert [line for line in server.log if not line.startswith("GET ")] == []


def test_a_type_that_no_request_holds_is_misuse(client: Any, server: FakeServer) -> None:
    """Not the `TypeError` of what writes JSON."""
    server.log.clear()
    with pytest.raises(MisuseError, match="not ZoneInfo"):
        client.reminders.create("tea", REMINDER.reminder_time, time_zone=ZoneInfo("Europe/Berlin"))
    with pytest.raises(MisuseError, match="start is a date, not datetime"):
        list(client.journal.list(start=REMINDER.reminder_time))
    with pytest.raises(MisuseError, match="gives text"):
        client.import_data(io.StringIO("archive"))
    assert server.log == []


@pytest.mark.parametrize("raised", [StopIteration, StopAsyncIteration])
def test_a_callback_ends_no_iteration(
    client: Any, vault: Any, server: FakeServer, raised: type[Exception], tmp_path: Path
) -> None:
    """The steps made a RuntimeError of `StopIteration`, that of a put with causes that ran in a circle."""

    def progress(*_: int) -> None:
        raise raised

    zipped = httpx.Response(200, headers={"Content-Type": "application/zip"}, content=b"PK")
    server.faults = [Fault("GET", "/me/export", answer=zipped)]
    large = bytes(SMALL_OBJECT_BYTES + 1)
    small = vault.put(b"a", name="small", on_progress=progress)  # is told of nothing
    stored = vault.put(large, name="large")
    for call in (
        lambda: vault.put(large, name="again", on_progress=progress),
        lambda: vault.get_to(small.object_id, tmp_path / "small", on_progress=progress),
        lambda: vault.get_to(stored.object_id, tmp_path / "large", on_progress=progress),
        lambda: vault.reseal(progress),
        lambda: client.export_data(tmp_path / "archive", on_progress=progress),
        lambda: client.import_data(io.BytesIO(b"archive"), progress),
    ):
        with pytest.raises(MisuseError, match=f"a callback raises {raised.__name__}") as caught:
            call()
        assert_ends(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert {entry.name for entry in vault.list()} == {"small", "large"}


def assert_ends(error: BaseException | None, *above: BaseException) -> None:
    """No chain of an error runs in a circle."""
    assert error not in above
    if error is not None:
        assert_ends(error.__cause__, error, *above)
        assert_ends(error.__context__, error, *above)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, None, "5"])
def test_a_time_that_is_none_is_refused_where_it_is_said(value: Any) -> None:
    """Only the first request met it, with an error of the socket's."""
    for name in ("connect", "read", "overall"):
        with pytest.raises(MisuseError, match=rf"^{name} of a Timeouts is a finite number of 0 or more$"):
            Timeouts(**{name: value})
    with pytest.raises(MisuseError, match=r"^first_pause of a RetryPolicy is"):
        RetryPolicy(first_pause=value)


@pytest.mark.parametrize("name", ["reads", "changes"])
def test_what_is_never_tried_is_no_policy(name: str) -> None:
    with pytest.raises(MisuseError, match="the first attempt counts"):
        RetryPolicy(**{name: 0})  # type: ignore[arg-type]  # mypy takes what is unpacked for any of the fields
