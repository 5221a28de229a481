"""Every benchmark by name, in the order of running. To add one: a module with `measured(quick)`, and a line here.

`measured` returns figures, each a ratio to a floor or a peer of the same run, and details for the JSON and the plots.
With `quick` it does the same with few repetitions, to see that it works.
"""

from collections.abc import Callable
from typing import Final

from benchmarks import (
    absence,
    growth,
    hostile,
    objects,
    peer_tools,
    plain,
    plain_limits,
    primitives,
    security_log,
    server_unlock_cpu,
    streams,
    throughput,
    unlock,
)
from benchmarks.figures import Measured

__all__ = ["BENCHMARKS"]

BENCHMARKS: Final[dict[str, Callable[[bool], Measured]]] = {
    "primitives": primitives.measured,
    "unlock": unlock.measured,
    "server_unlock_cpu": server_unlock_cpu.measured,
    "throughput": throughput.measured,
    "objects": objects.measured,
    "streams": streams.measured,
    "growth": growth.measured,
    "peer_tools": peer_tools.measured,
    "security_log": security_log.measured,
    "absence": absence.measured,
    "hostile": hostile.measured,
    "plain": plain.measured,
    "plain_limits": plain_limits.measured,
}
