"""What a device has seen is held against the server in every later session; a fresh device has the epoch code.

Nothing of a session survives here but the store of pins: each session is a new client, as another process would be.
"""

import copy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hushtag.client import (
    Client,
    EpochError,
    MemoryPinStore,
    PinFile,
    PinStore,
    PinStoreError,
    Vault,
    VaultLockedError,
    VaultRolledBackError,
)
from hushtag.epoch import Verdict
from hushtag.errors import EpochCodeError, MisuseError, RollbackError
from tests.client.fake_server import URL, FakeServer, FakeVault
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, connect_sync
from tests.evil.world import FRESH_PHRASE, GUEST_PHRASE, HonestServer, World, copied

CHANGES = ("put", "put", "replace", "delete", "put", "replace")


class Story:
    """A server whose every state is remembered, and devices that come and go."""

    def __init__(self, world: World) -> None:
        self.server = HonestServer()
        self.server.users = copy.deepcopy(world.older["no objects"])
        self.states: list[dict[str, Any]] = []
        self.remember()

    def remember(self) -> None:
        self.states.append(copy.deepcopy(self.server.users))

    def go_back(self, state: dict[str, Any]) -> None:
        """Serve an earlier state, or that of another branch; sessions are those of new logins."""
        self.server.users = copy.deepcopy(state)
        self.server.tokens.clear()
        self.server.vault_tokens.clear()

    def device(self, store: PinStore | None) -> Client:
        client = connect_sync(URL, self.server.transport(), vault_pins=store)
        client.log_in(EMAIL, PASSWORD)
        return client

    def unlock(self, store: PinStore | None, **options: Any) -> Vault:
        return self.device(store).unlock(PHRASE, **options)

    def live(self, store: PinStore | None, changes: tuple[str, ...] = CHANGES, *, listed: bool = True) -> Vault:
        """Make changes, each remembered as a state of its own."""
        vault = self.unlock(store)
        mine: list[UUID] = [entry.object_id for entry in vault.list()]
        for number, change in enumerate(changes):
            if change == "put":
                mine.append(vault.put(f"thing {number}".encode(), name=f"thing {number}").object_id)
            elif change == "replace":
                vault.put(f"again {number}".encode(), name="again", replace=mine[0])
            else:
                vault.delete(mine.pop())
            self.remember()
        if listed:
            vault.list()
        return vault


@pytest.fixture
def story(world: World) -> Story:
    return Story(world)


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PinStore:
    return PinFile(tmp_path / "state") if request.param == "file" else MemoryPinStore()


def her_vault(server: FakeServer, vault_id: UUID) -> FakeVault:
    return server.users[EMAIL].vaults[vault_id]


# --- pins -----------------------------------------------------------------------------------------------------


def test_every_earlier_generation_is_refused_in_a_later_session(story: Story, store: PinStore) -> None:
    lived = story.live(store)
    lived.lock()
    for generation, state in enumerate(story.states[:-1], 1):
        story.go_back(state)
        with pytest.raises(VaultRolledBackError) as caught:
            story.unlock(store)
        error = caught.value
        assert (error.change, error.served_generation, error.pinned_generation) == ("older", generation, 7)
        assert error.vault_id == lived.vault_id
        assert error.pinned_objects == 2
        assert error.served_objects == len(her_vault(story.server, lived.vault_id).objects)
        assert f"generation {generation} with" in str(error)
        assert "generation 7 with 2 objects was pinned on 20" in str(error)
        assert story.server.vault_tokens == {}  # the vault session was ended
    story.go_back(story.states[-1])
    with story.unlock(store) as vault:
        assert vault.pinned is not None
        assert (vault.pinned.generation, vault.pinned.object_count) == (7, 2)
        assert len(vault.list()) == 2


def test_without_pins_nothing_is_remembered_and_a_fresh_device_says_so(story: Story) -> None:
    """What the pins are for: without them the older state passes. `pinned` tells that there was nothing to hold."""
    story.live(None)
    story.go_back(story.states[2])
    with story.unlock(None) as vault:
        assert vault.pinned is None
        assert len(vault.list()) == 2
    with story.unlock(MemoryPinStore()) as vault:
        assert vault.pinned is None


def test_each_change_is_pinned_when_it_is_stored(story: Story, store: PinStore) -> None:
    """Also if the program dies right after: nothing waits for the vault to be locked."""
    for number in range(3):
        vault = story.unlock(store)
        vault.put(b"", name=str(number))
        story.remember()
        story.go_back(story.states[number])
        with pytest.raises(VaultRolledBackError):
            story.unlock(store)
        story.go_back(story.states[number + 1])


