"""The Hushtag server: ciphertext in, ciphertext out."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command `hushtag-server`; a bare install says what it lacks."""
    try:
        import click  # noqa: F401  # only to tell its absence apart from other failures
    except ModuleNotFoundError:
        sys.exit("the server needs more than the bare library: pip install 'hushtag[server]'")
    from hushtag_server.cli import main as command

    command()
