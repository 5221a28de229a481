"""Many objects deleted in one change: all of a group or none, whatever breaks and whoever writes as well."""

import os
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from hushtag.client import (
    ConflictError,
    NewObject,
    NotFoundError,
    OutcomeUnknownError,
    SessionExpiredError,
    VaultLockedError,
)
from hushtag.errors import MalformedError, MisuseError, RollbackError
from hushtag.messages import MAX_OBJECTS_TOGETHER, ObjectsDeleted
from tests.client.fake_server import FakeServer, Fault, problem, the_vault
from tests.client.support import NO_PAUSE
from tests.client.test_changes import BREAKS, HEAD, meanwhile

DELETION = r"/objects/deletion$"


def stored(vault: Any, number: int) -> list[UUID]:
    return [each.object_id for each in vault.put_many(NewObject(b"%d" % n, f"{n:04}") for n in range(number))]


def methods(server: FakeServer) -> list[str]:
    return [line.split(" ")[0] for line in server.log]


def test_objects_are_deleted_in_one_change(vault: Any, other_vault: Any, server: FakeServer) -> None:
    film = vault.put(os.urandom(300_000), name="film").object_id
    one, two, three = stored(vault, 3)
    server.log.clear()
    told: list[UUID] = []
    assert vault.delete_many(iter([two, film, two, one]), on_deleted=told.append) == (two, film, one)
    assert (told, methods(server)) == ([two, film, one], ["POST"])
    assert (the_vault(server).generation, the_vault(server).streams) == (4, {})
    for each in (vault, other_vault):
        assert [entry.object_id for entry in each.list()] == [three]
    with pytest.raises(NotFoundError):
        vault.get(one)
    assert vault.delete_many([]) == ()


def test_as_many_go_together_as_a_message_takes(vault: Any, server: FakeServer) -> None:
    ids = stored(vault, 2 * MAX_OBJECTS_TOGETHER + 1)
    vault.put(b"kept", name="kept")
    server.log.clear()
    assert list(vault.delete_many(ids)) == ids
    assert methods(server) == ["POST", "POST", "DELETE"]  # the last one is alone
    assert [entry.name for entry in vault.list()] == ["kept"]


def test_what_is_not_there_is_passed_over(sync_vault: Any, other_vault: Any, server: FakeServer) -> None:
    one, two, three = stored(sync_vault, 3)
    other_vault.delete(two)
    told: list[UUID] = []
    assert sync_vault.delete_many([uuid4(), two, three, uuid4(), one], on_deleted=told.append) == (three, one)
    assert told == [three, one]
    server.log.clear()
    assert sync_vault.delete_many([one, two, three]) == ()
    assert methods(server) == ["GET"]  # one look for all of them
    assert sync_vault.list() == ()


def test_what_somebody_stored_since_the_listing_is_deleted_as_well(sync_vault: Any, other_vault: Any) -> None:
    one = sync_vault.put(b"one", name="one").object_id
    sync_vault.list()
    two = other_vault.put(b"two", name="two").object_id
    assert sync_vault.delete_many([one, two]) == (one, two)
    assert other_vault.list() == ()


@pytest.mark.parametrize("fault", BREAKS)
def test_a_deletion_whose_answer_is_lost_is_made_exactly_once(
    sync_vault: Any, server: FakeServer, fault: Fault
) -> None:
    ids = stored(sync_vault, 3)
    kept = sync_vault.put(b"kept", name="kept").object_id
    server.faults = [Fault("POST", DELETION, fault.when, fault.failure, fault.answer)]
    server.log.clear()
    assert list(sync_vault.delete_many(ids)) == ids
    assert methods(server).count("POST") == (1 if fault.when == "after" else 2)
    assert [entry.object_id for entry in sync_vault.list()] == [kept]
    assert the_vault(server).generation == 4


@pytest.mark.parametrize("lost", [False, True])
def test_what_somebody_else_deletes_meanwhile_is_left_out_of_the_next_attempt(
    sync_vault: Any, other_vault: Any, server: FakeServer, lost: bool
) -> None:
    one, two, three = stored(sync_vault, 3)
    other_vault.list()
    other_vault.delete(two)
    server.faults = [Fault("POST", DELETION, "before")] if lost else []
    server.log.clear()
    told: list[UUID] = []
    assert sync_vault.delete_many([one, two, three], on_deleted=told.append) == (one, two, three)
    assert told == [one, two, three]  # none of them is there any more
    assert methods(server).count("POST") == 2
    assert sync_vault.list() == other_vault.list() == ()
    other_vault.put(b"new", name="new")
    assert [entry.name for entry in sync_vault.list()] == ["new"]


@pytest.mark.parametrize("lost", ["before", "after"])
def test_all_that_was_deleted_by_anybody_is_deleted(
    sync_vault: Any, other_vault: Any, server: FakeServer, lost: Any
) -> None:
    one, two, three = stored(sync_vault, 3)
    other_vault.list()
    server.faults = [Fault("POST", DELETION, lost)]
    if lost == "before":
        meanwhile(server, HEAD, lambda: [other_vault.delete(each) for each in (one, two, three)])
    else:
        meanwhile(server, HEAD, lambda: other_vault.put(b"theirs", name="theirs"))
    assert sync_vault.delete_many([one, two, three]) == (one, two, three)
    assert {entry.name for entry in sync_vault.list()} == (set() if lost == "before" else {"theirs"})


