"""The plain side: the audit trail."""
