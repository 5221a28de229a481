"""The device secret of a client: every device has one, keyring or file keeps it, pairing and text move it."""

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from hushtag.client import DeviceSecretStore, MemoryDeviceSecrets, NotFoundError, NotLoggedInError, StateFileError
from hushtag.client.device_secrets import MAX_DEVICE_SECRETS, first_secret
from hushtag.device_secret import device_name, generate_device_secret, to_text
from hushtag.errors import AuthenticationError, LimitError, MalformedError, MisuseError, StateError
from hushtag.types import DeviceSecret
from tests.client.fake_server import FakeServer
from tests.client.support import EMAIL, OTHER_PHRASE, PASSWORD, PHRASE, Connect

ACCOUNT = "ab" * 32


class Ring:
    """A keyring in memory; `broken` refuses, `deaf` keeps nothing."""

    def __init__(self, *, broken: bool = False, deaf: bool = False) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken = broken
        self.deaf = deaf
        self.asked = 0

    def get_password(self, service: str, username: str) -> str | None:
        self._ask()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._ask()
        if not self.deaf:
            self.kept[service, username] = password

    def _ask(self) -> None:
        self.asked += 1
        if self.broken:
            raise RuntimeError("a backend's own words")


def fresh(_held: object) -> list[DeviceSecret]:
    return [generate_device_secret()]


def store_at(directory: Path, ring: Ring | None = None) -> tuple[DeviceSecretStore, list[str]]:
    told: list[str] = []
    return DeviceSecretStore(directory, told.append, lambda: ring), told


# --- the store ----------------------------------------------------------------------------------------------


def test_a_keyring_keeps_the_secret_and_the_directory_does_not(tmp_path: Path) -> None:
    ring = Ring()
    store, told = store_at(tmp_path / "state", ring)
    store.change(ACCOUNT, fresh)
    (secret,) = store.held(ACCOUNT)
    assert told == []
    assert ring.kept == {("hushtag", ACCOUNT): secret.expose().hex()}
    files = [path for path in (tmp_path / "state").iterdir() if path.is_file()]
    assert files
    assert not any(secret.expose().hex() in path.read_text() for path in files)
    again, _ = store_at(tmp_path / "state", ring)
    assert again.held(ACCOUNT) == (secret,)


def test_a_directory_that_does_not_know_an_account_takes_over_what_the_keyring_holds_of_it(tmp_path: Path) -> None:
    """The keyring is one for all directories: a second one, or an emptied one, must not end the first one's phrases."""
    ring = Ring()
    store, _ = store_at(tmp_path / "state", ring)
    store.change(ACCOUNT, first_secret)
    secrets = store.held(ACCOUNT)
    second, told = store_at(tmp_path / "second", ring)
    second.change(ACCOUNT, first_secret)
    assert second.held(ACCOUNT) == store.held(ACCOUNT) == secrets
    given = generate_device_secret()
    third, _ = store_at(tmp_path / "third", ring)
    third.change(ACCOUNT, lambda held: [given, *held])
    assert store.held(ACCOUNT) == (given, *secrets)
    assert told == []


def test_what_a_keyring_holds_and_nobody_understands_is_not_written_over(tmp_path: Path) -> None:
    ring = Ring()
    ring.kept["hushtag", ACCOUNT] = "of a later version"
    store, told = store_at(tmp_path / "state", ring)
    store.change(ACCOUNT, first_secret)
    assert len(store.held(ACCOUNT)) == len(told) == 1
    assert ring.kept == {("hushtag", ACCOUNT): "of a later version"}


@pytest.mark.parametrize("ring", [None, Ring(broken=True), Ring(deaf=True)], ids=["none", "broken", "deaf"])
def test_without_a_keyring_that_works_a_private_file_keeps_it_with_a_warning(tmp_path: Path, ring: Ring | None) -> None:
    store, told = store_at(tmp_path / "state", ring)
    store.change(ACCOUNT, fresh)
    (secret,) = store.held(ACCOUNT)
    assert len(told) == 1
    assert "no keyring" in told[0]
    path = tmp_path / "state" / "device-secrets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["accounts"][ACCOUNT]["secrets"] == [secret.expose().hex()]
    # A keyring that comes later does not make the file be forgotten.
    later, _ = store_at(tmp_path / "state", Ring())
    assert later.held(ACCOUNT) == (secret,)


