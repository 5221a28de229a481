"""What is misused is refused with an error that says so, before anything of it is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from hushtag.errors import MisuseError
from tests.client.fake_server import FakeServer
from tests.client.plain_calls import ENTRY, ID, REMINDER


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
