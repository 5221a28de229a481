"""The command's table of subcommands; a module is imported only when its command runs."""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, NoReturn

import click

from hushtag import __version__

__all__ = ["LazyGroup", "cli"]

_EPILOG: Final = """\b
Exit codes:
  0  done                        5  conflict: somebody else changed it
  1  failed                      6  guesses or attempts used up
  2  wrong usage or input        7  server not reached
  3  not logged in, or expired   8  integrity: the server's answer is not to be trusted
  4  the phrase opens nothing,   9  not found
     or the login failed

\b
First steps:
  hushtag signup ada@example.org --server https://vault.example.org
  hushtag login ada@example.org --server https://vault.example.org
  hushtag enrol --draw
  hushtag put letter.pdf photo.png
  hushtag ls
  hushtag journal add "A walk" -m "Along the river."
  hushtag remind add "Tea" --in 5m
"""


class _Lazy(NamedTuple):
    place: str
    summary: str


_COMMANDS: Final = {
    "signup": _Lazy("hushtag.cli.account_commands:signup", "Make an account."),
    "login": _Lazy("hushtag.cli.account_commands:login", "Log in; the session is kept in the state directory."),
    "logout": _Lazy("hushtag.cli.account_commands:logout", "Log out, here and on the server."),
    "status": _Lazy("hushtag.cli.account_commands:status", "Show account, server and expiry of the session."),
    "enrol": _Lazy("hushtag.cli.unlock_commands:enrol", "Make a vault that a new phrase opens."),
    "unlock": _Lazy("hushtag.cli.unlock_commands:unlock", "Check a phrase and show what it opens; or work inside."),
    "put": _Lazy("hushtag.cli.vault_commands:put", "Store files."),
    "get": _Lazy("hushtag.cli.vault_commands:get", "Fetch an object by name or id."),
    "ls": _Lazy("hushtag.cli.vault_commands:ls", "List the objects."),
    "rm": _Lazy("hushtag.cli.vault_commands:rm", "Delete objects by name or id."),
    "epoch": _Lazy(
        "hushtag.cli.epoch_commands:epoch", "Compare a vault's state between devices; accept a restored one."
    ),
    "lock": _Lazy("hushtag.cli.vault_commands:lock", "Lock the open vault."),
    "phrases": _Lazy(
        "hushtag.cli.phrases_commands:phrases", "The phrases of a vault: list, add, revoke, change, reseal, destroy."
    ),
    "journal": _Lazy("hushtag.cli.journal_commands:journal", "Keep a journal: add, ls, show, edit, search, …"),
    "remind": _Lazy("hushtag.cli.remind_commands:remind", "Be reminded: add, ls, done, snooze, watch, …"),
    "account": _Lazy("hushtag.cli.profile_commands:account", "Settings, email, password, sessions, closing, …"),
    "export": _Lazy("hushtag.cli.transfer_commands:export", "Take everything plain along, as a ZIP archive."),
    "import": _Lazy("hushtag.cli.transfer_commands:import_", "Bring in an exported archive."),
    "recovery": _Lazy("hushtag.cli.recovery_commands:recovery", "Recovery codes on paper: new, replace."),
    "device": _Lazy("hushtag.cli.device_commands:device", "The device secret: show, use, drop, offer, accept, qr, …"),
    "phrase": _Lazy("hushtag.cli.phrase_commands:phrase", "Draw, check and normalise phrases; needs no server."),
    "vectors": _Lazy("hushtag.cli.vectors_command:vectors", "Run the published test vectors."),
    "demo": _Lazy("hushtag.cli.demo:demo", "Show the whole product on real files."),
}


def _stand_in_for_closed_streams() -> None:
    """Have nothing on a closed standard input, and nobody behind a closed standard error.

    Raises:
        UsageError: standard output is closed; what is shown only once, as a drawn phrase, would be lost.
    """
    from hushtag.cli.failures import UsageError

    # They stay open to the end, as the streams that they stand for would.
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_RDONLY), encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        raise UsageError("standard output is closed; send it to a file, or to /dev/null")


def _take_every_sign() -> None:
    """Let standard output show by number what its encoding has no sign for: what is done must not fail there."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is asked for, and turns every error into its exit code."""

    def __init__(self, *args: Any, lazy: dict[str, _Lazy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order in which one needs them."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self._lazy:
            return None
        module, _, name = self._lazy[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; where there is none of its name, say which are nearly called so.

        Raises:
            UsageError: there is none of this name.
        """
        # Click looks for near names among commands that are loaded, and none is.
        if not (ctx.resilient_parsing or args[0].startswith("-") or args[0] in self._lazy):
            near = get_close_matches(args[0], self._lazy)
            meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries of the table, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. An interruption begins a new line where ^C stands in the old one, and nowhere else."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            with suppress(OSError):
                if sys.stderr.isatty():
                    click.echo(err=True)
            raise click.Abort from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, and exit with the code of the outcome; errors go to stderr as one line or as JSON."""
        from hushtag.cli.failures import exit_code_of

        arguments = list(sys.argv[1:] if args is None else args)
        with exit_code_of(as_json="--json" in arguments) as outcome:
            _stand_in_for_closed_streams()
            _take_every_sign()
            extra |= {"standalone_mode": False, "windows_expand_args": windows_expand_args}
            outcome.result = super().main(arguments, prog_name, complete_var, **extra)
        sys.exit(outcome.code)


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hushtag")
def cli() -> None:
    """A spoken phrase opens a hidden, end-to-end encrypted vault.

    Phrases and passwords are asked for without echo, or read from one line of standard input (--phrase-stdin,
    --password-stdin). They are never taken from an argument or from the environment. A vault is open for one command
    only; `unlock --shell` keeps it open for several.
    """
