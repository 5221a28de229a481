"""What the commands of operation refuse, each with its next step."""

__all__ = [
    "BackupDamagedError",
    "KeysDifferError",
    "NotABackupError",
    "OperationError",
    "ProgramsMissingError",
    "RestoreFailedError",
    "TargetNotEmptyError",
    "WrongPassphraseError",
]


class OperationError(Exception):
    """Root: the command cannot do what it was asked; the message names the next step and no secret."""


class NotABackupError(OperationError):
    """The file does not begin like a file of this kind and version."""


class WrongPassphraseError(OperationError):
    """The passphrase is not that of the file, or the file's beginning was changed: nothing tells them apart."""


class BackupDamagedError(OperationError):
    """The file was changed, reordered or cut short after it was written."""


class ProgramsMissingError(OperationError):
    """No `pg_dump` or `pg_restore` of a fitting version is here."""


class TargetNotEmptyError(OperationError):
    """What would be written into holds something already."""


class RestoreFailedError(OperationError):
    """The restored tables are not those of the backup; the database is empty again."""


class KeysDifferError(OperationError):
    """A key file with other keys is there already."""
