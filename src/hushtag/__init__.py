"""Secret tags: a phrase opens a hidden, end-to-end encrypted vault."""

__version__ = "0.1.0"
