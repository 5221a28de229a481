"""What is no id never becomes part of a path: httpx resolves `..`, which would lead to something else."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from hushtag.errors import MisuseError
from tests.client.fake_server import FakeServer

ELSEWHERE = f"../journals/{uuid4()}"
ID = uuid4()
OF_THE_ACCOUNT: list[Callable[[Any], Any]] = [
    lambda client: client.revoke_session(ELSEWHERE),
    lambda client: client.journal.get(ELSEWHERE),
    lambda client: client.journal.create("a", content="b", journal_id=ELSEWHERE),
    lambda client: client.journal.restore(ELSEWHERE),
    lambda client: client.journal.erase(ELSEWHERE),
    lambda client: client.journal.add_tag(ID, ELSEWHERE),
    lambda client: client.journal.remove_tag(ELSEWHERE, ID),
    lambda client: client.journal.tags.get(ELSEWHERE),
    lambda client: client.journal.tags.edit(ELSEWHERE, name="a"),
    lambda client: client.journal.tags.delete(ELSEWHERE),
    lambda client: client.journal.tags.merge(ID, ELSEWHERE),
    lambda client: client.reminders.get(ELSEWHERE),
    lambda client: client.reminders.complete(ELSEWHERE),
    lambda client: client.reminders.reopen(ELSEWHERE),
    lambda client: client.reminders.snooze(ELSEWHERE, minutes=5),
    lambda client: client.reminders.occurrences(None),
]
OF_THE_VAULT: list[Callable[[Any], Any]] = [
    lambda vault: vault.get(ELSEWHERE),
    lambda vault: vault.open(ELSEWHERE),
    lambda vault: vault.delete(ELSEWHERE),
    lambda vault: vault.put(b"x", name="x", replace=ELSEWHERE),
    lambda vault: vault.revoke_phrase(ELSEWHERE),
    lambda vault: vault.change_phrase(ELSEWHERE, "a phrase"),
    lambda vault: vault.set_duress("a phrase", tag_id=ELSEWHERE),
    lambda vault: vault.clear_duress(ELSEWHERE),
]


def test_what_is_no_id_is_sent_nowhere(client: Any, vault: Any, server: FakeServer) -> None:
    server.log.clear()
    for subject, calls in ((client, OF_THE_ACCOUNT), (vault, OF_THE_VAULT)):
        for call in calls:
            with pytest.raises(MisuseError, match="an id is a UUID"):
                call(subject)
    assert server.log == []


def test_the_text_of_an_id_is_as_good_as_the_id(vault: Any) -> None:
    stored = vault.put(b"one", name="a")
    vault.put(b"two", name="a", replace=str(stored.object_id))
    assert vault.get(str(stored.object_id)).body == b"two"
    vault.delete(str(stored.object_id).upper())
    assert vault.list() == ()