def test_a_keyring_that_fails_later_is_an_error_and_never_a_new_secret(tmp_path: Path) -> None:
    ring = Ring()
    store, told = store_at(tmp_path, ring)
    tmp_path.chmod(0o700)
    store.change(ACCOUNT, fresh)
    before = dict(ring.kept)
    ring.broken = True
    assert store.knows(ACCOUNT)
    for act in (lambda: store.held(ACCOUNT), lambda: store.change(ACCOUNT, fresh)):
        with pytest.raises(StateFileError, match=r"^the keyring refuses \(RuntimeError\)$"):
            act()
    assert (ring.kept, told) == (before, [])
    ring.broken = False
    ring.kept.clear()
    with pytest.raises(StateFileError, match="does not hold"):
        store.held(ACCOUNT)


@pytest.mark.parametrize(
    "content", ["", "{}x", '{"version":2}', '{"accounts":{"a":{"place":"file","secrets":["00"]}}}']
)
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "device-secrets.json"
    path.write_text(content)
    path.chmod(0o600)
    store, _ = store_at(tmp_path)
    with pytest.raises(StateFileError, match="damaged"):
        store.held("a")
    with pytest.raises(StateFileError, match="damaged"):
        store.change("a", fresh)
    assert path.read_text() == content


def test_a_file_that_is_gone_is_not_begun_anew_unasked(tmp_path: Path) -> None:
    store, told = store_at(tmp_path / "state")
    store.change(ACCOUNT, first_secret)
    secrets, path = store.held(ACCOUNT), tmp_path / "state" / "device-secrets.json"
    kept = path.read_bytes()
    path.unlink()
    for act in (lambda: store.knows(ACCOUNT), lambda: store.held(ACCOUNT), lambda: store.change(ACCOUNT, first_secret)):
        with pytest.raises(StateFileError, match="is gone"):
            act()
    path.write_bytes(kept)
    path.chmod(0o600)
    assert store.held(ACCOUNT) == secrets
    path.unlink()
    (tmp_path / "state" / "device-secrets.lock").unlink()
    store.change(ACCOUNT, first_secret)
    assert store.held(ACCOUNT) != secrets
    assert len(told) == 2


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    store, _ = store_at(tmp_path)
    store.change(ACCOUNT, fresh)
    (tmp_path / "device-secrets.json").chmod(0o640)
    with pytest.raises(StateFileError, match="open to others"):
        store.held(ACCOUNT)


def test_threads_that_begin_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    gate = threading.Barrier(8)

    def begin() -> None:
        store, _ = store_at(tmp_path)
        gate.wait()
        store.change(ACCOUNT, lambda held: held or [generate_device_secret()])
        found.append(store.held(ACCOUNT))

    found: list[tuple[DeviceSecret, ...]] = []
    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(each == found[0] for each in found)


def test_nothing_here_tells_whether_a_phrase_uses_the_secret(connect: Connect, tmp_path: Path) -> None:
    """P6: the directory of a device after a login, and after its secret was used, is the same to the byte."""
    store, _ = store_at(tmp_path / "state")
    client = connect(device_secrets=store)
    client.log_in(EMAIL, PASSWORD)

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "state").iterdir()}

    before = content()
    client.enrol(OTHER_PHRASE, device_secret=client.device.secret())
    client.unlock(OTHER_PHRASE, device_secret=client.device.secret()).lock()
    client.log_out()
    client.log_in(EMAIL, PASSWORD)
    assert content() == before
    assert b"used" not in b"".join(before.values())


# --- the client ---------------------------------------------------------------------------------------------


def test_every_login_finds_the_secret_of_the_first(connect: Connect) -> None:
    kept = MemoryDeviceSecrets()
    first = connect(device_secrets=kept)
    with pytest.raises(NotLoggedInError):
        first.device.secret()
    first.log_in(EMAIL, PASSWORD)
    secret = first.device.secret()
    first.log_out()
    second = connect(device_secrets=kept)
    second.log_in(EMAIL, PASSWORD)
    assert second.device.secret() == secret
    assert second.device.names() == (device_name(secret),)
    elsewhere = connect()
    elsewhere.log_in(EMAIL, PASSWORD)
    assert elsewhere.device.secret() != secret


