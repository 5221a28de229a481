"""Fixtures of the server's tests, and a recorder of the work a request costs."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from argon2 import PasswordHasher

from hushtag_server.accounts import passwords
from hushtag_server.connection import Connection


def comparable(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """What a client can tell apart: status, body and headers, without the id of the request."""
    request_id = answer.headers["hushtag-request-id"]
    headers = {name: value for name, value in answer.headers.items() if name not in {"hushtag-request-id", "date"}}
    return answer.status_code, answer.content.replace(request_id.encode(), b""), headers


@dataclass
class Work:
    """What a request made the server do: statements in order, and password hashes by kind and parameters.

    Statements of the task that takes them: what the server does beside its requests is none of theirs.
    """

    statements: list[str] = field(default_factory=list)
    hashes: Counter[str] = field(default_factory=Counter)
    task: Any = None

    def note(self, statement: object) -> None:
        """Note a statement, if it is of the task that asks."""
        if asyncio.current_task() is self.task:
            self.statements.append(str(statement))

    def take(self) -> tuple[list[str], Counter[str]]:
        """Return it and begin anew."""
        self.task = asyncio.current_task()
        taken = self.statements, self.hashes
        self.statements, self.hashes = [], Counter()
        return taken


class _CountingHasher:
    def __init__(self, real: PasswordHasher, done: Work) -> None:
        self._real, self._done = real, done

    def hash(self, password: Any) -> str:
        self._done.hashes["hash"] += 1
        return self._real.hash(password)

    def verify(self, encoded: str, password: Any) -> bool:
        self._done.hashes["verify " + encoded.rsplit("$", 2)[0]] += 1
        return self._real.verify(encoded, password)

    def check_needs_rehash(self, encoded: str) -> bool:
        return self._real.check_needs_rehash(encoded)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Records every statement and every password hash from now on."""
    done = Work()
    execute: Callable[..., Any] = psycopg.AsyncCursor.execute
    call: Callable[..., Any] = Connection.call

    async def counted_execute(self: Any, query: Any, *arguments: Any, **named: Any) -> Any:
        done.note(query)
        return await execute(self, query, *arguments, **named)

    async def counted_call(self: Any, statement: Any, values: Any) -> Any:
        done.note(statement)
        return await call(self, statement, values)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted_execute)
    monkeypatch.setattr(Connection, "call", counted_call)
    monkeypatch.setattr(passwords, "_HASHER", _CountingHasher(passwords._HASHER, done))
    return done
