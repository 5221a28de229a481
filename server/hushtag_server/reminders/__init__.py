"""The plain side: reminders."""
