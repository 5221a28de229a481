"""Several phrases for one vault, on any server: scenarios as in `scenarios`."""

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from hushtag import enrollment
from hushtag.client import ConflictError, IntegrityError, NotFoundError, SessionExpiredError
from hushtag.errors import AuthenticationError, MisuseError, PhraseError, WeakPhraseError
from hushtag.phrase import draw_phrase
from hushtag.recovery import draw_recovery_code
from hushtag.tag_label import SEALED_LABEL_LENGTH
from tests.client.support import OTHER_PHRASE, PASSWORD, PHRASE, UNKNOWN_PHRASE, Connect, new_account

THIRD_PHRASE = draw_phrase().text


def _two_phrases(connect: Connect) -> tuple[Any, str, Any]:
    """A vault with two phrases and two objects, opened by the first."""
    client, email = new_account(connect)
    client.enrol(PHRASE, label="mine")
    vault = client.unlock(PHRASE)
    for name in ("letter", "photo"):
        vault.put(f"the first {name}".encode(), name=name)
    vault.add_phrase(OTHER_PHRASE, label="the friend's")
    return client, email, vault


def _labels(vault: Any) -> list[str]:
    return sorted(phrase.label for phrase in vault.phrases())


def _tag_of(vault: Any, label: str) -> Any:
    return next(phrase.tag_id for phrase in vault.phrases() if phrase.label == label)


def _bodies(vault: Any) -> dict[str, bytes]:
    return {entry.name: vault.get(entry.object_id).body for entry in vault.list()}


FIRST = {"letter": b"the first letter", "photo": b"the first photo"}


def a_second_phrase_opens_the_same_vault(connect: Connect, tmp_path: Path) -> None:
    _client, email, vault = _two_phrases(connect)
    assert _labels(vault) == ["mine", "the friend's"]
    with pytest.raises(ConflictError, match="the phrase opens a vault of this account already"):
        vault.add_phrase(OTHER_PHRASE)
    with pytest.raises(WeakPhraseError):
        vault.add_phrase("too short")
    other = connect()
    other.log_in(email, PASSWORD)
    friends = other.unlock(OTHER_PHRASE)
    assert friends.vault_id == vault.vault_id
    assert _bodies(friends) == FIRST
    friends.put(b"from the friend", name="reply")
    assert vault.get_by_name("reply").body == b"from the friend"
    assert [phrase.current for phrase in friends.phrases() if phrase.label == "the friend's"] == [True]


def a_recovery_code_opens_the_vault_as_its_sheet_has_it(connect: Connect, tmp_path: Path) -> None:
    client, _ = new_account(connect)
    client.enrol(PHRASE)
    code = draw_recovery_code()
    with client.unlock(PHRASE) as vault:
        vault.put(b"Dear reader", name="letter")
        vault.add_phrase(code, label="recovery code")
    numbered = "  ".join(f"{at}. {word.title()}" for at, word in enumerate(code.words, 1))
    with client.unlock(numbered) as vault:
        assert vault.get_by_name("letter").body == b"Dear reader"
    with client.unlock([UNKNOWN_PHRASE, numbered.replace("  ", "\n")]) as vault:
        assert vault.candidate == 1
    with pytest.raises(PhraseError, match="recovery code"):
        client.enrol(numbered)


def a_recovery_code_goes_without_the_device_secret_that_is_lost(connect: Connect, tmp_path: Path) -> None:
    client, email = new_account(connect)
    code, secret = draw_recovery_code(), os.urandom(32)
    client.enrol(PHRASE, device_secret=secret)
    with client.unlock(PHRASE, device_secret=secret) as vault:
        vault.put(b"Dear reader", name="letter")
        vault.add_phrase(code, label="recovery code", device_secret=secret)
    elsewhere = connect()
    elsewhere.log_in(email, PASSWORD)
    for given in (None, os.urandom(32)):
        with elsewhere.unlock(code, device_secret=given) as vault:
            assert vault.get_by_name("letter").body == b"Dear reader"


def a_revoked_phrase_opens_nothing_and_nothing_is_lost(connect: Connect, tmp_path: Path) -> None:
    _client, email, vault = _two_phrases(connect)
    other = connect()
    other.log_in(email, PASSWORD)
    friends = other.unlock(OTHER_PHRASE)
    reply = friends.put(b"from the friend", name="reply")
    vault.revoke_phrase(_tag_of(vault, "the friend's"))
    with pytest.raises(SessionExpiredError):
        friends.get(reply.object_id)
    with pytest.raises(AuthenticationError, match="opens nothing here"):
        other.unlock(OTHER_PHRASE)
    written = FIRST | {"reply": b"from the friend"}
    assert _bodies(vault) == written
    assert vault.put(b"dear", name="new").revision == 1
    told: list[tuple[int, int]] = []
    # One phrase is enough to go on, in another session, with the key that was sealed to it.
    again = connect()
    again.log_in(email, PASSWORD)
    with again.unlock(PHRASE) as reopened:
        assert _labels(reopened) == ["mine"]
        assert reopened.reseal(lambda done, total: told.append((done, total))) == 3
        assert told == [(0, 3), (1, 3), (2, 3), (3, 3), (3, 3)]
        assert reopened.reseal() == 0
        assert _bodies(reopened) == written | {"new": b"dear"}
    with again.unlock(PHRASE) as wrapped:
        assert _bodies(wrapped) == written | {"new": b"dear"}
        with pytest.raises(MisuseError, match="last phrase"):
            wrapped.revoke_phrase(wrapped.tag_id)


