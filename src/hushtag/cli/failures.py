"""One table from errors to exit codes, codes for programs, and the next step for a person."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import click

from hushtag.cli.text import safe_text

__all__ = ["Outcome", "UsageError", "describe", "exit_code_of", "report", "report_interrupted"]

INTERRUPTED: Final = 130
_FIELDS_TELL_MORE: Final = ("malformed_request", "already_exists", "limit_reached")
"""Problems whose fields say what the message does not."""
_CHANGED: Final = (
    "change",
    "pinned_generation",
    "served_generation",
    "pinned_objects",
    "served_objects",
    "pinned_at",
)
"""What tells how a vault was taken back."""
_LOG_IN: Final = "log in with: hushtag login EMAIL"
_LOST: Final = (
    "what else is stored can still be read; tell who runs the server, who sees more with: hushtag-server doctor; "
    "if you have a copy, put it again"
)
_ROLLED_BACK: Final = (
    "nothing was shown or changed; if the operator restored a backup: hushtag epoch accept-restore; "
    "otherwise do not trust this server"
)
_PINS_LOST: Final = (
    "put the file back from a copy; or give up what it held with: hushtag epoch reset-pins, "
    "and then compare each vault with: hushtag epoch check"
)
_CHECK_URL: Final = "check that the URL is that of a Hushtag server"
_LOOK_FIRST: Final = "look whether it was stored before you try again"
_NO_ROOM: Final = "make room on the disk of the state, or let it be written, and then try again"
_STORED: Final = "do not repeat it; make room on the disk of the state, or let it be written: the next command pins it"


class UsageError(click.UsageError):
    """The command was called in a way it cannot serve."""


class Kind(NamedTuple):
    """Exit code, code for programs, and what to do next."""

    exit_code: int
    code: str
    next_step: str | None = None


@dataclass
class Outcome:
    """What a run of the command came to."""

    code: int = 0
    result: Any = None


def _table() -> list[tuple[type[BaseException], Kind]]:
    # The first match counts, so a subclass stands before its base. Imported here: help needs none of it.
    from hushtag import errors as core
    from hushtag.client import errors as client

    return [
        (client.BudgetError, Kind(6, "budget_exhausted")),
        (client.SessionExpiredError, Kind(3, "session_expired", _LOG_IN)),
        (client.NotLoggedInError, Kind(3, "not_logged_in", _LOG_IN)),
        (client.LoginError, Kind(4, "login_failed")),
        (client.CeremonyError, Kind(4, "ceremony_failed", "try again")),
        (client.VaultRolledBackError, Kind(8, "vault_rolled_back", _ROLLED_BACK)),
        (client.EpochError, Kind(8, "epoch", "show the code anew on the other device; if they differ, trust neither")),
        (core.EpochCodeError, Kind(2, "epoch_code", "the other device shows it: hushtag epoch show")),
        (client.StoredNotPinnedError, Kind(1, "stored_not_pinned", _STORED)),
        (client.PinsNotWrittenError, Kind(1, "pins_not_written", _NO_ROOM)),
        (client.PinStoreError, Kind(1, "pin_store", _PINS_LOST)),
        (client.PinChangedError, Kind(8, "pin_changed", "if you know why: hushtag login EMAIL --accept-new-salt")),
        (client.IntegrityError, Kind(8, "integrity", "do not trust this server; keep your own copies")),
        (core.RollbackError, Kind(8, "rollback", "do not trust this server; keep your own copies")),
        (core.AuthenticationError, Kind(4, "authentication_failed")),
        (client.VersionConflictError, Kind(5, "version_conflict", "read it again, then repeat your change")),
        (client.ConflictError, Kind(5, "conflict")),
        (client.NotFoundError, Kind(9, "not_found")),
        (client.LimitReachedError, Kind(1, "limit_reached")),
        (client.ContentLostError, Kind(1, "content_lost", _LOST)),
        (client.UnavailableError, Kind(7, "unavailable")),
        (client.ServerError, Kind(1, "server_refused")),
        (client.OutcomeUnknownError, Kind(7, "outcome_unknown", _LOOK_FIRST)),
        (client.TransportError, Kind(7, "transport")),
        (client.StateFileError, Kind(1, "state_file")),
        (client.VaultLockedError, Kind(1, "vault_locked", "unlock it again")),
        (client.AmbiguousNameError, Kind(2, "ambiguous_name", "hushtag ls shows the ids")),
        (core.UnknownSuiteError, Kind(8, "unknown_suite", "update this program or the server")),
        (client.MalformedOutcomeError, Kind(8, "malformed_outcome", f"{_CHECK_URL}, and {_LOOK_FIRST}")),
        (core.MalformedError, Kind(8, "malformed", _CHECK_URL)),
        (core.WeakPhraseError, Kind(2, "weak_phrase", "or let one be drawn: hushtag enrol --draw")),
        (core.PhraseError, Kind(2, "phrase")),
        (core.MisuseError, Kind(2, "misuse")),
        (core.HushtagError, Kind(1, "failed")),
        (click.UsageError, Kind(2, "usage")),
        (click.ClickException, Kind(1, "failed")),
        (OSError, Kind(1, "os")),
    ]


def describe(error: BaseException) -> dict[str, Any] | None:
    """Return the error as a stable JSON object; `None` if it is none of ours."""
    kind = next((kind for base, kind in _table() if isinstance(error, base)), None)
    if kind is None:
        return None
    described: dict[str, Any] = {"code": kind.code, "message": _message(error), "exit_code": kind.exit_code}
    if kind.next_step is not None:
        described["next"] = kind.next_step
    for name in ("retry_after", "request_id", "object_ids", *_CHANGED):
        value = getattr(error, name, None)
        if value is not None:
            described[name] = [str(part) for part in value] if isinstance(value, tuple) else value
    fields = getattr(error, "fields", ())
    if fields:
        described["fields"] = [{"field": each.field.removeprefix("$."), "rule": each.rule} for each in fields]
    return described


def _message(error: BaseException) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    return str(error)


def report(error: BaseException, *, as_json: bool) -> int:
    """Write the error to stderr and return its exit code; raises what is no error of ours."""
    described = describe(error)
    if described is None:
        raise error
    with suppress(OSError):  # where stderr is full, or its reader has gone, the exit code tells by itself
        _write(error, described, as_json=as_json)
    return int(described["exit_code"])


def _write(error: BaseException, described: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": described}, default=str), err=True)
        return
    near = getattr(error, "near", None)
    if near and sys.stderr.isatty():  # as secret as what was typed: for eyes, not for a log
        for place, words in sorted(near.items()):
            click.echo(f"  word {place}: perhaps {', '.join(words)}" if words else f"  word {place}", err=True)
    context = getattr(error, "ctx", None)
    if context is not None and isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(context.get_help(), err=True)
        return
    if context is not None:
        click.echo(context.get_usage(), err=True)
    click.echo(f"hushtag: {safe_text(described['message'])}", err=True)
    for line in described.get("object_ids", []):
        click.echo(f"  {line}", err=True)
    if getattr(error, "code", None) in _FIELDS_TELL_MORE:
        for field in described.get("fields", []):
            click.echo(f"  {safe_text(field['field'])} {safe_text(field['rule'])}", err=True)
    if "next" in described:
        click.echo(f"  {described['next']}", err=True)


def report_interrupted(*, as_json: bool) -> int:
    """Say on stderr that somebody ended the command, and return the exit code of that."""
    described = {"code": "interrupted", "message": "interrupted", "exit_code": INTERRUPTED}
    with suppress(OSError):
        click.echo(json.dumps({"error": described}) if as_json else described["message"], err=True)
    return INTERRUPTED


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, so that nothing unfinished is left; not where ignored."""
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


@contextmanager
def exit_code_of(*, as_json: bool) -> Iterator[Outcome]:
    """Catch what a command raises, report it, and note the exit code."""
    outcome = Outcome()
    try:
        with _ended_by_signals():
            yield outcome
        outcome.code = outcome.result if isinstance(outcome.result, int) else 0
    except (click.Abort, KeyboardInterrupt):
        outcome.code = report_interrupted(as_json=as_json)
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        outcome.code = 1
    except Exception as error:
        outcome.code = report(error, as_json=as_json)
