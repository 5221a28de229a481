"""Coverage-guided fuzzing of every parser: `make fuzz` runs it, `tests/fuzz` replays the corpus (CONTRIBUTING.md)."""
