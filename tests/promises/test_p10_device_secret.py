"""P10: with a device secret, everything the server has and the right phrase besides open nothing.

The attacker holds the whole database as its superuser, every secret of the key file, and the phrase as it was spoken;
they run both sides of the login themselves, without any limit. What they lack is the device. A phrase without a device
secret falls to the same attack, and so does this one once the secret is known: the attack itself works.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.rows import dict_row

from hushtag import _opaque
from hushtag._labels import TAG_SEAL
from hushtag._opaque import ServerSetup
from hushtag._stretch import opaque_password, stretch_phrase
from hushtag.client import AsyncClient
from hushtag.device_secret import device_name
from hushtag.errors import AuthenticationError
from hushtag.keys import derive_kek, unwrap_key
from hushtag.phrase import draw_phrase
from hushtag.suites import HUSHTAG_V1
from hushtag.types import CredentialIdentifier, DeviceSecret, Record, WrappedKey
from hushtag_server.keyfile import KeyRing
from tests.client.support import EMAIL, PASSWORD
from tests.databases import Database

pytestmark = pytest.mark.anyio

URL = "http://localhost"
BOUND, BARE = draw_phrase().text, draw_phrase().text


@dataclass
class Attacker:
    """Everything of the server, and a phrase."""

    rows: list[dict[str, Any]]
    setup: ServerSetup

    def opens(self, phrase: str, device_secret: DeviceSecret | None = None) -> set[UUID]:
        """The vaults whose data key comes out for this phrase."""
        return {row["vault_id"] for row in self.rows if self._opens(row, phrase, device_secret)}

    def _opens(self, row: dict[str, Any], phrase: str, device_secret: DeviceSecret | None) -> bool:
        password = opaque_password(stretch_phrase(phrase, row["phrase_salt"], HUSHTAG_V1), device_secret)
        credential = CredentialIdentifier(row["opaque_credential_id"])
        bound = TAG_SEAL + row["user_id"].bytes + row["phrase_hash"] + row["verifier_kv"]
        sealed = row["opaque_envelope"]
        record = Record(row["verifier_kv"] + AESGCM(row["seal"]).decrypt(sealed[:12], sealed[12:], bound))
        state, ke1 = _opaque.start_login(password)
        _, ke2 = _opaque.start_server_login(self.setup, credential, record, ke1)
        try:
            _, _, export_key = _opaque.finish_login(password, state, ke2)
        except AuthenticationError:
            return False
        kek = derive_kek(
            export_key,
            salt=row["salt"],
            tag_id=row["tag_id"],
            vault_id=row["vault_id"],
            key_version=row["key_version"],
        )
        return len(unwrap_key(kek, WrappedKey(row["wrapped_key"])).expose()) == 32


@pytest.fixture
async def client(app_client: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(URL, transport=httpx.ASGITransport(app_client.app)) as made:
        await made.sign_up(EMAIL, PASSWORD)
        await made.log_in(EMAIL, PASSWORD)
        yield made


def everything_of_the_server(database: Database, keys: KeyRing) -> Attacker:
    with psycopg.connect(database.admin_url, row_factory=dict_row) as connection:
        rows = connection.execute(
            "SELECT u.phrase_salt, u.opaque_credential_id, t.id AS tag_id, t.salt, t.verifier_kv, t.opaque_envelope,"
            " t.user_id, t.phrase_hash, s.seal, k.vault_id, k.wrapped_key, k.key_version FROM users u"
            " JOIN secret_tags t ON t.user_id = u.id JOIN tag_seals s ON (s.user_id, s.tag_id) = (t.user_id, t.id)"
            " JOIN wrapped_keys k ON (k.user_id, k.tag_id) = (t.user_id, t.id)"
        ).fetchall()
    return Attacker(rows, ServerSetup(keys.current.opaque_setup))


async def test_the_whole_server_and_the_right_phrase_open_nothing_without_the_device(
    client: AsyncClient, database: Database, keys: KeyRing
) -> None:
    secret = await client.device.secret()
    bound = await client.enrol(BOUND, device_secret=secret)
    bare = await client.enrol(BARE)
    attacker = everything_of_the_server(database, keys)
    assert len(attacker.rows) == 2
    assert attacker.opens(BARE) == {bare.vault_id}
    assert attacker.opens(BOUND) == set()
    assert attacker.opens(BOUND, DeviceSecret(bytes(32))) == set()
    assert attacker.opens(BOUND, secret) == {bound.vault_id}


async def test_neither_secret_nor_its_name_is_anywhere_in_the_database(client: AsyncClient, database: Database) -> None:
    secret = await client.device.secret()
    await client.enrol(BOUND, device_secret=secret)
    (await client.unlock(BOUND, device_secret=secret)).expires_at.isoformat()
    with psycopg.connect(database.admin_url) as connection:
        tables = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        assert "secret_tags" in tables
        text = "\n".join(str(connection.execute(f'SELECT t::text FROM "{table}" t').fetchall()) for table in tables)
    assert EMAIL in text
    assert secret.expose().hex() not in text
    assert device_name(secret) not in text


async def test_an_unlock_without_the_device_fails_like_a_wrong_phrase(client: AsyncClient) -> None:
    secret = await client.device.secret()
    await client.enrol(BOUND, device_secret=secret)
    failures = []
    for phrase, given in ((BOUND, None), (draw_phrase().text, None), (BOUND, bytes(32)), (draw_phrase().text, secret)):
        with pytest.raises(AuthenticationError) as failed:
            await client.unlock(phrase, device_secret=given)
        failures.append((type(failed.value), str(failed.value)))
    assert len(set(failures)) == 1
    (await client.unlock(BOUND, device_secret=secret)).expires_at.isoformat()
