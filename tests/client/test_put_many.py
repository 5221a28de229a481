"""Many small objects in one change: whole or not at all, whatever breaks and whoever writes as well."""

import io
import os
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest

from hushtag.client import (
    ConflictError,
    LimitReachedError,
    NewObject,
    NotFoundError,
    OutcomeUnknownError,
    SessionExpiredError,
    StoredObject,
    VaultLockedError,
)
from hushtag.errors import LimitError, MalformedError, MisuseError, RollbackError
from hushtag.messages import MAX_OBJECTS_MESSAGE, MAX_OBJECTS_TOGETHER, ObjectsStored, PutObjects
from hushtag.objects import MAX_META_BYTES
from tests.client.fake_server import FakeServer, Fault, problem, the_vault
from tests.client.support import NO_PAUSE
from tests.client.test_changes import BREAKS, HEAD, meanwhile

SEVERAL = r"/objects$"
THREE = [NewObject(b"one", "a.txt"), NewObject(b"", "b"), NewObject(b"three", "c", "image/x-mine")]


def sent(server: FakeServer, method: str = "POST") -> int:
    return sum(line.startswith(f"{method} ") and "/objects" in line for line in server.log)


def contents(vault: Any) -> dict[str, bytes]:
    return {entry.name: vault.get(entry.object_id).body for entry in vault.list()}


def small(number: int, length: int = 10) -> list[NewObject]:
    return [NewObject(os.urandom(length), f"{each:04}") for each in range(number)]


def test_small_objects_are_one_change(vault: Any, server: FakeServer) -> None:
    server.log.clear()
    told: list[StoredObject] = []
    stored = vault.put_many(iter(THREE), on_stored=told.append)
    assert [line.split(" ")[0] for line in server.log] == ["POST"]
    assert list(stored) == told
    assert [(each.name, each.content_type, each.size, each.revision) for each in stored] == [
        ("a.txt", "text/plain", 3, 1),
        ("b", "application/octet-stream", 0, 1),
        ("c", "image/x-mine", 5, 1),
    ]
    assert the_vault(server).generation == 2
    assert contents(vault) == {each.name: each.content for each in THREE}
    assert vault.put_many([]) == ()


def test_objects_are_replaced_and_made_in_one_change(vault: Any, other_vault: Any, server: FakeServer) -> None:
    film = vault.put(os.urandom(300_000), name="film")
    note = vault.put(b"one", name="note")
    server.log.clear()
    stored = vault.put_many(
        [
            NewObject(b"two", "note", replace=note.object_id),
            NewObject(b"new", "new"),
            NewObject(b"", "film", replace=film.object_id),
        ]
    )
    assert [each.revision for each in stored] == [2, 1, 2]
    assert (sent(server), the_vault(server).streams) == (1, {})
    for each in (vault, other_vault):
        assert contents(each) == {"note": b"two", "new": b"new", "film": b""}
    assert vault.put(b"three", name="note", replace=note.object_id).revision == 3


def test_as_many_go_together_as_a_message_takes(vault: Any, server: FakeServer) -> None:
    server.log.clear()
    many = small(2 * MAX_OBJECTS_TOGETHER + 1)
    vault.put_many(many)
    assert (sent(server), sent(server, "PUT")) == (2, 1)  # the last one is alone
    sizes: list[int] = []

    def measure(request: httpx.Request) -> None:
        if request.method == "POST":
            sizes.append(len(request.content))

    server.on_request = measure
    long = [NewObject(os.urandom(9_000), f"long {each}") for each in range(40)]
    vault.put_many(long)
    assert len(sizes) == 3
    assert max(sizes) <= MAX_OBJECTS_MESSAGE < sizes[0] + 14_000  # one more would not have fitted
    server.on_request = None
    assert contents(vault) == {each.name: each.content for each in many + long}


def test_the_longest_names_fit_too(vault: Any, server: FakeServer) -> None:
    many = [NewObject(b"", f"{each:03}" + "n" * (MAX_META_BYTES - 80)) for each in range(70)]
    vault.put_many(many)
    assert {entry.name for entry in vault.list()} == {each.name for each in many}


