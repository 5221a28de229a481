"""What a pinned client accepts, as a property over any sequence of states; and the epoch code's own."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hushtag.client import MemoryPinStore, VaultRolledBackError
from hushtag.client.pinning import Pages, PinnedVault
from hushtag.epoch import Verdict, epoch_code, judge_code, parse_code
from hushtag.errors import EpochCodeError
from hushtag.head import VaultHead
from hushtag.types import DataKey, PinKey
from hushtag.unlock import OpenVault

VAULT = UUID(int=1)


def opened(phrase: int, rotation: int) -> OpenVault:
    keys = DataKey(bytes([rotation]) * 32), VaultHead.first(), PinKey(bytes([phrase]) * 32)
    return OpenVault(VAULT, uuid4(), *keys)


served = st.tuples(
    st.integers(1, 6),  # generation
    st.sampled_from([0, 0, 0, 1]),  # restorations
    st.integers(1, 2),  # key version
    st.integers(0, 1),  # content
    st.sampled_from([1, 1, 2]),  # phrase
)


@settings(max_examples=150, deadline=None)
@given(st.lists(served, min_size=1, max_size=8))
def test_a_pinned_client_never_accepts_an_older_generation(sessions: list[tuple[int, int, int, int, int]]) -> None:
    """Each state is served to a new session, by either phrase, on one device; what it accepts never goes back.

    Both phrases know the vault under its first key; under a new key, a phrase knows what it has seen itself.
    """
    store = MemoryPinStore()
    accepted: list[VaultHead] = []
    refused: list[VaultHead] = []
    last_of: dict[tuple[str, int], VaultHead] = {}
    for generation, restorations, version, content, phrase in sessions:
        head = VaultHead(generation, 1, version, bytes([content]) * 32, restorations)
        pinned = PinnedVault(store, opened(phrase, version))
        try:
            pinned.check(pinned.heads(Pages.of(store).heads), head)
            pinned.keep(head)
        except VaultRolledBackError:
            refused.append(head)
            continue
        for key in (("key", version), ("phrase", phrase)):
            known = last_of.get(key)
            if known is not None:
                assert head.restorations == known.restorations
                assert head.generation >= known.generation
                assert head.key_version >= known.key_version
                assert head.generation > known.generation or head == known
            last_of[key] = head
        accepted.append(head)
    assert accepted  # the first is believed
    assert len(accepted) + len(refused) == len(sessions)


def test_a_late_process_does_not_pin_back() -> None:
    """It was answered before the other process pinned a newer state: no rollback, and the newer pin stays."""
    store = MemoryPinStore()
    late, quick = PinnedVault(store, opened(1, 1)), PinnedVault(store, opened(1, 1))
    before = late.heads()
    quick.keep(VaultHead(9, 1, 1, bytes(32)))
    late.check(before, VaultHead(8, 1, 1, bytes(32)))
    late.keep(VaultHead(8, 1, 1, bytes(32)))
    found = late.newest()
    assert found is not None
    assert found.generation == 9
    with pytest.raises(VaultRolledBackError, match="same generation"):
        late.keep(VaultHead(9, 2, 1, bytes(32)))


# --- epoch codes ----------------------------------------------------------------------------------------------

KEY = DataKey(bytes(range(32)))
heads = st.builds(
    VaultHead,
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**48 - 1),
    st.integers(1, 3),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**16 - 1),
)


@settings(max_examples=200, deadline=None)
@given(heads)
def test_a_head_is_encoded_in_one_way(head: VaultHead) -> None:
    assert VaultHead.decode(head.encode()) == head
    assert judge_code(KEY, VAULT, head, parse_code(epoch_code(KEY, VAULT, head))) is Verdict.SAME


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 900_000), st.integers(1, 400_000), st.binary(min_size=32, max_size=32))
def test_an_older_state_never_passes_whatever_it_holds(generation: int, back: int, content: bytes) -> None:
    """The generation is in the code as it is: going back is noticed for certain, not only in all likelihood."""
    now = VaultHead(generation + back, 3, 1, content)
    then = VaultHead(generation, 3, 1, content)
    code = parse_code(epoch_code(KEY, VAULT, now))
    assert judge_code(KEY, VAULT, then, code) is Verdict.OLDER
    assert judge_code(KEY, VAULT, now, parse_code(epoch_code(KEY, VAULT, then))) is Verdict.NEWER


def test_codes_of_forks_other_vaults_and_other_keys_do_not_pass() -> None:
    now = VaultHead(41, 3, 1, bytes(32))
    code = parse_code(epoch_code(KEY, VAULT, now))
    assert judge_code(KEY, VAULT, VaultHead(41, 3, 1, b"\1" * 32), code) is Verdict.FORKED
    assert judge_code(KEY, VAULT, VaultHead(41, 4, 1, bytes(32)), code) is Verdict.FORKED
    assert judge_code(KEY, VAULT, VaultHead(41, 3, 1, bytes(32), 1), code) is Verdict.FORKED
    for vault, key in ((UUID(int=2), KEY), (VAULT, DataKey(bytes(32)))):
        assert judge_code(key, vault, now, code) is Verdict.UNKNOWN


def test_what_is_no_code_says_which_word() -> None:
    words = epoch_code(KEY, VAULT, VaultHead.first()).split()
    with pytest.raises(EpochCodeError, match="5 words, not 4"):
        parse_code(" ".join(words[1:]))
    words[2] = "zebra"
    with pytest.raises(EpochCodeError, match="word 3"):
        parse_code(" ".join(words))


def test_codes_are_spread_evenly() -> None:
    """Check and state words of neighbouring heads share nothing."""
    codes = [parse_code(epoch_code(KEY, VAULT, VaultHead(number, 0, 1, bytes(32)))) for number in range(1, 2001)]
    assert len({code.state for code in codes}) > 1990
    assert len({code.check for code in codes}) > 800
