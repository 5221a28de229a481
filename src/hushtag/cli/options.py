"""Options that many commands take."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here

__all__ = ["AT_MOST", "command_options", "new_phrase_options", "phrase_options"]

AT_MOST = click.IntRange(1, 2**31 - 1)
"""How many a listing shows at most."""


def command_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all have; inside a shell it gets the shell's surroundings instead."""

    @click.option("--json", "as_json", is_flag=True, help="Write JSON, errors too.")
    @click.option("--server", metavar="URL", envvar="HUSHTAG_SERVER", help="The server [env: HUSHTAG_SERVER].")
    @click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="HUSHTAG_STATE",
        help="Directory of the session and pins, mode 0700 [env: HUSHTAG_STATE].",
    )
    @click.option("--allow-insecure", is_flag=True, help="Allow plain http to another machine; shows tokens to all.")
    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        as_json = kwargs.pop("as_json")
        server, state, insecure = (kwargs.pop(name) for name in ("server", "state", "allow_insecure"))
        outer = click.get_current_context().find_object(Here)
        if outer is None:
            here = Here(as_json=as_json, server=server, state=state, allow_insecure=insecure)
        else:
            here = outer
            here.as_json = as_json
        command(here, *args, **kwargs)

    return wrapper


def _unless_open(here: Here, *given: object) -> None:
    if here.opened is not None and any(given):
        raise UsageError("the vault is open already; it takes no phrase")


def new_phrase_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where a phrase comes from and which device secret goes with it."""

    @click.option("--phrase-stdin", is_flag=True, help="Read the phrase from one line of standard input.")
    @click.option(
        "--device-secret",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File (mode 0600) of the device secret: 64 hexadecimal digits.",
    )
    @click.option("--this-device", is_flag=True, help="The phrase goes with this device's secret (hushtag device).")
    @functools.wraps(command)
    def wrapper(here: Here, *args: Any, **kwargs: Any) -> None:
        phrase_stdin, device_secret, this_device = (
            kwargs.pop(name) for name in ("phrase_stdin", "device_secret", "this_device")
        )
        _unless_open(here, phrase_stdin, device_secret, this_device)
        here.secrets.phrase_stdin = phrase_stdin
        here.secrets.device_secret_file = device_secret
        here.secrets.this_device = here.this_device_secret if this_device else None
        command(here, *args, **kwargs)

    return wrapper


def phrase_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which phrase, or which transcripts of it, open which vault."""

    @click.option("--candidate-stdin", is_flag=True, help="Read up to 5 transcripts, best first, one a line.")
    @click.option("--vault", type=click.UUID, help="Which vault, if the phrase opens several; the first by default.")
    @functools.wraps(command)
    def wrapper(here: Here, *args: Any, **kwargs: Any) -> None:
        candidate_stdin, vault = (kwargs.pop(name) for name in ("candidate_stdin", "vault"))
        _unless_open(here, candidate_stdin, vault)
        here.secrets.candidate_stdin = candidate_stdin
        here.vault_id = vault
        command(here, *args, **kwargs)

    return new_phrase_options(wrapper)
