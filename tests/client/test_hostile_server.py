"""A server that keeps to the protocol's form and lies about the vault.

Covered: an older vault (whole, head alone, listing alone), omitted, added, swapped and older rows, withheld rows,
a forked head, altered head, row, label and wrapped key, false answers to changes, listings without end.
Not here: any bytes at all (`test_any_answer`), the ceremonies' own messages (the core's tests).
"""

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import httpx
import msgspec
import pytest

from hushtag.client import ConflictError, FailedAttempts, IntegrityError, NewObject, NotFoundError
from hushtag.errors import MalformedError, RollbackError
from hushtag.messages import Message, ObjectList, ObjectStored, TagList, Unlocked, VaultState, encode_binary
from hushtag.objects import ObjectMeta, ObjectRow, seal_object
from tests.client.fake_server import URL, FakeServer, FakeVault, Fault, answer, problem, the_vault
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, connect_sync

M = TypeVar("M", bound=Message)
replace = msgspec.structs.replace


def snapshot(server: FakeServer) -> dict[UUID, FakeVault]:
    return copy.deepcopy(server.users[EMAIL].vaults)


def rewrite(server: FakeServer, kind: type[M], change: Callable[[M], M]) -> None:
    """Change every successful answer of one kind."""

    def alter(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        try:
            message = msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return response
        return answer(response.status_code, change(message))

    server.rewrite = alter


def flipped(text: str, place: int = 20) -> str:
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]


def test_an_older_vault_is_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    sync_vault.put(b"one", name="a")
    old = snapshot(server)
    sync_vault.put(b"two", name="b")
    server.users[EMAIL].vaults = old
    with pytest.raises(RollbackError, match="generation 2, 3 was seen"):
        sync_vault.list()
    with pytest.raises(RollbackError, match="generation 2, 3 was seen"):
        sync_vault.put(b"three", name="c")