def test_a_fork_of_the_same_generation_is_refused(story: Story, store: PinStore) -> None:
    """The man keeps two branches: this device wrote in one, another device in the other."""
    base = story.states[0]
    story.live(store, ("put", "put"))
    mine = story.states[-1]
    story.go_back(base)
    story.live(MemoryPinStore(), ("put", "replace"))
    with pytest.raises(VaultRolledBackError, match="same generation") as caught:
        story.unlock(store)
    assert (caught.value.change, caught.value.served_generation) == ("forked", 3)
    story.go_back(mine)
    assert len(story.unlock(store).list()) == 2


def test_a_fork_that_has_overtaken_is_refused_where_an_object_goes_back(story: Story, store: PinStore) -> None:
    """Its generation is later, so it opens; but an object that was listed here comes in an earlier revision."""
    story.live(store, ("put",))
    base = copy.deepcopy(story.states[-1])
    story.live(store, ("replace", "replace"))
    story.go_back(base)
    story.live(MemoryPinStore(), ("put", "put", "put"))
    with story.unlock(store) as vault:
        with pytest.raises(RollbackError, match="not the one pinned before"):
            vault.list()
        with pytest.raises(RollbackError):
            vault.get(vault.vault_id)


def test_a_fork_that_has_overtaken_is_refused_where_an_object_became_another(story: Story, store: PinStore) -> None:
    """Both devices replaced it once, each unseen by the other: the revision is the same, the row is not."""
    story.live(store, ("put",))
    base = copy.deepcopy(story.states[-1])
    story.live(store, ("replace",))
    story.go_back(base)
    story.live(MemoryPinStore(), ("replace", "put", "put"))
    with story.unlock(store) as vault, pytest.raises(RollbackError, match="not the one pinned before"):
        vault.list()


def test_what_was_deleted_does_not_rise_in_a_later_session(story: Story, store: PinStore) -> None:
    vault = story.live(store, ("put", "put", "delete"))
    gone = set(story.states[2][EMAIL].vaults[vault.vault_id].objects) - set(
        story.states[3][EMAIL].vaults[vault.vault_id].objects
    )
    story.go_back(story.states[2])  # the whole state before the deletion
    with pytest.raises(VaultRolledBackError):
        story.unlock(store)
    story.go_back(story.states[3])  # the newest head, with the deleted row beside it
    kept = story.states[2][EMAIL].vaults[vault.vault_id].objects
    her_vault(story.server, vault.vault_id).objects |= {object_id: kept[object_id] for object_id in gone}
    with story.unlock(store) as opened, pytest.raises(RollbackError):
        opened.get(gone.pop())


def test_another_process_of_the_device_raises_the_floor_of_an_open_vault(story: Story, store: PinStore) -> None:
    """One process has the vault open; another writes; then the man serves the first one what it knew."""
    vault = story.unlock(store)
    vault.put(b"mine", name="mine")
    tokens = story.server.tokens, story.server.vault_tokens
    before = copy.deepcopy((story.server.users, *tokens))
    story.unlock(store).put(b"theirs", name="theirs")
    story.server.users, story.server.tokens, story.server.vault_tokens = before
    for call in (vault.list, lambda: vault.put(b"", name="late"), vault.epoch_code):
        with pytest.raises(RollbackError):
            call()


def test_a_device_goes_on_after_what_others_did(story: Story, store: PinStore) -> None:
    """No false alarm: others write, delete and replace; this device sees it all as later."""
    story.live(store, ("put", "put"))
    story.live(MemoryPinStore(), ("replace", "put", "delete", "delete", "put"))
    with story.unlock(store) as vault:
        assert [entry.revision for entry in sorted(vault.list(), key=lambda entry: -entry.revision)] == [2, 1]
        vault.put(b"", name="more")


def test_damaged_pins_are_said_before_anything_is_asked(story: Story, tmp_path: Path) -> None:
    store = PinFile(tmp_path / "state")
    story.live(store, ("put",)).lock()
    (store.directory / "pins").write_bytes(b"damaged")
    client = story.device(store)
    asked = len(story.server.log)
    with pytest.raises(PinStoreError, match="damaged"):
        client.unlock(PHRASE)
    assert len(story.server.log) == asked


def test_pins_of_one_vault_say_nothing_of_another(story: Story, store: PinStore) -> None:
    story.live(store)
    with story.device(store).unlock(OTHER_PHRASE) as other:
        assert other.pinned is None


# --- epoch codes ----------------------------------------------------------------------------------------------


