"""A malicious server against several phrases of one vault: whom does it get in, whom does it keep out, which key?"""

import os
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hushtag.client import ConflictError, IntegrityError
from hushtag.errors import AuthenticationError, RollbackError
from hushtag.head import VaultHead, seal_head
from hushtag.messages import KeyStep, OldKey, OldKeys, TagInfo, TagList, Unlocked, VaultState, encode_binary
from hushtag.ring import Member, ring_digest
from hushtag.rotation import prove_succession, seal_to_tag
from hushtag.tag_label import seal_label
from hushtag.types import DataKey
from tests.client.fake_server import START, FakeVault
from tests.client.support import EMAIL
from tests.evil.man import Man
from tests.evil.stories import always, changing, replaced
from tests.evil.world import FRESH_PHRASE, GUEST_PHRASE, REVOKED_PHRASE, SHARED_PHRASE, Scene, World, at_another_time


@pytest.fixture
def scene(world: World) -> Scene:
    """Ada's shared vault, open: hers and a guest's phrase open it, another was revoked."""
    return world.scene(unlocked=True, phrase=SHARED_PHRASE)


def kept(scene: Scene) -> FakeVault:
    assert scene.vault is not None
    return scene.server.users[EMAIL].vaults[scene.vault.vault_id]


def guest(scene: Scene) -> Any:
    """The guest's tag, as the server keeps it."""
    tags = scene.server.users[EMAIL].tags.values()
    own = scene.vault.tag_id  # type: ignore[union-attr]
    vault_id = scene.vault.vault_id  # type: ignore[union-attr]
    return next(t for t in tags if t.message.vault.vault_id == vault_id and t.message.tag_id != own)


def every_use(scene: Scene) -> list[Any]:
    vault: Any = scene.vault
    return [
        vault.phrases,
        lambda: vault.add_phrase(FRESH_PHRASE),
        lambda: vault.revoke_phrase(guest(scene).message.tag_id),
        lambda: vault.change_phrase(vault.tag_id, FRESH_PHRASE),
        lambda: vault.destroy(confirm=vault.vault_id),
    ]


def refused_by_all(scene: Scene) -> None:
    """Whatever is asked for, it ends before anything of the vault's keys is sent."""
    for use in every_use(scene):
        scene.man.exchanges = []
        with pytest.raises((RollbackError, IntegrityError)):
            use()
        assert {each.request.method for each in scene.man.exchanges} == {"GET"}


# --- who is in the ring ----------------------------------------------------------------------------------------


def test_a_hidden_phrase_is_missed(scene: Scene) -> None:
    """Left out of the list it would not be given the next key: locked out by the server."""
    always(scene, changing(TagList, lambda got: replaced(got, tags=[tag for tag in got.tags if tag.current])))
    refused_by_all(scene)


def test_an_invented_phrase_is_given_no_key(scene: Scene) -> None:
    """The man adds a tag whose private key he has, and waits for the next data key to be sealed to it."""
    mine = X25519PrivateKey.generate().public_key().public_bytes_raw()

    def invented(got: TagList) -> TagList:
        tag = TagInfo(scene.ids["shared letter"], got.tags[0].sealed_label, encode_binary(mine), START, current=False)
        return replaced(got, tags=sorted([*got.tags, tag], key=lambda tag: tag.tag_id))

    always(scene, changing(TagList, invented))
    refused_by_all(scene)


def test_an_invented_phrase_with_an_authentic_label_is_given_no_key(scene: Scene) -> None:
    """As above by one who was inside once: the label opens, and the head knows of no such tag all the same."""
    key = scene.vault._steps.witness.data_key  # type: ignore[union-attr]
    mine = X25519PrivateKey.generate().public_key().public_bytes_raw()
    tag_id = scene.ids["shared letter"]
    names = {"vault_id": scene.vault.vault_id, "tag_id": tag_id, "key_version": 2}  # type: ignore[union-attr]
    label = encode_binary(seal_label(key, "hers too", public_key=mine, **names))

    def invented(got: TagList) -> TagList:
        tag = TagInfo(tag_id, label, encode_binary(mine), START, current=False)
        return replaced(got, tags=sorted([*got.tags, tag], key=lambda tag: tag.tag_id))

    always(scene, changing(TagList, invented))
    refused_by_all(scene)


