"""Accounts: sign-up, login, sessions."""
