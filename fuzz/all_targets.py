"""Every target, registered by importing the modules that hold them."""

from fuzz import phrase_targets, server_targets, vault_targets, wire_targets
from fuzz.target import TARGETS

__all__ = ["TARGETS", "phrase_targets", "server_targets", "vault_targets", "wire_targets"]
