"""The shell of an open vault: the vault's commands, one a line, until `lock`, the end of input, or too long a pause."""

import shlex
import sys
from typing import TYPE_CHECKING, Final

import click

from hushtag.cli import vault_commands
from hushtag.cli.epoch_commands import epoch
from hushtag.cli.failures import UsageError, report, report_interrupted
from hushtag.cli.phrases_commands import phrases
from hushtag.cli.stdin import IdleError

if TYPE_CHECKING:
    from hushtag.cli.here import Here
    from hushtag.client import Vault

__all__ = ["run_shell"]

_PROMPT: Final = "hushtag> "
_COMMANDS: Final = {
    **{name: getattr(vault_commands, name) for name in ("ls", "put", "get", "rm")},
    "phrases": phrases,
    "lock": vault_commands.lock,
    "epoch": epoch,
}


@click.group(commands=_COMMANDS, add_help_option=False)
def _shell() -> None:
    """ls, put, get, rm, phrases, epoch, lock; each with --help."""


def run_shell(here: "Here", vault: "Vault", idle: int) -> int:
    """Run lines from standard input on the open vault; the caller locks it, however this ends.

    Returns the exit code of the last line that failed, or 0. Who sits at a terminal has seen it, and gets 0.
    """
    as_json, code = here.as_json, 0
    here.opened = vault
    here.note(f"The vault is open; locks after {idle} s without a line. Commands: {', '.join(_COMMANDS)}")
    while not vault.locked:
        try:
            line = _next_line(here, idle)
        except IdleError:
            here.note(f"Locked after {idle} s without a line.")
            break
        except UsageError as error:  # too long, or not UTF-8: no part of it is run
            code = report(error, as_json=as_json)
            continue
        if line is None:
            break
        code = _run_line(here, line, as_json=as_json) or code
    return 0 if sys.stdin.isatty() else code


def _next_line(here: "Here", idle: int) -> str | None:
    if sys.stdin.isatty():
        click.echo(_PROMPT, nl=False, err=True)
    return here.secrets.stdin.line(idle=idle)


def _run_line(here: "Here", line: str, *, as_json: bool) -> int:
    """Run one line and return its exit code; its error is reported, and the shell goes on."""
    try:
        arguments = shlex.split(line)
    except ValueError:
        return report(UsageError("the line has an open quotation mark"), as_json=as_json)
    try:
        if arguments:
            if as_json:
                arguments.append("--json")
            _shell.main(arguments, prog_name="", standalone_mode=False, obj=here)
    except (click.Abort, KeyboardInterrupt):
        return report_interrupted(as_json=as_json or "--json" in arguments)
    except Exception as error:
        return report(error, as_json=as_json or "--json" in arguments)
    return 0