def a_label_that_opens_for_nobody_keeps_nobody_from_revoking_its_phrase(connect: Connect, tmp_path: Path) -> None:
    _client, email, vault = _two_phrases(connect)
    other = connect()
    other.log_in(email, PASSWORD)
    friends = other.unlock(OTHER_PHRASE)
    unlabelled = []
    for phrase in (THIRD_PHRASE, UNKNOWN_PHRASE):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(enrollment, "seal_label", lambda *_, **__: os.urandom(SEALED_LABEL_LENGTH))
            with pytest.raises(IntegrityError, match="label of the phrase") as told:
                friends.add_phrase(phrase)
        unlabelled.append(UUID(str(told.value).split()[4]))
    for tag_id in sorted(unlabelled):
        with pytest.raises(
            IntegrityError, match=rf"^label of the phrase ({unlabelled[0]}|{unlabelled[1]}) is not auth"
        ):
            vault.phrases()
        vault.revoke_phrase(tag_id)
    assert _labels(vault) == ["mine", "the friend's"]
    assert _bodies(vault) == FIRST
    with pytest.raises(AuthenticationError, match="opens nothing here"):
        other.unlock(THIRD_PHRASE)


def a_phrase_is_changed_by_who_opened_the_vault_with_it_or_with_another(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault = _two_phrases(connect)
    assert vault.change_phrase(vault.tag_id, THIRD_PHRASE).label == "mine"
    assert vault.put(b"after", name="after").revision == 1
    changed = vault.change_phrase(_tag_of(vault, "the friend's"), UNKNOWN_PHRASE, label="a new friend's")
    assert changed.label == "a new friend's"
    assert _labels(vault) == ["a new friend's", "mine"]
    with pytest.raises(NotFoundError):
        vault.revoke_phrase(client.session.session_id)
    for old in (PHRASE, OTHER_PHRASE):
        with pytest.raises(AuthenticationError):
            client.unlock(old)
    for new in (THIRD_PHRASE, UNKNOWN_PHRASE):
        with client.unlock(new) as opened:
            assert _bodies(opened) == FIRST | {"after": b"after"}


def a_phrase_that_sleeps_follows_every_rotation(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault = _two_phrases(connect)
    for number in range(3):
        vault.add_phrase(THIRD_PHRASE, label="guest")
        vault.revoke_phrase(_tag_of(vault, "guest"))
        vault.put(b"written later", name=f"later {number}")
    everything = FIRST | {f"later {number}": b"written later" for number in range(3)}
    for _ in range(2):
        with client.unlock(OTHER_PHRASE) as opened:
            assert _bodies(opened) == everything
    # A session from before a rotation is told to unlock again, and loses nothing.
    with client.unlock(OTHER_PHRASE) as before:
        vault.add_phrase(THIRD_PHRASE, label="guest")
        vault.revoke_phrase(_tag_of(vault, "guest"))
        with pytest.raises(ConflictError, match="unlock it again"):
            before.put(b"late", name="late")
    assert vault.reseal() == 5
    with client.unlock(OTHER_PHRASE) as opened:
        assert _bodies(opened) == everything


def a_phrase_revokes_itself_and_the_vault_goes_on(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault = _two_phrases(connect)
    vault.revoke_phrase(vault.tag_id)
    assert vault.locked
    with pytest.raises(AuthenticationError):
        client.unlock(PHRASE)
    with client.unlock(OTHER_PHRASE) as left:
        assert _labels(left) == ["the friend's"]
        assert _bodies(left) == FIRST


def a_vault_is_destroyed_with_its_last_phrase_when_that_is_confirmed(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault = _two_phrases(connect)
    with pytest.raises(MisuseError, match="confirm"):
        vault.destroy(confirm="yes")
    with pytest.raises(ConflictError, match="other phrases"):
        vault.destroy(confirm=vault.vault_id)
    vault.revoke_phrase(_tag_of(vault, "the friend's"))
    assert _bodies(vault) == FIRST
    vault.destroy(confirm=vault.vault_id)
    assert vault.locked
    with pytest.raises(AuthenticationError):
        client.unlock(PHRASE)
    client.enrol(PHRASE, label="anew")
    with client.unlock(PHRASE) as new:
        assert (new.vault_id != vault.vault_id, new.list()) == (True, ())


def _decoy_and_real(connect: Connect) -> tuple[Any, str, Any, Any]:
    """Two vaults of one account: `PHRASE` and a friend's open the real one, `THIRD_PHRASE` another."""
    client, email, vault = _two_phrases(connect)
    client.enrol(THIRD_PHRASE, label="harmless")
    other = connect()
    other.log_in(email, PASSWORD)
    return client, email, vault, other


def _opens(client: Any, *phrases: str) -> list[bool]:
    found = []
    for phrase in phrases:
        try:
            with client.unlock(phrase):
                found.append(True)
        except AuthenticationError:
            found.append(False)
    return found


def a_duress_phrase_shreds_the_vault_it_was_told_to_and_opens_its_own(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault, other = _decoy_and_real(connect)
    vault.set_duress(THIRD_PHRASE)
    # To say what it does is not to do it, and the other phrases go on as before.
    assert _opens(client, PHRASE, OTHER_PHRASE) == [True, True]
    with other.unlock(THIRD_PHRASE) as harmless:
        assert _labels(harmless) == ["harmless"]
        assert harmless.put(b"nothing much", name="note").revision == 1
    assert _opens(client, PHRASE, OTHER_PHRASE, THIRD_PHRASE) == [False, False, True]
    with pytest.raises(SessionExpiredError):
        vault.list()
    # Nobody can tell it from a phrase that was never enrolled: it can be enrolled.
    client.enrol(PHRASE, label="anew")
    assert _opens(client, PHRASE, THIRD_PHRASE) == [True, True]


def a_duress_phrase_shreds_one_phrase_and_the_others_open_the_vault_still(connect: Connect, tmp_path: Path) -> None:
    client, email, vault, other = _decoy_and_real(connect)
    vault.set_duress(THIRD_PHRASE, tag_id=_tag_of(vault, "the friend's"), phrase_only=True, place=3)
    friends = connect()
    friends.log_in(email, PASSWORD)
    theirs = friends.unlock(OTHER_PHRASE)
    assert _opens(other, THIRD_PHRASE) == [True]
    with pytest.raises(SessionExpiredError):
        theirs.list()
    assert _opens(client, PHRASE, OTHER_PHRASE) == [True, False]


def an_order_is_taken_back_or_written_over_in_its_place(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault, other = _decoy_and_real(connect)
    vault.set_duress(THIRD_PHRASE, place=2)
    vault.clear_duress(place=1)
    vault.clear_duress(place=2)
    assert _opens(other, THIRD_PHRASE) == [True]
    vault.set_duress(THIRD_PHRASE, place=4)
    vault.clear_duress(vault.tag_id)
    assert _opens(client, THIRD_PHRASE, PHRASE, OTHER_PHRASE) == [True, True, True]
    assert _bodies(vault) == FIRST


def a_duress_order_is_refused_before_it_could_mislead(connect: Connect, tmp_path: Path) -> None:
    client, _email, vault, _other = _decoy_and_real(connect)
    with pytest.raises(MisuseError, match="opens this vault itself"):
        vault.set_duress(OTHER_PHRASE)
    with pytest.raises(AuthenticationError):
        vault.set_duress(UNKNOWN_PHRASE)
    with pytest.raises(MisuseError, match="1, 7, 30 days"):
        vault.set_duress(THIRD_PHRASE, lock_days=2)
    with pytest.raises(MisuseError, match="places 1 to 4"):
        vault.set_duress(THIRD_PHRASE, place=5)
    with pytest.raises(MisuseError, match="places 1 to 4"):
        vault.clear_duress(place=0)
    for refused in (vault.clear_duress, lambda tag_id: vault.set_duress(THIRD_PHRASE, tag_id=tag_id)):
        with pytest.raises(NotFoundError):
            refused(client.session.session_id)
    # The same may be ordered as often as one likes: that it was ordered before is told to nobody.
    for place in (1, 2, 3):
        vault.set_duress(THIRD_PHRASE, phrase_only=True, tag_id=_tag_of(vault, "the friend's"), place=place)
    assert _opens(client, PHRASE, OTHER_PHRASE) == [True, True]


PHRASE_SCENARIOS = [
    a_second_phrase_opens_the_same_vault,
    a_recovery_code_opens_the_vault_as_its_sheet_has_it,
    a_revoked_phrase_opens_nothing_and_nothing_is_lost,
    a_recovery_code_goes_without_the_device_secret_that_is_lost,
    a_label_that_opens_for_nobody_keeps_nobody_from_revoking_its_phrase,
    a_phrase_is_changed_by_who_opened_the_vault_with_it_or_with_another,
    a_phrase_that_sleeps_follows_every_rotation,
    a_phrase_revokes_itself_and_the_vault_goes_on,
    a_vault_is_destroyed_with_its_last_phrase_when_that_is_confirmed,
    a_duress_phrase_shreds_the_vault_it_was_told_to_and_opens_its_own,
    a_duress_phrase_shreds_one_phrase_and_the_others_open_the_vault_still,
    an_order_is_taken_back_or_written_over_in_its_place,
    a_duress_order_is_refused_before_it_could_mislead,
]
