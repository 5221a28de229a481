"""What is misused is refused with an error that says so, before anything of it is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.client.fake_server import FakeServer


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
