"""The modules that hold the wire's messages: one that is named here is fuzzed, documented and judged by that."""

from types import ModuleType
from typing import Final

from hushtag import (
    account_messages,
    journal_messages,
    messages,
    pairing_messages,
    reminder_messages,
    stream_messages,
    transfer_messages,
)

__all__ = ["WIRE_MODULES"]

WIRE_MODULES: Final[tuple[ModuleType, ...]] = (
    messages,
    account_messages,
    journal_messages,
    pairing_messages,
    reminder_messages,
    transfer_messages,
    stream_messages,
)
