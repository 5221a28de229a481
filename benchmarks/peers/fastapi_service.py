"""Three journal endpoints as a competent team writes them with FastAPI, SQLAlchemy 2 (async) on asyncpg, and uvicorn.

How it is fair to this stack: uvicorn runs on uvloop and httptools without an access log; engine and pool are made once
and the pool has as many connections as Hushtag's worker; sessions do not expire what they committed; tags are loaded by
`selectinload`, one statement for all entries; pydantic 2 writes the JSON by itself. It connects as a superuser of the
throwaway cluster, so row-level security costs it nothing (its statements name the user, as without such security they
must); it writes no audit trail of its own, has no metrics, no log line, no request limits and no rate limits. What
the triggers of the tables do, they do for both. The bearer token is checked as Hushtag checks it: same format, same
hash, same expiry and idleness, activity noted once in a while.

`DATABASE_URL` names the database, `POOL_SIZE` the number of connections. Run it with
`python -m uvicorn benchmarks.peers.fastapi_service:create_app --factory`.
"""

import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import defer, selectinload, undefer

from benchmarks.peers.fastapi_models import Journal, Tag, User, UserSession
from benchmarks.peers.fastapi_schemas import JournalOut, JournalPage, JournalSummary, NewJournal

PREFIX = "hta_"
IDLE = timedelta(days=7)
TOUCH = timedelta(minutes=1)

router = APIRouter(prefix="/v1/journals")
bearer = HTTPBearer(auto_error=False)


async def database(request: Request) -> AsyncIterator[AsyncSession]:
    """Dependency: a session of this request."""
    async with request.app.state.sessions() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]


def read_token(token: str) -> tuple[UUID, bytes]:
    """Return the user id a token names and the hash its secret is stored under.

    Raises:
        ValueError: it is no account token.
    """
    if not token.startswith(PREFIX):
        raise ValueError("another kind of token")
    raw = urlsafe_b64decode(token.removeprefix(PREFIX))
    if len(raw) != 48:
        raise ValueError("a token of another length")
    return UUID(bytes=raw[:16]), hashlib.blake2s(raw[16:]).digest()


async def current_user(
    session: Database, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> UUID:
    """Dependency: the user whose valid token came with the request."""
    unauthorized = HTTPException(status.HTTP_401_UNAUTHORIZED, headers={"WWW-Authenticate": "Bearer"})
    try:
        user_id, token_hash = read_token(credentials.credentials if credentials else "")
    except ValueError:
        raise unauthorized from None
    now = datetime.now(UTC)
    found = await session.scalar(
        select(UserSession)
        .join(User, User.id == UserSession.user_id)
        .where(
            UserSession.user_id == user_id,
            UserSession.token_hash == token_hash,
            UserSession.expires_at > now,
            UserSession.last_activity > now - IDLE,
            User.is_active,
            User.deleted_at.is_(None),
        )
    )
    if found is None:
        raise unauthorized
    if found.last_activity < now - TOUCH:
        mine = (UserSession.user_id == user_id, UserSession.id == found.id)
        await session.execute(update(UserSession).where(*mine).values(last_activity=now))
        await session.commit()
    return user_id


CurrentUser = Annotated[UUID, Depends(current_user)]


@router.get("/{journal_id}")
async def get_journal(journal_id: UUID, session: Database, user_id: CurrentUser) -> JournalOut:
    """Return a journal entry."""
    journal = await session.scalar(
        select(Journal)
        .where(Journal.user_id == user_id, Journal.id == journal_id, Journal.deleted_at.is_(None))
        .options(selectinload(Journal.tags))
    )
    if journal is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return JournalOut.model_validate(journal)


def encode_cursor(last: Journal) -> str:
    """Return where the next page begins."""
    return urlsafe_b64encode(f"{last.entry_date.isoformat()} {last.id}".encode()).decode()


def decode_cursor(cursor: str) -> tuple[date, UUID]:
    """Return the date and id of the last entry of the page before.

    Raises:
        HTTPException: no such cursor was given out.
    """
    try:
        day, _, last = urlsafe_b64decode(cursor).decode().partition(" ")
        return date.fromisoformat(day), UUID(last)
    except ValueError:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "no such cursor") from None


@router.get("")
async def list_journals(
    session: Database,
    user_id: CurrentUser,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> JournalPage:
    """Return the newest journal entries."""
    wanted = (
        select(Journal)
        .where(Journal.user_id == user_id, Journal.deleted_at.is_(None))
        .order_by(Journal.entry_date.desc(), Journal.id.desc())
        .limit(limit + 1)
        .options(defer(Journal.content), undefer(Journal.excerpt), selectinload(Journal.tags))
    )
    if cursor is not None:
        wanted = wanted.where(tuple_(Journal.entry_date, Journal.id) < decode_cursor(cursor))
    found = (await session.scalars(wanted)).all()
    return JournalPage(
        journals=[JournalSummary.model_validate(journal) for journal in found[:limit]],
        next=encode_cursor(found[limit - 1]) if len(found) > limit else None,
    )


async def find_or_make_tags(session: AsyncSession, user_id: UUID, names: list[str]) -> list[Tag]:
    """Return the user's tags of these names, whatever their case; those that are missing are made."""
    if not names:
        return []
    wanted = {name.lower(): name for name in names}
    named = select(Tag).where(Tag.user_id == user_id, func.lower(Tag.name).in_(wanted))
    found = list(await session.scalars(named))
    if len(found) < len(wanted):
        known = {tag.name.lower() for tag in found}
        missing = [{"user_id": user_id, "name": name} for lower, name in wanted.items() if lower not in known]
        await session.execute(insert(Tag).values(missing).on_conflict_do_nothing())
        found = list(await session.scalars(named))
    return found


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_journal(new: NewJournal, session: Database, user_id: CurrentUser) -> JournalOut:
    """Make a journal entry."""
    journal = Journal(user_id=user_id, **new.model_dump(exclude={"tags"}))
    journal.tags = await find_or_make_tags(session, user_id, new.tags)
    session.add(journal)
    await session.commit()
    return JournalOut.model_validate(journal)


def create_app() -> FastAPI:
    """Return the application."""
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=int(os.environ["POOL_SIZE"]), max_overflow=0)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    return app
