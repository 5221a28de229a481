"""The vector files, their generators, the runner and the command that reports it."""
