"""What the stories share: a vault in memory, the man before it, and short names for what he does."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from hushtag.messages import Message
from tests.client.fake_server import FakeVault, answer
from tests.client.support import EMAIL
from tests.evil.man import Act, Man
from tests.evil.world import Scene

replaced = msgspec.structs.replace


def always(scene: Scene, act: Act) -> None:
    """Let the man act on every request from now on."""
    scene.man.arm(None)
    scene.man.act = act
    scene.man._strikes = lambda number, request: True  # type: ignore[method-assign]


def changing(kind: type[Message], change: Callable[[Any], Any]) -> Act:
    """Return the act that changes each answer of one kind and lets all others pass."""

    def act(man: Man, request: httpx.Request) -> httpx.Response:
        response = man.forward(request)
        try:
            message = msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return response
        return answer(response.status_code, change(message))

    return act


def her_vault(scene: Scene) -> FakeVault:
    """Ada's vault, as the server keeps it."""
    assert scene.vault is not None
    return scene.server.users[EMAIL].vaults[scene.vault.vault_id]
