"""Commands of the journal: add, show, edit, rm, restore; those over all of it stand in `journal_listing`."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from hushtag.cli.failures import UsageError
from hushtag.cli.here import Here
from hushtag.cli.journal_listing import ls, search, tags
from hushtag.cli.moments import account_zone, parse_day
from hushtag.cli.options import command_options
from hushtag.cli.tables import find_by_id, plain, safe_lines, short_id
from hushtag.cli.text import local_time, safe_text
from hushtag.cli.written import edited, read_text, split_title

if TYPE_CHECKING:
    from hushtag.client import Client
    from hushtag.journal_messages import Journal

__all__ = ["journal"]


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
    with ExitStack() as stack:
        if text is None:
            here.session()  # before anything is typed
            text = stack.enter_context(edited("" if title is None else f"{title}\n\n"))
            title = None
        found_title, content = split_title(text) if title is None else (title, text or None)
        client = stack.enter_context(here.logged_in())
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
    with here.logged_in() as client, ExitStack() as stack:
        if day is not None:
            wanted["entry_date"] = _day(client, day)
        entry = client.journal.get(_entry_id(client, entry_id))
        if not wanted:
            typed = stack.enter_context(edited(f"{entry.title}\n\n{entry.content or ''}"))
            wanted["title"], wanted["content"] = split_title(typed)
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
    word, deleted = "erased" if for_good else "deleted", list[UUID]()
    with here.telling(deleted=deleted, for_good=for_good) as lines, here.logged_in() as client:
        found = dict.fromkeys(_entry_id(client, each) for each in entry_ids)
        for entry in [client.journal.get(each) for each in found]:
            if entry.deleted_at is None or not for_good:
                client.journal.delete(entry)
            if for_good:
                client.journal.erase(entry)
            deleted.append(entry.id)
            lines.append(f"{word} {entry.id}")


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


for _command in (ls, search, tags):
    journal.add_command(_command)
