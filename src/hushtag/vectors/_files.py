"""Where the vector files are: inside an installed wheel, or beside `src` in a checkout."""

from pathlib import Path
from typing import Final

from hushtag.errors import MisuseError

_PACKAGE: Final = Path(__file__).parent.parent
_PLACES: Final = (_PACKAGE / "_vectors", _PACKAGE.parent.parent / "vectors")
"""A wheel carries the files as `hushtag/_vectors`."""


def find_directory() -> Path:
    """Return the folder of this version's vectors.

    Raises:
        MisuseError: neither an installed wheel nor a checkout has them.
    """
    for place in _PLACES:
        if (place / "schema.json").is_file():
            return place
    raise MisuseError("no vectors beside this installation; name their directory")


def list_groups(directory: Path) -> list[str]:
    """Return every group in the directory, as `folder/area`, in order."""
    return sorted(
        path.relative_to(directory).with_suffix("").as_posix()
        for path in directory.glob("*/*.json")
        if path.parent.name != "generators"
    )
