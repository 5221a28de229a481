"""Commands of reminders: add, ls, edit, done, reopen, snooze, rm, watch, feed."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.moments import account_moment, parse_span, time_in, zone_named
from hushtag.cli.options import AT_MOST, command_options
from hushtag.cli.tables import find_by_id, plain, say_rows, short_id
from hushtag.cli.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hushtag.client import Client
    from hushtag.reminder_messages import Reminder

__all__ = ["remind"]

_OPEN: Final = ("overdue", "due", "pending")
_WORDS: Final = {word: f"FREQ={word.upper()}" for word in ("daily", "weekly", "monthly", "yearly")}
_SHORT_MONTHS: Final = {
    day: f"FREQ=MONTHLY;BYMONTHDAY={','.join(map(str, range(28, day + 1)))};BYSETPOS=-1" for day in (29, 30, 31)
}
"""The rule of `monthly` from a day on that not every month has: FREQ=MONTHLY alone leaves the other months out."""
_LEAP_DAY: Final = "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=28,29;BYSETPOS=-1"
_HEADINGS: Final = ("when", "title", "priority", "repeats", "status", "id")


@click.group()
def remind() -> None:
    """Be reminded: once or again and again, here or in your calendar.

    A reminder is named by its id, or by as many of its first characters as are enough. Times are those of the wall
    clock in the account's time zone: hushtag account settings --time-zone Europe/Berlin

    \b
    Examples:
      hushtag remind add "Call Grace" --at "2026-12-24 18:00"
      hushtag remind add "Tea" --in 5m
      hushtag remind add "Water the plants" --at "tomorrow 9:00" --repeat weekly
      hushtag remind watch
      hushtag remind done 3f0c2a9e
    """


def _when(client: "Client", at: str | None, span: str | None, names: str) -> datetime:
    if (at is None) == (span is None):
        raise UsageError(f"say when, with either {names}")
    if span is not None:
        return datetime.now(UTC) + parse_span(span)
    return account_moment(client, at or "")


def _zone_name(client: "Client", when: datetime) -> str:
    """Return the name of the account's time zone; a time that was read on its wall clock has it already."""
    return when.tzinfo.key if isinstance(when.tzinfo, ZoneInfo) else client.profile.settings().time_zone


def _rule(repeat: str, when: datetime, zone_name: "Callable[[], str]") -> str:
    """Return the rule of a word, as it is for a series that begins then; what is no word is a rule.

    `zone_name` is asked for a word only whose rule depends on the day, which depends on the zone.
    """
    word = repeat.lower()
    zone = zone_named(zone_name()) if word in ("monthly", "yearly") else None
    if zone is not None:
        day = when.astimezone(zone)
        if word == "monthly" and day.day in _SHORT_MONTHS:
            return _SHORT_MONTHS[day.day]
        if word == "yearly" and (day.month, day.day) == (2, 29):
            return _LEAP_DAY
    return _WORDS.get(word, repeat)


def _word(rule: str | None) -> str | None:
    """Return the word that a rule is of and that depends on the day a series begins, if it is such a rule."""
    if rule == _WORDS["monthly"] or rule in _SHORT_MONTHS.values():
        return "monthly"
    return "yearly" if rule in {_WORDS["yearly"], _LEAP_DAY} else None


def _reminder_ids(client: "Client", texts: "Sequence[str]") -> "Sequence[UUID]":
    """Return the ids that are meant, each once however often it is named."""
    return tuple(dict.fromkeys(_reminder_id(client, each) for each in texts))


def _reminder_id(client: "Client", text: str) -> UUID:
    listing = chain.from_iterable(client.reminders.list(status=status) for status in (*_OPEN, "done"))
    return find_by_id(text, listing, "reminder")


def _line(reminder: "Reminder") -> str:
    when = time_in(reminder.snoozed_until or reminder.reminder_time, reminder.time_zone)
    return f"{short_id(reminder.id)}  {safe_text(when)}  {safe_text(reminder.title)}"


def _row(reminder: "Reminder") -> "Sequence[str]":
    when = time_in(reminder.snoozed_until or reminder.reminder_time, reminder.time_zone)
    status = reminder.status + " (snoozed)" * (reminder.snoozed_until is not None and not reminder.is_completed)
    repeats = reminder.repeat_pattern or ""
    return (when, reminder.title, str(reminder.priority), repeats, status, short_id(reminder.id))


