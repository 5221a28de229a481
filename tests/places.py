"""Where files lie that a test or a benchmark throws away; imports nothing that watches or changes what is measured."""

import functools
import os
import shutil
from pathlib import Path

__all__ = ["place_in_memory"]


@functools.cache
def place_in_memory() -> str:
    """Return where files lie in memory, or the disk's own place."""
    # In memory where there is plenty: a database is a thousand files, and every test has one of its own. Else directly
    # under /tmp; pytest's own directories are 0700, which the user that runs PostgreSQL cannot pass.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30
    return str(memory) if roomy else "/tmp"
