"""Changes under bad luck: connections that break before or after the server acted, and others who write as well."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from hushtag.client import (
    ConflictError,
    LimitReachedError,
    NotFoundError,
    OutcomeUnknownError,
    RetryPolicy,
    SessionExpiredError,
    TransportError,
    UnavailableError,
)
from hushtag.client.witness import Witness
from hushtag.errors import LimitError, MisuseError
from hushtag.head import VaultHead
from tests.client.fake_server import URL, FakeServer, Fault, problem
from tests.client.support import EMAIL, NO_PAUSE, OTHER_PHRASE, PASSWORD, PHRASE, connect_sync

ROW = "/objects/"
HEAD = r"/vaults/[^/]+$"


def count(server: FakeServer, method: str) -> int:
    return sum(line.startswith(f"{method} ") and ROW in line for line in server.log)


BREAKS = [
    pytest.param(Fault("", ROW, "before", httpx.ReadError), id="broken_before_it_was_stored"),
    pytest.param(Fault("", ROW, "after", httpx.ReadError), id="broken_after_it_was_stored"),
    pytest.param(Fault("", ROW, "after", httpx.ReadTimeout), id="timed_out_after_it_was_stored"),
    pytest.param(Fault("", ROW, "before", httpx.ConnectError), id="never_connected"),
    pytest.param(Fault("", ROW, "before", answer=problem(503, "unavailable")), id="unavailable_before"),
    pytest.param(Fault("", ROW, "after", answer=problem(500, "internal_error")), id="failed_after"),
    pytest.param(Fault("", ROW, "after", answer=httpx.Response(502, content=b"<html>")), id="gateway_failed_after"),
]


def test_what_another_device_has_stored_since_can_be_replaced_and_deleted(
    vault: Any, other_vault: Any, server: FakeServer
) -> None:
    assert vault.list() == ()
    kept = other_vault.put(b"theirs", name="a")
    assert vault.put(b"ours", name="a", replace=kept.object_id).revision == 2
    more = other_vault.put(b"theirs", name="b")
    vault.delete(more.object_id)
    assert [entry.object_id for entry in other_vault.list()] == [kept.object_id]
    server.log.clear()
    with pytest.raises(NotFoundError):
        vault.delete(more.object_id)
    assert len(server.log) == 1  # one look at the head: nothing has changed


@pytest.mark.parametrize("fault", BREAKS)
def test_a_change_whose_answer_is_lost_is_made_exactly_once(sync_vault: Any, server: FakeServer, fault: Fault) -> None:
    def break_next(method: str) -> None:
        server.faults = [Fault(method, fault.path, fault.when, fault.failure, fault.answer)]
        server.log.clear()

    attempts = 1 if fault.when == "after" else 2
    break_next("PUT")
    kept = sync_vault.put(b"one", name="a")
    assert (kept.revision, count(server, "PUT")) == (1, attempts)
    break_next("PUT")
    assert sync_vault.put(b"two", name="a", replace=kept.object_id).revision == 2
    assert count(server, "PUT") == attempts
    assert [entry.revision for entry in sync_vault.list()] == [2]
    break_next("DELETE")
    sync_vault.delete(kept.object_id)
    assert count(server, "DELETE") == attempts
    assert sync_vault.list() == ()


def test_the_proposed_head_alone_tells_that_the_change_is_stored(sync_vault: Any, server: FakeServer) -> None:
    server.faults = [Fault("PUT", ROW, "after")]
    server.log.clear()
    sync_vault.put(b"one", name="a")
    assert [line.split(" ")[0] for line in server.log] == ["PUT", "GET"]
    assert re.search(HEAD, server.log[1])


def test_a_first_attempt_that_arrives_after_the_second_was_sent_counts_once(
    sync_vault: Any, server: FakeServer
) -> None:
    held: list[httpx.Request] = []

    def overtake(request: httpx.Request) -> None:
        if request.method == "PUT" and not held:
            held.append(request)
            server.faults = [Fault("PUT", ROW)]
        elif request.method == "PUT" and len(held) == 1:
            held.append(request)
            assert server._respond(held[0]).status_code == 201  # it was late, not lost

    server.on_request = overtake
    kept = sync_vault.put(b"one", name="a")
    assert len(held) == 2
    assert held[0].headers["hushtag-generation"] == held[1].headers["hushtag-generation"]
    assert [(entry.object_id, entry.revision) for entry in sync_vault.list()] == [(kept.object_id, 1)]


def test_a_lost_answer_is_found_stored_though_another_device_wrote_since(
    sync_vault: Any, other_vault: Any, server: FakeServer
) -> None:
    server.faults = [Fault("PUT", ROW, "after")]
    meanwhile(server, HEAD, lambda: other_vault.put(b"theirs", name="b"))
    kept = sync_vault.put(b"mine", name="a")
    assert count(server, "PUT") == 2 + 1  # mine; theirs, late by a generation and again
    assert {entry.name for entry in sync_vault.list()} == {"a", "b"}
    assert sync_vault.get(kept.object_id).body == b"mine"


def test_a_lost_answer_is_a_conflict_if_another_device_replaced_the_object_since(
    sync_vault: Any, other_vault: Any, server: FakeServer
) -> None:
    kept = sync_vault.put(b"one", name="a")
    other_vault.list()
    server.faults = [Fault("PUT", ROW, "before")]
    meanwhile(server, HEAD, lambda: other_vault.put(b"theirs", name="a", replace=kept.object_id))
    with pytest.raises(ConflictError):
        sync_vault.put(b"mine", name="a", replace=kept.object_id)
    assert sync_vault.get(kept.object_id).body == b"theirs"


def test_a_lost_delete_is_done_if_another_device_deleted_as_well(
    sync_vault: Any, other_vault: Any, server: FakeServer
) -> None:
    kept = sync_vault.put(b"one", name="a")
    other_vault.list()
    server.faults = [Fault("DELETE", ROW, "before")]
    meanwhile(server, HEAD, lambda: other_vault.delete(kept.object_id))
    sync_vault.delete(kept.object_id)
    assert sync_vault.list() == other_vault.list() == ()


def meanwhile(server: FakeServer, path: str, act: Any) -> None:
    """Let another device act just before the first GET of `path` is answered."""

    def intervene(request: httpx.Request) -> None:
        if request.method == "GET" and re.search(path, request.url.path):
            server.on_request = None
            act()

    server.on_request = intervene


@pytest.fixture
def overtaken(monkeypatch: pytest.MonkeyPatch, sync_vault: Any, other_vault: Any) -> Callable[[str], None]:
    """Let another device change the vault, and this one look at the head, at the next listing of this one.

    `during`: when the listing was held against the head; `after`: when it was taken. Whoever shows an epoch code, or
    reads a segment that is gone, waits for no listing.
    """
    settle, verify = Witness.settle, VaultHead.verify

    def overtake() -> None:
        monkeypatch.undo()
        other_vault.put(b"theirs", name="theirs")
        sync_vault.epoch_code()

    def after(self: Witness, *args: Any) -> None:
        settle(self, *args)
        overtake()

    def during(self: VaultHead, *args: Any) -> None:
        verify(self, *args)
        overtake()

    def arm(when: str) -> None:
        sync_vault._steps.witness.rows = None
        if when == "during":
            monkeypatch.setattr(VaultHead, "verify", during)
        else:
            monkeypatch.setattr(Witness, "settle", after)

    return arm


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_newer_head_seen_beside_a_listing_has_other_rows(
    sync_vault: Any, other_vault: Any, overtaken: Callable[[str], None], when: str
) -> None:
    kept, gone = sync_vault.put(b"one", name="a"), sync_vault.put(b"two", name="b")
    overtaken(when)
    assert len(sync_vault.list()) == 2
    assert {entry.name for entry in sync_vault.list()} == {"a", "b", "theirs"}
    overtaken(when)
    assert sync_vault.get(kept.object_id).body == b"one"
    overtaken(when)
    assert sync_vault.put(b"three", name="a", replace=kept.object_id).revision == 2
    overtaken(when)
    sync_vault.delete(gone.object_id)
    assert sync_vault.list() == other_vault.list()
    assert sorted(entry.name for entry in sync_vault.list()) == ["a", "theirs", "theirs", "theirs", "theirs"]


@pytest.mark.parametrize("when", ["during", "after"])
def test_what_was_asked_for_in_vain_is_not_told_as_done_when_a_newer_head_comes_beside_the_listing(
    sync_vault: Any, other_vault: Any, server: FakeServer, overtaken: Callable[[str], None], when: str
) -> None:
    kept = sync_vault.put(b"one", name="a")
    for change in (
        lambda: sync_vault.put(b"two", name="a", replace=kept.object_id),
        lambda: sync_vault.delete(kept.object_id),
    ):
        server.faults = [Fault("PUT", ROW, "before"), Fault("DELETE", ROW, "before")]
        meanwhile(server, HEAD, lambda: (other_vault.put(b"theirs", name="b"), overtaken(when)))
        change()
        server.faults = []
    assert kept.object_id not in {entry.object_id for entry in other_vault.list()}


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_rotation_sums_up_what_the_vault_holds_though_a_newer_head_comes_beside_the_listing(
    sync_vault: Any, server: FakeServer, overtaken: Callable[[str], None], when: str
) -> None:
    sync_vault.put(b"one", name="a")
    added = sync_vault.add_phrase(OTHER_PHRASE)
    overtaken(when)
    sync_vault.revoke_phrase(added.tag_id)
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        assert {entry.name for entry in client.unlock(PHRASE).list()} == {"a", "theirs"}


def test_a_server_that_stays_away_leaves_the_outcome_unknown(sync_vault: Any, server: FakeServer) -> None:
    server.faults = [Fault("PUT", ROW, "after"), Fault("GET", HEAD, "before", times=99)]
    with pytest.raises(OutcomeUnknownError):
        sync_vault.put(b"one", name="a")
    server.faults = []
    assert [entry.name for entry in sync_vault.list()] == ["a"]
    assert sync_vault.put(b"two", name="b").revision == 1


def test_a_vault_that_never_holds_still_is_a_conflict_after_ten_attempts(sync_vault: Any, server: FakeServer) -> None:
    server.faults = [Fault("PUT", ROW, answer=problem(409, "generation_conflict"), times=99)]
    with pytest.raises(ConflictError):
        sync_vault.put(b"one", name="a")
    assert count(server, "PUT") == NO_PAUSE.changes == 10


def test_a_connection_that_breaks_every_time_is_no_conflict(sync_vault: Any, server: FakeServer) -> None:
    server.faults = [Fault("PUT", ROW, "before", times=99)]
    with pytest.raises(OutcomeUnknownError):
        sync_vault.put(b"one", name="a")
    assert count(server, "PUT") == 10


def test_a_new_object_that_is_only_late_needs_no_listing(sync_vault: Any, other_vault: Any, server: FakeServer) -> None:
    other_vault.put(b"theirs", name="b")
    server.log.clear()
    sync_vault.put(b"mine", name="a")
    assert [line.split(" ")[0] for line in server.log] == ["PUT", "GET", "PUT"]
    assert {entry.name for entry in sync_vault.list()} == {"a", "b"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(409, "limit_reached"), LimitReachedError),
        (problem(413, "body_too_large"), LimitReachedError),
        (problem(401, "unauthenticated"), SessionExpiredError),
    ],
)
def test_a_refused_put_is_not_tried_again(
    sync_vault: Any, server: FakeServer, answer: httpx.Response, error: type[Exception]
) -> None:
    server.faults = [Fault("PUT", ROW, answer=answer, times=99)]
    with pytest.raises(error):
        sync_vault.put(b"one", name="a")
    assert count(server, "PUT") == 1
    server.faults = []
    assert sync_vault.list() == ()


def test_an_object_over_the_limit_is_never_sent(sync_vault: Any, server: FakeServer) -> None:
    server.log.clear()
    for size in (0, 16 * 1024 * 1024):
        with pytest.raises(LimitError):
            sync_vault.put(bytes(size), name="n" * 5000)
    assert server.log == []


def test_reads_are_repeated_after_broken_connections_and_503(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    server.faults = [
        Fault("GET", ROW, failure=httpx.RemoteProtocolError),
        Fault("GET", ROW, answer=problem(503, "unavailable")),
        Fault("GET", ROW, answer=httpx.Response(504)),
    ]
    assert sync_vault.get(kept.object_id).body == b"one"
    assert count(server, "GET") == NO_PAUSE.reads == 4


@pytest.mark.parametrize(
    ("fault", "error", "attempts"),
    [
        (Fault("GET", ROW, failure=httpx.ReadError, times=99), TransportError, 4),
        (Fault("GET", ROW, answer=problem(503, "unavailable"), times=99), UnavailableError, 4),
        (Fault("GET", ROW, failure=httpx.ReadTimeout, times=99), TransportError, 1),
        (Fault("GET", ROW, answer=problem(500, "internal_error"), times=99), UnavailableError, 1),
    ],
)
def test_reads_end_after_a_bounded_number_of_attempts(
    sync_vault: Any, server: FakeServer, fault: Fault, error: type[Exception], attempts: int
) -> None:
    kept = sync_vault.put(b"one", name="a")
    server.faults = [Fault(fault.method, fault.path, fault.when, fault.failure, fault.answer, 99)]
    with pytest.raises(error):
        sync_vault.get(kept.object_id)
    assert count(server, "GET") == attempts


def test_threads_of_one_vault_and_two_devices_lose_nothing(server: FakeServer) -> None:
    # However often one loses to the other: how the machine shares out its time is not the matter.
    patient = RetryPolicy(changes=1000, first_pause=0.0, longest_pause=0.0)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect_sync(URL, server.transport(), retry=patient)) for _ in range(2)]
        for client in clients:
            client.log_in(EMAIL, PASSWORD)
        vaults = [client.unlock(PHRASE) for client in clients]

        def put(number: int) -> None:
            vaults[number % 2].put(b"%d" % number, name=str(number))

        # Two devices of eight threads: each device writes one after the other, and so at most loses to the other one.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, range(24)))
        assert {entry.name for entry in vaults[0].list()} == {str(number) for number in range(24)}
        assert vaults[0].list() == vaults[1].list()


def test_a_callback_cannot_use_the_vault_whose_call_it_was_called_by(sync_vault: Any) -> None:
    """It waited for ever: for the end of the call that it is part of."""
    sync_vault.put(b"one", name="a")
    sync_vault.revoke_phrase(sync_vault.add_phrase(OTHER_PHRASE).tag_id)
    with pytest.raises(MisuseError, match="callback"):
        sync_vault.reseal(lambda done, total: sync_vault.find("a"))
    assert sync_vault.reseal() == 1
    assert sync_vault.find("a").revision == 2
