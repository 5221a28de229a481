"""Commands that look over the whole journal: ls, search, tags."""

import html
import re
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.moments import account_zone, parse_day
from hushtag.cli.options import AT_MOST, command_options
from hushtag.cli.tables import plain, say_rows, short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hushtag.client import Client
    from hushtag.journal_messages import JournalSummary

__all__ = ["ls", "search", "tags"]

_HEADINGS = ("date", "title", "mood", "words", "tags", "id")
_MARK = re.compile(r"</?mark>")
_SORTS = ("entry_date", "created_at", "updated_at", "title", "mood_rating")


def _filters(command: "Callable[..., None]") -> "Callable[..., None]":
    for option in reversed(
        (
            click.option("--from", "start", metavar="DAY", help="First day, such as 2026-12-24 or yesterday."),
            click.option("--to", "end", metavar="DAY", help="Last day."),
            click.option("--mood-min", type=click.IntRange(1, 10), help="At least this mood."),
            click.option("--mood-max", type=click.IntRange(1, 10), help="At most this mood."),
            click.option("--tag", "tags", multiple=True, help="Only with this tag; may be repeated."),
            click.option("--private/--not-private", "is_private", default=None, help="Only private ones, or others."),
            click.option("--deleted", is_flag=True, help="Those that are deleted and can be restored."),
            click.option("-n", "--limit", default=20, show_default=True, type=AT_MOST, help="At most so many."),
        )
    ):
        command = option(command)
    return command


def _chosen(client: "Client", given: dict[str, Any]) -> dict[str, Any]:
    """Return what the options of `_filters` limit a listing to."""
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    days = [name for name in ("start", "end") if name in chosen]
    if days:
        zone = account_zone(client)
        chosen |= {name: parse_day(chosen[name], zone) for name in days}
    return chosen


def _row(entry: "JournalSummary") -> "Sequence[str]":
    mood = "" if entry.mood_rating is None else str(entry.mood_rating)
    tags = ", ".join(tag.name for tag in entry.tags)
    title = entry.title + " (deleted)" * (entry.deleted_at is not None)
    return (entry.entry_date.isoformat(), title, mood, str(entry.word_count), tags, short_id(entry.id))


@click.command()
@_filters
@click.option("--sort", type=click.Choice(_SORTS), default="entry_date", show_default=True, help="Order.")
@click.option("--ascending", is_flag=True, help="The first first; by default the last.")
@command_options
def ls(here: Here, sort: str, ascending: bool, limit: int, **given: Any) -> None:
    """List entries, the newest first.

    \b
    Examples:
      hushtag journal ls --from 2026-12-01 --to 2026-12-31
      hushtag journal ls --tag walks --mood-min 8 -n 100
      hushtag journal ls --deleted
    """
    with here.logged_in() as client:
        listing = client.journal.list(sort=sort if ascending else f"-{sort}", **_chosen(client, given))
        entries = list(islice(listing, limit))
    say_rows(here, _HEADINGS, [_row(entry) for entry in entries], journals=plain(entries))


@click.command()
@click.argument("words", nargs=-1, required=True)
@_filters
@command_options
def search(here: Here, words: tuple[str, ...], limit: int, **given: Any) -> None:
    """Search title and content, the best match first. "a phrase", OR, and - for what must not occur.

    \b
    Examples:
      hushtag journal search river walk
      hushtag journal search '"twice around" OR storm' --from 2026-01-01
      hushtag journal search -- river -boat
    """
    with here.logged_in() as client:
        found = list(islice(client.journal.search(" ".join(words), **_chosen(client, given)), limit))
    rows = [
        (str(each.journal.entry_date), each.journal.title, _readable(each.content_snippet), short_id(each.journal.id))
        for each in found
    ]
    say_rows(here, ("date", "title", "where", "id"), rows, results=plain(found))


def _readable(snippet: str | None) -> str:
    """Return a snippet, which is escaped text with marks, as text."""
    return " ".join(html.unescape(_MARK.sub("*", snippet or "")).split())


@click.command()
@click.option("--rename", nargs=2, metavar="TAG NAME", help="Give a tag another name.")
@click.option("--merge", nargs=2, metavar="TAG INTO", help="Give all its entries another tag and delete it.")
@click.option("--color", nargs=2, metavar="TAG COLOR", help="Give a tag a colour like #3366cc, or none.")
@click.option("--delete", metavar="TAG", help="Delete a tag; its entries stay.")
@command_options
def tags(
    here: Here,
    rename: tuple[str, str] | None,
    merge: tuple[str, str] | None,
    color: tuple[str, str] | None,
    delete: str | None,
) -> None:
    """List the tags of the journal with how many entries have them, or change one.

    \b
    Examples:
      hushtag journal tags
      hushtag journal tags --rename walks "long walks"
      hushtag journal tags --merge strolls walks
      hushtag journal tags --delete old
    """
    if sum(each is not None for each in (rename, merge, color, delete)) > 1:
        raise UsageError("one change at a time")
    with here.logged_in() as client:
        if rename is not None:
            client.journal.tags.edit(_tag_id(client, rename[0]), name=rename[1])
        elif merge is not None:
            client.journal.tags.merge(_tag_id(client, merge[0]), _tag_id(client, merge[1]))
        elif color is not None:
            client.journal.tags.edit(_tag_id(client, color[0]), color=None if color[1] == "none" else color[1])
        elif delete is not None:
            client.journal.tags.delete(_tag_id(client, delete))
        found = list(client.journal.tags.list())
    rows = [(tag.name, str(tag.usage_count), tag.color or "", short_id(tag.id)) for tag in found]
    say_rows(here, ("tag", "entries", "color", "id"), rows, tags=plain(found))


def _tag_id(client: "Client", name: str) -> UUID:
    from hushtag.client import NotFoundError

    for tag in client.journal.tags.list():
        if tag.name.casefold() == name.strip().casefold() or str(tag.id) == name:
            return tag.id
    raise NotFoundError(f"there is no tag {name[:100]!r}", code="not_found")
