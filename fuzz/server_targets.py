"""What only the server reads: tokens, cursors, sealed states, keys, settings, backups, archives, rules, addresses."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from fuzz.target import hold, target
from hushtag.errors import HushtagError, MalformedError
from hushtag.field_rules import field_problem
from hushtag.messages import encode_binary
from hushtag_server.ceremony_state import open_state, seal_state
from hushtag_server.cursors import open_cursor, seal_cursor
from hushtag_server.errors import RefusedError, StartError
from hushtag_server.journal.names import tidy_name
from hushtag_server.keyfile import KeyRing, ServerKeys, encode_key_ring, read_key_ring
from hushtag_server.operation import envelope
from hushtag_server.operation.failures import OperationError
from hushtag_server.operation.manifest import read_manifest, write_manifest
from hushtag_server.reminders.repetition import check_repetition
from hushtag_server.reminders.rules import parse_rule
from hushtag_server.reminders.zones import given_zone, instant_of
from hushtag_server.security_log.audit_keys import audit_keys
from hushtag_server.security_log.chain import is_authentic, read_checkpoint
from hushtag_server.settings import Settings, SettingsError, load_settings, to_environment
from hushtag_server.tokens import ACCOUNT, VAULT, parse_bearer
from hushtag_server.transfer.archive import Archive
from hushtag_server.versions import etag, expected_version

__all__ = ["EXAMPLE_KEYS"]

_USER: Final = UUID(int=7)
_OTHER: Final = UUID(int=8)
_SESSION: Final = "5e" * 32
_SET: Final = ServerKeys(UUID(int=9), datetime(2026, 1, 1, tzinfo=UTC), bytes(128), bytes(32), bytes(32), bytes(32))
EXAMPLE_KEYS: Final = KeyRing(_SET, {_SET.id: _SET})
"""Keys of zeros, for the seeds."""


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


@target
def bearer_tokens(octets: bytes) -> None:
    """A header is a token of its kind, in its one spelling, or refused."""
    header = octets.decode("latin-1")
    for prefix in (ACCOUNT, VAULT):
        with suppress(RefusedError):
            token = parse_bearer(header, prefix)
            hold(len(token.secret_hash) == 32, "a token has a hash")
            spelled = header.partition(" ")[2]
            hold(spelled.startswith(prefix + encode_binary(token.user_id.bytes)[:21]), "a token names its user")


@target
def listing_cursors(octets: bytes) -> None:
    """Only this server's cursor of this listing is one, whatever its position is read as."""
    kinds: tuple[Any, ...] = (tuple[str, UUID], tuple[datetime, UUID], tuple[int, str])
    for kind in kinds:
        with suppress(RefusedError):
            open_cursor(EXAMPLE_KEYS, _USER, "entries", octets.decode("latin-1"), kind)
    cursor = seal_cursor(EXAMPLE_KEYS, _USER, "entries", (_text(octets)[:100], 1))
    read = open_cursor(EXAMPLE_KEYS, _USER, "entries", cursor, tuple[str, int])
    hold(read == (_text(octets)[:100], 1), "a cursor survives")
    for user, listing in ((_OTHER, "entries"), (_USER, "entries2")):
        with suppress(RefusedError):
            open_cursor(EXAMPLE_KEYS, user, listing, cursor, tuple[str, int])
            hold(False, "a cursor is good for one listing of one user")


@target
def sealed_ceremonies(octets: bytes) -> None:
    """A state that a client hands back is the server's own, of this step, or refused."""
    with suppress(RefusedError):
        open_state(EXAMPLE_KEYS, _USER, _SESSION, "proving", octets)
        hold(False, "bytes that the server did not seal are no state")
    sealed = seal_state(_SET, _USER, _SESSION, "proving", octets)
    hold(open_state(EXAMPLE_KEYS, _USER, _SESSION, "proving", sealed) == octets, "a state survives")


@target
def key_files(octets: bytes) -> None:
    """A key file is one of this version or refused, and what was read is written the same again."""
    try:
        ring = read_key_ring(octets, "keys.json")
    except StartError:
        return
    again = read_key_ring(encode_key_ring(ring), "keys.json")
    hold(again == ring, "keys survive being written")
    hold(encode_binary(ring.current.sealing_key) not in repr(ring), "keys are not shown")


@target
def server_settings(octets: bytes) -> None:
    """Lines `NAME=value` are settings that survive their way to a worker, or faults that hold no secret."""
    pairs = [line.partition("=") for line in _text(octets).split("\n")]
    environment = {f"HUSHTAG_{name.upper()}": value for name, _, value in pairs}
    try:
        settings = load_settings(environment)
    except SettingsError as error:
        secret = environment.get("HUSHTAG_METRICS_TOKEN", "")
        hold(len(secret) < 32 or secret not in str(error), "a fault holds no secret")
        return
    hold(isinstance(settings, Settings), "settings are settings")
    hold(load_settings(to_environment(settings)) == settings, "settings survive their way to a worker")
    for secret in (settings.metrics_token, settings.keys):
        hold(secret is None or len(secret) < 12 or secret not in repr(settings), "settings show no secret")


