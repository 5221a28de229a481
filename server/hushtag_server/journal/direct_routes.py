"""The three requests of a journal that come most often, past Litestar: read an entry, list the newest, write one.

`routes_entries` and `routes_listing` have the handlers they stand before; tests compare both answers.
"""

import re
from typing import Final

from hushtag.journal_messages import MAX_JOURNAL_BYTES, MAX_JOURNAL_PAGE, NewJournal
from hushtag_server.direct import DirectAnswer, DirectCall, DirectRoute, answer_made
from hushtag_server.journal import steps
from hushtag_server.journal.schemas import JournalFilter, Stored
from hushtag_server.peer import scope_peer
from hushtag_server.versions import etag, names_version

__all__ = ["DIRECT_ROUTES"]

_PAGE: Final = 20
_LIMIT: Final = re.compile(rb"limit=([1-9][0-9]{0,2})")
_EVERYTHING: Final = JournalFilter()


def _tagged(stored: Stored) -> tuple[bytes, bytes]:
    return b"etag", etag(stored.version).encode("ascii")


async def _read_journal(call: DirectCall) -> DirectAnswer:
    assert call.row_id is not None  # noqa: S101  (the path has one)
    stored = await steps.get_journal(call.services, call.token, call.row_id)
    named = call.headers.get(b"if-none-match")
    if named is not None and names_version(named.decode("latin-1"), stored.version):
        return DirectAnswer(304, b"", [_tagged(stored)])
    return DirectAnswer(200, stored.body, [_tagged(stored)])


def _read_limit(query: bytes) -> int | None:
    """Return the size of the page asked for; None where anything else is asked for."""
    if not query:
        return _PAGE
    found = _LIMIT.fullmatch(query)
    return int(found[1]) if found and int(found[1]) <= MAX_JOURNAL_PAGE else None


async def _list_journals(call: DirectCall) -> DirectAnswer:
    return DirectAnswer(
        200,
        await steps.list_journals(
            call.services, call.token, _EVERYTHING, sort="-entry_date", cursor=None, limit=call.query
        ),
    )


async def _create_journal(call: DirectCall) -> DirectAnswer:
    peer = scope_peer(call.scope, call.services.settings)
    journal_id, stored = await steps.create_journal(call.services, call.token, call.message, peer)
    location = (b"location", b"/v1/journals/%b" % str(journal_id).encode("ascii"))
    return DirectAnswer(201, stored.body, [_tagged(stored), location])


DIRECT_ROUTES: Final[tuple[DirectRoute, ...]] = (
    DirectRoute("GET", "/v1/journals/{journal_id}", _read_journal, answer=answer_made),
    DirectRoute("GET", "/v1/journals", _list_journals, read_query=_read_limit, answer=answer_made),
    DirectRoute("POST", "/v1/journals", _create_journal, NewJournal, MAX_JOURNAL_BYTES, answer=answer_made),
)
