"""Commands of recovery codes: new, replace; and the sheet an enrolment may write."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.files import write_file
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, phrase_options
from hushtag.cli.text import safe_text

if TYPE_CHECKING:
    from hushtag.client import Vault, VaultPhrase
    from hushtag.recovery import RecoveryCode

__all__ = ["RECOVERY_LABEL", "Sheet", "add_recovery", "came_to_nothing", "check_sheet", "recovery"]

RECOVERY_LABEL = "recovery code"


@click.group()
def recovery() -> None:
    """Recovery codes: 15 words on paper that open the vault when phrase or device is lost.

    A code is typed where a phrase is asked for, and goes without the device secret.

    \b
    Examples:
      hushtag recovery new --pdf sheet.pdf
      hushtag recovery replace
    """


class Sheet:
    """Where a new code goes: a file of mode 0600 that must not exist yet, or the screen."""

    def __init__(self, pdf: Path | None, text: Path | None, account: str | None) -> None:
        if pdf is not None and text is not None:
            raise UsageError("--pdf and --text exclude each other")
        self.path = pdf or text
        if self.path is not None:
            check_sheet(self.path, as_pdf=pdf is not None)
        self._pdf = pdf is not None
        self._account = account

    def write(self, code: "RecoveryCode") -> None:
        """Write the file before the code opens anything, so that no code is ever made and not kept."""
        from hushtag.client.recovery_sheet import sheet_pdf

        if self.path is not None:
            day = datetime.now(UTC).astimezone().date()
            body = sheet_pdf(code, day, account=self._account) if self._pdf else self.text(code).encode()
            write_file(self.path, body)

    def text(self, code: "RecoveryCode") -> str:
        """Return the sheet as text."""
        from hushtag.client.recovery_sheet import sheet_text

        return sheet_text(code, datetime.now(UTC).astimezone().date(), account=self._account)

    def withdraw(self) -> None:
        """Remove the sheet of a code that came to nothing."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def say(self, here: Here, did: str, code: "RecoveryCode", phrase: "VaultPhrase") -> None:
        """Tell what was done; the code itself only where no file has it."""
        fields: dict[str, Any] = {"tag_id": phrase.tag_id, "label": phrase.label, "sheet": self.path}
        text = f"{did} “{safe_text(phrase.label)}”: {phrase.tag_id}"
        if self.path is not None:
            here.say(f"{text}\nThe sheet: {safe_text(str(self.path))}. Print it, and delete the file.", **fields)
            return
        words = " ".join(code.words)
        here.say_once(f"{text}\nThe code, shown this once:\n\n{self.text(code)}", words, **fields, code=words)


def check_sheet(path: Path, *, as_pdf: bool) -> None:
    """Refuse a place where no sheet can be written, before anything is made.

    Raises:
        UsageError: something is there already, or no directory to write it in.
        MisuseError: no PDF can be made here.
    """
    from hushtag.client.recovery_sheet import check_pdf

    if as_pdf:
        check_pdf()
    if os.path.lexists(path):
        raise UsageError(f"{safe_text(str(path))} exists; name another file for the sheet")
    if not path.parent.is_dir():
        raise UsageError(f"{safe_text(str(path.parent))} is no directory; name another file for the sheet")


def add_recovery(vault: "Vault", sheet: Sheet, label: str) -> "tuple[RecoveryCode, VaultPhrase]":
    """Draw a code, keep it on its sheet, and let it open the vault."""
    from hushtag.recovery import draw_recovery_code

    code = draw_recovery_code()
    sheet.write(code)
    try:
        return code, vault.add_phrase(code, label=label)
    except BaseException as error:
        _settle(sheet, code, error)
        raise


def came_to_nothing(error: BaseException) -> bool:
    """Tell whether an error says that the code was not stored: it comes before it was sent, or is the answer to it."""
    from hushtag.client import BudgetError, CeremonyError, LimitReachedError
    from hushtag.errors import LimitError, PhraseError

    if isinstance(error, BudgetError):
        return error.code == "too_many_guesses"
    return isinstance(error, CeremonyError | LimitReachedError | LimitError | PhraseError)


def _settle(sheet: Sheet, code: "RecoveryCode", error: BaseException) -> None:
    # After any other error the code may open the vault all the same, and the one before it nothing any more: what comes
    # after it was stored can fail, too, here (pins on a full disk) and at the server. So the words are kept, or shown.
    if came_to_nothing(error):
        sheet.withdraw()
        return
    where = sheet.text(code) if sheet.path is None else f"The sheet stays: {safe_text(str(sheet.path))}"
    click.echo(
        f"Whether the new code opens the vault is not known. Try it before you part with an old one.\n{where}", err=True
    )


_PDF = click.option("--pdf", type=click.Path(path_type=Path, dir_okay=False), help="Write the sheet as PDF.")
_TEXT = click.option("--text", type=click.Path(path_type=Path, dir_okay=False), help="Write the sheet as text.")
_ACCOUNT = click.option("--account", help="A name to print on the sheet; by default it tells nobody's.")


@recovery.command()
@_PDF
@_TEXT
@_ACCOUNT
@click.option("--label", default=RECOVERY_LABEL, show_default=True, help="What those inside the vault read of it.")
@command_options
@phrase_options
def new(here: Here, pdf: Path | None, text: Path | None, account: str | None, label: str) -> None:
    """Make a recovery code for the vault. Costs one guess of the account's budget.

    \b
    Examples:
      hushtag recovery new --pdf sheet.pdf
    """
    sheet = Sheet(pdf, text, account)
    with here.open_vault() as vault, here.working("stretching the code"):
        code, phrase = add_recovery(vault, sheet, label)
    sheet.say(here, "Added", code, phrase)


@recovery.command()
@click.argument("named", metavar="[LABEL|ID]", required=False)
@_PDF
@_TEXT
@_ACCOUNT
@command_options
@phrase_options
def replace(here: Here, named: str | None, pdf: Path | None, text: Path | None, account: str | None) -> None:
    """Put a new code in the place of one that was used, seen or lost; the old one opens nothing any more.

    Without a name: the phrase called "recovery code". Re-seal afterwards: hushtag phrases reseal.

    \b
    Examples:
      hushtag recovery replace --pdf sheet.pdf
    """
    from hushtag.cli.phrases_commands import ORDERS_ENDED, find_phrase
    from hushtag.recovery import draw_recovery_code

    sheet = Sheet(pdf, text, account)
    code = draw_recovery_code()
    with here.open_vault() as vault, here.working("stretching the code"):
        old = find_phrase(vault, RECOVERY_LABEL if named is None else named)
        sheet.write(code)
        try:
            phrase = vault.change_phrase(old.tag_id, code)
        except BaseException as error:
            _settle(sheet, code, error)
            raise
    sheet.say(here, "Replaced", code, phrase)
    here.note(ORDERS_ENDED)
