"""`hushtag-server`, whose workers hash passwords under parameters that cost nothing: `python -m tests.cheap_server`.

Most tests with a server of their own sign people in and are about something else; what one hash costs, and how many
there may be at once, is tested with `hushtag_server.cli` itself (tests/accounts/test_hash_queue.py).

`TEST_WORKER_GATE` names a file: workers begin to start when it is there, and fail if it says `closed`.
"""

if __name__ == "__main__":
    from hushtag_server.cli import main

    main()
else:  # in a worker, whose interpreter was spawned: multiprocessing brings the main module along under another name
    import os
    import time
    from pathlib import Path

    gate = Path(os.environ.get("TEST_WORKER_GATE", os.devnull))
    while not gate.exists():  # a slow host: the worker comes up when the test says so
        time.sleep(0.02)
    if not gate.is_char_device() and gate.read_text() == "closed":
        raise SystemExit("this worker cannot start")

    from argon2 import PasswordHasher

    from hushtag_server.accounts import passwords

    passwords._HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # type: ignore[misc]
