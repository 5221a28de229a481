"""Gauges of the database for `/metrics`, asked for at each scrape with one query; all workers answer alike."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hushtag_server.errors import RefusedError
from hushtag_server.services import Services
from hushtag_server.streams.object_store import in_thread

__all__ = ["DATABASE_GAUGES", "render_database"]

_WAIT: Final = 3.0  # seconds; a scrape must say that the database is away, not wait with it
_STATEMENT_MS: Final = "2000"

DATABASE_GAUGES: Final = {
    "connections": ("hushtag_database_connections", "Connections to the PostgreSQL server, of everybody"),
    "max_connections": ("hushtag_database_max_connections", "Connections it allows"),
    "database_bytes": ("hushtag_database_size_bytes", "Size of this database"),
    "backup_age": ("hushtag_backup_age_seconds", "Time since the last backup was finished; absent if there is none"),
    "replicas": ("hushtag_database_replicas", "Replicas connected"),
    "replication_lag": ("hushtag_database_replication_lag_seconds", "How far the slowest replica is behind"),
    "seals_age": ("hushtag_seals_copy_age_seconds", "Time since the copy of the seals was replaced; absent if never"),
    "seal_lag": (
        "hushtag_security_log_lag_seconds",
        "How long the oldest event of the security log waits for its seal",
    ),
    "statement_seconds": ("hushtag_database_statement_seconds", "Mean time of the server's statements"),
}


_FIGURES: Final = """
    SELECT s.*, (SELECT extract(epoch FROM clock_timestamp() - max(c.taken_at)) FROM seal_copies c
         WHERE c.taken_at <= clock_timestamp()) AS seals_age,
        (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(l."timestamp")), 0)
         FROM security_audit_unsealed u JOIN security_audit_logs l ON l.id = u.id) AS seal_lag
    FROM hushtag_database_state() s
"""


@dataclass(eq=False)  # the registry keeps collectors by identity
class _Figures(Collector):
    """What one scrape found; absent is what is unknown."""

    state: dict[str, float] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)
    segment_disk: dict[str, int] = field(default_factory=dict)
    key_sets: list[tuple[tuple[str, str], int]] = field(default_factory=list)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges (prometheus_client's protocol)."""
        yield GaugeMetricFamily("hushtag_database_up", "Whether the database answered the scrape", bool(self.state))
        for key, (name, about) in DATABASE_GAUGES.items():
            if key in self.state:
                yield GaugeMetricFamily(name, about, self.state[key])
        tags = GaugeMetricFamily(
            "hushtag_key_set_tags",
            "Secret tags under a key set, as maintenance last counted",
            labels=["key_set", "current"],
        )
        for (key_id, current), count in self.key_sets:
            tags.add_metric([key_id, current], count)
        if self.key_sets:
            yield tags
        yield from _sizes("hushtag_data_disk", "Disk of HUSHTAG_DATA", self.disk)
        yield from _sizes("hushtag_segment_disk", "Disk of the directory of HUSHTAG_SEGMENT_STORE", self.segment_disk)


def _sizes(name: str, about: str, disk: dict[str, int]) -> Iterator[GaugeMetricFamily]:
    for key, size in disk.items():
        yield GaugeMetricFamily(f"{name}_{key}_bytes", f"{about}: {key}", size)


async def _state(services: Services) -> dict[str, float]:
    try:
        async with services.transaction(None) as connection:
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_MS])
            found = await connection.execute(_FIGURES)
            names = [column.name for column in found.description or ()]
            row = await found.fetchone() or ()
            return {name: float(value) for name, value in zip(names, row, strict=True) if value is not None}
    except (RefusedError, psycopg.Error):
        return {}


async def _key_sets(services: Services) -> list[tuple[tuple[str, str], int]]:
    try:
        async with services.transaction(None) as connection:
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", [_STATEMENT_MS])
            found = await connection.execute(
                "SELECT k.id, k.tag_count FROM server_keys k WHERE k.tag_count IS NOT NULL AND k.retired_at IS NULL"
            )
            current = services.keys.current.id
            return [((str(row[0]), str(row[0] == current).lower()), row[1]) for row in await found.fetchall()]
    except (RefusedError, psycopg.Error):
        return []


def _disk(directory: Path) -> dict[str, int]:
    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return {}
    return {"size": usage.total, "free": usage.free}


async def render_database(services: Services) -> bytes:
    """Return the gauges in the Prometheus text format, within 3 seconds and whatever the database does."""
    registry = CollectorRegistry()
    figures = _Figures(disk=_disk(services.settings.data))
    with anyio.move_on_after(_WAIT):
        figures.state = await _state(services)
        figures.key_sets = await _key_sets(services) if figures.state else []
        if services.segments.directory is not None:  # perhaps on a disk that does not answer
            figures.segment_disk = await in_thread(partial(_disk, services.segments.directory))
    registry.register(figures)
    return generate_latest(registry)
