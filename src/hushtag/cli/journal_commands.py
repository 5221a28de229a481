"""Commands of the journal: add, ls, show, edit, rm, restore, search, tags."""

import html
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.moments import account_zone, parse_day
from hushtag.cli.options import command_options
from hushtag.cli.tables import find_by_id, plain, safe_lines, say_rows, short_id
from hushtag.cli.text import local_time, safe_text
from hushtag.cli.written import edited, kept_if_it_fails, read_text, split_title

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hushtag.client import Client
    from hushtag.journal_messages import Journal, JournalSummary

__all__ = ["journal"]

_HEADINGS = ("date", "title", "mood", "words", "tags", "id")
_MARK = re.compile(r"</?mark>")
_SORTS = ("entry_date", "created_at", "updated_at", "title", "mood_rating")


@click.group()
def journal() -> None:
    """Keep a journal: entries with a date, a mood, tags. The server reads them; what must stay secret goes in a vault.

    An entry is named by its id, or by as many of its first characters as are enough.

    \b
    Examples:
      hushtag journal add "A walk" -m "Along the river." --mood 8 --tag walks
      hushtag journal add                  write it in your editor; the first line is the title
      hushtag journal ls --from 2026-12-01
      hushtag journal search river
      hushtag journal show 3f0c2a9e
    """


def _day(client: "Client", text: str) -> Any:
    return parse_day(text, account_zone(client))


def _entry_id(client: "Client", text: str) -> UUID:
    return find_by_id(text, client.journal.list(sort="-updated_at", deleted=None), "entry")


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
            click.option(
                "-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="At most so many."
            ),
        )
    ):
        command = option(command)
    return command


def _chosen(client: "Client", given: dict[str, Any]) -> dict[str, Any]:
    """Return what the options of `_filters` limit a listing to."""
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    return chosen | {name: _day(client, chosen[name]) for name in ("start", "end") if name in chosen}


def _row(entry: "JournalSummary") -> "Sequence[str]":
    mood = "" if entry.mood_rating is None else str(entry.mood_rating)
    tags = ", ".join(tag.name for tag in entry.tags)
    title = entry.title + " (deleted)" * (entry.deleted_at is not None)
    return (entry.entry_date.isoformat(), title, mood, str(entry.word_count), tags, short_id(entry.id))


@journal.command()
@click.argument("title", required=False)
@click.option("-m", "--message", metavar="TEXT", help="What it says; - reads standard input.")
@click.option("--date", "day", metavar="DAY", help="Its day, such as 2026-12-24 or yesterday; today by default.")
@click.option("--mood", type=click.IntRange(1, 10), help="1 to 10.")
@click.option("--tag", "tags", multiple=True, help="A tag; made if there is none. May be repeated.")
@click.option("--private", is_flag=True, help="Mark it as private.")
@command_options
def add(
    here: Here,
    title: str | None,
    message: str | None,
    day: str | None,
    mood: int | None,
    tags: tuple[str, ...],
    private: bool,
) -> None:
    """Write an entry. Without -m the text comes from standard input, or at a terminal from your editor (EDITOR).

    Without TITLE the first line of the text is the title.

    \b
    Examples:
      hushtag journal add "A walk" -m "Along the river." --mood 8 --tag walks --tag river
      hushtag journal add --date yesterday
      hushtag journal add "Build log" < build.log
    """
    text = read_text(message)
    typed = None
    if text is None:
        here.session()  # before anything is typed
        text = typed = edited("" if title is None else f"{title}\n\n")
        title = None
    found_title, content = split_title(text) if title is None else (title, text or None)
    with kept_if_it_fails(here, typed), here.logged_in() as client:
        entry = client.journal.create(
            found_title,
            content=content,
            mood_rating=mood,
            is_private=private,
            entry_date=None if day is None else _day(client, day),
            tags=tags,
        )
    here.say(f"Written: {short_id(entry.id)}  {entry.entry_date}  {safe_text(entry.title)}", **plain(entry))


@journal.command()
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
    from itertools import islice

    with here.logged_in() as client:
        listing = client.journal.list(sort=sort if ascending else f"-{sort}", **_chosen(client, given))
        entries = list(islice(listing, limit))
    say_rows(here, _HEADINGS, [_row(entry) for entry in entries], journals=plain(entries))


@journal.command()
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
    from itertools import islice

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


@journal.command()
@click.argument("entry_id", metavar="ID")
@command_options
def show(here: Here, entry_id: str) -> None:
    """Show an entry.

    \b
    Example:
      hushtag journal show 3f0c2a9e
    """
    with here.logged_in() as client:
        entry = client.journal.get(_entry_id(client, entry_id))
    here.say(_shown(entry), **plain(entry))


