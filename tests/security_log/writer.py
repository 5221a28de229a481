"""A process that writes events from many connections at once: python -m tests.security_log.writer URL KEYS ROWS."""

import sys
import threading
from pathlib import Path

from hushtag_server.keyfile import read_key_ring
from tests.security_log.support import write


def main(url: str, keys: str, writers: int, rows: int) -> None:
    ring = read_key_ring(Path(keys).read_bytes(), keys)
    threads = [threading.Thread(target=write, args=(url, ring, rows)) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
