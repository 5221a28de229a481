"""Somebody who keeps a journal through HTTP, and a way to look into the database."""

from typing import Any

import httpx
import msgspec
import psycopg

from hushtag.journal_messages import Journal, JournalList, JournalSearch, Tag
from hushtag.messages import Problem


def problem(answer: httpx.Response, code: str) -> Problem:
    """Return the problem an answer is; fails where it is none of this code."""
    found = msgspec.json.decode(answer.content, type=Problem)
    assert found.code == code, answer.text
    assert found.status == answer.status_code
    return found


class Writer:
    """A logged-in account; every call fails the test where the status is not the expected one."""

    def __init__(self, client: httpx.AsyncClient, account: Any, database: Any) -> None:
        self.client, self.account, self.database = client, account, database
        self.user_id = account.user_id

    async def ask(self, method: str, path: str, status: int = 200, **given: Any) -> httpx.Response:
        headers = self.account.headers | given.pop("headers", {})
        answer = await self.client.request(method, f"/v1/{path}", headers=headers, **given)
        assert answer.status_code == status, answer.text
        return answer

    async def write(self, title: str = "a day", **fields: Any) -> Journal:
        answer = await self.ask("POST", "journals", 201, json={"title": title, **fields})
        return msgspec.json.decode(answer.content, type=Journal)

    async def read(self, journal_id: Any) -> Journal:
        return msgspec.json.decode((await self.ask("GET", f"journals/{journal_id}")).content, type=Journal)

    async def edit(self, journal: Journal, **changes: Any) -> Journal:
        headers = {"If-Match": f'"{journal.version}"'}
        answer = await self.ask("PATCH", f"journals/{journal.id}", json=changes, headers=headers)
        assert answer.headers["etag"] == f'"{journal.version + 1}"'
        return msgspec.json.decode(answer.content, type=Journal)

    async def delete(self, journal: Journal) -> None:
        await self.ask("DELETE", f"journals/{journal.id}", 204, headers={"If-Match": "*"})

    async def listed(self, **query: Any) -> JournalList:
        answer = await self.ask("GET", "journals", params=query)
        return msgspec.json.decode(answer.content, type=JournalList)

    async def titles(self, **query: Any) -> list[str]:
        return [journal.title for journal in (await self.listed(**query)).journals]

    async def walk(self, **query: Any) -> list[str]:
        """Return the titles of all pages."""
        page = await self.listed(**query)
        found = [journal.title for journal in page.journals]
        while page.next is not None:
            page = await self.listed(**query, cursor=page.next)
            assert page.journals
            found += [journal.title for journal in page.journals]
        return found

    async def search(self, q: str, **query: Any) -> JournalSearch:
        answer = await self.ask("GET", "journals/search", params={"q": q, **query})
        return msgspec.json.decode(answer.content, type=JournalSearch)

    async def found(self, q: str, **query: Any) -> list[str]:
        return [result.journal.title for result in (await self.search(q, **query)).results]

    async def tag(self, name: str, **fields: Any) -> Tag:
        answer = await self.ask("POST", "journal-tags", 201, json={"name": name, **fields})
        return msgspec.json.decode(answer.content, type=Tag)

    def set_language(self, language: str) -> None:
        self.sql(
            "INSERT INTO user_settings (user_id, language) VALUES (%s, %s)"
            " ON CONFLICT (user_id) DO UPDATE SET language = excluded.language",
            self.user_id,
            language,
        )

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement as this user's server would, in a transaction of its own."""
        return self._sql(self.database.app_url, statement, values)

    def maintain(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement of this user's as maintenance would: as the owner of the tables."""
        return self._sql(self.database.owner_url, statement, values)

    def _sql(self, url: str, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT set_config('app.user_id', %s, true)", [str(self.user_id)])
            done = connection.execute(statement, values)  # type: ignore[call-overload]
            return done.fetchall() if done.description else []
