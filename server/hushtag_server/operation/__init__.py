"""Running a server: maintenance, backup, restore and diagnosis."""
