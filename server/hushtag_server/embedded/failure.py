"""The one error of the embedded database."""

__all__ = ["EmbeddedError"]


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot run here; the message names the cause and the next step."""
