"""What a worker's process is when it begins to serve."""

import json
import subprocess
import sys

from hushtag_server.keyfile import KeyRing
from hushtag_server.settings import Settings, to_environment

_SERVING = """
import asyncio, gc, json, sys
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
from hushtag_server.worker import from_environment
edge = from_environment()
loading = gc.isenabled()
async def serve():
    async with edge.application.application.lifespan():
        return [loading, gc.isenabled(), gc.get_freeze_count() > 10_000, "yoyo" in sys.modules]
print(json.dumps(loop.run_until_complete(serve())))
loop.close()
"""


def test_the_collector_rests_while_a_worker_loads_and_works_when_it_serves(settings: Settings, keys: KeyRing) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _SERVING],
        capture_output=True,
        text=True,
        env=to_environment(settings),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [False, True, True, False]
