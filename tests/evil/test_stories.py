"""One attack of each class, told from beginning to end; `test_campaign` names the classes and generates the rest."""

from typing import Any

import httpx
import pytest

from hushtag.client import NotFoundError
from hushtag.errors import RollbackError
from tests.client.fake_server import octets, problem
from tests.evil.man import Man
from tests.evil.stories import always, her_vault
from tests.evil.world import Scene, World, at_another_time


@pytest.fixture(params=[False, True], ids=["just opened", "read before"])
def scene(request: pytest.FixtureRequest, world: World) -> Scene:
    """Ada's open vault: a letter in its second revision, a photo, a song; something else was deleted."""
    return world.scene(unlocked=True, warm=request.param)


def opened(scene: Scene) -> Any:
    assert scene.vault is not None
    return scene.vault


# --- revisions, deletion, resurrection ------------------------------------------------------------------------


def test_an_earlier_revision_is_refused_even_by_who_has_not_listed_the_vault(scene: Scene, world: World) -> None:
    """Ada knows the id of her letter and asks for nothing else; the man serves what it said before she changed it."""
    letter = scene.ids["letter"]
    past = at_another_time(scene.server, world.older["before the change"])
    row = past.users["ada@example.org"].vaults[opened(scene).vault_id].objects[letter].row
    her_vault(scene).objects[letter].row = row
    with pytest.raises(RollbackError):
        opened(scene).get(letter)


def test_what_was_deleted_does_not_rise_again(scene: Scene, world: World) -> None:
    """The row that Ada deleted is authentic and always will be; that it is in the vault is what her head denies."""
    gone = scene.ids["gone"]
    past = world.older["before the deletion"]["ada@example.org"].vaults[opened(scene).vault_id]
    row = octets(past.objects[gone].row)
    always(scene, lambda man, request: row if request.url.path.endswith(str(gone)) else man.forward(request))
    with pytest.raises(RollbackError, match="shows or withholds"):
        opened(scene).get(gone)


def test_what_ada_deletes_herself_does_not_rise_again(world: World) -> None:
    scene = world.scene(unlocked=True)
    photo = scene.ids["photo"]
    row = octets(her_vault(scene).objects[photo].row)
    opened(scene).delete(photo)
    always(scene, lambda man, request: row if request.url.path.endswith(str(photo)) else man.forward(request))
    with pytest.raises(RollbackError):
        opened(scene).get(photo)


def test_a_row_that_was_never_stored_is_refused(scene: Scene) -> None:
    """The man refuses a put and keeps its row: sealed by Ada, and no part of her vault."""
    kept: list[httpx.Response] = []

    def refuse(man: Man, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            kept.append(httpx.Response(200, content=request.content))
            return problem(409, "limit_reached")
        if kept and request.method == "GET" and "/objects/" in request.url.path:
            headers = {"Content-Type": "application/octet-stream", "Hushtag-Revision": "3", "Hushtag-Key-Version": "1"}
            return httpx.Response(200, content=kept[0].content, headers=headers)
        return man.forward(request)

    always(scene, refuse)
    letter = scene.ids["letter"]
    with pytest.raises(Exception, match="limit"):
        opened(scene).put(b"a third letter", name="letter", replace=letter)
    with pytest.raises(RollbackError):
        opened(scene).get(letter)


def test_an_object_that_is_there_is_not_denied(scene: Scene) -> None:
    """An answer of "no such thing" would let a program make the thing anew."""
    letter = scene.ids["letter"]
    denied = problem(404, "not_found")
    always(scene, lambda man, request: denied if request.url.path.endswith(str(letter)) else man.forward(request))
    with pytest.raises(RollbackError):
        opened(scene).get(letter)


def test_what_the_head_does_not_count_is_only_not_found(scene: Scene) -> None:
    with pytest.raises(NotFoundError):
        opened(scene).get(scene.ids["gone"])


def test_a_put_is_read_again_without_a_listing(world: World) -> None:
    scene = world.scene(unlocked=True)
    stored = opened(scene).put(b"mine", name="new")
    scene.man.arm(None)
    assert opened(scene).get(stored.object_id).body == b"mine"
    assert [exchange.route for exchange in scene.man.exchanges] == ["GET /v1/vaults/*/objects/*"]
