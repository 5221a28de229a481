"""Which migrations this version has, and where a database says which it has; without their runner, for the workers."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

__all__ = ["MIGRATIONS", "STATE_TABLE", "known_migrations", "missing_of"]

MIGRATIONS: Final = Path(__file__).parent / "migrations"
STATE_TABLE: Final = "_yoyo_migration"


def known_migrations() -> list[str]:
    """Return the ids of the migrations this version brings, in order."""
    return sorted(path.stem for path in MIGRATIONS.glob("*.sql") if not path.stem.endswith(".rollback"))


def missing_of(applied: Collection[str]) -> list[str]:
    """Return those that a database lacks which has the ones given, in order."""
    return [name for name in known_migrations() if name not in applied]