def test_large_ones_go_by_themselves_and_in_their_order(vault: Any, server: FakeServer) -> None:
    mixed = [
        *small(3),
        NewObject(os.urandom(150_000), "row of its own"),
        NewObject(os.urandom(400_000), "stream"),
        *THREE,
    ]
    server.log.clear()
    told: list[str] = []
    assert [each.name for each in vault.put_many(mixed, on_stored=lambda one: told.append(one.name))] == told
    assert told == [each.name for each in mixed]
    assert [line.split(" ")[0] for line in server.log if re.search("/objects(/|$)", line)] == [
        "POST",
        "PUT",
        "PUT",
        "POST",
    ]
    assert contents(vault) == {each.name: each.content for each in mixed}


@pytest.mark.parametrize("fault", BREAKS)
def test_a_change_whose_answer_is_lost_is_made_exactly_once(sync_vault: Any, server: FakeServer, fault: Fault) -> None:
    server.faults = [Fault("POST", SEVERAL, fault.when, fault.failure, fault.answer)]
    server.log.clear()
    first = sync_vault.put_many(THREE)
    assert sent(server) == (1 if fault.when == "after" else 2)
    server.faults = [Fault("POST", SEVERAL, fault.when, fault.failure, fault.answer)]
    again = [NewObject(b"again", each.name, replace=each.object_id) for each in first]
    assert [each.revision for each in sync_vault.put_many(again)] == [2, 2, 2]
    assert set(contents(sync_vault).values()) == {b"again"}
    assert len(sync_vault.list()) == 3


def test_new_objects_that_are_only_late_need_no_listing(sync_vault: Any, other_vault: Any, server: FakeServer) -> None:
    other_vault.put(b"theirs", name="theirs")
    server.log.clear()
    sync_vault.put_many(THREE)
    assert [line.split(" ")[0] for line in server.log] == ["POST", "GET", "POST"]
    assert len(sync_vault.list()) == 4


def test_what_somebody_else_changed_meanwhile_keeps_all_of_them_out(
    sync_vault: Any, other_vault: Any, server: FakeServer
) -> None:
    kept, other = sync_vault.put(b"one", name="a"), sync_vault.put(b"other", name="b")
    other_vault.list()
    both = [NewObject(b"ours", "a", replace=kept.object_id), NewObject(b"ours", "b", replace=other.object_id)]
    for lost in (False, True):
        theirs = b"theirs, %d" % lost
        other_vault.put(theirs, name="a", replace=kept.object_id)
        server.faults = [Fault("POST", SEVERAL, "before")] if lost else []
        with pytest.raises(ConflictError) as refused:
            sync_vault.put_many([*both, NewObject(b"new", "new")])
        assert refused.value.code == "revision_conflict"
        server.faults = []
        assert contents(sync_vault) == {"a": theirs, "b": b"other"}
    with pytest.raises(NotFoundError):
        sync_vault.put_many([NewObject(b"", "x"), NewObject(b"", "y", replace=other_vault.vault_id)])


def test_what_is_stored_is_told_so_though_somebody_deletes_one_of_it_before_we_look(
    sync_vault: Any, other_vault: Any, server: FakeServer
) -> None:
    server.faults = [Fault("POST", SEVERAL, "after")]

    meanwhile(server, HEAD, lambda: other_vault.delete(next(iter(the_vault(server).objects))))
    first, *others = sync_vault.put_many(THREE)
    assert sent(server) == 1
    assert {entry.object_id for entry in sync_vault.list()} == {each.object_id for each in others}
    assert sync_vault.put_many([NewObject(b"anew", first.name), *THREE])[0].revision == 1


@pytest.mark.parametrize("several", [True, False])
def test_a_look_that_cannot_be_read_after_a_lost_answer_leaves_the_outcome_unknown(
    sync_vault: Any, server: FakeServer, several: bool
) -> None:
    def portal(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        if request.method == "GET" and re.search(HEAD, request.url.path):
            return httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<html>log in</html>")
        return response

    server.faults = [Fault("POST" if several else "PUT", "/objects", "after")]
    server.rewrite = portal
    with pytest.raises(OutcomeUnknownError):
        sync_vault.put_many(THREE[: 3 if several else 1])
    server.rewrite = None
    assert len(sync_vault.list()) == (3 if several else 1)


def test_a_server_that_stays_away_leaves_the_outcome_unknown(sync_vault: Any, server: FakeServer) -> None:
    server.faults = [Fault("POST", SEVERAL, "after"), Fault("GET", HEAD, "before", times=99)]
    with pytest.raises(OutcomeUnknownError):
        sync_vault.put_many(THREE)
    server.faults = [Fault("POST", SEVERAL, "before", times=99)]
    server.log.clear()
    with pytest.raises(OutcomeUnknownError):
        sync_vault.put_many(THREE)
    assert sent(server) == NO_PAUSE.changes == 10
    server.faults = []
    assert len(sync_vault.list()) == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(409, "limit_reached"), LimitReachedError),
        (problem(413, "body_too_large"), LimitReachedError),
        (problem(401, "unauthenticated"), SessionExpiredError),
        (problem(404, "not_found"), RollbackError),
    ],
)
def test_a_refused_change_is_not_tried_again_and_what_came_before_is_told(
    sync_vault: Any, server: FakeServer, answer: httpx.Response, error: type[Exception]
) -> None:
    told: list[str] = []

    def refuse(request: httpx.Request) -> None:
        if told:
            server.faults = [Fault("POST", SEVERAL, answer=answer, times=99)]

    server.on_request = refuse
    server.log.clear()
    many = small(3 * MAX_OBJECTS_TOGETHER)
    with pytest.raises(error):
        sync_vault.put_many(many, on_stored=lambda one: told.append(one.name))
    assert (sent(server), told) == (2, [each.name for each in many[:MAX_OBJECTS_TOGETHER]])
    server.on_request, server.faults = None, []
    assert sorted(contents(sync_vault)) == told


