"""Steps that take the account's own data along and bring it in again."""

import functools
import time
from typing import Final

from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import expect, media_type, problem_of
from hushtag.client.archive_file import ArchiveSource, ArchiveTarget, Exported, Place, Progress
from hushtag.client.effects import (
    Opened,
    Request,
    Response,
    Steps,
    Upload,
    close_answer,
    compute,
    open_answer,
    read_piece,
)
from hushtag.client.errors import TimedOutError
from hushtag.errors import MalformedError
from hushtag.transfer_messages import MAX_TRANSFER_SECONDS, VAULT_TOKEN_HEADER, ImportDone

__all__ = ["TransferSteps"]

ZIP: Final = "application/zip"
_WRITTEN_AT_ONCE: Final = 256 * 1024
_GRACE: Final = 60
MAX_EXPORT_BYTES: Final = 64 * 1024 * 1024 * 1024
"""Bytes of an export: far more than an account's entries and 4 GiB of segments come to."""
EXPORT_SECONDS: Final = MAX_TRANSFER_SECONDS + _GRACE
"""How long an export may come; the server ends one after an hour."""


class TransferSteps:
    """Export and import of one account."""

    def __init__(self, account: AccountSteps) -> None:
        self._account = account

    def export_data(
        self, place: Place, vault_token: str | None, on_progress: Progress | None, *, force: bool
    ) -> Steps[Exported]:
        """Export to a path or an open file.

        Raises:
            MisuseError: there is something at the path already; nothing was asked for.
            MalformedError: what came is not the whole archive, or over 64 GiB; nothing is left at the path.
            TimedOutError: it does not end.
        """
        headers = {"Accept": f"{ZIP}, application/problem+json"}
        headers |= {} if vault_token is None else {VAULT_TOKEN_HEADER: vault_token}
        request = Request("GET", "/v1/me/export", self._account.current().token, headers=headers)
        target = ArchiveTarget(place, on_progress, force=force)
        try:
            yield from compute(target.open)
            opened = yield from open_answer(request)
            if isinstance(opened, Response):
                raise problem_of(opened)
            yield from _receive(opened, target)
            return (yield from compute(target.finish))
        finally:
            target.close()

    def import_data(self, place: Place, on_progress: Progress | None) -> Steps[ImportDone]:
        """Import from a path or an open file. Sent once; to send it again after a lost answer does no harm."""
        source = ArchiveSource(place, on_progress)
        try:
            token = self._account.current().token
            yield from compute(source.open)
            request = Request("POST", "/v1/me/import", token, content_type=ZIP)
            response: Response = yield Upload(request, source.read, source.length, MAX_TRANSFER_SECONDS + _GRACE)
            return expect(response, (200,), ImportDone)
        finally:
            source.close()


def _receive(opened: Opened, target: ArchiveTarget) -> Steps[None]:
    try:
        if media_type(opened.headers) != ZIP:
            raise MalformedError("answer is no ZIP archive")
        target.started(opened.headers)
        piece, due = b"-", bytearray()
        end, size = time.monotonic() + EXPORT_SECONDS, 0
        while piece:
            piece = yield from read_piece(opened)
            due += piece
            size += len(piece)
            if size > MAX_EXPORT_BYTES:
                raise MalformedError(f"export is longer than {MAX_EXPORT_BYTES} bytes")
            if time.monotonic() > end:
                raise TimedOutError("the export took too long to arrive")
            if len(due) >= _WRITTEN_AT_ONCE or not piece:
                yield from compute(functools.partial(target.take, bytes(due)))
                due.clear()
    finally:
        yield from close_answer(opened)
