"""Settings: every `HUSHTAG_*` variable, its type, range, default and meaning, read once at start.

`load_settings` reports everything that is wrong at once, so that one edit of the environment is enough.
"""

import difflib
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, get_type_hints
from urllib.parse import quote, unquote

__all__ = ["Settings", "SettingsError", "describe_settings", "load_settings", "to_environment"]

_PREFIX: Final = "HUSHTAG_"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
MIB: Final = 1024 * 1024
# Scheme, host and port as a browser sends them (RFC 6454, section 6.2): lower case, no path.
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)

# Neither user nor query nor fragment: what stands there may be secret, and the address is stored and shown.
_STORE: Final = re.compile(r"(file|s3|s3a|gs|az|azure|abfs|abfss|adl)://([^/\s@?#]*)(/[^\s@?#]*)?", re.ASCII)
_ALIKE: Final = 0.8  # of difflib; what platforms set by themselves, as HUSHTAG_SERVICE_HOST, is far from every setting
_ONE_SCHEME: Final = {"s3a": "s3", "azure": "az", "abfs": "az", "abfss": "az", "adl": "az"}

Network = IPv4Network | IPv6Network


class SettingsError(Exception):
    """The environment does not describe a server; the message lists every fault, never a secret value."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("settings are not usable:\n" + "\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _duration(low: int, high: int) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        number, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "s")
        if not number.isascii() or not number.isdigit() or not low <= int(number[:20]) * _UNITS[unit] <= high:
            raise ValueError(f"must be a duration from {low}s to {high}s, such as 90, 90s, 15m, 12h or 30d")
        return timedelta(seconds=int(number) * _UNITS[unit])

    return parse


def _long_token(text: str) -> str:
    if not 32 <= len(text) <= 512 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("expected 32 to 512 printable ASCII characters without spaces")
    return text


def _log_level(text: str) -> str:
    if text.lower() not in _LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(_LOG_LEVELS)}")
    return text.lower()


def _network(text: str) -> Network:
    # Where IPv4 is mapped into IPv6, a client's address is taken for the IPv4 address it is; so is a proxy's network.
    network = ip_network(text)
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return network if mapped is None or network.prefixlen < 96 else IPv4Network((mapped, network.prefixlen - 96))


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("must be addresses or networks separated by commas, such as 10.0.0.0/8") from None


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("must be origins separated by commas, such as https://app.example.org; `*` is none")
    return origins


def _switch(text: str) -> bool:
    if text.lower() not in {"yes", "no"}:
        raise ValueError("must be yes or no")
    return text.lower() == "yes"


def _database_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    place = text.partition("://")[2].partition("?")[0]
    # Behind the first @ libpq reads a host, and says it when it finds none: that would be the rest of a password.
    if "@" in place and (place.count("@") > 1 or place.index("@") > f"{place}/".index("/")):
        raise ValueError("must spell @ and / as %40 and %2F in names and passwords")
    return text


def _key_store(text: str) -> str:
    kind, _, rest = text.partition(":")
    if text == "file" or (kind == "credential" and rest and "/" not in rest and rest not in {".", ".."}):
        return text
    try:
        if kind == "command" and shlex.split(rest):
            return text
    except ValueError:
        pass
    raise ValueError("must be file, command: and a program with its arguments, or credential: and a name")


def _segment_store(text: str) -> str:
    """Return the one spelling of an address: rows name stores by it, and one place must not be two stores."""
    found = _STORE.fullmatch(text)
    if text == "postgres":
        return text
    if found is not None and len(text) <= 500 and bool(found[2]) == (found[1] != "file"):
        scheme, place, path = _ONE_SCHEME.get(found[1], found[1]), found[2], found[3] or ""
        steps = [step for step in path.split("/") if step]
        if not {".", ".."} & {unquote(step) for step in steps}:
            plain = "/".join(quote(unquote(step), safe="!$&'()*+,;=:~") for step in steps)
            return f"{scheme}://{place}{'/' if plain or not place else ''}{plain}"
    raise ValueError(
        "must be postgres, or file:///DIRECTORY, s3://BUCKET/PREFIX, gs://… or az://…, without credentials, ?, # or .."
    )


class _Rule(NamedTuple):
    """How the text of one variable is read, and what the setting means."""

    parse: Callable[[str], Any]
    about: str
    secret: bool = False


_MINUTE, _DAY = 60, 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The server's settings; the environment variable of `name` is `HUSHTAG_NAME`."""

    database_url: Annotated[
        str | None,
        _Rule(_database_url, "PostgreSQL 14 or later; without it an embedded one under HUSHTAG_DATA", secret=True),
    ] = None
    data: Annotated[Path, _Rule(Path, "directory of the embedded database and of the key file")] = Path("hushtag-data")
    key_file: Annotated[Path | None, _Rule(Path, "the server's keys; default keys.json under HUSHTAG_DATA")] = None
    key_store: Annotated[
        str, _Rule(_key_store, "where the keys lie: file, command:PROGRAM …, or credential:NAME (systemd)")
    ] = "file"
    keys: Annotated[str | None, _Rule(str, "content of the key file, for hosts without files", secret=True)] = None
    host: Annotated[str, _Rule(str, "address to listen on")] = "127.0.0.1"
    port: Annotated[int, _Rule(_whole(0, 65535), "port to listen on; 0 takes a free one")] = 8787
    workers: Annotated[int, _Rule(_whole(1, 64), "worker processes")] = 1
    ready_wait: Annotated[
        timedelta, _Rule(_duration(1, 3600), "how long a start may take until the server answers; then it is given up")
    ] = timedelta(seconds=60)
    pool_size: Annotated[int, _Rule(_whole(1, 200), "database connections per worker")] = 10
    pool_wait: Annotated[timedelta, _Rule(_duration(1, 60), "how long a request waits for a connection before 503")] = (
        timedelta(seconds=5)
    )
    statement_timeout: Annotated[timedelta, _Rule(_duration(1, 600), "longest database statement")] = timedelta(
        seconds=15
    )
    request_timeout: Annotated[timedelta, _Rule(_duration(1, 3600), "longest request")] = timedelta(seconds=60)
    head_timeout: Annotated[
        timedelta, _Rule(_duration(1, 600), "longest time for a request's head to arrive, idle connections included")
    ] = timedelta(seconds=15)
    body_pause: Annotated[timedelta, _Rule(_duration(1, 600), "longest time between two pieces of a body")] = timedelta(
        seconds=15
    )
    body_rate: Annotated[int, _Rule(_whole(1, 2**30), "bytes a second that a body must bring on average")] = 2048
    connections: Annotated[int, _Rule(_whole(16, 100_000), "connections per worker; more wait to be accepted")] = 4096
    requests_at_once_per_address: Annotated[
        int, _Rule(_whole(0, 100_000), "requests of one client address that a worker serves at once; 0 is no limit")
    ] = 256
    requests_per_address: Annotated[
        int, _Rule(_whole(0, 100_000), "requests a second of one client address per worker, then paced; 0 is no limit")
    ] = 200
    allowed_origins: Annotated[
        tuple[str, ...], _Rule(_origins, "origins whose pages may read answers (CORS); empty allows none")
    ] = ()
    strict_transport: Annotated[
        timedelta,
        _Rule(_duration(0, 730 * _DAY), "HSTS, where the server is reached by https alone; 0 does not say it"),
    ] = timedelta(0)
    session_lifetime: Annotated[timedelta, _Rule(_duration(1, 366 * _DAY), "lifetime of an account session")] = (
        timedelta(days=30)
    )
    session_idle: Annotated[timedelta, _Rule(_duration(1, 366 * _DAY), "an account session unused this long ends")] = (
        timedelta(days=7)
    )
    vault_lifetime: Annotated[timedelta, _Rule(_duration(1, 30 * _DAY), "lifetime of a vault session")] = timedelta(
        hours=12
    )
    vault_idle: Annotated[timedelta, _Rule(_duration(1, 30 * _DAY), "a vault session unused this long ends")] = (
        timedelta(minutes=15)
    )
    ceremony_lifetime: Annotated[
        timedelta, _Rule(_duration(1, 10 * _MINUTE), "time to finish an enrolment or an unlock")
    ] = timedelta(seconds=120)
    guess_capacity: Annotated[int, _Rule(_whole(1, 10_000), "phrase guesses an account may spend at once")] = 20
    guess_refill_per_day: Annotated[int, _Rule(_whole(0, 10_000), "phrase guesses an account regains in a day")] = 20
    guess_lockout: Annotated[
        timedelta, _Rule(_duration(0, 30 * _DAY), "longest lock-out after unproven phrase guesses; 0 has none")
    ] = timedelta(hours=12)
    login_attempts_per_account: Annotated[int, _Rule(_whole(1, 100_000), "login attempts per email and hour")] = 10
    login_attempts_per_address: Annotated[
        int, _Rule(_whole(1, 1_000_000), "login and sign-up attempts per client address and hour")
    ] = 100
    password_hashes_at_once: Annotated[
        int, _Rule(_whole(1, 64), "password hashes computed at once per worker; each takes 64 MiB")
    ] = 4
    password_hashes_waiting: Annotated[
        int, _Rule(_whole(1, 10_000), "requests per worker that may wait to have a password hashed before 503")
    ] = 250
    password_wait: Annotated[
        timedelta, _Rule(_duration(1, 600), "how long a request waits to have a password hashed before 503")
    ] = timedelta(seconds=30)
    deletion_grace: Annotated[
        timedelta, _Rule(_duration(0, 366 * _DAY), "how long a deleted account may be restored before it is erased")
    ] = timedelta(days=30)
    max_sessions: Annotated[
        int, _Rule(_whole(1, 100_000), "sessions of an account; a log-in beyond them ends the one unused longest")
    ] = 100
    max_vault_sessions: Annotated[
        int, _Rule(_whole(1, 1000), "vault sessions of a phrase; an unlock beyond them ends the one unused longest")
    ] = 100
    max_entries: Annotated[
        int,
        _Rule(_whole(1, 1_000_000_000), "journal entries of an account, deleted ones that can be restored included"),
    ] = 1_000_000
    max_reminders: Annotated[int, _Rule(_whole(1, 10_000_000), "reminders of an account, completed ones included")] = (
        100_000
    )
    max_objects: Annotated[int, _Rule(_whole(1, 100_000_000), "objects in one vault")] = 100_000
    max_object_bytes: Annotated[int, _Rule(_whole(1024, 16 * MIB), "padded bytes of one object")] = 16 * MIB
    segment_store: Annotated[
        str,
        _Rule(_segment_store, "where segments of large objects go: postgres, file:///DIRECTORY, s3://BUCKET/PREFIX, …"),
    ] = "postgres"
    segment_store_timeout: Annotated[
        timedelta, _Rule(_duration(1, 600), "longest request to an object store, and as long it is tried again")
    ] = timedelta(seconds=30)
    stream_hours: Annotated[
        int, _Rule(_whole(1, 8760), "an upload without activity is removed after so many hours")
    ] = 24
    vault_bytes: Annotated[int, _Rule(_whole(0, 2**50), "bytes of all large objects of a vault; 0 is no limit")] = 0
    journal_purge_after: Annotated[
        timedelta, _Rule(_duration(60, 3660 * _DAY), "deleted journal entries are erased after this time")
    ] = timedelta(days=30)
    max_import_bytes: Annotated[int, _Rule(_whole(1024, 4096 * MIB), "bytes of an archive to import")] = 256 * MIB
    audit_retention: Annotated[
        timedelta, _Rule(_duration(_DAY, 3660 * _DAY), "audit rows of plain tables are kept this long, in whole months")
    ] = timedelta(days=400)
    security_audit_retention: Annotated[
        timedelta, _Rule(_duration(_DAY, 3660 * _DAY), "rows of the security log are kept this long")
    ] = timedelta(days=400)
    audit_checkpoints: Annotated[
        Path | None,
        _Rule(Path, "file to which checkpoints of the security log are appended; ship it to another host"),
    ] = None
    pg_bin: Annotated[
        Path | None, _Rule(Path, "directory of pg_dump and pg_restore, if not on PATH or beside the database")
    ] = None
    log_level: Annotated[str, _Rule(_log_level, "debug, info, warning or error")] = "info"
    metrics_token: Annotated[
        str | None,
        _Rule(
            _long_token,
            "what a scraper must send as its bearer token; without it nobody is answered",
            secret=True,
        ),
    ] = None
    metrics_loopback: Annotated[
        bool, _Rule(_switch, "whether, without a token, requests of this host that no proxy passed on see the metrics")
    ] = False
    trusted_proxies: Annotated[
        tuple[Network, ...], _Rule(_networks, "proxies whose X-Forwarded-For is believed; empty believes none")
    ] = ()

    @property
    def key_path(self) -> Path:
        """The key file: `HUSHTAG_KEY_FILE`, or `keys.json` in the data directory."""
        return self.key_file if self.key_file is not None else self.data / "keys.json"

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}={text}" for name, text, _ in describe_settings(self)) + ")"


