"""Writes the rows that a vault has in a database of an earlier version, with that version's own server and client.

    git archive COMMIT | tar -x -C OLD
    PYTHONPATH=OLD/src:OLD/server python tests/upgrade/store.py > tests/upgrade/rows-NUMBER.json

`rows-0003.json` was made at d73a34a, the last version of which migrations 0001 to 0003 are all there is: the oldest
that can hold a vault. It is never made anew: what it holds is what some operator's database holds.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from hushtag.client import Client
from hushtag.phrase import draw_phrase
from hushtag_server.embedded.files import load_passwords

TABLES = ("server_keys", "users", "unlock_budget", "secret_tags", "vaults", "wrapped_keys", "vault_blobs")
PASSWORD = "correct horse battery"
OBJECTS = {"letter": b"a letter", "photo": bytes(range(256)) * 40, "empty": b"", "ünïcode": "gr\u00fc\u00dfe".encode()}


def fill(url: str) -> dict[str, Any]:
    """Make two accounts: one with two vaults and all that can be done in them, one with the same phrase."""
    ada, other = draw_phrase().text, draw_phrase().text
    made: dict[str, Any] = {"password": PASSWORD, "accounts": {}}
    for email, phrases in {"ada@example.org": [ada, other], "eve@example.org": [ada]}.items():
        with Client(url) as client:
            client.sign_up(email, PASSWORD)
            client.log_in(email, PASSWORD)
            vaults: dict[str, Any] = {}
            for phrase in phrases:
                client.enrol(phrase, label="the first")
                with client.unlock(phrase) as vault:
                    for name, body in OBJECTS.items():
                        vault.put(body, name=name)
                    gone = vault.put(b"to be deleted", name="gone")
                    vault.delete(gone.object_id)
                    letter = next(each for each in vault.list() if each.name == "letter")
                    vault.put(f"of {email}".encode(), name="letter", replace=letter.object_id)
                    held = {entry.name: vault.get(entry.object_id).body.hex() for entry in vault.list()}
                vaults[phrase] = held
            made["accounts"][email] = vaults
    return made


def rows(data: Path) -> dict[str, Any]:
    """Return every row of the tables a vault lies in, as JSON."""
    password = load_passwords(data).admin
    socket = str(data / "socket")
    with psycopg.connect(host=socket, user="postgres", password=password, dbname="hushtag") as connection:
        return {
            table: connection.execute(f"SELECT coalesce(json_agg(t), '[]') FROM {table} t").fetchone()[0]  # type: ignore[index]
            for table in TABLES
        }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hushtag-old-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        data = Path(name) / "data"
        command = [sys.executable, "-m", "hushtag_server.cli", "serve", "--json", "--port", "0"]
        environment = {**os.environ, "HUSHTAG_DATA": str(data)}
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            assert server.stdout is not None
            made = fill(json.loads(server.stdout.readline())["url"])
            made["rows"] = rows(data)
            made["keys"] = json.loads((data / "keys.json").read_text())
        finally:
            server.terminate()
            server.wait(30)
    json.dump(made, sys.stdout, indent=1, ensure_ascii=True)
    print()


if __name__ == "__main__":
    main()
