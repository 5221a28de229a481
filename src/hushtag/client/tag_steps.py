"""Steps of the journal's tags. Secret tags have nothing to do with them."""

from typing import Final
from uuid import UUID

from hushtag.client.account_steps import AccountSteps
from hushtag.client.answers import encode, expect
from hushtag.client.batches import Pages
from hushtag.client.calls import fetch, post
from hushtag.client.effects import Request, Steps
from hushtag.client.ids import uuid_of
from hushtag.client.policy import MAX_PAGE_BYTES
from hushtag.errors import MalformedError
from hushtag.journal_messages import JournalTagList, MergeTag, NewJournalTag, Tag, TagChange, TagSuggestions

__all__ = ["TagSteps"]

_PATH: Final = "/v1/journal-tags"


class TagSteps:
    """The tags of one account's journal."""

    def __init__(self, account: AccountSteps) -> None:
        self._account = account

    @property
    def _token(self) -> str:
        return self._account.current().token

    def create(self, new: NewJournalTag) -> Steps[Tag]:
        """Make a tag. Sent once: its name is what tells it apart, and whoever has it may have made it before."""
        return (yield from post(_PATH, new, self._token, 201, Tag))

    def get(self, tag_id: UUID) -> Steps[Tag]:
        """Read a tag."""
        tag_id = uuid_of(tag_id)
        request = Request("GET", f"{_PATH}/{tag_id}", self._token)
        return _tag(expect((yield from fetch(request, self._account.retry)), (200,), Tag), tag_id)

    def edit(self, tag_id: UUID, wanted: TagChange) -> Steps[Tag]:
        """Rename or recolour a tag; sent twice, it does so once."""
        request = Request("PATCH", f"{_PATH}/{tag_id}", self._token, encode(wanted), "application/json")
        return _tag(expect((yield from fetch(request, self._account.retry)), (200,), Tag), tag_id)

    def delete(self, tag_id: UUID) -> Steps[None]:
        """Delete a tag."""
        yield from self._account.remove(f"{_PATH}/{tag_id}")

    def merge(self, tag_id: UUID, into: UUID) -> Steps[Tag]:
        """Give every entry of a tag another one, and delete it. Sent once."""
        return _tag((yield from post(f"{_PATH}/{tag_id}/merge", MergeTag(into), self._token, 200, Tag)), into)

    def list(self, sort: str) -> Pages[JournalTagList, Tag]:
        """List tags."""
        return Pages(
            _PATH,
            self._token,
            JournalTagList,
            lambda page: (page.tags, page.next),
            self._account.retry,
            {"sort": sort},
        )

    def suggest(self, prefix: str, limit: int) -> Steps[tuple[Tag, ...]]:
        """Return tags that begin like this or are spelled alike."""
        query = {"prefix": prefix, "limit": str(limit)}
        request = Request("GET", f"{_PATH}/suggest", self._token, query=query, max_answer=MAX_PAGE_BYTES)
        return tuple(expect((yield from fetch(request, self._account.retry)), (200,), TagSuggestions).tags)


def _tag(found: Tag, tag_id: UUID) -> Tag:
    if found.id != tag_id:
        raise MalformedError("answer is another tag than the one asked for")
    return found
