"""Commands about the phrases of one vault. All need a phrase that opens it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.options import command_options, phrase_options
from hushtag.cli.text import safe_text

if TYPE_CHECKING:
    from hushtag.client import Vault, VaultEntry, VaultPhrase

__all__ = ["ORDERS_ENDED", "find_phrase", "phrases"]

ORDERS_ENDED: Final = "All orders of duress phrases on this vault have ended; give them again."
_OWN_ORDERS_ENDED: Final = "Whatever the old phrase did as a duress phrase has ended too; the new one does nothing."


class _ListByDefault(click.Group):
    """Without a subcommand: `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def phrases() -> None:
    """List, add, revoke and change the phrases that open a vault; say what a duress phrase does to it.

    Any of them is enough; the others need not be known. With --phrase-stdin the first line is the phrase that opens the
    vault, the second a new one.

    \b
    Examples:
      hushtag phrases
      hushtag phrases add --draw --label "for Max"
      hushtag phrases revoke "for Max"
    """


def _new_phrase_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--draw", is_flag=True, help="Draw the new phrase and show it once, instead of asking for one."),
        click.option("--words", default=6, show_default=True, help="Words to draw, 6 to 24."),
        click.option("--floor-bits", default=50.0, show_default=True, help="Refuse phrases below this; at least 50."),
        click.option(
            "--new-device-secret",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File (mode 0600) of the device secret that goes with the new phrase.",
        ),
        click.option("--new-this-device", is_flag=True, help="The new phrase goes with this device's secret."),
    ):
        command = option(command)
    return command


def _is_watched() -> bool:
    return sys.stderr.isatty()


class _New:
    """The new phrase, as the options say: asked for after the vault is open, and checked before it is sent."""

    def __init__(
        self,
        here: Here,
        draw: bool,
        words: int,
        floor_bits: float,
        new_device_secret: Path | None,
        new_this_device: bool,
    ) -> None:
        from hushtag.phrase import canonicalize, check_phrase, draw_phrase

        self.drawn = draw_phrase(words).text if draw else None
        self.phrase = here.secrets.new_phrase("New phrase") if self.drawn is None else self.drawn
        self.bits = check_phrase(canonicalize(self.phrase), floor_bits=floor_bits).bits
        here.secrets.device_secret_file = new_device_secret
        here.secrets.this_device = here.this_device_secret if new_this_device else None
        self.options: dict[str, Any] = {"device_secret": here.secrets.device_secret(), "floor_bits": floor_bits}

    @contextmanager
    def kept(self, here: Here) -> Iterator[None]:
        """Show a drawn phrase if it may open the vault though its command failed: nobody else has it.

        On a terminal it is shown before anything is sent, so that not even a kill or a power cut can lose it.
        """
        from hushtag.cli.recovery_commands import came_to_nothing

        if self.drawn is not None and not here.as_json and _is_watched():
            click.echo(f"The new phrase, which is good when the command says so:\n\n    {self.drawn}\n", err=True)
        try:
            yield
        except BaseException as error:
            if self.drawn is not None and not came_to_nothing(error):
                click.echo(
                    "Whether the new phrase opens the vault is not known. Try it before you part with an old one."
                    f"\n\n    {self.drawn}\n",
                    err=True,
                )
            raise

    def say(self, here: Here, did: str, phrase: "VaultPhrase") -> None:
        fields: dict[str, Any] = {"tag_id": phrase.tag_id, "label": phrase.label, "bits": self.bits}
        lines = [f"{did} “{safe_text(phrase.label)}” ({self.bits:.1f} bits): {phrase.tag_id}"]
        if self.drawn is None:
            here.say("\n".join(lines), **fields)
            return
        lines += ["The phrase, shown this once:", "", f"    {self.drawn}", ""]
        here.say_once("\n".join(lines), self.drawn, **fields, phrase=self.drawn)


@phrases.command("list")
@command_options
@phrase_options
def list_phrases(here: Here) -> None:
    """List the phrases that open the vault, by label."""
    with here.open_vault() as vault:
        found = vault.phrases()
    lines = [f"{each.tag_id}  {safe_text(each.label)}{'  (this one)' * each.current}" for each in found]
    here.say("\n".join(lines), phrases=[each._asdict() for each in found])


@phrases.command()
@click.option("--label", default="phrase", show_default=True, help="What those inside the vault read of this phrase.")
@_new_phrase_options
@command_options
@phrase_options
def add(here: Here, label: str, **new: Any) -> None:
    """Let a further phrase open the vault. Costs one guess of the account's budget.

    \b
    Examples:
      hushtag phrases add --draw --label "for Grace"
    """
    with here.open_vault() as vault:
        chosen = _New(here, **new)
        with chosen.kept(here), here.working("stretching the phrase"):
            added = vault.add_phrase(chosen.phrase, label=label, **chosen.options)
    chosen.say(here, "Added", added)


def find_phrase(vault: "Vault", named: str) -> "VaultPhrase":
    """Return the phrase of that id or label.

    Raises:
        UsageError: several have the label.
        NotFoundError: none has it.
    """
    from hushtag.client import NotFoundError

    found = [each for each in vault.phrases() if named in (str(each.tag_id), each.label)]
    if not found:
        raise NotFoundError("no phrase of the vault has this id or label", code="not_found")
    if len(found) > 1:
        raise UsageError("several phrases have this label; name one by its id")
    return found[0]


def _to_revoke(vault: "Vault", named: str) -> tuple[UUID, str]:
    """Return id and label of a phrase; where a label does not open, its id alone is enough."""
    from hushtag.client import IntegrityError

    try:
        phrase = find_phrase(vault, named)
    except IntegrityError:
        with suppress(ValueError):
            return UUID(named), named
        raise
    return phrase.tag_id, phrase.label


@phrases.command()
@click.argument("named", metavar="LABEL|ID")
@click.option("--keep-sealed", is_flag=True, help="Do not re-seal now; `hushtag phrases reseal` does it later.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
@phrase_options
def revoke(here: Here, named: str, keep_sealed: bool, yes: bool) -> None:
    """Let a phrase open the vault no more, replace the vault's key, and re-seal every object.

    Its holder keeps what they could read until now. All orders of duress phrases on this vault end with it: give them
    again (`phrases duress`). If re-sealing breaks off, or the phrase revoked is the one given, `hushtag phrases reseal`
    goes on.

    \b
    Examples:
      hushtag phrases revoke "for Grace"
    """
    if not yes and (here.as_json or not sys.stdin.isatty()):
        raise UsageError("nobody to ask; use --yes")
    with here.open_vault() as vault:
        tag_id, label = _to_revoke(vault, named)
        here.confirm(f"Revoke “{safe_text(label)}” for good?", yes=yes)
        vault.revoke_phrase(tag_id)
        resealed = None
        old: Sequence[VaultEntry] = ()
        try:
            if not (keep_sealed or vault.locked):
                with here.counting("re-sealing") as tell:
                    resealed = vault.reseal(tell)
                old = vault.old_streams()
        except BaseException:
            _say_revoked(here, tag_id, label, resealed, old)
            raise
    _offer(here, old)
    _say_revoked(here, tag_id, label, resealed, old)


def _say_revoked(here: Here, tag_id: UUID, label: str, resealed: int | None, old: "Sequence[VaultEntry]") -> None:
    rest = "; go on with: hushtag phrases reseal" if resealed is None else f"; {resealed} objects re-sealed"
    says = f"Revoked “{safe_text(label)}”{rest}. {ORDERS_ENDED}"
    here.say(says, revoked=tag_id, resealed=resealed, **_named(old))


@phrases.command()
@click.argument("named", metavar="LABEL|ID")
@click.option("--label", help="Another label; by default the old one's.")
@_new_phrase_options
@command_options
@phrase_options
def change(here: Here, named: str, label: str | None, **new: Any) -> None:
    """Put a new phrase in the place of one, which is revoked with it. Costs one guess; re-seal afterwards.

    All orders of duress phrases on this vault (`phrases duress`) end with it, and so does what the old phrase itself
    did to other vaults as a duress phrase: give them again.

    \b
    Examples:
      hushtag phrases change "for the diary" --draw
      hushtag phrases reseal
    """
    with here.open_vault() as vault:
        old = find_phrase(vault, named)
        chosen = _New(here, **new)
        with chosen.kept(here), here.working("stretching the phrase"):
            changed = vault.change_phrase(old.tag_id, chosen.phrase, label=label, **chosen.options)
    chosen.say(here, "Changed", changed)
    here.note(f"{ORDERS_ENDED} {_OWN_ORDERS_ENDED}")


@phrases.command()
@command_options
@phrase_options
def reseal(here: Here) -> None:
    """Seal under the present key whatever a revocation left under an old one. May be broken off and repeated."""
    with here.open_vault() as vault:
        with here.counting("re-sealing") as tell:
            resealed = vault.reseal(tell)
        old = vault.old_streams()
    _offer(here, old)
    here.say(f"{resealed} objects re-sealed; no row is under an old key.", resealed=resealed, **_named(old))


def _offer(here: Here, old: "Sequence[VaultEntry]") -> None:
    """Say which large objects a revoked person may still read, and how that ends."""
    if not old:
        return
    here.note(
        f"{len(old)} large objects have segments that re-sealing leaves as they are: who was revoked and kept what "
        "describes them still opens them. To end that, fetch each by its id and put it anew: "
        "hushtag get ID -o FILE && hushtag put --replace --name NAME FILE"
    )
    for entry in old:
        here.note(f"  {entry.object_id}  {safe_text(entry.name)}")


def _named(old: "Sequence[VaultEntry]") -> dict[str, list[str]]:
    return {"old_streams": [str(entry.object_id) for entry in old]} if old else {}


@phrases.command()
@click.argument("vault_id", metavar="VAULT", type=click.UUID)
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
@phrase_options
def destroy(here: Here, vault_id: UUID, yes: bool) -> None:
    """Destroy the vault with its last phrase, for good: keys first, then every object.

    VAULT is its id, as `unlock` shows it.

    \b
    Examples:
      hushtag phrases destroy 3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11
    """
    if not yes and (here.as_json or not sys.stdin.isatty()):
        raise UsageError("nobody to ask; use --yes")
    with here.open_vault() as vault:
        here.confirm(f"Destroy the vault and its {vault.object_count} objects for good?", yes=yes)
        vault.destroy(confirm=vault_id)
    here.say(f"Destroyed vault {vault_id}.", destroyed=vault_id)


@phrases.command()
@click.argument("named", metavar="[LABEL|ID]", required=False)
@click.option("--only", is_flag=True, help="That phrase alone; the others go on opening the vault.")
@click.option("--lock", "lock_days", type=click.Choice(["1", "7", "30"]), help="Lock for so many days; do not shred.")
@click.option("--place", type=click.IntRange(1, 4), help="Which of the phrase's places for orders; 1 by default.")
@click.option("--clear", is_flag=True, help="Take back what stands in that place; without --place, in all four.")
@click.option(
    "--duress-device-secret",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File (mode 0600) of the device secret that goes with the duress phrase.",
)
@click.option("--duress-this-device", is_flag=True, help="The duress phrase goes with this device's secret.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
@phrase_options
def duress(
    here: Here,
    named: str | None,
    only: bool,
    lock_days: str | None,
    place: int | None,
    clear: bool,
    duress_device_secret: Path | None,
    duress_this_device: bool,
    yes: bool,
) -> None:
    """Make another phrase of yours a duress phrase: unlocking it opens its own vault, and shreds or locks this one.

    The order is borne by the phrase that is open, or by the one that is named, and ends when any phrase of the vault
    is revoked or changed, or the duress phrase itself is. Nobody can look orders up, neither you nor the server:
    remember them. Asks for the duress phrase, which is not unlocked, and costs one guess. With --phrase-stdin the
    second line is the duress phrase.

    A phrase that an earlier version enrolled must have been unlocked once since, before its first order: otherwise it
    can be opened without carrying anything out.

    \b
    Examples:
      hushtag phrases duress                        # that phrase shreds this vault
      hushtag phrases duress --lock 30              # … locks it for 30 days
      hushtag phrases duress "for the diary" --only # … shreds this phrase; the others stay
      hushtag phrases duress --clear
    """
    if clear and (only or lock_days or duress_device_secret or duress_this_device):
        raise UsageError("--clear takes nothing but --place")
    if not (clear or yes) and (here.as_json or not sys.stdin.isatty()):
        raise UsageError("nobody to ask; use --yes")
    with here.open_vault() as vault:
        tag_id = vault.tag_id if named is None else find_phrase(vault, named).tag_id
        if clear:
            vault.clear_duress(tag_id, place=place)
            here.say("Took back what stood there.", tag_id=tag_id, place=place, cleared=True)
            return
        days = None if lock_days is None else int(lock_days)
        what = "this phrase" if only else "this vault with all its phrases"
        span = "" if days is None else f" for {days} day{'s' * (days > 1)}"
        does = f"{'shred' if days is None else 'lock'} {what}{span}"
        here.confirm(f"From now on the duress phrase will {does}, without asking. Go on?", yes=yes)
        phrase = here.secrets.other_phrase("Duress phrase")
        here.secrets.device_secret_file = duress_device_secret
        here.secrets.this_device = here.this_device_secret if duress_this_device else None
        secret = here.secrets.device_secret()
        with here.working("stretching the phrase"):
            vault.set_duress(
                phrase, tag_id=tag_id, phrase_only=only, lock_days=days, place=place or 1, device_secret=secret
            )
    fields = {"tag_id": tag_id, "phrase_only": only, "lock_days": days, "place": place or 1}
    here.say(f"Unlocking the duress phrase will {does}.", **fields)