@pytest.mark.parametrize(("generation", "objects"), [(1, 3), (3, 3), (2, 2), (2, 4)])
def test_an_answer_about_another_change_is_malformed(
    sync_vault: Any, server: FakeServer, generation: int, objects: int
) -> None:
    lie = httpx.Response(
        200,
        content=msgspec.json.encode(ObjectsStored(generation, objects)),
        headers={"Content-Type": "application/json"},
    )
    server.faults = [Fault("POST", SEVERAL, "after", answer=lie)]
    with pytest.raises(MalformedError, match="another generation or number"):
        sync_vault.put_many(THREE)
    server.faults = []
    assert len(sync_vault.list()) == 3


def test_what_cannot_be_stored_is_never_sent(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a").object_id
    server.log.clear()
    for wrong in (
        [b"bytes"],
        [("content", "name")],
        [NewObject(bytearray(b"x"), "x")],  # type: ignore[arg-type]
        [NewObject(io.BytesIO(b"x"), "x")],  # type: ignore[arg-type]
        [NewObject(b"x", "")],
        [NewObject(b"x", b"x")],  # type: ignore[arg-type]
        [NewObject(b"x", "x", b"y")],  # type: ignore[arg-type]
        [NewObject(b"x", "x", replace="no id")],  # type: ignore[arg-type]
        [NewObject(b"x", "x", replace=kept), NewObject(b"y", "y", replace=kept)],
    ):
        with pytest.raises(MisuseError):
            sync_vault.put_many([*THREE, *wrong])
    with pytest.raises(LimitError):
        sync_vault.put_many([*THREE, NewObject(b"", "n" * 5000)])
    assert server.log == []
    assert "one" not in repr(THREE[0])
    assert "a.txt" not in repr(THREE[0])


def test_a_callback_that_fails_and_a_source_that_fails_come_out(sync_vault: Any, server: FakeServer) -> None:
    def drawn() -> Iterator[NewObject]:
        yield from small(MAX_OBJECTS_TOGETHER)
        raise OSError("the disk")  # what is a whole group by then is stored

    told: list[StoredObject] = []
    with pytest.raises(OSError, match="the disk"):
        sync_vault.put_many(drawn(), on_stored=told.append)
    assert len(told) == MAX_OBJECTS_TOGETHER == len(sync_vault.list())

    def stop(_: StoredObject) -> None:
        raise StopIteration

    with pytest.raises(MisuseError, match="StopIteration"):
        sync_vault.put_many(THREE, on_stored=stop)
    assert len(sync_vault.list()) == MAX_OBJECTS_TOGETHER + 3
    sync_vault.lock()
    with pytest.raises(VaultLockedError):
        sync_vault.put_many(THREE)


def test_rows_are_sealed_once_for_every_attempt(sync_vault: Any, other_vault: Any, server: FakeServer) -> None:
    messages: list[PutObjects] = []

    def keep(request: httpx.Request) -> None:
        if request.method == "POST" and re.search(SEVERAL, request.url.path):
            messages.append(msgspec.json.decode(request.content, type=PutObjects))

    other_vault.put(b"theirs", name="theirs")
    server.on_request = keep
    sync_vault.put_many(THREE)
    first, second = messages
    assert first.objects == second.objects
    assert (first.generation, second.generation) == (2, 3)
    assert first.head != second.head
