"""The server as it is served, with a plain endpoint beside it and instruments inside; never for use.

`python -m benchmarks.bench_server serve …` takes the arguments of `hushtag-server`. Three variables are its own:

- `BENCH_GRANIAN`: a JSON object of arguments for granian that replace those of `hushtag_server.serve`;
- `BENCH_CALLBACKS`: anything; every callback of the event loop is timed, `GET /plain/callbacks` tells which took
  longest, and `DELETE /plain/callbacks` begins anew;
- `BENCH_STEPS`: anything; the three steps of an unlock go past edge, limits and security log (`steps_alone`).
"""

import json
import os
from typing import Any, Final

from granian.constants import Loops

from hushtag_server import supervisor
from hushtag_server.cli import main

TARGET: Final = "benchmarks.plain_endpoint:from_environment"


def _serve_ours(target: str, **arguments: Any) -> Any:
    del target
    told: dict[str, Any] = json.loads(os.environ.get("BENCH_GRANIAN", "{}"))
    if "loop" in told:
        told["loop"] = Loops(told["loop"])
    return _Supervisor(TARGET, **(arguments | told))


_Supervisor: Final = supervisor.Supervisor

if __name__ == "__main__":
    supervisor.Supervisor = _serve_ours  # type: ignore[assignment,misc]  # a function in the place of the class
    main()
