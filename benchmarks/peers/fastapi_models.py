"""The tables of the peer, as SQLAlchemy 2 maps them."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Column, FetchedValue, ForeignKeyConstraint, Table, func
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship


class Base(DeclarativeBase):
    """The tables of the same database that Hushtag serves."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: TIMESTAMP(timezone=True)}


class User(Base):
    """An account."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    is_active: Mapped[bool]
    deleted_at: Mapped[datetime | None]


class UserSession(Base):
    """An account session, found by the hash of its token."""

    __tablename__ = "user_sessions"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(BYTEA)
    expires_at: Mapped[datetime]
    last_activity: Mapped[datetime]


journal_tags = Table(
    "journal_tags",
    Base.metadata,
    Column("user_id", primary_key=True),
    Column("journal_id", primary_key=True),
    Column("tag_id", primary_key=True),
    ForeignKeyConstraint(["user_id", "journal_id"], ["journals.user_id", "journals.id"]),
    ForeignKeyConstraint(["user_id", "tag_id"], ["tags.user_id", "tags.id"]),
)


class Tag(Base):
    """A tag of a user."""

    __tablename__ = "tags"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=FetchedValue())
    name: Mapped[str]
    color: Mapped[str | None]


class Journal(Base):
    """A journal entry; what the database fills in by itself comes back with the INSERT (RETURNING)."""

    __tablename__ = "journals"

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=FetchedValue())
    title: Mapped[str]
    content: Mapped[str | None] = mapped_column()
    mood_rating: Mapped[int | None]
    is_private: Mapped[bool]
    word_count: Mapped[int] = mapped_column(server_default=FetchedValue())
    entry_date: Mapped[date] = mapped_column(server_default=FetchedValue())
    version: Mapped[int] = mapped_column(server_default=FetchedValue())
    published_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    updated_at: Mapped[datetime] = mapped_column(server_default=FetchedValue())

    excerpt: Mapped[str | None] = column_property(func.substr(content, 1, 200), deferred=True)
    tags: Mapped[list[Tag]] = relationship(secondary=journal_tags, lazy="raise", order_by=Tag.name)
