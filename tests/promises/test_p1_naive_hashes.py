"""P1: no naive hash of the phrase, and no secret on the way from it, is in any column or field.

About 1,500 values: phrase, stretch, phrase key and OPAQUE password, each hashed and keyed in the usual ways,
with and without every salt, whole and cut to 16 bytes; in every column, field and message, in every usual spelling.
"""

import hashlib
import hmac
from collections.abc import Iterator

import msgspec
import pytest
from blake3 import blake3

from hushtag import messages
from hushtag.cli.canaries import Canary, search
from hushtag.messages import decode_binary
from hushtag.phrase import canonicalize
from tests.promises.p1_ceremony import CREDENTIAL_ID, PHRASE_SALT, Price, Trace, run
from tests.promises.p1_measure import fields

TRANSCRIPT = "Twenty-One Pelicans sing at dawn!"


@pytest.fixture(scope="module")
def trace() -> Trace:
    return run(TRANSCRIPT, Price())


def naive_hashes(transcript: str, made: Trace) -> Iterator[Canary]:
    """What a hurried implementer might store or send to find a phrase again, and the secrets on the way."""
    canonical = canonicalize(transcript)
    inputs = {
        "transcript": transcript.encode(),
        "canonical": canonical.encode(),
        "canonical without spaces": canonical.replace(" ", "").encode(),
        "canonical in utf-16": canonical.encode("utf-16-le"),
        "stretch": made.stretch,
        "phrase key": bytes.fromhex(made.password.expose().decode()),
        "OPAQUE password": made.password.expose(),
    }
    salts = {
        "phrase salt": PHRASE_SALT,
        "tag salt": fields(made)["EnrolTag.salt"][1].strip(b'"'),
        "decoded tag salt": decode_binary(fields(made)["EnrolTag.salt"][1].strip(b'"').decode()),
        "credential id": bytes(CREDENTIAL_ID),
        "credential identifier": b"hushtag-v1/credential/" + CREDENTIAL_ID,
    }
    for name, value in inputs.items():
        yield Canary(name, value)
        salted = {name: value}
        for salt_name, salt in salts.items():
            salted[f"{salt_name}, {name}"] = salt + value
            salted[f"{name}, {salt_name}"] = value + salt
            for algorithm in ("sha256", "sha512"):
                digest = hmac.digest(salt, value, algorithm)
                yield from truncations(f"hmac-{algorithm} of {name} under {salt_name}", digest)
        for salted_name, salted_value in salted.items():
            for hash_name, digest in digests(salted_value).items():
                yield from truncations(f"{hash_name} of {salted_name}", digest)


def truncations(name: str, digest: bytes) -> Iterator[Canary]:
    """A digest and its first 16 bytes, which is what a narrow column would hold."""
    yield Canary(name, digest)
    if len(digest) > 16:
        yield Canary(f"16 bytes of {name}", digest[:16])


def digests(value: bytes) -> dict[str, bytes]:
    """Common hashes of a value."""
    found = {
        name: hashlib.new(name, value, usedforsecurity=False).digest() for name in ("sha256", "sha512", "sha1", "md5")
    }
    found["blake3"] = blake3(value).digest()
    for size in (16, 32):
        for person in (b"", b"hushtag1", b"hushchk1"):
            found[f"blake2s-{size * 8} {person.decode()}"] = hashlib.blake2s(
                value, digest_size=size, person=person
            ).digest()
    return found


def places(made: Trace) -> list[tuple[str, bytes]]:
    """Every field and state as bytes, and every message as it is sent."""
    sent = [(type(message).__name__, msgspec.json.encode(message)) for message in made.messages]
    return [*((path, value) for path, (_, value) in fields(made).items()), *sent]


def test_no_naive_hash_of_the_phrase_is_stored_or_sent(trace: Trace) -> None:
    canaries = list(naive_hashes(TRANSCRIPT, trace))
    assert len(canaries) > 1000
    assert search(canaries, places(trace)) == []


@pytest.mark.parametrize("spelling", ["plain", "hex", "base64"])
def test_the_search_sees_a_naive_hash(spelling: str, trace: Trace) -> None:
    canary = next(
        c for c in naive_hashes(TRANSCRIPT, trace) if c.name == "16 bytes of sha256 of phrase salt, canonical"
    )
    spelled = {
        "plain": canary.value,
        "hex": canary.value.hex().encode(),
        "base64": messages.encode_binary(canary.value).encode(),
    }
    planted = [
        ("column", b"before" + spelled[spelling] + b"after") if spelling != "base64" else ("column", spelled[spelling])
    ]
    assert canary.name in {sighting.canary for sighting in search(naive_hashes(TRANSCRIPT, trace), planted)}
