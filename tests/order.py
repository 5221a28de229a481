"""Which tests begin first, and which stay together, when several workers share them (`make test`).

The tests of a file stay together at one worker, so that what they share is made once. A file of LONGEST_FIRST begins
before all that are not named there, so that no worker is left alone with a long one at the end; and where its tests
share nothing that takes time, each of them goes to whichever worker is free.
"""

from enum import Enum

import pytest

__all__ = ["pytest_collection_modifyitems"]


class Tests(Enum):
    """How the tests of a file are shared out."""

    TOGETHER = "at one worker: they share a server or something else that takes time to make"
    APART = "each at whichever worker is free"


LONGEST_FIRST = {
    "tests/server/test_fuzz_api.py": Tests.TOGETHER,
    "tests/promises/test_p9_kill.py": Tests.APART,
    "tests/documents/test_readme.py": Tests.TOGETHER,
    "tests/client/test_real_server.py": Tests.TOGETHER,
    "tests/cli/test_trees.py": Tests.APART,
    "tests/reminders/test_streams.py": Tests.TOGETHER,
    "tests/cli/test_plain_commands.py": Tests.TOGETHER,
    "tests/server/test_hardening.py": Tests.TOGETHER,
    "tests/server/test_shutdown.py": Tests.APART,
    "tests/evil/test_campaign.py": Tests.APART,
    "tests/phrase/test_canonical.py": Tests.APART,
    "tests/machine/test_machine.py": Tests.APART,
    "tests/streams/test_kill.py": Tests.APART,
    "tests/client/test_killed_uploads.py": Tests.TOGETHER,
    "tests/schema/test_versions.py": Tests.TOGETHER,
    "tests/promises/test_p2_canaries.py": Tests.TOGETHER,
    "tests/promises/test_p6_absence.py": Tests.APART,
    "tests/promises/test_p7_guesses.py": Tests.APART,
    "tests/transfer/test_client.py": Tests.TOGETHER,
    "tests/accounts/test_hash_queue.py": Tests.APART,
    "tests/server/test_embedded.py": Tests.APART,
}
_PLACES = {name: place for place, name in enumerate(LONGEST_FIRST)}


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the marks in this hook too
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring the long ones to the front, and mark what stays together."""
    for item in items if config.pluginmanager.has_plugin("xdist") else []:
        file = item.nodeid.split("::")[0]
        if LONGEST_FIRST.get(file) is not Tests.APART and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(file))
    items.sort(key=lambda item: _PLACES.get(item.nodeid.split("::")[0], len(_PLACES)))
