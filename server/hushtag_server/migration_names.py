"""Which migrations this version has, and where a database says which it has; without their runner, for the workers."""

from pathlib import Path
from typing import Final

__all__ = ["MIGRATIONS", "STATE_TABLE", "known_migrations"]

MIGRATIONS: Final = Path(__file__).parent / "migrations"
STATE_TABLE: Final = "_yoyo_migration"


def known_migrations() -> list[str]:
    """Return the ids of the migrations this version brings, in order."""
    return sorted(path.stem for path in MIGRATIONS.glob("*.sql") if not path.stem.endswith(".rollback"))
