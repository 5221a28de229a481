"""Steps that take the account's own data along and bring it in again."""

from typing import Final

from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import archive_problems, expect, problem_of
from hushtag.client.archive_file import ArchiveSource, ArchiveTarget, Exported, Place, Progress
from hushtag.client.effects import Download, Request, Response, Steps, Upload, compute
from hushtag.errors import MalformedError
from hushtag.transfer_messages import MAX_TRANSFER_SECONDS, VAULT_TOKEN_HEADER, ImportDone

__all__ = ["TransferSteps"]

ZIP: Final = "application/zip"
MAX_EXPORT_BYTES: Final = 1024**4
"""Bytes of an export that a client takes."""
_GRACE: Final = 60


class TransferSteps(AccountSteps):
    """Export and import of one account."""

    def export_data(
        self, place: Place, vault_token: str | None, on_progress: Progress | None, *, force: bool
    ) -> Steps[Exported]:
        """Export to a path or an open file.

        Raises:
            MisuseError: there is something at the path already; nothing was asked for.
            MalformedError: what came is not the whole archive; nothing is left at the path.
        """
        headers = {} if vault_token is None else {VAULT_TOKEN_HEADER: vault_token}
        token = self.current().token
        request = Request("GET", "/v1/me/export", token, headers=headers, max_answer=MAX_EXPORT_BYTES)
        target = ArchiveTarget(place, on_progress, force=force)
        try:
            yield from compute(target.open)
            response: Response = yield Download(request, target.started, target.take)
            if response.status != 200:
                raise problem_of(response)
            if response.headers.get("content-type", "").partition(";")[0].strip().lower() != ZIP:
                raise MalformedError("answer is no ZIP archive")
            return (yield from compute(target.finish))
        finally:
            target.close()

    def import_data(self, place: Place, on_progress: Progress | None) -> Steps[ImportDone]:
        """Import from a path or an open file. Sent once; to send it again after a lost answer does no harm."""
        source = ArchiveSource(place, on_progress)
        try:
            token = self.current().token
            yield from compute(source.open)
            request = Request("POST", "/v1/me/import", token, content_type=ZIP)
            response: Response = yield Upload(request, source.read, source.length, MAX_TRANSFER_SECONDS + _GRACE)
            refused = archive_problems(response)
            if refused is not None:
                raise refused
            return expect(response, (200,), ImportDone)
        finally:
            source.close()
