"""Commands that make and open vaults: enrol, unlock."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, new_phrase_options, phrase_options
from hushtag.cli.recovery_commands import check_sheet
from hushtag.cli.text import local_time, safe_text

if TYPE_CHECKING:
    from hushtag.client import Client, Vault
    from hushtag.phrase import DrawnPhrase

__all__ = ["enrol", "unlock"]


@click.command()
@click.option("--draw", is_flag=True, help="Draw the phrase and show it once, instead of asking for one.")
@click.option("--words", default=6, show_default=True, help="Words to draw, 6 to 24.")
@click.option("--label", default="phrase", show_default=True, help="What those inside the vault read of this phrase.")
@click.option("--floor-bits", default=50.0, show_default=True, help="Refuse phrases below this; at least 50.")
@click.option(
    "--recovery-sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Make a recovery code too (one guess more), on a sheet: a PDF if the name ends in .pdf, else text.",
)
@command_options
@new_phrase_options
def enrol(here: Here, draw: bool, words: int, label: str, floor_bits: float, recovery_sheet: Path | None) -> None:
    """Make a new vault that a phrase opens. Costs one guess of the account's budget.

    Nobody can restore a forgotten phrase, or a lost device secret.

    \b
    Examples:
      hushtag enrol --draw                     draw a phrase and show it
      hushtag enrol --label "for the diary"    ask for a phrase of your own
      hushtag enrol --draw --recovery-sheet sheet.pdf
      hushtag enrol --draw --this-device       of no use without this device's secret
    """
    from hushtag.phrase import canonicalize, check_phrase, draw_phrase

    if draw and here.secrets.phrase_stdin:
        raise UsageError("--draw makes the phrase itself; none is read from standard input")
    if recovery_sheet is not None:
        check_sheet(recovery_sheet, as_pdf=_is_pdf(recovery_sheet))
    with here.ready_for_phrase() as client:
        drawn = draw_phrase(words) if draw else None
        chosen = here.secrets.new_phrase() if drawn is None else drawn.text
        strength = check_phrase(canonicalize(chosen), floor_bits=floor_bits)
        device_secret = here.secrets.device_secret()
        with here.working("stretching the phrase"):
            tag = client.enrol(chosen, label=label, device_secret=device_secret, floor_bits=floor_bits)
        fields: dict[str, Any] = {"tag_id": tag.tag_id, "vault_id": tag.vault_id, "label": label, "bits": strength.bits}
        # The vault exists: a drawn phrase is shown before anything else is tried, and whatever becomes of the code.
        if not here.as_json:
            _tell(here, drawn, fields)
        try:
            recovered = _recovery(here, client, chosen, device_secret, recovery_sheet)
        except BaseException:
            if here.as_json:
                _tell(here, drawn, fields)
            here.note("No recovery code was made; hushtag recovery new makes one.")
            raise
    if here.as_json:
        _tell(here, drawn, fields if recovered is None else {**fields, "recovery": recovered})


def _is_pdf(path: Path) -> bool:
    return path.suffix.lower() == ".pdf"


def _tell(here: Here, drawn: "DrawnPhrase | None", fields: dict[str, Any]) -> None:
    lines = [f"Enrolled ({fields['bits']:.1f} bits). Vault {fields['vault_id']}."]
    if drawn is None:
        here.say("\n".join(lines), **fields)
        return
    lines += ["The phrase, shown this once:", "", f"    {drawn.text}", ""]
    here.say_once("\n".join(lines), drawn.text, **fields, phrase=drawn.text)


def _recovery(
    here: Here, client: "Client", phrase: str, device_secret: bytes | None, path: Path | None
) -> dict[str, Any] | None:
    """Make a recovery code if it was asked for, or if whoever sits there wants one when offered."""
    from hushtag.cli.recovery_commands import RECOVERY_LABEL, Sheet, add_recovery

    if path is None:
        offered = not here.as_json and not here.secrets.phrase_stdin and sys.stdin.isatty()
        question = "Make a recovery code to write down? (recommended)"
        if not (offered and click.confirm(question, default=True, err=True)):
            return None
    is_pdf = path is not None and _is_pdf(path)
    sheet = Sheet(path if is_pdf else None, None if is_pdf else path, None)
    with here.working("making the recovery code"), client.unlock(phrase, device_secret=device_secret) as vault:
        code, added = add_recovery(vault, sheet, RECOVERY_LABEL)
    here.note(sheet.text(code) if path is None else f"Recovery sheet: {safe_text(str(path))}", needed=path is None)
    return {"tag_id": str(added.tag_id), "sheet": None if path is None else str(path)}


@click.command()
@click.option("--shell", is_flag=True, help="Stay inside: ls, put, get, rm, phrases, lock on the open vault.")
@click.option("--idle", default=300, show_default=True, type=click.IntRange(1), help="Lock the shell after N seconds.")
@command_options
@phrase_options
def unlock(here: Here, shell: bool, idle: int) -> None:
    """Check a phrase and show what it opens. Each candidate costs one guess; the right one is given back.

    Keys never touch the disk, so an unlocked vault does not outlive its command. With --shell the command goes on
    until `lock`, the end of input, or --idle seconds without a line. Where its lines do not come from a terminal, it
    exits with the code of the last one that failed.

    \b
    Examples:
      hushtag unlock
      hushtag unlock --shell
      printf '%s\\n' "first hearing" "second hearing" | hushtag unlock --candidate-stdin
    """
    from hushtag.cli.shell import run_shell

    if shell and here.secrets.candidate_stdin:
        raise UsageError("--shell and --candidate-stdin exclude each other: both read to the end of input")
    code = 0
    with here.open_vault() as vault:
        if shell:
            code = run_shell(here, vault, idle)
        else:
            _show(here, vault)
    click.get_current_context().exit(code)


def _show(here: Here, vault: "Vault") -> None:
    phrases = vault.phrases()
    vaults = [{"vault_id": each.vault_id, "objects": each.object_count} for each in vault.vaults]
    lines = [f"The phrase opens vault {each['vault_id']}: {each['objects']} objects" for each in vaults]
    lines += [f"  phrase “{safe_text(each.label)}”{' (this one)' * each.current}" for each in phrases]
    lines.append(f"The server would keep it open until {local_time(vault.expires_at)}; this command locks it now.")
    here.say(
        "\n".join(lines),
        tag_id=vault.tag_id,
        candidate=vault.candidate,
        expires_at=vault.expires_at,
        failed_guesses=vault.failed_attempts.guesses,
        last_failed_at=vault.failed_attempts.last_at,
        vaults=vaults,
        phrases=[each._asdict() for each in phrases],
    )
