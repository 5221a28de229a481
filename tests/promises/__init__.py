"""One module per promise of SECURITY.md."""
