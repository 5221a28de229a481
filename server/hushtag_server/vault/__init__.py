"""The vault side: enrolment, unlock, objects."""