@target
def checkpoint_lines(octets: bytes) -> None:
    """A line of a file of checkpoints is one that survives being written, or none; nobody here has signed it."""
    checkpoint = read_checkpoint(_text(octets))
    if checkpoint is None:
        return
    hold(read_checkpoint(json.dumps(checkpoint.as_line())) == checkpoint, "a checkpoint survives being written")
    keys = audit_keys(_SET)
    hold(not is_authentic(checkpoint._replace(key_id=keys.id), keys), "what nobody signed is not authentic")


@contextmanager
def _cheap_keys() -> Iterator[None]:
    """Derive the key of a file at once: what is looked at is the file, and 64 MiB each time would be no fuzzing."""
    real = envelope._derive_key
    envelope._derive_key = lambda passphrase, salt: salt
    try:
        yield
    finally:
        envelope._derive_key = real


@target
def backup_envelopes(octets: bytes) -> None:
    """A file is a whole backup or refused, before and behind its beginning."""
    with tempfile.TemporaryDirectory() as directory, _cheap_keys():
        for number, content in enumerate((octets, envelope.BACKUP.magic + octets)):
            path = Path(directory) / str(number)
            path.write_bytes(content)
            with suppress(OperationError):
                list(envelope.open_parts(envelope.BACKUP, path, "passphrase", lambda _: None))
                hold(False, "bytes that nobody sealed are no backup")


@target
def backup_manifests(octets: bytes) -> None:
    """A manifest is read whole, or not yet, or refused."""
    with suppress(OperationError):
        found = read_manifest(octets)
        if found is not None:
            again = read_manifest(write_manifest(found[0]))
            hold(again is not None and again[0] == found[0], "a manifest survives being written")


@target
def import_archives(octets: bytes) -> None:
    """An archive passes every check and can then be read to its end, or is refused with a rule."""
    archive = Archive(io.BytesIO(octets), len(octets))
    try:
        archive.check()
    except RefusedError as error:
        hold(error.fields, "a refusal names a rule")
        return
    archive.tags()
    for rows in (archive.journals(), archive.reminders()):
        for _ in rows:
            pass


@target
def repetition_rules(octets: bytes) -> None:
    """A rule is expanded within its bounds or refused; first line the zone, second the rule."""
    zone_name, _, pattern = _text(octets).partition("\n")
    with suppress(RefusedError):
        rule = parse_rule(pattern)
        hold(rule.interval >= 1, "a rule goes forward")
        hold(rule.frequency in {"YEARLY", "MONTHLY", "WEEKLY", "DAILY"}, "a rule has a frequency")
        zone = given_zone(zone_name)
        check_repetition(pattern, zone, instant_of(datetime(2026, 3, 29, 2, 30), zone))  # noqa: DTZ001  (a gap)


@target
def time_zones(octets: bytes) -> None:
    """A zone is a known one or refused, and no wall clock makes it fail."""
    name, _, rest = octets.partition(b"\n")
    with suppress(RefusedError):
        zone = given_zone(_text(name))
        with suppress(ValueError):
            moment = datetime.fromisoformat(rest.decode("ascii", "replace")).replace(tzinfo=None)
            hold(_instant(moment, zone).tzinfo is UTC, "an instant is in UTC")


def _instant(moment: datetime, zone: Any) -> datetime:
    try:
        return instant_of(moment, zone)
    except ValueError as error:  # must not be taken for a text that is no time
        raise RuntimeError("a wall clock has no instant") from error


@target
def headers_and_names(octets: bytes) -> None:
    """Versions in `If-Match`, names of tags and msgspec's messages become ours."""
    text = octets.decode("latin-1")
    with suppress(RefusedError):
        version = expected_version(text)
        hold(version is None or expected_version(etag(version)) == version, "a version has an ETag")
    with suppress(RefusedError):
        tidy = tidy_name(_text(octets), "$.name")
        hold(tidy_name(tidy, "$.name") == tidy, "a tidy name is tidy")
    hold(field_problem(_text(octets)).rule, "a fault has a rule")


@cache
def _operations() -> Any:
    from hushtag.vectors import _runner

    return _runner


@target
def vector_files(octets: bytes) -> None:
    """A vector file that is none is counted as failed and raises nothing."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "suite"
        folder.mkdir()
        (folder / "fuzzed.json").write_bytes(octets)
        result = _operations()._verify_group(Path(directory), "suite/fuzzed")
    hold(result.ok or result.mismatches, "a group passes or says why not")


@target
def client_archives(octets: bytes) -> None:
    """An export that a client keeps is whole, or refused with the client's error."""
    from hushtag.client import archive_file

    verify: Callable[[Path], object] = archive_file._verify
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "export.zip"
        path.write_bytes(octets)
        with suppress(MalformedError, HushtagError):
            verify(path)
