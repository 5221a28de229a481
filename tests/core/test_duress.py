"""The release of a phrase, its tickets, and an unlock that is ended to learn them: SPEC.md, section 24."""

from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hushtag.duress import LOCK_DAYS, Verdict, derive_release, expand_release
from hushtag.errors import MisuseError, StateError
from hushtag.keys import derive_tag_key_pair
from hushtag.messages import decode_binary
from hushtag.ring import Member
from hushtag.types import ExportKey, Release
from tests.core.ceremony import World, unlocked_message

# The table of SPEC.md, section 24: verdict, whether the whole vault, days of the lock.
TABLE = [
    (0, False, None),
    (1, True, None),
    (2, False, 1),
    (3, True, 1),
    (4, False, 7),
    (5, True, 7),
    (6, False, 30),
    (7, True, 30),
]


@pytest.mark.parametrize(("value", "vault", "days"), TABLE)
def test_a_verdict_has_its_place_in_the_table(value: int, vault: bool, days: int | None) -> None:
    assert Verdict.of(vault=vault, lock_days=days) is Verdict(value)


def test_a_lock_lasts_one_of_three_times() -> None:
    assert LOCK_DAYS == (1, 7, 30)
    for days in (0, 2, 31):
        with pytest.raises(ValueError, match="not in tuple"):
            Verdict.of(vault=False, lock_days=days)


def test_check_value_and_tickets_are_parts_of_one_expansion() -> None:
    export = bytes(range(64))
    release = HKDF(SHA512(), 32, b"", b"hushtag-v1/release").derive(export)
    assert derive_release(ExportKey(export)) == Release(release)
    stream = HKDF(SHA512(), 2080, b"", b"hushtag-v1/order").derive(release)
    released = expand_release(Release(release))
    assert (released.check, released.joined) == (stream[:32], stream[32:])
    assert released.tickets == tuple(stream[start : start + 16] for start in range(32, 2080, 16))
    assert len(set(released.tickets)) == 128
    for verdict in Verdict:
        first = 16 * verdict.value
        assert released.of(verdict) == released.tickets[first : first + 16]
        assert len(released.of(verdict)) == 16


def test_the_finish_sends_the_release_and_giving_up_learns_what_it_gives(world: World) -> None:
    finishing, _ = world.prove("open sesame")
    sent = Release(decode_binary(finishing.message.release))
    assert sent == derive_release(ExportKey(finishing._export_key.expose()))
    # Somebody else's public key under any tag id, and a key of this phrase under another tag's id, are not it.
    _, elsewhere = derive_tag_key_pair(finishing._export_key, uuid4())
    members = [Member(uuid4(), bytes(32)), Member(uuid4(), elsewhere)]
    assert finishing.give_up(members) == expand_release(sent)
    assert finishing._export_key._buffer is None
    assert finishing._vault_token._buffer is None
    with pytest.raises(StateError):
        finishing.finish(unlocked_message(next(iter(world.tags.values()))))
    with pytest.raises(StateError):
        finishing.give_up(members)


def test_a_phrase_of_the_vault_itself_orders_nothing_of_it(world: World) -> None:
    finishing, _ = world.prove("open sesame")
    tag_id = uuid4()
    _, public_key = derive_tag_key_pair(finishing._export_key, tag_id)
    words = "that phrase opens this vault itself; it can order nothing of it"
    with pytest.raises(MisuseError, match=f"^{words}$"):
        finishing.give_up([Member(uuid4(), bytes(32)), Member(tag_id, public_key)])
    assert finishing._export_key._buffer is None
    assert finishing._vault_token._buffer is None
