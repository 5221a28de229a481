"""The state of a vault compared between devices, and what to do when a backup was restored: epoch …"""

import sys
from typing import TYPE_CHECKING, Any

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, phrase_options
from hushtag.cli.text import local_time, safe_text

if TYPE_CHECKING:
    from hushtag.client import Restoration, Vault

__all__ = ["epoch"]


@click.group()
def epoch() -> None:
    """Compare a vault's state between devices; accept a restored backup.

    Each device pins the newest state it has seen of a vault and refuses an older one. A device that has not seen the
    vault yet needs its epoch code: five words that another device shows.

    \b
    Examples:
      hushtag epoch show                         on a device that knows the vault
      hushtag epoch check FIVE WORDS SHOWN THERE on a new one
    """


@epoch.command()
@command_options
@phrase_options
def show(here: Here) -> None:
    """Show the epoch code of the vault: five words, other ones after every change.

    \b
    Example:
      hushtag epoch show
    """
    with here.open_vault() as vault:
        code = vault.epoch_code()
        fields = {"vault_id": vault.vault_id, "epoch_code": code, "objects": vault.object_count}
    here.say(code, **fields)


@epoch.command()
@click.argument("words", nargs=-1, required=True)
@command_options
@phrase_options
def check(here: Here, words: tuple[str, ...]) -> None:
    """Hold the vault against the epoch code WORDS of another device, before anything of it is pinned here.

    Says how many changes were made since. Exits with 8 if the vault is in an older or in another state, or if the code
    is not of this vault and its present key.

    \b
    Example:
      hushtag epoch check alphabet soup of five words
    """
    from hushtag.epoch import parse_code

    code = " ".join(words)
    parse_code(code)  # before a phrase is asked for
    with here.open_vault(epoch_code=code) as vault:
        changes = vault.check_epoch(code)
    same = "The vault is in the very state of the code."
    later = f"The vault is {changes} changes later than the code, and not older. Compare a new code to be sure of them."
    here.say(later if changes else same, vault_id=vault.vault_id, same=not changes, changes_since=changes)


@epoch.command("accept-restore")
@click.option("--confirm", metavar="WORDS", help="The confirmation that the command asks for, word for word.")
@command_options
@phrase_options
def accept_restore(here: Here, confirm: str | None) -> None:
    """Accept an older state of a vault, after its operator restored a backup. Shows what is lost, and asks.

    Without --confirm and without a terminal nothing is accepted: the command shows what would be lost and fails. The
    other devices are told by a note in the vault, and each asks its owner once.

    \b
    Example:
      hushtag epoch accept-restore
    """
    if here.opened is not None:
        raise UsageError("leave the shell first: a vault that takes something back does not open")
    with here.open_vault(review_restored=True) as vault:
        found = vault.restoration()
        if found is None:
            here.say("The vault takes nothing back; there is nothing to accept.", vault_id=vault.vault_id, lost=None)
            return
        here.note(_told(found))
        vault.accept_restored(_confirmation(here, found, confirm))
        fields = _fields(found, vault)
    here.say("Accepted. This device has pinned the restored state.", **fields)


@epoch.command("reset-pins")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
def reset_pins(here: Here, yes: bool) -> None:
    """Forget what this device has seen of every vault, when that file is damaged or lost.

    Until a vault is opened again, an older state of it would pass here: compare with `hushtag epoch check`.
    """
    here.confirm("Forget what this device has seen of every vault?", yes=yes)
    here.vault_pins.reset()
    here.say("Forgotten. Compare each vault with another device: hushtag epoch check", reset=True)


def _confirmation(here: Here, found: "Restoration", given: str | None) -> str:
    if given is not None:
        return given
    if here.as_json or not sys.stdin.isatty():
        raise UsageError(f'nobody to ask; to accept what is lost: --confirm "{found.confirmation}"')
    click.echo(f"To accept this, type: {found.confirmation}", err=True)
    answer: str = click.prompt("Confirmation", err=True)
    return answer


def _told(found: "Restoration") -> str:
    lines = [
        f"Pinned here on {local_time(found.pinned_at)}: generation {found.pinned_generation}, "
        f"{found.pinned_objects} objects.",
        f"Served now: generation {found.served_generation}, {found.served_objects} objects.",
        {
            "older": f"Lost: {found.pinned_generation - found.served_generation} changes.",
            "forked": "Lost: an unknown number of changes; the two states went different ways.",
            "restored": "Lost: an unknown number of changes; another device has accepted that already.",
        }[found.change],
    ]
    for each in found.lost:
        name = "" if each.name is None else f"  {safe_text(each.name)}"
        what = "missing" if each.served_revision is None else f"only revision {each.served_revision}"
        lines.append(f"  {each.object_id}  {what}, revision {each.pinned_revision} was seen{name}")
    if found.listed_generation is None:
        lines.append("Which objects, this device does not know: it never listed the vault.")
    return "\n".join(lines)


def _fields(found: "Restoration", vault: "Vault") -> dict[str, Any]:
    fields = found._asdict()
    fields["lost"] = [each._asdict() for each in found.lost]
    return {**fields, "vault_id": vault.vault_id, "accepted": True}
