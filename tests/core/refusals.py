"""A refusal in exactly these words."""

import re
from collections.abc import Callable

import pytest

from hushtag.errors import HushtagError


def reject(words: str, error: type[HushtagError], call: Callable[[], object]) -> None:
    """Check that a call is refused with this error, which says these words and no others."""
    with pytest.raises(error, match=f"^{re.escape(words)}$"):
        call()