@pytest.mark.parametrize("current", [False, True], ids=["another's key", "own key"])
def test_the_public_key_of_a_phrase_is_not_the_servers_to_choose(scene: Scene, current: bool) -> None:
    mine = encode_binary(X25519PrivateKey.generate().public_key().public_bytes_raw())

    def swapped(got: TagList) -> TagList:
        tags = [replaced(tag, public_key=mine) if tag.current == current else tag for tag in got.tags]
        return replaced(got, tags=tags)

    always(scene, changing(TagList, swapped))
    refused_by_all(scene)


def test_a_revoked_phrase_does_not_rise_again(scene: Scene, world: World) -> None:
    """The list of before the revocation, with labels and keys that were authentic then."""
    past = at_another_time(scene.server, world.older["before the revocation"])
    path = f"/v1/vaults/{scene.vault.vault_id}/tags"  # type: ignore[union-attr]
    always(
        scene,
        lambda man, request: (past if request.url.path == path else man.server).respond(request),
    )
    refused_by_all(scene)


def test_an_older_head_does_not_bring_the_older_ring_back(scene: Scene, world: World) -> None:
    past = at_another_time(scene.server, world.older["before the revocation"])
    always(
        scene,
        lambda man, request: (
            past if request.method == "GET" and "objects" not in request.url.path else man.server
        ).respond(request),
    )
    refused_by_all(scene)


def test_a_ring_of_the_servers_making_opens_no_head(scene: Scene) -> None:
    """The head is authentic; the ring beside it, in which the man stands as well, is not the one it was sealed with."""
    vault_id, own = scene.vault.vault_id, scene.vault._steps.own  # type: ignore[union-attr]
    ring = encode_binary(ring_digest(vault_id, [own, Member(scene.ids["shared letter"], bytes(32))]))
    always(scene, changing(VaultState, lambda got: replaced(got, ring=ring)))
    with pytest.raises(IntegrityError):
        scene.vault._driver.run(scene.vault._steps.refresh())  # type: ignore[union-attr]
    scene.man.arm(None)
    always(scene, changing(Unlocked, lambda got: replaced(got, vaults=[replaced(got.vaults[0], ring=ring)])))
    with pytest.raises(IntegrityError):
        scene.client.unlock(GUEST_PHRASE)


# --- which key is the next -------------------------------------------------------------------------------------


def unlocked_with(scene: Scene, change: Any) -> Any:
    """The guest unlocks, and the man changes what the answer says of the vault."""
    always(scene, changing(Unlocked, lambda got: replaced(got, vaults=[change(got.vaults[0])])))
    return scene.client.unlock(GUEST_PHRASE)


def imposed(scene: Scene, prover: DataKey | None = None) -> Any:
    """A vault of the man's own making: his data key, sealed to the guest's public key as anybody can, and his head."""
    mine, tag = DataKey(os.urandom(32)), guest(scene)
    vault_id = scene.vault.vault_id  # type: ignore[union-attr]
    ids = {"vault_id": vault_id, "tag_id": tag.message.tag_id}
    ring = ring_digest(vault_id, [Member(tag.message.tag_id, tag.public_key)])
    head = VaultHead(100, 0, 2, bytes(32), ring)
    sealed = seal_to_tag(mine, tag.public_key, key_version=2, **ids)
    proof = prove_succession(prover or mine, mine, vault_id=vault_id, key_version=2)

    def change(got: Any) -> Any:
        step = KeyStep(encode_binary(sealed), encode_binary(proof))
        sealed_head = encode_binary(seal_head(mine, vault_id, head))
        return replaced(got, steps=[step], generation=100, head=sealed_head, ring=encode_binary(ring))

    return change


def test_a_data_key_of_the_servers_choice_is_refused(scene: Scene) -> None:
    """HPKE tells nobody who sealed: whoever took the key would write into a vault that the server reads."""
    with pytest.raises(IntegrityError):
        unlocked_with(scene, imposed(scene))


def test_a_data_key_with_the_proof_of_another_is_refused(scene: Scene) -> None:
    with pytest.raises(IntegrityError):
        unlocked_with(
            scene,
            lambda got: replaced(
                imposed(scene)(got), steps=[KeyStep(imposed(scene)(got).steps[0].sealed_key, got.steps[0].proof)]
            ),
        )


