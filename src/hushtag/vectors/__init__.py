"""The conformance runner: published test vectors against this library.

    from hushtag.vectors import verify
    assert all(group.ok for group in verify())

Files and their format are described in `vectors/README.md`. The core must be able to run every vector of the suite;
`jsonschema` is not needed, because an operation refuses members that it does not know.
"""

from hushtag.vectors._files import find_directory, list_groups
from hushtag.vectors._runner import GROUPS, GroupResult, Mismatch, verify

__all__ = ["GROUPS", "GroupResult", "Mismatch", "find_directory", "list_groups", "verify"]