def test_an_older_vault_is_a_rollback_for_who_only_looked(sync_vault: Any, server: FakeServer) -> None:
    old = snapshot(server)
    with connect_sync(URL, server.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        other.unlock(PHRASE).put(b"theirs", name="b")
    assert len(sync_vault.list()) == 1
    server.users[EMAIL].vaults = old
    with pytest.raises(RollbackError):
        sync_vault.list()


LISTINGS: list[Any] = [
    pytest.param(lambda page: replace(page, objects=page.objects[1:]), id="omitted"),
    pytest.param(lambda page: replace(page, objects=[]), id="emptied"),
    pytest.param(
        lambda page: replace(page, objects=[*page.objects, replace(page.objects[-1], object_id=UUID(int=2**128 - 1))]),
        id="added",
    ),
    pytest.param(
        lambda page: replace(
            page,
            objects=[
                replace(page.objects[0], digest=page.objects[1].digest),
                replace(page.objects[1], digest=page.objects[0].digest),
            ],
        ),
        id="swapped",
    ),
    pytest.param(
        lambda page: replace(page, objects=[replace(page.objects[0], revision=7), page.objects[1]]), id="other_revision"
    ),
    pytest.param(lambda page: replace(page, generation=page.generation - 1), id="older_generation"),
]


@pytest.mark.parametrize("lie", LISTINGS)
def test_a_false_listing_is_a_rollback(sync_vault: Any, server: FakeServer, lie: Any) -> None:
    kept = sync_vault.put(b"one", name="a")
    sync_vault.put(b"two", name="b")
    rewrite(server, ObjectList, lie)
    with pytest.raises(RollbackError):
        sync_vault.list()
    server.rewrite = None
    with connect_sync(URL, server.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        newcomer = other.unlock(PHRASE)
        rewrite(server, ObjectList, lie)
        with pytest.raises(RollbackError):
            newcomer.delete(kept.object_id)  # a change is never based on a listing that was not verified
    assert not any(line.startswith("DELETE") and "/objects/" in line for line in server.log)


ORDERS: list[Any] = [
    pytest.param(lambda page: replace(page, objects=page.objects[::-1]), id="descending"),
    pytest.param(lambda page: replace(page, objects=[page.objects[0]] * 2), id="twice"),
    pytest.param(lambda page: replace(page, next=page.objects[0].object_id), id="next_is_not_the_last"),
    pytest.param(lambda page: replace(page, objects=[], next=UUID(int=5)), id="empty_with_next"),
]


@pytest.mark.parametrize("lie", ORDERS)
def test_a_listing_out_of_order_is_malformed(sync_vault: Any, server: FakeServer, lie: Any) -> None:
    sync_vault.put(b"one", name="a")
    sync_vault.put(b"two", name="b")
    rewrite(server, ObjectList, lie)
    with pytest.raises(MalformedError):
        sync_vault.list()


def test_a_listing_that_runs_in_a_circle_is_malformed(sync_vault: Any, server: FakeServer) -> None:
    sync_vault.put(b"one", name="a")
    first = the_vault(server).objects
    rewrite(server, ObjectList, lambda page: replace(page, next=next(iter(first))))
    real_page = server._page
    server._page = lambda request, ids: (real_page(httpx.Request("GET", URL), ids)[0], None)  # type: ignore[method-assign]
    with pytest.raises(MalformedError):
        sync_vault.list()


def test_a_listing_ends_where_the_head_says_it_must(sync_vault: Any, server: FakeServer) -> None:
    sync_vault.put(b"one", name="a")
    pages = 0

    def invent(page: ObjectList) -> ObjectList:
        nonlocal pages
        pages += 1
        invented = UUID(int=pages)
        return replace(page, objects=[replace(page.objects[0], object_id=invented)], next=invented)

    rewrite(server, ObjectList, invent)
    first = the_vault(server).objects
    server._page = lambda _request, _ids: (list(first), None)  # type: ignore[method-assign]
    with pytest.raises(RollbackError, match="more objects"):
        sync_vault.list()
    assert pages == 2


def test_a_listing_that_always_belongs_to_a_newer_head_ends(sync_vault: Any, server: FakeServer) -> None:
    sync_vault.put(b"one", name="a")
    rewrite(server, ObjectList, lambda page: replace(page, generation=page.generation + 1))
    with pytest.raises(ConflictError):
        sync_vault.list()


def test_a_fork_of_the_vault_is_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    fork = server.clone()
    with connect_sync(URL, fork.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        other.unlock(PHRASE).put(b"only there", name="b")
    sync_vault.put(b"only here", name="a")
    ours, theirs = the_vault(server), the_vault(fork)
    assert ours.generation == theirs.generation
    server.users[EMAIL].vaults = fork.users[EMAIL].vaults
    with pytest.raises(RollbackError):
        sync_vault.list()


def test_two_heads_of_one_generation_are_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    fork = server.clone()
    with connect_sync(URL, fork.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        other.unlock(PHRASE).put(b"only there", name="b")
    sync_vault.put(b"only here", name="a")
    the_vault(server).generation -= 1  # our next put is refused, so the client asks for the head
    rewrite(server, VaultState, lambda state: replace(state, generation=2, head=the_vault(fork).head))
    with pytest.raises(RollbackError, match="another head"):
        sync_vault.put(b"more", name="c")


def test_an_older_row_is_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    held = the_vault(server).objects[kept.object_id]
    old = held.row
    sync_vault.put(b"two", name="a", replace=kept.object_id)
    the_vault(server).objects[kept.object_id].row = old
    with pytest.raises(RollbackError, match="revision 1"):
        sync_vault.get(kept.object_id)


def test_another_row_of_the_same_revision_is_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    fork = server.clone()
    with connect_sync(URL, fork.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        other.unlock(PHRASE).put(b"fork", name="a", replace=kept.object_id)
    sync_vault.put(b"two", name="a", replace=kept.object_id)
    the_vault(server).objects[kept.object_id] = the_vault(fork).objects[kept.object_id]
    with pytest.raises(RollbackError, match="not the one seen"):
        sync_vault.get(kept.object_id)


def test_a_withheld_object_is_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    del the_vault(server).objects[kept.object_id]
    with pytest.raises(RollbackError, match="withholds"):
        sync_vault.get(kept.object_id)


def test_a_row_withheld_from_a_listing_is_a_rollback(sync_vault: Any, server: FakeServer) -> None:
    sync_vault.put(b"one", name="a")
    with connect_sync(URL, server.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        newcomer = other.unlock(PHRASE)

        def withhold(request: httpx.Request, response: httpx.Response) -> httpx.Response:
            return httpx.Response(404, headers=gone.headers, content=gone.content) if is_row(request) else response

        server.rewrite = withhold
        gone = server._respond(httpx.Request("GET", f"{URL}/v1/nothing"))
        with pytest.raises(RollbackError, match="withholds"):
            newcomer.list()


def is_row(request: httpx.Request) -> bool:
    return request.method == "GET" and "/objects/" in request.url.path


def test_an_object_that_another_device_deleted_is_only_gone(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    with connect_sync(URL, server.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        other.unlock(PHRASE).delete(kept.object_id)
    with pytest.raises(NotFoundError):
        sync_vault.get(kept.object_id)


def test_an_altered_or_swapped_row_is_not_authentic(sync_vault: Any, server: FakeServer) -> None:
    first, second = (sync_vault.put(name.encode(), name=name) for name in "ab")
    objects = the_vault(server).objects
    one, two = objects[first.object_id].row, objects[second.object_id].row
    for place in (0, 12, 50, len(one.encoded) - 1):
        altered = bytearray(one.encoded)
        altered[place] ^= 1
        objects[first.object_id].row = ObjectRow(bytes(altered), 1, 1)
        with pytest.raises(IntegrityError):
            sync_vault.get(first.object_id)
    for row in (two, ObjectRow(one.encoded, 1, 2), ObjectRow(one.encoded, 2, 1)):
        objects[first.object_id].row = row
        with pytest.raises(IntegrityError):
            sync_vault.get(first.object_id)
    objects[first.object_id].row = one
    assert sync_vault.get(first.object_id).body == b"a"


def test_an_altered_head_is_not_authentic(sync_vault: Any, server: FakeServer) -> None:
    the_vault(server).generation += 1
    with pytest.raises(IntegrityError):
        sync_vault.list()  # the head of generation 1, shown as that of generation 2
    the_vault(server).generation -= 1
    the_vault(server).head = flipped(the_vault(server).head)
    rewrite(server, ObjectList, lambda page: replace(page, generation=2))
    with pytest.raises(IntegrityError):
        sync_vault.list()


def test_a_rotated_key_asks_for_a_new_unlock(sync_vault: Any, server: FakeServer) -> None:
    the_vault(server).generation += 1
    the_vault(server).key_version = 2
    with pytest.raises(ConflictError, match="unlock it again"):
        sync_vault.list()


@pytest.mark.parametrize(
    "lie",
    [
        lambda tag: replace(tag, sealed_label=flipped(tag.sealed_label)),
        lambda tag: replace(tag, tag_id=UUID(int=7)),
        lambda tag: replace(tag, public_key=flipped(tag.public_key)),
    ],
    ids=["label", "tag_id", "public_key"],
)
def test_an_altered_phrase_label_is_not_authentic(sync_vault: Any, server: FakeServer, lie: Any) -> None:
    rewrite(server, TagList, lambda page: replace(page, tags=[lie(tag) for tag in page.tags]))
    with pytest.raises(IntegrityError):
        sync_vault.phrases()


@pytest.mark.parametrize(
    ("lie", "error"),
    [
        (lambda key: replace(key, wrapped_key=flipped(key.wrapped_key)), IntegrityError),
        (lambda key: replace(key, vault_id=UUID(int=7)), IntegrityError),
        (lambda key: replace(key, head=flipped(key.head)), IntegrityError),
        (lambda key: replace(key, generation=2), IntegrityError),
        (lambda key: replace(key, key_version=2), IntegrityError),
        (lambda key: replace(key, key_purpose="other"), MalformedError),
    ],
    ids=["wrapped_key", "vault_id", "head", "generation", "key_version", "purpose"],
)
def test_an_altered_key_is_refused_though_the_phrase_is_right(server: FakeServer, lie: Any, error: Any) -> None:
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        rewrite(server, Unlocked, lambda unlocked: replace(unlocked, vaults=[lie(key) for key in unlocked.vaults]))
        with pytest.raises(error):
            client.unlock(PHRASE)


def test_failed_guesses_come_with_the_time_of_the_last_or_not_at_all(server: FakeServer) -> None:
    last = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        assert client.unlock(PHRASE).failed_attempts == (0, None)
        rewrite(server, Unlocked, lambda unlocked: replace(unlocked, failed_guesses=3, last_failed_at=last))
        assert client.unlock(PHRASE).failed_attempts == FailedAttempts(guesses=3, last_at=last)
        for count, at in ((3, None), (0, last), (3, last.replace(tzinfo=None)), (-1, last), (2**31, last)):
            lie = partial(replace, failed_guesses=count, last_failed_at=at)
            rewrite(server, Unlocked, lie)
            with pytest.raises(MalformedError):
                client.unlock(PHRASE)


@pytest.mark.parametrize(
    "lie",
    [
        lambda stored: replace(stored, generation=stored.generation + 1),
        lambda stored: replace(stored, revision=stored.revision + 1),
        lambda stored: replace(stored, object_id=UUID(int=7)),
    ],
    ids=["generation", "revision", "object_id"],
)
def test_a_false_answer_to_a_put_is_malformed(sync_vault: Any, server: FakeServer, lie: Any) -> None:
    rewrite(server, ObjectStored, lie)
    with pytest.raises(MalformedError):
        sync_vault.put(b"one", name="a")
    server.rewrite = None
    assert [entry.name for entry in sync_vault.list()] == ["a"]  # the client has taken nothing of the lie


def test_a_false_answer_to_a_delete_is_malformed(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    rewrite(server, VaultState, lambda state: replace(state, head=flipped(state.head)))
    with pytest.raises(MalformedError):
        sync_vault.delete(kept.object_id)


def test_a_vault_that_changes_between_two_pages_is_listed_again(sync_vault: Any, server: FakeServer) -> None:
    for name in "abcde":
        sync_vault.put(name.encode(), name=name)
    server.page = 2
    with connect_sync(URL, server.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        theirs = other.unlock(PHRASE)
        pages: list[str] = []

        def write_between(request: httpx.Request) -> None:
            if request.url.path.endswith("/objects"):
                pages.append(request.url.query.decode())
                if len(pages) == 2:
                    server.on_request = None
                    theirs.put(b"f", name="f")

        server.on_request = write_between
        assert {entry.name for entry in sync_vault.list()} == set("abcdef")
    assert "after=" in pages[1]


def test_a_row_replaced_while_its_listing_is_read_is_listed_again(sync_vault: Any, server: FakeServer) -> None:
    kept = sync_vault.put(b"one", name="a")
    with connect_sync(URL, server.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        theirs = other.unlock(PHRASE)
        theirs.list()
        reader = other.unlock(PHRASE)

        def replace_first(request: httpx.Request) -> None:
            if is_row(request):
                server.on_request = None
                theirs.put(b"two", name="b", replace=kept.object_id)

        server.on_request = replace_first
        assert [(entry.name, entry.revision) for entry in reader.list()] == [("b", 2)]


def test_names_are_read_once_for_each_revision(sync_vault: Any, server: FakeServer) -> None:
    for name in "abc":
        sync_vault.put(name.encode(), name=name)
    sync_vault.list()
    server.log.clear()
    assert len(sync_vault.list()) == 3
    assert not any("/objects/" in line for line in server.log)


@pytest.fixture
def many(server: FakeServer) -> FakeServer:
    """A server whose vault has more objects than are read one by one, one of them long, and nobody who knows them."""
    with connect_sync(URL, server.transport()) as client:
        client.log_in(EMAIL, PASSWORD)
        with client.unlock(PHRASE) as vault:
            for number in range(11):
                vault.put(b"x" * number, name=str(number))
            vault.put(bytes(10_000), name="long")
    server.log.clear()
    return server


def test_short_rows_come_with_the_listing_and_long_ones_by_themselves(sync_vault: Any, many: FakeServer) -> None:
    many.page = 5
    assert {entry.name for entry in sync_vault.list()} == {*map(str, range(11)), "long"}
    rows = [line for line in many.log if "/objects/" in line]
    assert (len(rows), sum(line.endswith("/objects") for line in many.log)) == (1, 4)  # one was of a newer head
    many.log.clear()
    sync_vault.list()
    assert not any("/objects/" in line for line in many.log)
    assert sync_vault.get_by_name("10").body == b"x" * 10


def test_a_server_that_brings_no_rows_is_asked_for_each(sync_vault: Any, many: FakeServer) -> None:
    rewrite(many, ObjectList, lambda page: replace(page, objects=[replace(entry, row=None) for entry in page.objects]))
    assert len(sync_vault.list()) == 12
    assert sum("/objects/" in line for line in many.log) == 12


def _in_rows(change: Callable[[list[str]], list[str]]) -> Callable[[ObjectList], ObjectList]:
    def changed(page: ObjectList) -> ObjectList:
        short = [entry for entry in page.objects if entry.row is not None]
        if not short:
            return page
        rows = dict(
            zip([entry.object_id for entry in short], change([entry.row or "" for entry in short]), strict=True)
        )
        return replace(page, objects=[replace(entry, row=rows.get(entry.object_id)) for entry in page.objects])

    return changed


@pytest.mark.parametrize(
    "lie",
    [
        _in_rows(lambda rows: [flipped(row, 30) for row in rows]),
        _in_rows(lambda rows: [*rows[:-1], flipped(rows[-1], 100)]),
        _in_rows(lambda rows: [*rows[1:], rows[0]]),
        lambda page: replace(page, objects=[replace(entry, revision=2) for entry in page.objects]),
        lambda page: replace(
            page, objects=[replace(entry, stream_id=UUID(int=7)) if entry.row else entry for entry in page.objects]
        ),
    ],
    ids=["altered", "one altered", "of others", "another revision", "of a stream"],
)
def test_a_row_in_a_listing_that_is_not_the_entrys_is_not_authentic(
    sync_vault: Any, many: FakeServer, lie: Callable[[ObjectList], ObjectList]
) -> None:
    rewrite(many, ObjectList, lie)
    with pytest.raises(IntegrityError):
        sync_vault.list()


@pytest.mark.parametrize("size", [0, 512])
def test_a_listing_that_lies_about_sizes_makes_nobody_hold_more_rows_at_once(
    sync_vault: Any, server: FakeServer, size: int
) -> None:
    for number in range(3):
        sync_vault.put(bytes(10), name=f"number {number}")
    sync_vault.revoke_phrase(sync_vault.add_phrase(OTHER_PHRASE).tag_id)
    lies = partial(replace, content_size=size)
    rewrite(server, ObjectList, lambda page: replace(page, objects=[lies(entry) for entry in page.objects]))
    server.log.clear()
    with pytest.raises(IntegrityError, match="listing of an object"):
        sync_vault.reseal()
    assert sum(line.startswith("GET") and "/objects/" in line for line in server.log) == 1
    assert {stored.row.key_version for stored in the_vault(server).objects.values()} == {1}


def test_a_listing_that_hides_a_stream_does_not_make_re_sealing_end_it(sync_vault: Any, server: FakeServer) -> None:
    film = sync_vault.put(bytes(300_000), name="film").object_id
    sync_vault.put_many([NewObject(b"x", f"number {number}") for number in range(3)])
    sync_vault.revoke_phrase(sync_vault.add_phrase(OTHER_PHRASE).tag_id)
    hide = partial(replace, stream_id=None)
    rewrite(server, ObjectList, lambda page: replace(page, objects=[hide(entry) for entry in page.objects]))
    with pytest.raises(IntegrityError, match="listing of an object"):
        sync_vault.reseal()
    server.rewrite = None
    assert len(the_vault(server).streams) == 1
    assert sync_vault.reseal() >= 1
    assert sync_vault.get(film).body == bytes(300_000)


def test_an_older_row_in_a_listing_is_not_that_of_its_digest(sync_vault: Any, many: FakeServer) -> None:
    """Authentic, of this object and of the revision that the entry names, and not the row that the head counts."""
    held = the_vault(many).objects
    object_id = next(key for key, stored in held.items() if stored.row.content_size < 1000)
    other = seal_object(
        sync_vault._steps.witness.data_key,
        vault_id=next(iter(many.users[EMAIL].vaults)),
        object_id=object_id,
        key_version=1,
        revision=1,
        meta=ObjectMeta("never stored", "text/plain", 1, 0),
        body=b"",
    )

    def lie(page: ObjectList) -> ObjectList:
        row = encode_binary(other.encoded)
        if all(entry.row is None for entry in page.objects):
            return page
        return replace(
            page, objects=[replace(each, row=row) if each.object_id == object_id else each for each in page.objects]
        )

    rewrite(many, ObjectList, lie)
    with pytest.raises(IntegrityError, match="row in a listing"):
        sync_vault.list()


def test_no_lie_of_a_listing_makes_an_object_unreadable_later(sync_vault: Any, many: FakeServer) -> None:
    """The row of one object under the id of another does not open there: it must not be remembered of its digest."""

    def lie(page: ObjectList) -> ObjectList:
        first, *others = page.objects
        lies = [replace(each, row=first.row, digest=first.digest, revision=first.revision) for each in others]
        return replace(page, objects=[first, *lies])

    rewrite(many, ObjectList, lie)
    with pytest.raises(RollbackError):
        sync_vault.list()
    many.rewrite = None
    assert all(entry.readable for entry in sync_vault.list())


def test_an_altered_row_is_not_taken_for_one_that_was_sealed_so(sync_vault: Any, many: FakeServer) -> None:
    """Else a server could talk people into deleting what is whole, also where it alters the digest with it."""
    stored = next(each for each in the_vault(many).objects.values() if each.row.content_size < 1000)
    stored.row = stored.row._replace(encoded=stored.row.encoded[:-1] + bytes([stored.row.encoded[-1] ^ 1]))
    with pytest.raises(RollbackError, match="head"):
        sync_vault.list()
    for object_id in the_vault(many).objects:
        with pytest.raises(RollbackError):
            sync_vault.get(object_id)


@pytest.mark.parametrize(
    "row", ["A" * 79, "A" * 5543, "A" * 81, "!" * 100], ids=["short", "long", "no octets", "no text"]
)
def test_a_row_in_a_listing_that_cannot_be_one_is_malformed(sync_vault: Any, many: FakeServer, row: str) -> None:
    rewrite(many, ObjectList, _in_rows(lambda rows: [row, *rows[1:]]))
    with pytest.raises(MalformedError):
        sync_vault.list()


def test_a_vault_that_changes_while_its_rows_are_listed_is_listed_again(sync_vault: Any, many: FakeServer) -> None:
    many.page = 5
    with connect_sync(URL, many.transport()) as other:
        other.log_in(EMAIL, PASSWORD)
        theirs = other.unlock(PHRASE)

        def write_between(request: httpx.Request) -> None:
            if "after=" in str(request.url.query):
                many.on_request = None
                theirs.put(b"new", name="new")

        many.on_request = write_between
        assert len(sync_vault.list()) == 13


def test_a_refusal_to_show_a_row_is_told_as_the_servers_whatever_it_names(sync_vault: Any, server: FakeServer) -> None:
    """The code that this client has for a row that was re-sealed meanwhile means nothing in a server's answer."""
    stored = sync_vault.put(b"body", name="letter")
    refused = problem(409, "revision_conflict")
    for look in (lambda: sync_vault.get(stored.object_id), sync_vault.list):
        sync_vault._steps._metas.clear()
        server.faults = [Fault("GET", "/objects/", answer=refused, times=99)]
        server.log.clear()
        with pytest.raises(ConflictError) as caught:
            look()
        assert (caught.value.code, caught.value.status) == ("revision_conflict", 409)
        assert server.log.count(f"GET /v1/vaults/{sync_vault.vault_id}/objects/{stored.object_id}") == 1