@remind.command()
@click.argument("title")
@click.option("--at", metavar="TIME", help='Such as "2026-12-24 18:00", "tomorrow 8:30" or 2026-12-24T18:00+01:00.')
@click.option("--in", "span", metavar="SPAN", help="From now, such as 90m, 2h, 3d.")
@click.option("--repeat", metavar="RULE", help="daily, weekly, monthly, yearly, or an RRULE of RFC 5545.")
@click.option("--priority", type=click.IntRange(1, 5), default=2, show_default=True, help="1 to 5, 5 the highest.")
@click.option("-m", "--message", metavar="TEXT", help="A description.")
@command_options
def add(
    here: Here, title: str, at: str | None, span: str | None, repeat: str | None, priority: int, message: str | None
) -> None:
    """Make a reminder.

    What is monthly from the 31st on comes on the last day of a shorter month, and what is yearly from 29 February on
    comes on the 28th of other years. An RRULE leaves such months and years out, as RFC 5545 says.

    \b
    Examples:
      hushtag remind add "Call Grace" --at "2026-12-24 18:00"
      hushtag remind add "Tea" --in 5m --priority 5
      hushtag remind add "Bins out" --at "tomorrow 7:00" --repeat "FREQ=WEEKLY;BYDAY=MO,TH"
    """
    with here.logged_in() as client:
        when = _when(client, at, span, "--at or --in")
        pattern = None if repeat is None else _rule(repeat, when, lambda: _zone_name(client, when))
        made = client.reminders.create(title, when, description=message, priority=priority, repeat_pattern=pattern)
    here.say(f"Made: {_line(made)}", **plain(made))


@remind.command()
@click.option(
    "--status",
    type=click.Choice(["open", "pending", "due", "overdue", "done", "all"]),
    default="open",
    show_default=True,
    help="Which ones; open: all that are not done.",
)
@click.option("-n", "--limit", default=50, show_default=True, type=AT_MOST, help="At most so many.")
@command_options
def ls(here: Here, status: str, limit: int) -> None:
    """List reminders by time.

    \b
    Examples:
      hushtag remind ls
      hushtag remind ls --status done
    """
    from itertools import islice

    with here.logged_in() as client:
        listing = chain.from_iterable(
            client.reminders.list(status=each) for each in (_OPEN if status == "open" else (status,))
        )
        found = list(islice(listing, limit))
    say_rows(here, _HEADINGS, [_row(each) for each in found], reminders=plain(found))


@remind.command()
@click.argument("reminder_id", metavar="ID")
@click.option("--title", metavar="TEXT", help="Another title.")
@click.option("--at", metavar="TIME", help='Such as "2026-12-24 18:00", "tomorrow 8:30" or 2026-12-24T18:00+01:00.')
@click.option("--in", "span", metavar="SPAN", help="From now, such as 90m, 2h, 3d.")
@click.option("--repeat", metavar="RULE", help="daily, weekly, monthly, yearly, an RRULE of RFC 5545, or none.")
@click.option("--priority", type=click.IntRange(1, 5), help="1 to 5, 5 the highest.")
@click.option("-m", "--message", metavar="TEXT", help='Another description; "" for none.')
@command_options
def edit(
    here: Here,
    reminder_id: str,
    title: str | None,
    at: str | None,
    span: str | None,
    repeat: str | None,
    priority: int | None,
    message: str | None,
) -> None:
    """Change a reminder; what is not named stays. Another time or rule begins its series anew.

    If somebody else changes it meanwhile, nothing is overwritten: the exit code is 5.

    \b
    Examples:
      hushtag remind edit 3f0c2a9e --at "2026-12-24 19:00"
      hushtag remind edit 3f0c2a9e --title "Call Grace and Alan" --priority 4
      hushtag remind edit 3f0c2a9e --repeat none
    """
    wanted: dict[str, Any] = {
        name: each for name, each in (("title", title), ("priority", priority)) if each is not None
    }
    if message is not None:
        wanted["description"] = message or None
    if not wanted and repeat is None and at is None and span is None:
        raise UsageError("say what is to change: --title, --at, --in, --repeat, --priority or --message")
    with here.logged_in() as client:
        if at is not None or span is not None:
            wanted["reminder_time"] = _when(client, at, span, "--at or --in")
        reminder = client.reminders.get(_reminder_id(client, reminder_id))
        if repeat is None and "reminder_time" in wanted:
            repeat = _word(reminder.repeat_pattern)
        if repeat is not None:
            when = wanted.get("reminder_time", reminder.reminder_time)
            rule = None if repeat.lower() == "none" else _rule(repeat, when, lambda: reminder.time_zone)
            wanted["repeat_pattern"] = rule
        changed = client.reminders.edit(reminder, **wanted)
    here.say(f"Changed: {_line(changed)}", **plain(changed))


def _each(here: Here, ids: tuple[str, ...], begin: "Callable[[Client], Callable[[UUID], Reminder]]", word: str) -> None:
    """Change reminders one by one, with what `begin` returns, and tell of each."""
    reminders: list[Any] = []
    with here.telling(reminders=reminders) as lines, here.logged_in() as client:
        change = begin(client)
        for reminder_id in _reminder_ids(client, ids):
            changed = change(reminder_id)
            reminders.append(plain(changed))
            lines.append(f"{word}: {_line(changed)}")