def test_the_attack_works_with_the_old_data_key_so_the_proof_is_what_stops_it(scene: Scene) -> None:
    """With the key the vault had before, the same answer is believed: it takes a holder of the old key."""
    old = DataKey(scene.vault._steps.witness.data_key.expose())  # type: ignore[union-attr]
    scene.vault._driver.run(scene.vault._steps._fetch_old_keys())  # type: ignore[union-attr]
    first = scene.vault._steps.witness.key_of(1)  # type: ignore[union-attr]
    assert old != first
    assert unlocked_with(scene, imposed(scene, first)).object_count == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: [],
        lambda steps: steps * 2,
        lambda steps: [replaced(steps[0], proof=encode_binary(bytes(32)))],
        lambda steps: [replaced(steps[0], sealed_key=encode_binary(bytes(80)))],
    ],
    ids=["left out", "twice", "proof of zeros", "key of zeros"],
)
def test_the_steps_to_the_present_key_are_taken_as_they_are(scene: Scene, change: Any) -> None:
    with pytest.raises(IntegrityError):
        unlocked_with(scene, lambda got: replaced(got, steps=change(got.steps)))


def test_a_data_key_sealed_to_another_phrase_is_refused(scene: Scene) -> None:
    own = scene.vault.tag_id  # type: ignore[union-attr]
    theirs = scene.server.users[EMAIL].vaults[scene.vault.vault_id]  # type: ignore[union-attr]
    fresh = world_step(scene, own)
    assert theirs.steps(guest(scene).message.tag_id)
    with pytest.raises(IntegrityError):
        unlocked_with(scene, lambda got: replaced(got, steps=[replaced(got.steps[0], sealed_key=fresh)]))


def world_step(scene: Scene, tag_id: Any) -> str:
    """The present data key sealed to another tag of the vault."""
    witness = scene.vault._steps.witness  # type: ignore[union-attr]
    own = scene.vault._steps.own  # type: ignore[union-attr]
    sealed = seal_to_tag(witness.data_key, own.public_key, vault_id=witness.vault_id, tag_id=tag_id, key_version=2)
    return encode_binary(sealed)


# --- revocation ------------------------------------------------------------------------------------------------


def test_a_server_that_only_says_that_it_rotated_is_found_out(scene: Scene) -> None:
    """The answer is right and nothing was stored: the next use shows the old state, which is older than the new."""
    vault: Any = scene.vault

    def pretend(man: Man, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/rotations"):
            return man.forward(request)
        import json

        sent = json.loads(request.content)
        state = {name: sent[name] for name in ("generation", "key_version", "head", "ring")}
        return httpx.Response(201, json={"vault_id": str(vault.vault_id), **state})

    always(scene, pretend)
    vault.revoke_phrase(guest(scene).message.tag_id)
    with pytest.raises(RollbackError):
        vault.put(b"a secret", name="new")
    with pytest.raises(RollbackError):
        vault.phrases()


def test_an_old_key_of_the_servers_choice_opens_nothing(scene: Scene) -> None:
    always(scene, changing(OldKeys, lambda got: OldKeys([OldKey(2, encode_binary(bytes(92)))])))
    with pytest.raises(IntegrityError):
        scene.vault.get(scene.ids["shared letter"])  # type: ignore[union-attr]
    always(scene, changing(OldKeys, lambda got: OldKeys([])))
    with pytest.raises(IntegrityError):
        scene.vault.reseal()  # type: ignore[union-attr]


def test_a_row_sealed_under_the_old_key_after_the_revocation_is_refused(scene: Scene, world: World) -> None:
    """Who was revoked still has the old data key, and the server puts their row in the place of Ada's."""
    from hushtag.objects import ObjectMeta, seal_object

    vault: Any = scene.vault
    vault._driver.run(vault._steps._fetch_old_keys())
    old = vault._steps.witness.key_of(1)
    meta = ObjectMeta("shared letter", "text/plain", 1, 5)
    names = {"vault_id": vault.vault_id, "object_id": scene.ids["shared letter"], "key_version": 1}
    kept(scene).objects[scene.ids["shared letter"]].row = seal_object(
        old, revision=2, meta=meta, body=b"trust", **names
    )
    with pytest.raises(RollbackError):
        vault.get(scene.ids["shared letter"])


def test_a_revoked_phrase_opens_nothing_and_learns_no_more_than_a_wrong_one(world: World) -> None:
    scene = world.scene()
    for phrase in (REVOKED_PHRASE, FRESH_PHRASE):
        with pytest.raises(AuthenticationError, match=r"^the phrase opens nothing here$"):
            scene.client.unlock(phrase)
    with pytest.raises(ConflictError):
        scene.client.enrol(GUEST_PHRASE)
