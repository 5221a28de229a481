"""Published test vectors, their generators, and `python -m vectors.generate`."""
