"""The demonstration's second process: with nothing but the account and the phrase it reads every byte back.

Usage: python -m hushtag.cli.demo_reader URL DIRECTORY, credentials as one JSON object on standard input.
"""

import json
import sys
from pathlib import Path

from hushtag.client import Client

__all__ = ["main"]


def main() -> None:
    """Unlock, write every object into the directory under its name, and print the names and types as JSON."""
    url, directory = sys.argv[1], Path(sys.argv[2])
    given = json.load(sys.stdin)
    found: dict[str, str] = {}
    with Client(url) as client:
        client.log_in(given["email"], given["password"])
        with client.unlock(given["phrase"]) as vault:
            for entry in vault.list():
                fetched = vault.get(entry.object_id)
                (directory / Path(fetched.name).name).write_bytes(fetched.body)
                found[fetched.name] = fetched.content_type
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