@remind.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@command_options
def done(here: Here, ids: tuple[str, ...]) -> None:
    """Complete reminders. One that repeats makes its next.

    \b
    Example:
      hushtag remind done 3f0c2a9e
    """
    completed: list[Any] = []
    with here.telling(completed=completed) as lines, here.logged_in() as client:
        for reminder_id in _reminder_ids(client, ids):
            outcome = client.reminders.complete(reminder_id)
            completed.append(plain(outcome))
            lines.append(f"Done: {_line(outcome.reminder)}")
            if outcome.successor is not None:
                lines.append(f"Next: {_line(outcome.successor)}")


@remind.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@command_options
def reopen(here: Here, ids: tuple[str, ...]) -> None:
    """Make completed reminders such that are still to be done.

    \b
    Example:
      hushtag remind reopen 3f0c2a9e
    """
    _each(here, ids, lambda client: client.reminders.reopen, "Reopened")


@remind.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--until", metavar="TIME", help='Such as "tomorrow 8:30".')
@click.option("--for", "span", metavar="SPAN", help="From now, such as 15m or 2h.")
@command_options
def snooze(here: Here, ids: tuple[str, ...], until: str | None, span: str | None) -> None:
    """Put reminders off, this once.

    \b
    Examples:
      hushtag remind snooze 3f0c2a9e --for 15m
      hushtag remind snooze 3f0c2a9e --until "tomorrow 8:30"
    """

    def put_off(client: "Client") -> "Callable[[UUID], Reminder]":
        when = _when(client, until, span, "--until or --for")
        return lambda reminder_id: client.reminders.snooze(reminder_id, until=when)

    _each(here, ids, put_off, "Snoozed")


@remind.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@command_options
def rm(here: Here, ids: tuple[str, ...], yes: bool) -> None:
    """Delete reminders for good; one that repeats does not come again.

    \b
    Example:
      hushtag remind rm --yes 3f0c2a9e
    """
    here.confirm(f"Delete {', '.join(map(safe_text, ids))} for good?", yes=yes)
    deleted: list[UUID] = []
    with here.telling(deleted=deleted) as lines, here.logged_in() as client:
        for reminder in [client.reminders.get(each) for each in _reminder_ids(client, ids)]:
            client.reminders.delete(reminder)
            deleted.append(reminder.id)
            lines.append(f"deleted {reminder.id}")


@remind.command()
@click.option("--for", "span", metavar="SPAN", help="End after so long, at most 1h; without it goes on for ever.")
@click.option("--once", is_flag=True, help="Show what is due now, and end.")
@command_options
def watch(here: Here, span: str | None, once: bool) -> None:
    """Wait, and show each reminder as it becomes due, once in a session. A broken connection is made again.

    With --json each is one JSON object on a line of its own.

    \b
    Examples:
      hushtag remind watch
      hushtag remind watch --for 30m
      hushtag remind watch --json | while read -r line; do notify-send "$line"; done
    """
    if once and span is not None:
        raise UsageError("--once and --for exclude each other")
    wait = 0 if once else None if span is None else int(parse_span(span).total_seconds())
    if wait is not None and wait > 3600:
        raise UsageError("--for is at most 1h")
    with here.logged_in() as client:
        for reminder in client.reminders.events(wait=wait):
            click.echo(json.dumps(plain(reminder)) if here.as_json else _line(reminder))


@contextmanager
def _told_of_no_feed() -> "Iterator[None]":
    from hushtag.client import NotFoundError

    try:
        yield
    except NotFoundError as error:
        raise NotFoundError("there is no address; hushtag remind feed --open makes one", code=error.code) from None


@remind.command()
@click.option("--open", "opening", is_flag=True, help="Make a new secret address; an earlier one stops working.")
@click.option("--close", "closing", is_flag=True, help="Revoke the address.")
@command_options
def feed(here: Here, opening: bool, closing: bool) -> None:
    """Tell about the address at which calendar programs read the reminders, make one, or revoke it.

    Whoever has the address reads the reminders. It is shown once.

    \b
    Examples:
      hushtag remind feed --open
      hushtag remind feed
      hushtag remind feed --close
    """
    if opening and closing:
        raise UsageError("--open and --close exclude each other")
    fields: dict[str, Any]
    with here.logged_in() as client, _told_of_no_feed():
        if opening:
            address = client.reminders.open_feed()
            text, fields = address.url, {"url": address.url, "created_at": address.created_at}
        elif closing:
            client.reminders.close_feed()
            text, fields = "The address is revoked.", {"closed": True}
        else:
            found = client.reminders.feed()
            read = "never read" if found.last_used is None else f"last read {time_in(found.last_used, 'UTC')}"
            text, fields = f"There is an address since {time_in(found.created_at, 'UTC')}, {read}.", plain(found)
    here.say(text, **fields)
