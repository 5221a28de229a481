"""Where the tables of `phrase-v1`, `words-v1` and the strength estimate come from."""