def test_a_fresh_device_with_the_code_refuses_every_older_state_and_pins_none(story: Story) -> None:
    code = story.live(MemoryPinStore()).epoch_code()
    assert len(code.split()) == 5
    for state in story.states[:-1]:
        story.go_back(state)
        fresh = MemoryPinStore()
        with pytest.raises(EpochError) as caught:
            story.unlock(fresh, epoch_code=code)
        assert caught.value.verdict is Verdict.OLDER
        assert story.server.vault_tokens == {}
        with story.unlock(fresh) as vault:
            assert vault.pinned is None  # the refused state was not believed
            with pytest.raises(EpochError):
                vault.check_epoch(code)
    story.go_back(story.states[-1])
    with story.unlock(MemoryPinStore(), epoch_code=code.upper()) as vault:
        assert vault.check_epoch(code) == 0
        vault.put(b"", name="later")
        assert vault.check_epoch(code) == 1
        assert vault.epoch_code() != code
    with story.unlock(MemoryPinStore(), epoch_code=code) as vault:
        assert vault.check_epoch(code) == 1


def test_a_fresh_device_with_the_code_refuses_a_fork(story: Story) -> None:
    base = story.states[0]
    code = story.live(MemoryPinStore(), ("put",)).epoch_code()
    story.go_back(base)
    story.live(MemoryPinStore(), ("put",))
    with pytest.raises(EpochError) as caught:
        story.unlock(MemoryPinStore(), epoch_code=code)
    assert caught.value.verdict is Verdict.FORKED


def test_a_code_of_another_vault_or_of_none_is_refused(story: Story) -> None:
    other = story.device(None).unlock(OTHER_PHRASE)
    verdicts = []
    for number in range(3):  # one in a thousand codes has the check word that this vault would give it
        with pytest.raises(EpochError) as caught:
            story.unlock(None, epoch_code=other.epoch_code())
        verdicts.append(caught.value.verdict)
        other.put(b"", name=f"thing {number}")
    assert verdicts.count(Verdict.UNKNOWN) >= 2
    client = story.device(None)
    asked = len(story.server.log)
    with pytest.raises(EpochCodeError):
        client.unlock(PHRASE, epoch_code="not five words")
    assert len(story.server.log) == asked


# --- restored backups -----------------------------------------------------------------------------------------


def lost_of(vault: Vault) -> dict[UUID, int | None]:
    found = vault.restoration()
    assert found is not None
    return {each.object_id: each.served_revision for each in found.lost}


def test_a_restored_backup_is_accepted_only_by_naming_what_is_lost(story: Story, store: PinStore) -> None:
    story.live(store)  # 7 generations; then the operator restores the third
    newest = {each.object_id: each for each in story.unlock(store).list()}
    story.go_back(story.states[2])
    vault = story.unlock(store, review_restored=True)
    found = vault.restoration()
    assert found is not None
    assert (found.change, found.pinned_generation, found.served_generation) == ("older", 7, 3)
    assert (found.pinned_objects, found.served_objects, found.listed_generation) == (2, 2, 7)
    served = her_vault(story.server, vault.vault_id).objects
    expected = {key: None for key in newest if key not in served}
    expected |= {key: served[key].row.revision for key in newest if key in served}
    assert lost_of(vault) == expected
    assert {each.name for each in found.lost} == {None, "thing 0"}
    stored = copy.deepcopy(served)
    for words in ("", "yes", "give up generation 7 for 2", found.confirmation.replace("7", "8")):
        with pytest.raises(MisuseError, match="give up generation 7 for 3"):
            vault.accept_restored(words)
    for call in (
        vault.list,
        vault.epoch_code,
        vault.phrases,
        lambda: vault.put(b"", name="x"),
        lambda: vault.get(next(iter(served))),
        lambda: vault.token,
    ):
        with pytest.raises(VaultRolledBackError):  # a vault under review shows and changes nothing
            call()
    assert her_vault(story.server, vault.vault_id).objects.keys() == stored.keys()
    vault.accept_restored(f"  {found.confirmation.upper()} ")
    assert vault.restoration() is None
    names = [entry.name for entry in vault.list()]
    assert len(names) == 3
    assert any(name.startswith("Restored from a backup") for name in names)
    note = next(entry for entry in vault.list() if entry.name.startswith("Restored"))
    assert b"generation 7 with 2 objects" in vault.get(note.object_id).body
    vault.lock()
    with story.unlock(store) as again:
        assert again.pinned is not None
        assert (again.pinned.generation, again.pinned.restorations) == (4, 1)