def _shown(entry: "Journal") -> str:
    facts = [str(entry.entry_date), f"{entry.word_count} words"]
    facts += [f"mood {entry.mood_rating}"] if entry.mood_rating is not None else []
    facts += ["private"] if entry.is_private else []
    facts += [f"deleted {local_time(entry.deleted_at)}"] if entry.deleted_at is not None else []
    facts += [f"#{safe_text(tag.name)}" for tag in entry.tags]
    lines = [safe_text(entry.title), "  ".join([*facts, str(entry.id)])]
    return "\n".join([*lines, "", safe_lines(entry.content)] if entry.content else lines)


@journal.command()
@click.argument("entry_id", metavar="ID")
@click.option("--title", help="Another title.")
@click.option("-m", "--message", metavar="TEXT", help="Another text; - reads standard input.")
@click.option("--date", "day", metavar="DAY", help="Another day.")
@click.option("--mood", help="Another mood, 1 to 10; none takes it away.")
@click.option("--tag", "tags", multiple=True, help="These tags in place of all others; may be repeated.")
@click.option("--no-tags", is_flag=True, help="No tags any more.")
@click.option("--private/--not-private", "is_private", default=None, help="Private or not.")
@command_options
def edit(
    here: Here,
    entry_id: str,
    title: str | None,
    message: str | None,
    day: str | None,
    mood: str | None,
    tags: tuple[str, ...],
    no_tags: bool,
    is_private: bool | None,
) -> None:
    """Change an entry; without options in your editor, where the first line is the title.

    If somebody else changes it meanwhile, nothing is overwritten: the exit code is 5, and what you typed is kept.

    \b
    Examples:
      hushtag journal edit 3f0c2a9e
      hushtag journal edit 3f0c2a9e --mood 9 --tag walks
      hushtag journal edit 3f0c2a9e --mood none --no-tags
    """
    if no_tags and tags:
        raise UsageError("--tag and --no-tags exclude each other")
    wanted: dict[str, Any] = {"title": title, "is_private": is_private}
    wanted |= {"content": read_text(message)} if message is not None else {}
    wanted |= {"tags": tags} if tags or no_tags else {}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    if mood is not None:
        wanted["mood_rating"] = _mood(mood)
    typed = None
    with here.logged_in() as client:
        if day is not None:
            wanted["entry_date"] = _day(client, day)
        entry = client.journal.get(_entry_id(client, entry_id))
        if not wanted:
            typed = edited(f"{entry.title}\n\n{entry.content or ''}")
            wanted["title"], wanted["content"] = split_title(typed)
        with kept_if_it_fails(here, typed):
            entry = client.journal.edit(entry, **wanted)
    here.say(f"Changed: {short_id(entry.id)}  {entry.entry_date}  {safe_text(entry.title)}", **plain(entry))


def _mood(text: str) -> int | None:
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 10):
        raise UsageError("--mood is a number from 1 to 10, or none")
    return int(text)


@journal.command()
@click.argument("entry_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--for-good", is_flag=True, help="Erase it; nothing brings it back.")
@click.option("--yes", is_flag=True, help="Do not ask before erasing.")
@command_options
def rm(here: Here, entry_ids: tuple[str, ...], for_good: bool, yes: bool) -> None:
    """Delete entries. `restore` brings them back until the server erases them.

    \b
    Examples:
      hushtag journal rm 3f0c2a9e
      hushtag journal rm --for-good --yes 3f0c2a9e
    """
    if for_good:
        here.confirm(f"Erase {', '.join(map(safe_text, entry_ids))} for good?", yes=yes)
    deleted = []
    with here.logged_in() as client:
        for entry in [client.journal.get(_entry_id(client, each)) for each in entry_ids]:
            if entry.deleted_at is None or not for_good:
                client.journal.delete(entry)
            if for_good:
                client.journal.erase(entry)
            deleted.append(entry.id)
    word = "erased" if for_good else "deleted"
    here.say("\n".join(f"{word} {each}" for each in deleted), deleted=deleted, for_good=for_good)


@journal.command()
@click.argument("entry_id", metavar="ID")
@command_options
def restore(here: Here, entry_id: str) -> None:
    """Restore a deleted entry.

    \b
    Example:
      hushtag journal ls --deleted
      hushtag journal restore 3f0c2a9e
    """
    with here.logged_in() as client:
        entry = client.journal.restore(_entry_id(client, entry_id))
    here.say(f"Restored: {short_id(entry.id)}  {entry.entry_date}  {safe_text(entry.title)}", **plain(entry))


@journal.command()
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
    raise NotFoundError(f"there is no tag {safe_text(name)[:100]!r}", code="not_found")
