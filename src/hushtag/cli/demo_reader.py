"""The demonstration's second process: with nothing but the account and the phrase it reads every byte back.

Usage: python -m hushtag.cli.demo_reader URL DIRECTORY, credentials as one JSON object on standard input.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from hushtag.cli.demo_traffic import Exchange, Recorder
from hushtag.client import Client

__all__ = ["exchanges_of", "main"]


def exchanges_of(printed: list[list[Any]]) -> list[Exchange]:
    """Return the exchanges that the second process printed."""
    texts = (Exchange(*each) for each in printed)
    return [each._replace(sent=base64.b64decode(each.sent), received=base64.b64decode(each.received)) for each in texts]


def main() -> None:
    """Unlock, write every object into the directory under its name, and print names, types and traffic as JSON."""
    url, directory = sys.argv[1], Path(sys.argv[2])
    given = json.load(sys.stdin)
    found: dict[str, str] = {}
    recorder = Recorder()
    with Client(url, transport=recorder) as client:
        client.log_in(given["email"], given["password"])
        with client.unlock(given["phrase"]) as vault:
            for entry in vault.list():
                fetched = vault.get(entry.object_id)
                (directory / Path(fetched.name).name).write_bytes(fetched.body)
                found[fetched.name] = fetched.content_type
    json.dump({"types": found, "exchanges": recorder.exchanges}, sys.stdout, default=_text)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


if __name__ == "__main__":
    main()
