"""Commands of the account: signup, login, logout, status."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.options import command_options
from hushtag.cli.text import local_time, safe_text

if TYPE_CHECKING:
    from hushtag.client import Session

__all__ = ["PASSWORD_STDIN", "login", "logout", "server_of", "signup", "status"]

PASSWORD_STDIN = click.option(
    "--password-stdin", is_flag=True, help="Read the password from one line of standard input."
)


def server_of(here: Here) -> str:
    """Return the server asked for, or else the one of the kept session."""
    if here.server is not None:
        return here.server
    session = here.state.load().session
    if session is None:
        raise UsageError("say which server: --server https://vault.example.org, or set HUSHTAG_SERVER")
    return session.server


@click.command()
@click.argument("email")
@PASSWORD_STDIN
@click.option("--first-name", help="Shown in the account's profile.")
@click.option("--last-name", help="Shown in the account's profile.")
@command_options
def signup(here: Here, email: str, password_stdin: bool, first_name: str | None, last_name: str | None) -> None:
    """Make an account for EMAIL with a password of at least 10 characters.

    The server's answer does not tell whether the email was known already.

    \b
    Examples:
      hushtag signup ada@example.org --server https://vault.example.org
      pass show vault | hushtag signup ada@example.org --password-stdin
    """
    here.secrets.password_stdin = password_stdin
    with here.client(server_of(here)) as client:
        client.sign_up(email, here.secrets.password(confirm=True), first_name=first_name, last_name=last_name)
    here.say(f"Next: hushtag login {safe_text(email)}", email=email, next="log in")


@click.command()
@click.argument("email")
@PASSWORD_STDIN
@click.option(
    "--accept-new-salt", is_flag=True, help="Pin what the server reports now. Only if you know why it changed."
)
@command_options
def login(here: Here, email: str, password_stdin: bool, accept_new_salt: bool) -> None:
    """Log in as EMAIL. The session is kept in the state directory, and an earlier one is ended.

    \b
    Examples:
      hushtag login ada@example.org --server https://vault.example.org
      pass show vault | hushtag login ada@example.org --password-stdin
    """
    from hushtag.errors import HushtagError

    here.secrets.password_stdin = password_stdin
    with here.client(server_of(here)) as client:
        session = client.log_in(email, here.secrets.password(), accept_new_salt=accept_new_salt)
        try:
            earlier = here.state.keep_session(session)
        except BaseException:  # nobody will ever have its token
            with suppress(HushtagError):
                client.log_out()
            raise
    if earlier is not None:
        _end(here, earlier)
    here.say(
        f"Logged in to {session.server} until {local_time(session.expires_at)}.",
        server=session.server,
        user_id=session.user_id,
        session_id=session.session_id,
        expires_at=session.expires_at,
    )


def _end(here: Here, session: "Session") -> None:
    from hushtag.errors import HushtagError

    # Nobody has its token any more; if its server cannot be told now, it expires there.
    with suppress(HushtagError), here.client(session.server, session) as client:
        client.log_out()


@click.command()
@command_options
def logout(here: Here) -> None:
    """Forget the session here and end it on the server, with every vault session opened under it.

    The session is forgotten here even if the server cannot be reached; the exit code is 7 then.
    """
    from hushtag.client import TransportError, UnavailableError
    from hushtag.errors import HushtagError

    session = here.session()
    try:
        here.state.forget_session(session)
    finally:  # a state that cannot be written keeps the token, and is no reason to let it be good for anything
        with suppress(OSError, HushtagError):
            here.renew_pages()
        try:
            with here.client(session.server, session) as client:
                client.log_out()
        except (TransportError, UnavailableError):
            until = local_time(session.expires_at)
            here.note(f"The server was not told: there the session ends by itself, at the latest {until}.")
            raise
    here.say(f"Logged out of {session.server}.", logged_out=True, server=session.server)


@click.command()
@command_options
def status(here: Here) -> None:
    """Show account, server and when the session expires. Tells nothing about secret tags: the server cannot.

    Exits with 3 if not logged in or if the server does not accept the session any more.
    """
    session = here.session()
    with here.logged_in() as client:
        account = client.account()
    fields: dict[str, Any] = {
        "server": session.server,
        "email": account.email,
        "user_id": session.user_id,
        "session_id": session.session_id,
        "expires_at": session.expires_at,
        "suite": account.suite,
    }
    shown = {**fields, "email": safe_text(account.email), "expires_at": local_time(session.expires_at)}
    here.say("\n".join(f"{name.replace('_', ' '):<12}{value}" for name, value in shown.items()), **fields)
