"""The plain side: journals and their tags."""
