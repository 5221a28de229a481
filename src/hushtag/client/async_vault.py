"""The open vault of the client for an event loop."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Self
from uuid import UUID

import anyio

from hushtag.client.archive_file import Place
from hushtag.client.async_object_file import AsyncObjectFile
from hushtag.client.callbacks import guarded
from hushtag.client.contents import (
    FailedAttempts,
    FetchedObject,
    NewObject,
    Restoration,
    StoredObject,
    VaultEntry,
    VaultObject,
    VaultPhrase,
)
from hushtag.client.drivers import AsyncDriver
from hushtag.client.ids import uuid_of
from hushtag.client.pinning import PinnedState
from hushtag.client.resealing_steps import Progress
from hushtag.client.row_steps import FoundObject
from hushtag.client.storing_steps import groups_of
from hushtag.client.stream_files import ContentTarget, Source
from hushtag.client.vault_steps import OpenTag, VaultSteps
from hushtag.client.writing_steps import deletions_of
from hushtag.phrase import FLOOR_BITS, DrawnPhrase
from hushtag.recovery import RecoveryCode
from hushtag.types import DeviceSecret

__all__ = ["LEAVE_SECONDS", "AsyncVault"]

LEAVE_SECONDS: Final = 5.0
"""How long leaving a context tries to tell the server, even when its task is being cancelled."""


class AsyncVault:
    """`Vault` for an event loop: the same calls, arguments and errors, awaited."""

    def __init__(self, driver: AsyncDriver, tag: OpenTag, steps: VaultSteps, vaults: "Sequence[AsyncVault]") -> None:
        self._driver = driver
        self._tag = tag
        self._steps = steps
        self._vaults = vaults
        self._turn = anyio.Lock()

    @property
    def vault_id(self) -> UUID:
        """As `Vault.vault_id`."""
        return self._steps.witness.vault_id

    @property
    def tag_id(self) -> UUID:
        """As `Vault.tag_id`."""
        return self._steps.tag_id

    @property
    def vaults(self) -> "tuple[AsyncVault, ...]":
        """As `Vault.vaults`."""
        return tuple(self._vaults)

    @property
    def candidate(self) -> int:
        """As `Vault.candidate`."""
        return self._tag.candidate

    @property
    def token(self) -> str:
        """As `Vault.token`."""
        return self._steps.token

    @property
    def object_count(self) -> int:
        """As `Vault.object_count`."""
        return self._steps.witness.head.object_count

    @property
    def expires_at(self) -> datetime:
        """As `Vault.expires_at`."""
        return self._tag.expires_at

    @property
    def failed_attempts(self) -> FailedAttempts:
        """As `Vault.failed_attempts`."""
        return self._tag.failed_attempts

    @property
    def locked(self) -> bool:
        """As `Vault.locked`."""
        return self._tag.locked

    @property
    def pinned(self) -> PinnedState | None:
        """As `Vault.pinned`."""
        return self._steps.before

    async def put(
        self,
        source: Source,
        *,
        name: str | None = None,
        content_type: str | None = None,
        replace: UUID | None = None,
        on_progress: Progress | None = None,
    ) -> StoredObject:
        """As `Vault.put`; `on_progress` is called in the event loop, and must not block."""
        async with self._turn:
            putting = await self._driver.run(self._steps.begin_put(source, name, content_type, replace))
        try:
            while True:
                await self._driver.run(self._steps.send_put(putting, guarded(on_progress)))
                async with self._turn:
                    stored = await self._driver.run(self._steps.finish_put(putting))
                if stored is not None:
                    return stored
        finally:
            with anyio.move_on_after(LEAVE_SECONDS, shield=True):
                await self._driver.run(self._steps.release(putting))

    async def put_many(
        self, objects: Iterable[NewObject], *, on_stored: Callable[[StoredObject], None] | None = None
    ) -> tuple[StoredObject, ...]:
        """As `Vault.put_many`; iterator and `on_stored` run in the event loop, and must not block."""
        told = guarded(on_stored)
        stored: list[StoredObject] = []
        for group in groups_of(objects):
            done: tuple[StoredObject, ...]
            if len(group) == 1:
                content, name, content_type, replace = group[0]
                done = (await self.put(content, name=name, content_type=content_type, replace=replace),)
            else:
                async with self._turn:
                    done = await self._driver.run(self._steps.put_group(group))
            stored += done
            if told is not None:
                for each in done:
                    told(each)
        return tuple(stored)

    async def get(self, object_id: UUID) -> VaultObject:
        """As `Vault.get`."""
        return await self._driver.run(self._steps.whole(await self._find(object_id)))

    async def get_to(
        self, object_id: UUID, place: Place, *, on_progress: Progress | None = None, force: bool = False
    ) -> FetchedObject:
        """As `Vault.get_to`; `on_progress` is called in the event loop, and must not block."""
        target = ContentTarget(place, force=force)
        target.check()
        return await self._driver.run(self._steps.get_to(await self._find(object_id), target, on_progress))

    async def open(self, object_id: UUID) -> AsyncObjectFile:
        """As `Vault.open`."""
        return AsyncObjectFile(self._driver, self._steps.reader(await self._find(object_id)))

    async def _find(self, object_id: UUID) -> FoundObject:
        object_id = uuid_of(object_id)
        found = await self._driver.run(self._steps.get_known(object_id))
        if found is None:
            async with self._turn:
                found = await self._driver.run(self._steps.get(object_id))
        return found

    async def get_by_name(self, name: str) -> VaultObject:
        """As `Vault.get_by_name`."""
        return await self.get((await self.find(name)).object_id)

    async def find(self, name: str) -> VaultEntry:
        """As `Vault.find`."""
        async with self._turn:
            return await self._driver.run(self._steps.find(name))

    async def list(self) -> tuple[VaultEntry, ...]:
        """As `Vault.list`."""
        async with self._turn:
            return await self._driver.run(self._steps.list())

    async def delete(self, object_id: UUID) -> None:
        """As `Vault.delete`."""
        async with self._turn:
            await self._driver.run(self._steps.delete(object_id))

    async def delete_many(
        self, object_ids: Iterable[UUID], *, on_deleted: Callable[[UUID], None] | None = None
    ) -> tuple[UUID, ...]:
        """As `Vault.delete_many`; `on_deleted` runs in the event loop, and must not block."""
        told = guarded(on_deleted)
        deleted: list[UUID] = []
        for group in deletions_of(object_ids):
            async with self._turn:
                done = await self._driver.run(self._steps.delete_group(group))
            deleted += done
            if told is not None:
                for each in done:
                    told(each)
        return tuple(deleted)

    async def phrases(self) -> tuple[VaultPhrase, ...]:
        """As `Vault.phrases`."""
        async with self._turn:
            return await self._driver.run(self._steps.phrases())

    async def add_phrase(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str = "",
        device_secret: DeviceSecret | bytes | None = None,
        floor_bits: float = FLOOR_BITS,
    ) -> VaultPhrase:
        """As `Vault.add_phrase`."""
        async with self._turn:
            steps = self._steps.add(phrase, label=label, device_secret=device_secret, floor_bits=floor_bits)
            return await self._driver.run(steps)

    async def revoke_phrase(self, tag_id: UUID) -> None:
        """As `Vault.revoke_phrase`."""
        async with self._turn:
            await self._driver.run(self._steps.revoke_phrase(tag_id))

    async def change_phrase(
        self,
        tag_id: UUID,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        label: str | None = None,
        device_secret: DeviceSecret | bytes | None = None,
        floor_bits: float = FLOOR_BITS,
    ) -> VaultPhrase:
        """As `Vault.change_phrase`."""
        async with self._turn:
            steps = self._steps.change(tag_id, phrase, label=label, device_secret=device_secret, floor_bits=floor_bits)
            return await self._driver.run(steps)

    async def set_duress(
        self,
        phrase: str | DrawnPhrase | RecoveryCode,
        *,
        tag_id: UUID | None = None,
        phrase_only: bool = False,
        lock_days: int | None = None,
        place: int = 1,
        device_secret: DeviceSecret | bytes | None = None,
    ) -> None:
        """As `Vault.set_duress`."""
        async with self._turn:
            steps = self._steps.set_duress(
                phrase,
                tag_id=tag_id,
                phrase_only=phrase_only,
                lock_days=lock_days,
                place=place,
                device_secret=device_secret,
            )
            await self._driver.run(steps)

    async def clear_duress(self, tag_id: UUID | None = None, *, place: int | None = None) -> None:
        """As `Vault.clear_duress`."""
        async with self._turn:
            await self._driver.run(self._steps.clear_duress(tag_id, place))

    async def reseal(self, progress: Progress | None = None) -> int:
        """As `Vault.reseal`; `progress` is called in the event loop, and must not block."""
        async with self._turn:
            return await self._driver.run(self._steps.reseal(progress))

    async def old_streams(self) -> Sequence[VaultEntry]:
        """As `Vault.old_streams`."""
        async with self._turn:
            return await self._driver.run(self._steps.old_streams())

    async def destroy(self, *, confirm: UUID | str) -> None:
        """As `Vault.destroy`."""
        async with self._turn:
            await self._driver.run(self._steps.destroy(confirm))

    async def epoch_code(self) -> str:
        """As `Vault.epoch_code`."""
        return await self._driver.run(self._steps.epoch_code())

    async def check_epoch(self, code: str) -> int:
        """As `Vault.check_epoch`."""
        return await self._driver.run(self._steps.check_epoch(code))

    async def restoration(self) -> Restoration | None:
        """As `Vault.restoration`."""
        async with self._turn:
            return await self._driver.run(self._steps.restoration())

    async def accept_restored(self, confirmation: str) -> None:
        """As `Vault.accept_restored`."""
        async with self._turn:
            await self._driver.run(self._steps.accept_restored(confirmation))

    async def lock(self) -> None:
        """As `Vault.lock`."""
        await self._driver.run(self._tag.lock())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.move_on_after(LEAVE_SECONDS, shield=True):
            await self._driver.run(self._tag.leave())
