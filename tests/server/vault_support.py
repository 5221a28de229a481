"""A vault client for tests: the core's ceremonies over HTTP, each message in the tester's hands."""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import psycopg

from hushtag.duress import Verdict
from hushtag.enrollment import Enrolled, start_enrollment
from hushtag.head import VaultHead, seal_head, set_element, set_key
from hushtag.messages import (
    DeleteObject,
    DeleteObjects,
    Located,
    PutObject,
    PutObjects,
    PutOrders,
    RegistrationStarted,
    TagOrder,
    Unlocked,
    UnlockStarted,
    encode_binary,
)
from hushtag.objects import ObjectMeta, ObjectRow, row_digest, seal_object
from hushtag.types import CredentialIdentifier, OpaquePassword, Record
from hushtag.unlock import Finishing, OpenVault, Proving, UnlockedTag, start_unlock
from hushtag_server.vault.seals import Envelopes, sealed_decoy

JSON = {"Content-Type": "application/json"}


def new_password() -> OpaquePassword:
    """A random phrase key; tests of the server need no stretch."""
    return OpaquePassword(os.urandom(32).hex().encode("ascii"))


def same_password(password: OpaquePassword) -> OpaquePassword:
    return OpaquePassword(password.expose())


async def send(client: httpx.AsyncClient, headers: dict[str, str], path: str, message: Any) -> httpx.Response:
    return await client.post(path, content=msgspec.json.encode(message), headers=headers | JSON)


async def send_enrolment(
    client: httpx.AsyncClient, headers: dict[str, str], password: OpaquePassword
) -> tuple[httpx.Response, Enrolled]:
    """Enrol a phrase and return the last answer, whatever it is."""
    awaiting = start_enrollment(password)
    answer = await send(client, headers, "/v1/registrations", awaiting.message)
    assert answer.status_code == 201, answer.text
    enrolled = awaiting.finish(msgspec.json.decode(answer.content, type=RegistrationStarted), label="a phrase")
    return await send(client, headers, "/v1/tags", enrolled.message), enrolled


async def enrol(client: httpx.AsyncClient, headers: dict[str, str], password: OpaquePassword) -> Enrolled:
    answer, enrolled = await send_enrolment(client, headers, password)
    assert answer.status_code == 201, answer.text
    return enrolled


async def locate(client: httpx.AsyncClient, headers: dict[str, str], *passwords: OpaquePassword) -> Proving:
    locating = start_unlock(passwords)
    answer = await send(client, headers, "/v1/unlock/locate", locating.message)
    assert answer.status_code == 200, answer.text
    return locating.finish(msgspec.json.decode(answer.content, type=Located))


async def prove(client: httpx.AsyncClient, headers: dict[str, str], *passwords: OpaquePassword) -> Finishing:
    proving = await locate(client, headers, *passwords)
    answer = await send(client, headers, "/v1/unlock/start", proving.message)
    assert answer.status_code == 200, answer.text
    return proving.finish(msgspec.json.decode(answer.content, type=UnlockStarted))