@cache
def _rules() -> dict[str, _Rule]:
    hints = get_type_hints(Settings, include_extras=True)
    return {entry.name: hints[entry.name].__metadata__[0] for entry in fields(Settings)}


def _variable(name: str) -> str:
    return f"{_PREFIX}{name.upper()}"


def _relations(settings: Settings) -> list[str]:
    faults = []
    for short, long in (("session_idle", "session_lifetime"), ("vault_idle", "vault_lifetime")):
        if getattr(settings, short) > getattr(settings, long):
            faults.append(f"{_variable(short)} is longer than {_variable(long)}; make it at most as long")
    if settings.keys is not None and settings.key_file is not None:
        faults.append("HUSHTAG_KEYS and HUSHTAG_KEY_FILE are both set; keep one")
    if settings.key_store != "file" and (settings.keys is not None or settings.key_file is not None):
        faults.append("HUSHTAG_KEY_STORE names a store beside HUSHTAG_KEYS or HUSHTAG_KEY_FILE; keep one")
    return faults


def _misspelt(environment: Mapping[str, str]) -> list[str]:
    # HUSHTAG_DATABSE_URL would start an empty database of its own, and nobody would be told.
    known = [name.upper() for name in _rules()]
    faults = []
    for variable in sorted(name for name, text in environment.items() if text and name.startswith(_PREFIX)):
        name = variable.removeprefix(_PREFIX)
        meant = [] if name in known else difflib.get_close_matches(name, known, 1, _ALIKE)
        if meant:
            faults.append(f"{variable} is no setting; did you mean {_PREFIX}{meant[0]}?")
    return faults


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; an empty variable counts as not set.

    Raises:
        SettingsError: lists every variable that is out of range and what it must be, and every one whose name is
            nearly that of a setting.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    faults = _misspelt(environment)
    for name, rule in _rules().items():
        text = environment.get(_variable(name), "")
        if not text:
            continue
        try:
            values[name] = rule.parse(text)
        except ValueError as error:
            faults.append(f"{_variable(name)} {error}")
    settings = Settings(**values)
    faults.extend(_relations(settings))
    if faults:
        raise SettingsError(faults)
    return settings


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds())}s"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the variables that give these settings again: how they reach the worker processes."""
    values = ((name, getattr(settings, name)) for name in _rules())
    return {_variable(name): _as_text(value) for name, value in values if value is not None and value != ()}


def describe_settings(settings: Settings) -> list[tuple[str, str, str]]:
    """Return (variable, value, meaning) of each setting; the values of secrets are not in it."""
    rows = []
    for name, rule in _rules().items():
        value = getattr(settings, name)
        shown = "(not set)" if value is None or value == () else _as_text(value)
        if rule.secret and value is not None:
            shown = "(set, not shown)"
        rows.append((_variable(name), shown, rule.about))
    return rows