def test_a_login_does_not_touch_a_keyring_that_has_a_secret(connect: Connect, tmp_path: Path) -> None:
    ring = Ring()
    store, _ = store_at(tmp_path, ring)
    for _ in range(2):
        client = connect(device_secrets=store)
        client.log_in(EMAIL, PASSWORD)
        asked = ring.asked
    assert ring.asked == asked == 3  # looked into, written and read back, at the first login


def pair(old: Any, new: Any) -> str:
    offering = old.device.offer()
    accepting = new.device.answer(offering.code, offering.offer)
    name: str = new.device.accept(accepting, old.device.deliver(offering, accepting.answer))
    return name


def test_a_paired_device_opens_what_the_first_one_enrolled(client: Any, connect: Connect, server: FakeServer) -> None:
    client.enrol(OTHER_PHRASE, device_secret=client.device.secret())
    second = connect()
    second.log_in(EMAIL, PASSWORD)
    own = second.device.names()[0]
    with pytest.raises(AuthenticationError):
        second.unlock(OTHER_PHRASE, device_secret=second.device.secret())
    asked = len(server.log)
    name = pair(client, second)
    assert server.log[asked:] == []
    assert second.device.names() == (name, own)
    assert client.device.names() == (name,)
    second.unlock(OTHER_PHRASE, device_secret=second.device.secret()).lock()
    # What the second device enrolled before can still be opened: its own secret is kept, and can be used again.
    second.device.use(f" {own.upper()} ")
    assert second.device.names() == (own, name)
    with pytest.raises(NotFoundError):
        second.device.use("no such name here")


def test_one_wrong_code_ends_a_pairing_and_changes_nothing(client: Any, connect: Connect) -> None:
    second = connect()
    second.log_in(EMAIL, PASSWORD)
    names = second.device.names()
    offering = client.device.offer()
    wrong = "abruptly absorption " + ("abstract" if not offering.code.endswith("abstract") else "accept")
    accepting = second.device.answer(wrong, offering.offer)
    with pytest.raises(AuthenticationError):
        client.device.deliver(offering, accepting.answer)
    right = second.device.answer(offering.code, offering.offer)
    with pytest.raises(StateError):
        client.device.deliver(offering, right.answer)
    with pytest.raises(MalformedError):
        second.device.accept(right, offering.offer)
    assert second.device.names() == names


def test_the_text_of_an_image_does_the_same(client: Any, connect: Connect) -> None:
    second = connect()
    second.log_in(EMAIL, PASSWORD)
    name = second.device.accept_text(client.device.text())
    assert second.device.names()[0] == name == client.device.names()[0]
    assert second.device.accept_text(client.device.text()) == name
    assert len(second.device.names()) == 2
    with pytest.raises(MalformedError):
        second.device.accept_text("HUSHTAG1:" + "A" * 84)


def test_a_device_holds_eight_and_throws_none_away(client: Any) -> None:
    user_id = client.session.user_id
    own = client.device.names()
    for _ in range(MAX_DEVICE_SECRETS - 1):
        client.device.accept_text(to_text(generate_device_secret(), user_id))
    names = client.device.names()
    assert len(names) == MAX_DEVICE_SECRETS
    assert names[-1:] == own
    with pytest.raises(LimitError):
        client.device.accept_text(to_text(generate_device_secret(), user_id))
    # A code is not spent where there is no room for what it brings.
    for refused in (lambda: client.device.take("one two three"), lambda: client.device.answer("one two three", "")):
        with pytest.raises(LimitError):
            refused()
    assert client.device.names() == names


def test_a_secret_that_is_not_in_use_is_dropped(client: Any) -> None:
    own, user_id = client.device.names(), client.account().user_id
    with pytest.raises(MisuseError, match="in use"):
        client.device.drop(own[0])
    given = client.device.accept_text(to_text(generate_device_secret(), user_id))
    client.device.drop(f" {own[0].upper()} ")
    assert client.device.names() == (given,)
    with pytest.raises(NotFoundError):
        client.device.drop(own[0])


def test_phrases_without_the_secret_are_not_touched_by_it(client: Any) -> None:
    client.unlock(PHRASE).lock()
    with pytest.raises(AuthenticationError):
        client.unlock(PHRASE, device_secret=client.device.secret())