@dataclass
class OpenedVault:
    """An unlocked tag and its (one) vault, with the head kept up to date."""

    client: httpx.AsyncClient
    user_id: UUID
    tag: UnlockedTag
    head: VaultHead
    rows: dict[UUID, ObjectRow] = field(default_factory=dict)
    proposed: Any = None  # the head and rows of the last message of `several`

    @property
    def vault(self) -> OpenVault:
        return self.tag.vaults[0]

    @property
    def vault_id(self) -> UUID:
        return self.vault.vault_id

    @property
    def token(self) -> str:
        return "htv_" + encode_binary(self.user_id.bytes + self.tag.vault_token.expose())

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def url(self, object_id: UUID | None = None, vault_id: UUID | None = None) -> str:
        base = f"/v1/vaults/{vault_id or self.vault_id}"
        return base if object_id is None else f"{base}/objects/{object_id}"

    def seal(self, object_id: UUID, body: bytes, *, revision: int, key_version: int = 1) -> ObjectRow:
        meta = ObjectMeta(name="n", content_type="text/plain", created_at=1, size=len(body))
        return seal_object(
            self.vault.data_key,
            vault_id=self.vault_id,
            object_id=object_id,
            key_version=key_version,
            revision=revision,
            meta=meta,
            body=body,
        )

    def _element(self, object_id: UUID, row: ObjectRow | None) -> bytes | None:
        if row is None:
            return None
        key = set_key(self.vault.data_key, self.vault_id, self.head.key_version)
        return set_element(key, object_id, row.revision, row_digest(row))

    def next_head(self, object_id: UUID, row: ObjectRow | None) -> tuple[VaultHead, str]:
        removed = self._element(object_id, self.rows.get(object_id))
        head = self.head.with_change(removed=removed, added=self._element(object_id, row))
        return head, encode_binary(seal_head(self.vault.data_key, self.vault_id, head))

    async def put(
        self, object_id: UUID, body: bytes, *, revision: int = 1, generation: int | None = None, **changed: str
    ) -> httpx.Response:
        """Put one revision; on success the head moves on. `changed` replaces headers (underscores for dashes)."""
        row = self.seal(object_id, body, revision=revision)
        head, sealed = self.next_head(object_id, row)
        headers = {
            "Content-Type": "application/octet-stream",
            "Hushtag-Revision": str(revision),
            "Hushtag-Key-Version": "1",
            "Hushtag-Generation": str(generation or head.generation),
            "Hushtag-Head": sealed,
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        answer = await self.client.put(self.url(object_id), content=bytes(row.encoded), headers=self.headers | headers)
        if answer.status_code in {200, 201}:
            self.head, self.rows[object_id] = head, row
        return answer

    def several(self, bodies: dict[UUID, bytes], **changed: Any) -> PutObjects:
        """The message that puts the next revision of each object, under the next head; `changed` replaces fields."""
        rows = {
            each: self.seal(each, body, revision=self.rows[each].revision + 1 if each in self.rows else 1)
            for each, body in bodies.items()
        }
        removed = [self._element(each, self.rows[each]) for each in rows if each in self.rows]
        head = self.head.with_changes(
            removed=[each for each in removed if each is not None],
            added=[element for each, row in rows.items() if (element := self._element(each, row)) is not None],
        )
        sealed = encode_binary(seal_head(self.vault.data_key, self.vault_id, head))
        objects = [PutObject(each, row.revision, encode_binary(bytes(row.encoded))) for each, row in rows.items()]
        self.proposed = head, rows
        return msgspec.structs.replace(PutObjects(head.generation, 1, sealed, objects), **changed)

    async def put_several(self, message: PutObjects) -> httpx.Response:
        """Send a message of `several`; on success the head moves on."""
        answer = await send(self.client, self.headers, f"{self.url()}/objects", message)
        if answer.status_code == 200:
            self.head, rows = self.proposed
            self.rows |= rows
        return answer

    def several_deletions(self, object_ids: Sequence[UUID], **changed: Any) -> DeleteObjects:
        """The message that deletes these objects, under the next head; `changed` replaces fields."""
        removed = [self._element(each, self.rows[each]) for each in object_ids]
        head = self.head.with_changes(removed=[each for each in removed if each is not None], added=[])
        self.proposed_without = head, list(object_ids)
        sealed = encode_binary(seal_head(self.vault.data_key, self.vault_id, head))
        objects = [DeleteObject(each, self.rows[each].revision) for each in object_ids]
        return msgspec.structs.replace(DeleteObjects(head.generation, sealed, objects), **changed)

    async def delete_several(self, message: DeleteObjects) -> httpx.Response:
        """Send a message of `several_deletions`; on success the head moves on."""
        answer = await send(self.client, self.headers, f"{self.url()}/objects/deletion", message)
        if answer.status_code == 200:
            self.head, gone = self.proposed_without
            for each in gone:
                del self.rows[each]
        return answer

    async def delete(self, object_id: UUID, *, revision: int, generation: int | None = None) -> httpx.Response:
        head, sealed = self.next_head(object_id, None)
        headers = {
            "Hushtag-Revision": str(revision),
            "Hushtag-Generation": str(generation or head.generation),
            "Hushtag-Head": sealed,
        }
        answer = await self.client.delete(self.url(object_id), headers=self.headers | headers)
        if answer.status_code == 200:
            self.head = head
            self.rows.pop(object_id)
        return answer

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path, headers=self.headers)


async def unlock(client: httpx.AsyncClient, account: Any, *passwords: OpaquePassword) -> OpenedVault:
    """Unlock over HTTP; `account` is what `sign_in` returns."""
    finishing = await prove(client, account.headers, *passwords)
    answer = await send(client, account.headers, "/v1/unlock/finish", finishing.message)
    assert answer.status_code == 200, answer.text
    tag = finishing.finish(msgspec.json.decode(answer.content, type=Unlocked))
    return OpenedVault(client, UUID(account.user_id), tag, tag.vaults[0].head)


async def open_vault(client: httpx.AsyncClient, account: Any) -> OpenedVault:
    """Enrol a new phrase and unlock it."""
    password = new_password()
    await enrol(client, account.headers, password)
    return await unlock(client, account, password)


def stored_record(database: Any) -> bytes:
    """The record of the only tag there is, its envelope opened with the tag's seal."""
    entry, user_id, phrase_hash, key_id = run_sql(
        database,
        "SELECT uuid_send(t.server_key_id) || t.phrase_hash || s.seal || t.verifier_kv || t.opaque_envelope,"
        " t.user_id, t.phrase_hash, t.server_key_id"
        " FROM secret_tags t JOIN tag_seals s ON s.user_id = t.user_id AND s.tag_id = t.id",
    )[0]
    nothing = Record(bytes(192))
    decoy = sealed_decoy(user_id, CredentialIdentifier(bytes(32)), nothing)
    record = Envelopes(user_id, entry).record(key_id, phrase_hash, decoy)
    assert record != nothing
    return record


def comparable(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    """Status and problem body without the request id."""
    body = answer.json()
    body.pop("request_id")
    return answer.status_code, body


def new_id() -> UUID:
    return uuid4()


def run_sql(database: Any, statement: str, *values: Any) -> list[Any]:
    """Run one statement as the superuser, whom row-level security does not bind."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def until_waiting(database: Any, begun: "asyncio.Task[Any] | Future[Any]") -> None:
    """Return once something waits for a lock, of which only PostgreSQL tells, and only who asks it.

    Fails when what was begun has ended, so waited for none, and after 20 seconds.
    """
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not run_sql(database, waiting):
            assert not begun.done(), "it waited for no lock"
            await asyncio.sleep(0.01)


async def order(
    opened: OpenedVault, account: Any, password: OpaquePassword, verdict: Verdict, *, place: int = 1, which: int = 0
) -> httpx.Response:
    """Let the phrase of `password` carry out a verdict on the open tag; it is not unlocked for that."""
    finishing = await prove(opened.client, account.headers, password)
    ticket = finishing.give_up([]).of(verdict)[which]
    message = PutOrders([TagOrder(place, encode_binary(ticket))])
    path = f"/v1/vaults/{opened.vault_id}/tags/{opened.tag.tag_id}/orders"
    return await opened.client.put(path, content=msgspec.json.encode(message), headers=opened.headers | JSON)
