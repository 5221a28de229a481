"""The security log: every event of the vault side, signed as it is written, chained within a second, verifiable."""
