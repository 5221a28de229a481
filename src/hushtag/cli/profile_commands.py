"""Commands of the account's plain side: show, name, settings, email, password, closing and reopening, and its trail."""

import json
from itertools import islice
from typing import Any
from uuid import UUID

import click

from hushtag.cli.account_commands import PASSWORD_STDIN, server_of
from hushtag.cli.here import Here
from hushtag.cli.moments import account_moments
from hushtag.cli.options import AT_MOST, command_options
from hushtag.cli.tables import plain, say_rows
from hushtag.cli.text import local_time, safe_text

__all__ = ["account"]


@click.group()
def account() -> None:
    """Look after the account: settings, email, password, sessions, what happened to it, and its end.

    \b
    Examples:
      hushtag account show
      hushtag account settings --time-zone Europe/Berlin --language german
      hushtag account sessions
      hushtag account audit -n 20
    """


def _say_facts(here: Here, facts: dict[str, Any]) -> None:
    shown = (
        f"{name.replace('_', ' '):<14}{safe_text(str(value))}" for name, value in facts.items() if value is not None
    )
    here.say("\n".join(shown), **facts)


@account.command()
@command_options
def show(here: Here) -> None:
    """Show the profile.

    \b
    Example:
      hushtag account show --json
    """
    with here.logged_in() as client:
        found = client.account()
    facts = plain(found)
    del facts["phrase_salt"]
    _say_facts(here, facts)


@account.command()
@click.option("--first-name", metavar="NAME", help="First name; an empty one takes it away.")
@click.option("--last-name", metavar="NAME", help="Last name; an empty one takes it away.")
@command_options
def name(here: Here, first_name: str | None, last_name: str | None) -> None:
    """Change the names of the profile.

    \b
    Example:
      hushtag account name --first-name Ada --last-name ""
    """
    given = {"first_name": first_name, "last_name": last_name}
    with here.logged_in() as client:
        found = client.profile.edit(**{key: value or None for key, value in given.items() if value is not None})
    _say_facts(here, {"first_name": found.first_name, "last_name": found.last_name})


@account.command()
@click.option("--time-zone", metavar="ZONE", help="IANA name, such as Europe/Berlin.")
@click.option("--language", help="Language of the search, such as english, german or simple.")
@click.option("--theme", type=click.Choice(["system", "light", "dark"]), help="For programs with a screen.")
@command_options
def settings(here: Here, time_zone: str | None, language: str | None, theme: str | None) -> None:
    """Show the settings, or change some.

    \b
    Examples:
      hushtag account settings
      hushtag account settings --time-zone Europe/Berlin --language german
    """
    given = {"time_zone": time_zone, "language": language, "theme": theme}
    wanted = {key: value for key, value in given.items() if value is not None}
    with here.logged_in() as client:
        found = client.profile.change_settings(**wanted) if wanted else client.profile.settings()
    _say_facts(here, plain(found))


@account.command()
@click.argument("new_email", metavar="EMAIL")
@PASSWORD_STDIN
@command_options
def email(here: Here, new_email: str, password_stdin: bool) -> None:
    """Change the email to log in with; every other session ends. Asks for the password.

    An email that somebody else has changes nothing, and the answer does not tell: log in with the new one to see.

    \b
    Example:
      hushtag account email ada@example.com
    """
    here.secrets.password_stdin = password_stdin
    with here.logged_in() as client:
        client.profile.change_email(here.secrets.password(), new_email)
    here.say(f"Next time: hushtag login {safe_text(new_email)}", email=new_email)


@account.command()
@PASSWORD_STDIN
@command_options
def password(here: Here, password_stdin: bool) -> None:
    """Change the password; every other session ends. Phrases and vaults do not depend on it.

    With --password-stdin the first line is the current password, the second the new one.

    \b
    Examples:
      hushtag account password
      cat old.txt new.txt | hushtag account password --password-stdin
    """
    here.secrets.password_stdin = password_stdin
    with here.logged_in() as client:
        current = here.secrets.password()
        client.change_password(current, here.secrets.password(confirm=True, what="New password"))
    here.say("The password is changed.", changed=True)


def _end_session(here: Here) -> None:
    session = here.state.load().session
    if session is not None:
        here.state.forget_session(session)


@account.command()
@PASSWORD_STDIN
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
def deactivate(here: Here, password_stdin: bool, yes: bool) -> None:
    """Close the account; every session ends. `account reactivate` opens it again, and everything is there.

    \b
    Example:
      hushtag account deactivate
    """
    here.secrets.password_stdin = password_stdin
    here.confirm("Close the account?", yes=yes)
    with here.logged_in() as client:
        client.profile.deactivate(here.secrets.password())
    _end_session(here)
    here.say("The account is closed. To open it again: hushtag account reactivate EMAIL", deactivated=True)


