"""The Hushtag server: ciphertext in, ciphertext out."""

import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command `hushtag-server`; a bare install says what it lacks."""
    # Looked for and not imported: most commands need few of them, and a client alone has click.
    if None in map(find_spec, ("click", "granian", "litestar", "psycopg")):
        sys.exit("the server needs more than the bare library: pip install 'hushtag[server]'")
    from hushtag_server.cli import main as command

    command()