@pytest.mark.parametrize("lost", [False, True])
def test_what_somebody_else_changed_keeps_all_of_them(
    sync_vault: Any, other_vault: Any, server: FakeServer, lost: bool
) -> None:
    one, two, three = stored(sync_vault, 3)
    other_vault.list()
    other_vault.put(b"theirs", name="theirs", replace=two)
    other_vault.delete(three)
    server.faults = [Fault("POST", DELETION, "before")] if lost else []
    told: list[UUID] = []
    with pytest.raises(ConflictError) as refused:
        sync_vault.delete_many([one, two, three], on_deleted=told.append)
    assert (refused.value.code, told) == ("revision_conflict", [])
    server.faults = []
    assert {entry.object_id for entry in sync_vault.list()} == {one, two}
    assert sync_vault.delete_many([one, two]) == (one, two)  # as they were shown now


def test_what_was_changed_unseen_is_not_deleted_unread(sync_vault: Any, other_vault: Any, server: FakeServer) -> None:
    one, two = stored(sync_vault, 2)
    other_vault.list()
    other_vault.put(b"theirs", name="theirs", replace=two)
    server.log.clear()
    with pytest.raises(ConflictError) as refused:
        sync_vault.delete_many([one, two, uuid4()])  # what is unknown leads to a look, and that shows nobody anything
    assert refused.value.code == "revision_conflict"
    assert "POST" not in methods(server)
    assert len(other_vault.list()) == 2


def test_a_server_that_stays_away_leaves_the_outcome_unknown(sync_vault: Any, server: FakeServer) -> None:
    ids = stored(sync_vault, 3)
    server.faults = [Fault("POST", DELETION, "before", times=99)]
    server.log.clear()
    with pytest.raises(OutcomeUnknownError):
        sync_vault.delete_many(ids)
    assert methods(server).count("POST") == NO_PAUSE.changes == 10
    server.faults = [Fault("POST", DELETION, "after"), Fault("GET", HEAD, "before", times=99)]
    with pytest.raises(OutcomeUnknownError):
        sync_vault.delete_many(ids)
    server.faults = []
    assert sync_vault.list() == ()


def test_a_refused_deletion_is_not_tried_again_and_what_came_before_is_told(
    sync_vault: Any, server: FakeServer
) -> None:
    ids = stored(sync_vault, 3 * MAX_OBJECTS_TOGETHER)
    told: list[UUID] = []

    def refuse(request: httpx.Request) -> None:
        if told:
            server.faults = [Fault("POST", DELETION, answer=problem(401, "unauthenticated"), times=99)]

    server.on_request = refuse
    server.log.clear()
    with pytest.raises(SessionExpiredError):
        sync_vault.delete_many(ids, on_deleted=told.append)
    assert (methods(server), told) == (["POST", "POST"], ids[:MAX_OBJECTS_TOGETHER])
    server.on_request, server.faults = None, []
    assert {entry.object_id for entry in sync_vault.list()} == set(ids) - set(told)


@pytest.mark.parametrize(("generation", "objects"), [(2, 3), (4, 3), (3, 2), (3, 4)])
def test_an_answer_about_another_deletion_is_malformed(
    sync_vault: Any, server: FakeServer, generation: int, objects: int
) -> None:
    ids = stored(sync_vault, 3)
    lie = httpx.Response(
        200,
        content=msgspec.json.encode(ObjectsDeleted(generation, objects)),
        headers={"Content-Type": "application/json"},
    )
    server.faults = [Fault("POST", DELETION, "after", answer=lie)]
    with pytest.raises(MalformedError, match="another generation or number"):
        sync_vault.delete_many(ids)
    server.faults = []
    assert sync_vault.list() == ()


def test_a_server_that_says_deleted_and_keeps_them_is_found_out(sync_vault: Any, server: FakeServer) -> None:
    ids = stored(sync_vault, 3)
    before = dict(the_vault(server).objects)
    sync_vault.delete_many(ids)
    the_vault(server).objects |= before
    with pytest.raises(RollbackError):
        sync_vault.list()


def test_a_server_that_says_not_found_of_what_it_has_takes_nothing_in(sync_vault: Any, server: FakeServer) -> None:
    ids = stored(sync_vault, 3)
    server.faults = [Fault("POST", DELETION, answer=problem(404, "not_found"), times=99)]
    with pytest.raises(ConflictError) as refused:
        sync_vault.delete_many(ids)
    assert refused.value.code == "busy"
    server.faults = []
    assert {entry.object_id for entry in sync_vault.list()} == set(ids)


def test_what_is_no_id_deletes_nothing(sync_vault: Any, server: FakeServer) -> None:
    ids = stored(sync_vault, 3)
    server.log.clear()
    for wrong in ("no id", b"x" * 16, None, 7):
        with pytest.raises(MisuseError):
            sync_vault.delete_many([*ids, wrong])
    assert server.log == []

    def stop(_: UUID) -> None:
        raise StopIteration

    with pytest.raises(MisuseError, match="StopIteration"):
        sync_vault.delete_many(ids, on_deleted=stop)
    assert sync_vault.list() == ()
    sync_vault.lock()
    with pytest.raises(VaultLockedError):
        sync_vault.delete_many(ids)