@account.command()
@PASSWORD_STDIN
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
def delete(here: Here, password_stdin: bool, yes: bool) -> None:
    """Delete the account. Everything that a secret phrase opens is lost at once and for ever.

    Journal and reminders are erased when the grace ends; until then `account restore` brings them back.

    \b
    Example:
      hushtag account delete
    """
    here.secrets.password_stdin = password_stdin
    here.confirm("Delete the account, and lose for ever what secret phrases open?", yes=yes)
    with here.logged_in() as client:
        scheduled = client.profile.delete(here.secrets.password())
    _end_session(here)
    text = (
        f"The account will be erased on {local_time(scheduled.deletion_at)}. Until then: hushtag account restore EMAIL"
    )
    here.say(text, **plain(scheduled))


@account.command()
@click.argument("email")
@PASSWORD_STDIN
@command_options
def reactivate(here: Here, email: str, password_stdin: bool) -> None:
    """Open a deactivated account again. The answer is the same if there is none or the password is wrong.

    \b
    Example:
      hushtag account reactivate ada@example.org --server https://vault.example.org
    """
    here.secrets.password_stdin = password_stdin
    with here.client(server_of(here)) as client:
        client.profile.reactivate(email, here.secrets.password())
    here.say(f"Next: hushtag login {safe_text(email)}", email=email, next="log in")


@account.command()
@click.argument("email")
@PASSWORD_STDIN
@command_options
def restore(here: Here, email: str, password_stdin: bool) -> None:
    """Cancel the deletion of an account. The answer is the same if there is none or the password is wrong.

    \b
    Example:
      hushtag account restore ada@example.org --server https://vault.example.org
    """
    here.secrets.password_stdin = password_stdin
    with here.client(server_of(here)) as client:
        client.profile.restore(email, here.secrets.password())
    here.say(f"Next: hushtag login {safe_text(email)}", email=email, next="log in")


@account.command()
@click.option(
    "--give", nargs=2, metavar="DOCUMENT VERSION", help="Consent to a version of the terms or privacy policy."
)
@command_options
def consents(here: Here, give: tuple[str, str] | None) -> None:
    """List what you consented to, or consent to something.

    \b
    Examples:
      hushtag account consents
      hushtag account consents --give terms 2026-01
    """
    with here.logged_in() as client:
        if give is not None:
            client.profile.give_consent(*give)
        found = list(client.profile.consents())
    rows = [(local_time(each.created_at), each.document, each.version) for each in found]
    say_rows(here, ("when", "document", "version"), rows, consents=plain(found))


@account.command()
@click.option("-n", "--limit", default=50, show_default=True, type=AT_MOST, help="At most so many.")
@click.option("--action", help="CREATE, UPDATE, DELETE, LOGIN, LOGOUT or FAILED_LOGIN.")
@click.option("--table", help="Only of this table, such as journals.")
@click.option("--since", metavar="TIME", help='Not before, such as "2026-12-24 18:00".')
@click.option("--until", metavar="TIME", help="Only before.")
@command_options
def audit(here: Here, limit: int, action: str | None, table: str | None, since: str | None, until: str | None) -> None:
    """List what happened to the account, the newest first: changes and logins, with address and program.

    \b
    Examples:
      hushtag account audit -n 20
      hushtag account audit --action FAILED_LOGIN
      hushtag account audit --table journals --since "yesterday 0:00"
    """
    with here.logged_in() as client:
        given = {name: text for name, text in (("since", since), ("until", until)) if text is not None}
        moments = dict(zip(given, account_moments(client, *given.values()), strict=True))
        listing = client.profile.audit(
            action=action, table=table, since=moments.get("since"), until=moments.get("until")
        )
        found = list(islice(listing, limit))
    rows = [
        (
            local_time(each.created_at),
            each.action,
            each.table_name,
            json.dumps(each.new_values or each.old_values or {}, ensure_ascii=False)[:200],
            each.ip_address or "",
        )
        for each in found
    ]
    say_rows(here, ("when", "action", "table", "values", "address"), rows, entries=plain(found))


@account.command()
@click.option("--end", metavar="ID", type=click.UUID, help="End this session.")
@command_options
def sessions(here: Here, end: UUID | None) -> None:
    """List where the account is logged in, or end one of the sessions.

    \b
    Examples:
      hushtag account sessions
      hushtag account sessions --end 3f0c2a9e-5d0f-4b7e-9b1c-0d9a6a4f0b11
    """
    with here.logged_in() as client:
        if end is not None:
            client.revoke_session(end)
        found = client.sessions()
    rows = [
        (
            str(each.session_id),
            local_time(each.last_activity),
            each.ip_address or "",
            (each.user_agent or "")[:60] + " (this one)" * each.current,
        )
        for each in found
    ]
    say_rows(here, ("id", "last used", "address", "program"), rows, sessions=plain(found))
