"""Which tests begin first when several workers share them (`make test`).

The tests of a file stay at one worker (`--dist loadfile`), so that what they share is made once. The files named here
begin before all others, the longest first, so that no worker is left alone with a long one at the end.
"""

import pytest

__all__ = ["pytest_collection_modifyitems"]

LONGEST_FIRST = (
    "tests/evil/test_campaign.py",
    "tests/server/test_fuzz_api.py",
    "tests/server/test_shutdown.py",
    "tests/promises/test_p9_kill.py",
    "tests/documents/test_readme.py",
    "tests/client/test_real_server.py",
    "tests/client/test_any_plain_answer.py",
    "tests/reminders/test_streams.py",
    "tests/client/test_plain_breaks.py",
    "tests/accounts/test_hash_queue.py",
    "tests/cli/test_plain_commands.py",
    "tests/streams/test_kill.py",
    "tests/phrase/test_canonical.py",
    "tests/machine/test_machine.py",
    "tests/server/test_hardening.py",
    "tests/operation/test_commands.py",
    "tests/operation/test_key_commands.py",
    "tests/server/test_migrations.py",
    "tests/schema/test_versions.py",
    "tests/client/test_killed_uploads.py",
    "tests/transfer/test_client.py",
    "tests/transfer/test_memory.py",
    "tests/promises/test_p7_guesses.py",
    "tests/promises/test_p6_absence.py",
    "tests/promises/test_p2_canaries.py",
    "tests/server/test_embedded.py",
)
_PLACES = {name: place for place, name in enumerate(LONGEST_FIRST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the long ones to the front."""
    items.sort(key=lambda item: _PLACES.get(item.nodeid.partition("::")[0], len(_PLACES)))
