"""The command `hushtag`. Importing this imports nothing else, so `--help` is fast and a bare install can say why."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    try:
        import click  # noqa: F401  # only to tell its absence apart from other failures
    except ModuleNotFoundError:
        sys.exit("the command needs more than the bare library: pip install 'hushtag[client]'")
    from hushtag.cli.group import cli

    cli.main(prog_name="hushtag")
