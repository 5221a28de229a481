"""The command `hushtag`. Importing this imports nothing else, so `--help` is fast and a bare install can say why."""

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import cast

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    # Looked for and not imported: few commands need all of them, and a server alone has click and rich.
    if None in map(find_spec, ("click", "httpx", "platformdirs", "rich")):
        sys.exit("the command needs more than the bare library: pip install 'hushtag[client]'")
    # httpx imports a command of its own where it finds click and rich, which is a sixth of what ours takes to start. It
    # does without that command where it is missing, as here.
    sys.modules.setdefault("httpx._main", cast("ModuleType", None))
    from hushtag.cli.group import cli

    cli.main(prog_name="hushtag")