def test_the_other_devices_see_a_restored_vault_as_what_it_is(story: Story, store: PinStore) -> None:
    """Whatever generation it has reached by then: below, at and above what they had pinned."""
    story.live(store)
    others = [copied_of(story, store) for _ in range(3)]
    story.go_back(story.states[2])
    vault = story.unlock(store, review_restored=True)
    vault.accept_restored("give up generation 7 for 3")
    for other, more in zip(others, (0, 3, 3), strict=True):
        for number in range(more):
            story.unlock(store).put(b"", name=f"since {number}")
        with pytest.raises(VaultRolledBackError, match="accepted that on another device") as caught:
            story.unlock(other)
        assert caught.value.change == "restored"
        theirs = story.unlock(other, review_restored=True)
        found = theirs.restoration()
        assert found is not None
        before = her_vault(story.server, theirs.vault_id).generation
        with pytest.raises(MisuseError):
            theirs.accept_restored("give up generation 7 for 3")
        theirs.accept_restored(found.confirmation)
        assert her_vault(story.server, theirs.vault_id).generation == before  # told once, by the first device
        theirs.list()
        with story.unlock(other):
            pass


def copied_of(story: Story, store: PinStore) -> MemoryPinStore:
    """Another device that has seen the vault as it is."""
    if isinstance(store, MemoryPinStore):
        return copied(store)
    other = MemoryPinStore()
    story.unlock(other).list()
    return other


def test_what_was_given_up_does_not_come_back_unasked(story: Story, store: PinStore) -> None:
    """After a restore was accepted, the lost state is the older one, though its generation is higher."""
    story.live(store)
    story.go_back(story.states[2])
    story.unlock(store, review_restored=True).accept_restored("give up generation 7 for 3")
    story.go_back(story.states[-1])
    with pytest.raises(VaultRolledBackError) as caught:
        story.unlock(store)
    assert caught.value.change == "older"
    vault = story.unlock(store, review_restored=True)
    found = vault.restoration()
    assert found is not None
    vault.accept_restored(found.confirmation)
    with story.unlock(store) as again:
        assert again.pinned is not None
        assert again.pinned.restorations == 2


def test_nothing_is_wrapped_anew_or_moved_in_a_vault_that_takes_something_back(story: Story, store: PinStore) -> None:
    """Somebody else rotated the key and the server its setup; both are done at the next unlock, and were taken back."""
    with story.unlock(store) as vault:
        vault.add_phrase(GUEST_PHRASE)
    with story.device(None).unlock(GUEST_PHRASE) as theirs:
        theirs.change_phrase(theirs.tag_id, FRESH_PHRASE)
    rotated = copy.deepcopy(story.server.users)
    story.live(store, ("put",))
    story.go_back(rotated)
    story.server.rotate_keys()
    for review, sent in ((True, []), (False, ["PUT", "POST"])):
        story.server.log.clear()
        story.unlock(store if review else None, review_restored=review)
        changes = [request for request in story.server.log if "/keys/" in request or request.endswith("/move")]
        assert [request.split()[0] for request in changes] == sent


def test_an_open_vault_notices_that_it_was_restored(story: Story, store: PinStore) -> None:
    story.live(store)
    bystander = story.unlock(None)
    tokens = dict(story.server.tokens), dict(story.server.vault_tokens)
    story.server.users = copy.deepcopy(story.states[5])
    owner = story.server.users[EMAIL]
    story.server.tokens = {token: (owner, session) for token, (_, session) in tokens[0].items()}
    story.server.vault_tokens = {
        token: (owner, owner.tags[tag.phrase_hash], session) for token, (_, tag, session) in tokens[1].items()
    }
    story.unlock(store, review_restored=True).accept_restored("give up generation 7 for 6")
    with pytest.raises(RollbackError, match="restored from a backup while it was open"):
        bystander.epoch_code()


def test_there_is_nothing_to_accept_in_a_vault_that_takes_nothing_back(story: Story, store: PinStore) -> None:
    story.live(store)
    vault = story.unlock(store, review_restored=True)
    assert vault.restoration() is None
    with pytest.raises(MisuseError, match="nothing to accept"):
        vault.accept_restored("give up generation 7 for 7")
    vault.lock()
    with pytest.raises(VaultLockedError):
        vault.restoration()


def test_a_restored_vault_that_is_served_otherwise_during_the_review_is_refused(story: Story, store: PinStore) -> None:
    """The man shows one older state to be accepted and another when it is listed."""
    story.live(store)
    story.go_back(story.states[3])
    vault = story.unlock(store, review_restored=True)
    owner = story.server.users[EMAIL]
    owner.vaults = copy.deepcopy(story.states[1][EMAIL].vaults)
    with pytest.raises(RollbackError):
        vault.restoration()
    with pytest.raises(RollbackError):
        vault.accept_restored("give up generation 7 for 4")
