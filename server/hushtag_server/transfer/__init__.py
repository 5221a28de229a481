"""Export of everything plain of an account as a ZIP, and its import."""
